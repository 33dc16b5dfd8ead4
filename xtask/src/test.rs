//! `cargo xtask test`: run the tests from nothing.

use crate::error::Result;
use crate::{process, setup, vendor};

/// Features that are tested on top of the default ones. `vendored-openssl` and
/// `system` change where libraries come from, not what the crate does.
pub const FEATURES: &str = "libwebsockets/ipv6,libwebsockets/unix-sockets";

/// Prepares everything, then runs `cargo test --workspace` with the arguments.
pub fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let features = ["test", "--workspace", "--features", FEATURES];
    process::run(process::cargo().args(features).args(args))
}
