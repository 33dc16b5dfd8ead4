//! `cargo xtask demo`: run the example from nothing.

use crate::error::Result;
use crate::{process, setup, vendor};

/// Prepares everything, then runs the `keylog` example with the arguments.
pub fn run(args: &[String]) -> Result<()> {
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let args = args.strip_prefix(&["--".to_string()]).unwrap_or(args);
    let mut command = process::cargo();
    command
        .args(["run", "--example", "keylog", "--"])
        .args(args);
    process::run(&mut command)
}
