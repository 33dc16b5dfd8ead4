//! `cargo xtask test`: run the tests from nothing.

use crate::error::Result;
use crate::{process, setup, vendor};

/// Prepares everything, then runs `cargo test --workspace` with the arguments.
pub fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    process::run(process::cargo().args(["test", "--workspace"]).args(args))
}
