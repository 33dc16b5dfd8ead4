//! `cargo xtask test --tls NAME`: the tests that meet the TLS library, with each of
//! those that the crate can be built with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, IoContext, Result};
use crate::setup::Need;
use crate::{paths, process, setup, test};

/// What doesn't depend on the TLS library, turned on so that it is built as well.
const FEATURES: &str = "keylog-gzip,deflate,ipv6,unix-sockets";

/// Suites that meet no TLS, or that look at the crate with the system's library alone. The
/// others are the tests of TLS, the key log, decryption, and what else is done over TLS.
const NOT_WITH_IT: &[&str] = &[
    // Plain connections, and what isn't about connections.
    "builders",
    "client",
    "closing",
    "compile_fail",
    "connecting",
    "deflate",
    "descriptors",
    "failing_calls",
    "forked",
    "fragments",
    "handle",
    "handshake",
    "headers",
    "inflating",
    "lifecycle",
    "load",
    "panics",
    "random",
    "reconnect",
    "subprotocols",
    "targets",
    "unix_queue",
    "unix_sockets",
    "violations",
    // `examples_tls` runs them over TLS.
    "examples",
    "keylog_doctor",
    "other_languages",
    // Builds of their own.
    "build_variables",
    "known",
    "sources",
    "symbols",
    "vendored_patches",
];

/// Those that `ci --all` runs: few enough for its time.
const FEW: &[&str] = &["aws_lc", "decrypt", "keylog", "tls", "websocket"];

/// A build of OpenSSL by `openssl-src`, which has a package of its own: no package of this
/// workspace could have it.
struct Built {
    /// Of its folder below cargo's target directory.
    name: &'static str,
    /// Of `openssl-src`.
    release: &'static str,
    /// For OpenSSL's `Configure`.
    switch: Option<&'static str>,
}

const OPENSSL_111: Built = Built {
    name: "openssl-1.1.1",
    release: "111",
    switch: None,
};

const OPENSSL_SSLKEYLOG: Built = Built {
    name: "openssl-sslkeylog",
    release: "300",
    switch: Some("enable-sslkeylog"),
};

/// A TLS library to test with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// The system's OpenSSL.
    System,
    /// OpenSSL as openssl-sys builds it.
    Vendored,
    /// OpenSSL 1.1.1, built here.
    OpenSsl111,
    /// OpenSSL that logs secrets by itself, built here.
    OpenSslThatLogs,
    /// AWS-LC.
    AwsLc,
}

const LIBRARIES: &[(&str, Library)] = &[
    ("system", Library::System),
    ("vendored", Library::Vendored),
    ("openssl-1.1.1", Library::OpenSsl111),
    ("openssl-sslkeylog", Library::OpenSslThatLogs),
    ("aws-lc", Library::AwsLc),
];

impl Library {
    /// Takes `--tls NAME` from the beginning of the arguments.
    pub fn take(args: &[String]) -> Result<(Option<Library>, &[String])> {
        let Some((first, rest)) = args.split_first() else {
            return Ok((None, args));
        };
        if first != "--tls" {
            return Ok((None, args));
        }
        let names: Vec<_> = LIBRARIES.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let Some((given, rest)) = rest.split_first() else {
            return Err(Error::new(format!("which TLS library? {names}")));
        };
        match Library::named(given) {
            Some(library) => Ok((Some(library), rest)),
            None => Err(Error::new(format!(
                "no TLS library `{given}`; there are: {names}"
            ))),
        }
    }

    /// Runs the tests with it; `args` are cargo's.
    pub fn test(self, args: &[String]) -> Result<()> {
        let suites = test::suites(NOT_WITH_IT)?;
        // Which cargo doesn't build for chosen suites, and one of them runs.
        let own = args.iter().take_while(|arg| *arg != "--");
        let mut examples = self.command("build")?;
        examples
            .arg("--examples")
            .args(own.filter(|arg| *arg == "--release"));
        process::run(&mut examples)?;
        let mut command = self.command("test")?;
        command.args(suites.iter().flat_map(|suite| ["--test", suite]));
        process::run(command.arg("--lib").arg("--no-fail-fast").args(args))
    }

    /// The part that `ci --all` runs.
    pub fn test_few(self) -> Result<()> {
        let mut command = self.command("test")?;
        process::run(command.args(FEW.iter().flat_map(|suite| ["--test", suite])))
    }

