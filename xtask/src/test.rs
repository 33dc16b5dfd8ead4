//! `cargo xtask test`: run the tests from nothing.

use crate::error::Result;
use crate::tls::Library;
use crate::{process, setup, vendor};

/// Features that are tested on top of the default ones. `vendored-openssl` and
/// `system` change where libraries come from, not what the crate does; `aws-lc` is
/// tested by `--tls aws-lc`.
pub const FEATURES: &str =
    "libwebsockets/ipv6,libwebsockets/unix-sockets,libwebsockets/keylog-gzip";

/// Members that a mere check of the workspace leaves out: what the servers of other
/// libraries need, which benchmarks alone start, takes minutes to compile.
pub const NO_PEERS: [&str; 2] = ["--exclude", "peers"];

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
