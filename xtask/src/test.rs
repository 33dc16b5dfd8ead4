//! `cargo xtask test`: run the tests from nothing.

use crate::error::{Error, IoContext, Result};
use crate::tls::Library;
use crate::{paths, process, setup, vendor};

/// Features that are tested on top of the default ones. `vendored-openssl` and
/// `system` change where libraries come from, not what the crate does; `aws-lc` is
/// tested by `--tls aws-lc`.
pub const FEATURES: &str =
    "libwebsockets/ipv6,libwebsockets/unix-sockets,libwebsockets/keylog-gzip";

/// Members that a mere check of the workspace leaves out: what the servers of other
/// libraries need, which benchmarks alone start, takes minutes to compile.
pub const NO_PEERS: [&str; 2] = ["--exclude", "peers"];

/// Where it is set, tests are left out for which this machine lacks something; else they fail.
const ALLOW_SKIPS: &str = "LIBWEBSOCKETS_ALLOW_SKIPS";

/// Lets the tests that are run from now on be left out where this machine lacks something.
pub fn allow_skips() {
    std::env::set_var(ALLOW_SKIPS, "1");
}

/// Takes `--allow-skips` from the beginning of the arguments.
fn take_allow_skips(args: &[String]) -> (bool, &[String]) {
    match args.split_first() {
        Some((first, rest)) if first == "--allow-skips" => (true, rest),
        _ => (false, args),
    }
}

/// The programs of tests in `tests/`, apart from some.
pub fn suites(without: &[&str]) -> Result<Vec<String>> {
    let folder = paths::root().join("tests");
    let mut names = Vec::new();
    for entry in folder.read_dir().doing("read", &folder)? {
        let path = entry.doing("read", &folder)?.path();
        let is_suite =
            path.join("main.rs").is_file() || path.extension().is_some_and(|e| e == "rs");
        let name = path.file_stem().and_then(|name| name.to_str());
        names.extend(name.filter(|_| is_suite).map(str::to_owned));
    }
    names.sort();
    match without
        .iter()
        .find(|name| !names.iter().any(|n| n == *name))
    {
        Some(name) => Err(Error::new(format!("there is no tests/{name} to leave out"))),
        None => {
            names.retain(|name| !without.contains(&name.as_str()));
            Ok(names)
        }
    }
}

/// Prepares everything, then runs `cargo test --workspace` with the arguments, or with
/// `--tls` the tests of one TLS library.
pub fn run(args: &[String]) -> Result<()> {
    let (allowed, args) = take_allow_skips(args);
    let (library, args) = Library::take(args)?;
    if allowed {
        allow_skips();
    }
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    if let Some(library) = library {
        return library.test(args);
    }
    let features = ["test", "--workspace", "--features", FEATURES];
    process::run(process::cargo().args(features).args(NO_PEERS).args(args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_allowed_ahead_of_what_is_cargos() {
        let args = |list: &[&str]| -> Vec<String> { list.iter().map(|s| s.to_string()).collect() };
        let given = args(&["--allow-skips", "--tls", "system"]);
        assert_eq!(take_allow_skips(&given), (true, &given[1..]));
        let given = args(&["--", "--allow-skips"]);
        assert_eq!(take_allow_skips(&given), (false, &given[..]));
    }

    /// Lost: a variable that the tests don't read.
    #[test]
    fn the_tests_read_the_variable() {
        let path = paths::root().join("src/keylog/tests/machine.rs");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&format!("\"{ALLOW_SKIPS}\"")));
    }

    #[test]
    fn suites_are_files_and_folders() {
        let all = suites(&[]).unwrap();
        assert!(all.is_sorted());
        for name in ["websocket", "rfc6455"] {
            assert!(all.iter().any(|n| n == name), "{all:?}");
        }
        for name in ["common", "api"] {
            assert!(all.iter().all(|n| n != name), "{all:?}");
        }
        let less = suites(&["websocket"]).unwrap();
        assert_eq!(less.len() + 1, all.len());
        assert!(suites(&["webscoket"]).is_err());
    }
}
