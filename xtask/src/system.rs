//! `cargo xtask system`: the tests with an installed C library. The vendored one
//! is built as a packager would, shared and below a prefix, with the switches of
//! our own build, and the crate is told of it by `LWS_DIR`.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::{paths, process, setup, test, vendor};

#[path = "../../build/switches.rs"]
mod switches;

use switches::Features;

/// What [`test::FEATURES`] and the default ones ask of the library.
const ALL: Features = Features {
    tls: true,
    deflate: true,
    ipv6: true,
    unix_sockets: true,
};

/// Suites that say nothing of an installed library: each makes builds of its own,
/// with the variables that it is about, or asks the compiler alone.
const NOT_WITH_IT: &[&str] = &[
    "build_variables",
    "compile_fail",
    "known",
    "sources",
    "symbols",
    "vendored_patches",
];

#[derive(Debug, Default, PartialEq)]
struct Options {
    /// Suites to run; none are all.
    only: Vec<String>,
    /// For the test programs.
    args: Vec<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--" => options.args = args.by_ref().cloned().collect(),
                "--only" => {
                    let list = args
                        .next()
                        .ok_or_else(|| Error::new("--only needs names"))?;
                    options.only = list.split(',').map(str::to_owned).collect();
                }
                other => {
                    return Err(Error::new(format!(
                    "`system` knows no argument `{other}`; it takes --only SUITE,... and -- ARGS"
                )))
                }
            }
        }
        Ok(options)
    }
}

/// Runs the verb with its arguments.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let suites = match options.only.is_empty() {
        true => test::suites(NOT_WITH_IT)?,
        false => options.only.clone(),
    };
    let prefix = paths::target_dir().join("prefix");
    install(&prefix)?;
    // Some suites run the examples, which cargo doesn't build for chosen suites.
    process::run(&mut cargo(&prefix, &["build", "--examples"])?)?;
    let mut tests = cargo(&prefix, &["test", "--no-fail-fast", "--lib"])?;
    tests.args(suites.iter().flat_map(|suite| ["--test", suite]));
    process::run(tests.arg("--").args(&options.args))?;
    println!(
        "system: the unit tests and {} suites pass with the library in {}\n  \
         left out, for they make builds of their own: {}",
        suites.len(),
        prefix.display(),
        NOT_WITH_IT.join(", ")
    );
    Ok(())
}

/// Builds the vendored tree and installs it below the prefix.
fn install(prefix: &Path) -> Result<()> {
    let cmake = env::var_os("CMAKE").unwrap_or_else(|| "cmake".into());
    let build = paths::target_dir().join("prefix-build");
    let mut configure = Command::new(&cmake);
    configure
        .arg("-S")
        .arg(paths::root().join("vendor/libwebsockets"))
        .arg("-B")
        .arg(&build)
        .arg(define("CMAKE_INSTALL_PREFIX", prefix))
        .args(["-DCMAKE_BUILD_TYPE=Release", "-Wno-dev"])
        // Shared, unlike our own build.
        .args(["-DLWS_WITH_STATIC=OFF", "-DLWS_WITH_SHARED=ON"])
        .args(
            switches::of(&ALL)
                .iter()
                .map(|(name, value)| format!("-D{name}={value}")),
        );
    if process::find_program("ninja").is_some() {
        configure.args(["-G", "Ninja"]);
    }
    process::run(&mut configure)?;
    let mut compile = Command::new(&cmake);
    compile.arg("--build").arg(&build);
    process::run(compile.args(["--parallel", "--target", "install"]))
}

fn define(name: &str, value: &Path) -> OsString {
    let mut text = OsString::from(format!("-D{name}="));
    text.push(value);
    text
}

/// Cargo for this package with the installed library.
fn cargo(prefix: &Path, verb: &[&str]) -> Result<Command> {
    let library = prefix.join("lib");
    if library.to_str().is_none() {
        return Err(Error::new(format!("{}: isn't UTF-8", library.display())));
    }
    let mut command = process::cargo();
    command
        .args(verb)
        .args(["--package", "libwebsockets", "--features", test::FEATURES])
        .env("CARGO_TARGET_DIR", paths::target_dir().join("system"))
        .env("LWS_DIR", prefix)
        // It would go before the prefix.
        .env_remove("LWS_SOURCE_DIR")
        .env_remove("DOCS_RS");
    // In each program, for the loader ignores LD_LIBRARY_PATH where a test has raised
    // privileges.
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", library.display());
    process::add_rustflags(&mut command, &[rpath]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_suites() {
        let parse = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            Options::parse(&list)
        };
        let given = parse(&["--only", "tls,keylog", "--", "--nocapture"]).unwrap();
        assert_eq!(given.only, ["tls", "keylog"]);
        assert_eq!(given.args, ["--nocapture"]);
        assert_eq!(parse(&[]).unwrap(), Options::default());
        assert!(parse(&["tls"]).is_err() && parse(&["--only"]).is_err());
    }
}
