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
    let (library, args) = Library::take(args)?;
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
