//! Subcommands of cargo that the machine may lack: they are installed below
//! `target/`, and nothing of the user's changes.

use std::env;
use std::path::PathBuf;

use crate::error::Result;
use crate::{paths, process};

/// A program of crates.io, of any version that is there already.
pub fn obtain(name: &str) -> Result<PathBuf> {
    let root = paths::target_dir().join("tools");
    let own = root
        .join("bin")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let found = process::find_program(name).or_else(|| own.is_file().then(|| own.clone()));
    if let Some(program) = found {
        return Ok(program);
    }
    let mut install = process::cargo();
    install
        // Compiled faster than they would be for speed: they wait for the compiler.
        .args(["install", name, "--debug", "--locked", "--root"])
        .arg(&root);
    process::run(&mut install)?;
    Ok(own)
}
