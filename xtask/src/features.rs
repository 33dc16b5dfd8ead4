//! `cargo xtask features`: every feature and every pair of them, with nothing else
//! on, is free of clippy's and the compiler's warnings.

use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::{paths, process, setup, tools, vendor};

/// Features that take part in no pair, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    (
        "vendored-openssl",
        "compiles OpenSSL, for minutes; the crate's code has no part that depends on it",
    ),
    (
        "aws-lc",
        "compiles AWS-LC; one more set has it with all that goes with it, and \
         `cargo xtask test --tls aws-lc` tests it",
    ),
    (
        "_tls",
        "is turned on by `tls` and `aws-lc`, and not to be by itself",
    ),
    (
        "system",
        "chooses the C library and nothing else: `cargo xtask system`, tests/sources.rs",
    ),
];

#[derive(Debug, PartialEq)]
struct Options {
    /// How many features at a time.
    depth: u8,
    /// Whether the C library is compiled for each set, too, and not only configured.
    compile: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            depth: 2,
            compile: false,
        }
    }
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--compile" => options.compile = true,
                "--depth" => {
                    let depth = args.next().and_then(|text| text.parse().ok());
                    options.depth = depth
                        .filter(|depth| *depth > 0)
                        .ok_or_else(|| Error::new("--depth needs a number, 1 or more"))?;
                }
                other => {
                    return Err(Error::new(format!(
                        "`features` knows no argument `{other}`; it takes --depth N and --compile"
                    )))
                }
            }
        }
        Ok(options)
    }

    /// Says where a command compiles to, and whether the C library, too.
    fn direct(&self, command: &mut Command) {
        if self.compile {
            let dir = paths::target_dir().join("features");
            command.env("CARGO_TARGET_DIR", dir).env_remove("DOCS_RS");
        } else {
            headers_only(command);
        }
    }
}

/// Runs the verb with its arguments.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    check(&options)
}

/// Each feature alone, which is a third of the sets: what `ci --all` has the time for.
pub fn singles() -> Result<()> {
    let options = Options {
        depth: 1,
        ..Options::default()
    };
    check(&options)
}

fn check(options: &Options) -> Result<()> {
    setup::satisfy(&[setup::CXX])?;
    let tool = tools::obtain("cargo-hack")?;
    let mut sets = 1; // that with AWS-LC, below
    let mut failed = None;
    for with_tls in [false, true] {
        let mut list = hack(&tool, options, with_tls);
        let list = process::output(list.arg("--print-command-list"))?;
        let count = list.as_deref().map(commands).unwrap_or_default();
        if count == 0 {
            return Err(Error::new("cargo-hack finds no set of features"));
        }
        sets += count;
        let mut checks = hack(&tool, options, with_tls);
        checks.args(["--keep-going", "--", "-D", "warnings"]);
        failed = failed.or(process::run(&mut checks).err());
    }
    let mut with_aws_lc = process::cargo();
    let all = [&["aws-lc"], NEED_TLS, WITH_TLS].concat().join(",");
    with_aws_lc
        .args(["clippy", "-p", "libwebsockets", "--lib", "--examples"])
        .args(["--no-default-features", "--features", &all]);
    options.direct(&mut with_aws_lc);
    with_aws_lc.args(["--", "-D", "warnings"]);
    failed = failed.or(process::run(&mut with_aws_lc).err());
    if let Some(why) = failed {
        return Err(why);
    }
    println!(
        "features: {sets} sets of up to {} have no warning, library and examples{}",
        options.depth,
        if options.compile {
            ", the C library compiled for each"
        } else {
            ""
        }
    );
    for (name, why) in LEFT_OUT {
        println!("  left out: {name}: {why}");
    }
    Ok(())
}

/// Features that a build without TLS refuses.
const NEED_TLS: &[&str] = &["keylog", "keylog-gzip"];

/// Those that are tried with them, and with `tls` beside all.
const WITH_TLS: &[&str] = &["deflate", "ipv6", "unix-sockets"];

/// cargo-hack for all sets of features, up to clippy's own arguments: those without the
/// features that need TLS, or those with `tls`.
fn hack(tool: &Path, options: &Options, with_tls: bool) -> Command {
    let mut command = Command::new(tool);
    command
        .current_dir(paths::root())
        .args(["hack", "clippy", "--package", "libwebsockets"])
        .args(["--lib", "--examples", "--feature-powerset"])
        .args(["--depth", &options.depth.to_string()]);
    if with_tls {
        let included = [NEED_TLS, WITH_TLS].concat().join(",");
        command.args(["--features", "tls", "--include-features", &included]);
    } else {
        let left_out = LEFT_OUT.iter().map(|(name, _)| name);
        command.args(left_out.chain(NEED_TLS).flat_map(|name| ["--skip", name]));
    }
    options.direct(&mut command);
    command
}

/// Makes the build script configure the C library and make its headers, and leave
/// it uncompiled; in a folder of its own, for cargo would see a change each time. For a
/// named target, build scripts and what they need are the same as anywhere else.
pub fn headers_only(command: &mut Command) {
    let dir = paths::target_dir();
    command
        .env("DOCS_RS", "1")
        .env("CARGO_TARGET_DIR", dir.join("headers"))
        .env("CARGO_BUILD_BUILD_DIR", dir);
    if let Some(host) = process::host() {
        command.env("CARGO_BUILD_TARGET", host);
    }
}

/// The number of commands in cargo-hack's list.
fn commands(list: &str) -> usize {
    list.lines()
        .filter(|line| line.contains(" clippy "))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &[&str]) -> Result<Options> {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        Options::parse(&list)
    }

    #[test]
    fn arguments_choose_depth_and_compiling() {
        let default = parse(&[]).unwrap();
        assert_eq!((default.depth, default.compile), (2, false));
        let given = parse(&["--compile", "--depth", "3"]).unwrap();
        assert_eq!((given.depth, given.compile), (3, true));
        for wrong in [&["--depth"][..], &["--depth", "0"], &["3"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_left_out_exists() {
        let manifest = std::fs::read_to_string(paths::root().join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let features = manifest["features"].as_table().unwrap();
        for (name, _) in LEFT_OUT {
            assert!(features.contains_key(*name), "{name}");
        }
        // A new feature has to be put into one of the lists.
        let known = LEFT_OUT.len() + NEED_TLS.len() + WITH_TLS.len() + ["default", "tls"].len();
        assert_eq!(features.len(), known);
    }

    #[test]
    fn commands_are_counted() {
        let list = "cargo clippy --lib --no-default-features\ncargo clippy --lib\n";
        assert_eq!(commands(list), 2);
        assert_eq!(commands(""), 0);
    }
}
