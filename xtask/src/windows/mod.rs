//! `cargo xtask windows`: builds the crate for Windows with mingw's compiler, and
//! runs its tests under Wine. What is slow to make is kept below cargo's target
//! directory: the standard library, OpenSSL, Wine's prefix.

mod sysroot;
pub mod wine;

use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::setup::{MAKE, MINGW, PERL, WINE};
use crate::{process, setup, vendor};
use wine::Wine;

/// The only target: others have no free compiler that runs on Linux, or no Wine.
const TARGET: &str = "x86_64-pc-windows-gnu";

/// mingw's C compiler, which also links; the other tools have the same prefix.
const COMPILER: &str = "x86_64-w64-mingw32-gcc";

/// On top of the default features. Unix domain sockets are left out: Wine 8 has none.
const FEATURES: &str =
    "libwebsockets/vendored-openssl,libwebsockets/ipv6,libwebsockets/keylog-gzip";

/// The integration tests that run there. Of the others many start cargo, or look at what
/// only Unix has; some are left out for CI's time, for they are about the C library's
/// treatment of what peers send, which is the same everywhere.
const SUITES: &[&str] = &[
    "addresses",
    "client",
    "deflate",
    "fragments",
    "handle",
    "handshake",
    "interop",
    "keylog",
    "keylog_files",
    "keylog_table",
    "keylog_variable",
    "keylog_wiped",
    "lifecycle",
    "logging",
    "panics",
    "random",
    "tls",
    "violations",
    "websocket",
];

/// Those of them that are about the key log, as their names tell.
fn keylog_suites() -> Vec<&'static str> {
    let suites = SUITES.iter().copied();
    suites.filter(|name| name.starts_with("keylog")).collect()
}

/// What to run.
#[derive(Debug, Default, PartialEq)]
struct Options<'a> {
    keylog: bool,
    /// For the test programs.
    args: &'a [String],
}

impl<'a> Options<'a> {
    fn parse(args: &'a [String]) -> Result<Self> {
        let mut options = Options::default();
        for (i, arg) in args.iter().enumerate() {
            match arg.as_str() {
                "--keylog" => options.keylog = true,
                "--" => {
                    options.args = &args[i + 1..];
                    break;
                }
                other => {
                    return Err(Error::new(format!(
                        "`windows` doesn't know `{other}`; arguments for the tests come after `--`"
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
    tests(&options)
}

/// All of them.
pub fn check() -> Result<()> {
    tests(&Options::default())
}

/// The tests of each change, for CI: Windows' ways with files are the key log's business.
pub fn check_keylog() -> Result<()> {
    tests(&Options {
        keylog: true,
        ..Options::default()
    })
}

/// Runs the tests under Wine.
fn tests(options: &Options<'_>) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::NotHere(
            "Wine runs these tests on x86-64 Linux; on Windows itself `cargo xtask test` does"
                .into(),
        ));
    }
    // The standard library is compiled with mingw's tools, OpenSSL with the others, too.
    setup::satisfy(&[MINGW, PERL, MAKE])?;
    let sysroot = sysroot::obtain()?;
    setup::satisfy(&[WINE])?;
    let wine = Wine::prepare()?;
    let lib: &[&str] = &["--lib"];
    let suites = |names: &[&'static str]| -> Vec<&str> {
        names.iter().flat_map(|name| ["--test", name]).collect()
    };
    let runs = if options.keylog {
        // Of the unit tests, those in modules of the key log's, and of what it asks Windows.
        let chosen = options.args.iter().any(|arg| !arg.starts_with('-'));
        let filter: &[&str] = if chosen {
            &[]
        } else {
            &["keylog", "ffi::windows"]
        };
        vec![(lib.to_vec(), filter), (suites(&keylog_suites()), &[])]
    } else {
        vec![([lib, &suites(SUITES)].concat(), [].as_slice())]
    };
    let mut failed = None;
    let mut all = None;
    for (programs, filter) in runs {
        let mut command = cargo(&wine, sysroot.as_ref());
        command.args(["test", "-p", "libwebsockets", "--no-fail-fast"]);
        command.args(["--target", TARGET, "--features", FEATURES]);
        command.args(programs).arg("--").args(filter);
        let mut count = None;
        let look = |line: &str| count = sum(count, tests_of(line));
        let ended = process::run_and_look(command.args(options.args), look);
        failed = ended.err().or(failed);
        all = sum(all, count);
        if count == Some(0) && !filter.is_empty() {
            let why = format!(
                "no unit test is in {}, so none was run",
                filter.join(" or ")
            );
            failed = failed.or(Some(Error::new(why)));
        }
    }
    match (failed, all) {
        (Some(why), _) => Err(why),
        (None, Some(0)) => Err(Error::new("no test has such a name, so none was run")),
        (None, _) => Ok(()),
    }
}

/// The number of tests that a test program is about to run, in the line where it says so;
/// one that only lists them doesn't.
fn tests_of(line: &str) -> Option<usize> {
    let (number, unit) = line.strip_prefix("running ")?.split_once(' ')?;
    number.parse().ok().filter(|_| unit.starts_with("test"))
}

fn sum(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => a.or(b),
    }
}

/// Cargo, set up for the target.
fn cargo(wine: &Wine, sysroot: Option<&PathBuf>) -> Command {
    let mut cargo = process::cargo();
    wine.enter(&mut cargo);
    let variable = |name: &str| {
        let target = TARGET.replace('-', "_").to_uppercase();
        format!("CARGO_TARGET_{target}_{name}")
    };
    let flags = format!("CFLAGS_{}", TARGET.replace('-', "_"));
    if std::env::var_os(&flags).is_none() {
        // OpenSSL takes three times as long otherwise: two thirds of the time go into the
        // intrinsics that windows.h includes, and nobody uses. The C library says itself how it
        // is optimised.
        cargo.env(flags, "-O0 -g0 -D_X86INTRIN_H_INCLUDED");
    }
    cargo.env(variable("LINKER"), COMPILER);
    cargo.env(variable("RUNNER"), wine.program());
    if let Some(sysroot) = sysroot {
        let own = ["--sysroot".into(), sysroot.display().to_string()];
        process::add_rustflags(&mut cargo, &own);
    }
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn what_comes_after_two_dashes_is_the_tests() {
        let given = args(&["--keylog", "--", "--keylog", "--nocapture"]);
        let options = Options::parse(&given).unwrap();
        assert!(options.keylog);
        assert_eq!(options.args, &given[2..]);
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn tests_are_counted() {
        let count = |text: &str| text.lines().map(tests_of).fold(None, sum);
        assert_eq!(
            count("\nrunning 0 tests\nrunning 1 test\nrunning 2 tests\n"),
            Some(3)
        );
        assert_eq!(count("running 0 tests\n\ntest result: ok."), Some(0));
        assert_eq!(count("a::b: test\nrunning away\n"), None);
    }

    #[test]
    fn other_arguments_are_refused() {
        let why = Options::parse(&args(&["keylog"])).unwrap_err();
        assert!(why.to_string().contains("`keylog`"));
    }
}
