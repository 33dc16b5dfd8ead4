//! Subcommands of cargo that the machine may lack: they are installed below
//! `target/`, and nothing of the user's changes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Result;
use crate::{paths, process};

/// A program of crates.io, of any version that is there already.
pub fn obtain(name: &str) -> Result<PathBuf> {
    find_or_install(name, None)
}

/// A program of crates.io, of this version and no other.
pub fn obtain_version(name: &str, version: &str) -> Result<PathBuf> {
    find_or_install(name, Some(version))
}

fn find_or_install(name: &str, version: Option<&str>) -> Result<PathBuf> {
    let root = paths::target_dir().join("tools");
    let own = root
        .join("bin")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let found = [process::find_program(name), Some(own.clone())]
        .into_iter()
        .flatten()
        .find(|program| program.is_file() && version.is_none_or(|v| is_version(program, v)));
    if let Some(program) = found {
        return Ok(program);
    }
    let wanted = match version {
        Some(version) => format!("{name}@{version}"),
        None => name.to_owned(),
    };
    let mut install = process::cargo();
    install
        // Compiled faster than they would be for speed: they wait for the compiler.
        .args(["install", &wanted, "--debug", "--locked", "--root"])
        .arg(&root);
    process::run(&mut install)?;
    Ok(own)
}

fn is_version(program: &Path, version: &str) -> bool {
    let printed = process::output(Command::new(program).arg("--version"));
    matches!(printed, Ok(Some(text)) if has_version(&text, version))
}

/// Whether `NAME VERSION` ends with this version.
fn has_version(text: &str, version: &str) -> bool {
    text.split_whitespace().nth(1) == Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_whole() {
        assert!(has_version("cargo-thing 0.52.0\n", "0.52.0"));
        assert!(!has_version("cargo-thing 0.52.01\n", "0.52.0"));
        assert!(!has_version("", "0.52.0"));
    }
}
