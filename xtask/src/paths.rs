//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::{IoContext, Result};
use crate::process;

/// The root of the repository: the parent of this package's directory.
pub fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .filter(|dir| Path::new(dir).ends_with("xtask"))
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let own = PathBuf::from(own);
    own.parent().map(Path::to_path_buf).unwrap_or(own)
}

/// Cargo's target directory, from whichever variable or file the user has set it in. What is
/// taken from it was built there, for [`crate::process::cargo`] is told of it.
pub fn target_dir() -> PathBuf {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    let find = || {
        let root = root();
        given(env::var_os("CARGO_TARGET_DIR"))
            .or_else(|| ask_cargo(&root))
            .unwrap_or_else(|| root.join("target"))
    };
    FOUND.get_or_init(find).clone()
}

/// Removes a folder with what is in it, if it is there.
pub fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir).doing("remove", dir)?;
    }
    Ok(())
}

/// A program of the workspace, as `cargo build --release` makes it.
pub fn released(program: &str) -> PathBuf {
    target_dir().join("release").join(program)
}

/// Relative values count from the current directory, as they do for Cargo.
fn given(var: Option<OsString>) -> Option<PathBuf> {
    let dir = PathBuf::from(var.filter(|v| !v.is_empty())?);
    Some(std::path::absolute(&dir).unwrap_or(dir))
}

/// Where Cargo would put what it builds: it alone knows all its files of settings.
fn ask_cargo(root: &Path) -> Option<PathBuf> {
    let mut cargo = Command::new(process::cargo_program());
    cargo
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(root.join("Cargo.toml"));
    let text = process::output(&mut cargo).ok()??;
    let metadata: serde_json::Value = serde_json::from_str(&text).ok()?;
    given(Some(metadata.get("target_directory")?.as_str()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_from_the_environment_is_absolute() {
        assert_eq!(given(None), None);
        assert_eq!(given(Some(OsString::new())), None);
        let dir = given(Some("out".into())).unwrap();
        assert!(dir.is_absolute() && dir.ends_with("out"));
    }

    #[test]
    fn cargo_says_where_it_builds() {
        assert!(ask_cargo(&root()).unwrap().is_absolute());
        assert_eq!(ask_cargo(Path::new("/nonexistent")), None);
    }

    #[test]
    fn root_holds_this_package() {
        assert!(root().join("xtask").is_dir());
    }
}