    fn command(self, verb: &str) -> Result<Command> {
        let mut command = process::cargo();
        command.args([verb, "-p", "libwebsockets", "--no-default-features"]);
        command.args(["--features", &format!("{FEATURES},{}", self.feature())]);
        setup::satisfy(self.needs())?;
        let built = match self {
            Library::OpenSsl111 => Some(OPENSSL_111),
            Library::OpenSslThatLogs => Some(OPENSSL_SSLKEYLOG),
            Library::System | Library::Vendored | Library::AwsLc => None,
        };
        if let Some(built) = built {
            command
                .env("OPENSSL_DIR", built.obtain()?)
                .env("OPENSSL_STATIC", "1")
                // Else whatever was built with the system's would be built again.
                .env("CARGO_TARGET_DIR", built.folder());
        }
        Ok(command)
    }

    /// What building it takes.
    pub fn needs(self) -> &'static [Need] {
        match self {
            Library::System => &[],
            Library::Vendored | Library::OpenSsl111 | Library::OpenSslThatLogs => {
                &[setup::PERL, setup::MAKE]
            }
            Library::AwsLc => &[setup::CXX],
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Library> {
        let found = LIBRARIES.iter().find(|(known, _)| *known == name);
        found.map(|(_, library)| *library)
    }

    /// The feature, of this crate and of `bench`, that brings it.
    pub fn feature(self) -> &'static str {
        match self {
            Library::System | Library::OpenSsl111 | Library::OpenSslThatLogs => "tls",
            Library::Vendored => "vendored-openssl",
            Library::AwsLc => "aws-lc",
        }
    }
}

impl Built {
    fn folder(&self) -> PathBuf {
        paths::target_dir().join(self.name)
    }

    /// Builds it, unless it is there already; where it is installed.
    fn obtain(&self) -> Result<PathBuf> {
        let package = self.folder().join("package");
        let out = package.join("openssl");
        let installed = out.join("install");
        if installed.join("lib/libssl.a").is_file() {
            return Ok(installed);
        }
        println!("test: building {} ...", self.name);
        let source = package.join("src");
        fs::create_dir_all(&source).doing("create", &source)?;
        let manifest = format!(
            "[package]\nname = \"built-openssl\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
             [workspace]\n[build-dependencies]\nopenssl-src = \"{}\"\n",
            self.release
        );
        let build = "fn main() {\n    let out = std::env::var_os(\"OPENSSL_OUT\").unwrap();\n    \
                     openssl_src::Build::new().out_dir(out).build();\n}\n";
        for (name, text) in [
            ("Cargo.toml", manifest.as_str()),
            ("build.rs", build),
            ("src/lib.rs", ""),
        ] {
            let path = package.join(name);
            fs::write(&path, text).doing("write", &path)?;
        }
        let mut cargo = process::cargo();
        cargo
            .current_dir(&package)
            .arg("build")
            .env("OPENSSL_OUT", &out)
            .env("CARGO_TARGET_DIR", package.join("target"));
        if let Some(switch) = self.switch {
            cargo.env("OPENSSL_SRC_PERL", configuring(&package, switch)?);
        }
        process::run(&mut cargo)?;
        Ok(installed)
    }
}

/// A program that stands in for Perl and gives `Configure` a switch more: `openssl-src` has no
/// other way to one.
fn configuring(folder: &Path, switch: &str) -> Result<PathBuf> {
    let script = folder.join("perl");
    let text = format!(
        "#!/bin/sh\ncase \"$1\" in\n    */Configure) exec perl \"$@\" {switch} ;;\nesac\n\
         exec perl \"$@\"\n"
    );
    fs::write(&script, text).doing("write", &script)?;
    process::run(Command::new("chmod").arg("+x").arg(&script))?;
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    /// A new suite is tested with each library until it is named among the others.
    #[test]
    fn suites_of_tls_are_those_that_are_not_left_out() {
        let suites = test::suites(NOT_WITH_IT).unwrap();
        for name in [FEW, &["keys_wiped", "examples_tls"]].concat() {
            assert!(suites.iter().any(|suite| suite == name), "{name}");
        }
    }

    #[test]
    fn the_option_is_taken_from_the_front_and_the_rest_is_cargos() {
        let given = args(&["--tls", "aws-lc", "--release"]);
        let (library, rest) = Library::take(&given).unwrap();
        assert_eq!(
            (library, rest),
            (Some(Library::AwsLc), &args(&["--release"])[..])
        );
        let given = args(&["--test", "tls"]);
        assert_eq!(Library::take(&given).unwrap(), (None, &given[..]));
        assert_eq!(Library::take(&[]).unwrap().0, None);
    }

    #[test]
    fn the_help_names_each_library() {
        for (name, _) in LIBRARIES {
            assert!(crate::HELP.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn another_library_is_refused_with_those_that_there_are() {
        for given in [&["--tls"][..], &["--tls", "gnutls"]] {
            let why = Library::take(&args(given)).unwrap_err().to_string();
            assert!(
                why.contains("system, vendored, openssl-1.1.1, openssl-sslkeylog, aws-lc"),
                "{why}"
            );
        }
    }
}
