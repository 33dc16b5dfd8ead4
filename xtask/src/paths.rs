//! Where things are.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The root of the repository: the parent of this package's directory.
pub fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .filter(|dir| Path::new(dir).ends_with("xtask"))
        .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
    let own = PathBuf::from(own);
    own.parent().map(Path::to_path_buf).unwrap_or(own)
}

/// Cargo's target directory, `CARGO_TARGET_DIR` if that is set.
pub fn target_dir() -> PathBuf {
    resolve_target(env::var_os("CARGO_TARGET_DIR"), &root())
}

/// Relative values count from the current directory, as they do for Cargo.
fn resolve_target(var: Option<OsString>, root: &Path) -> PathBuf {
    match var.filter(|v| !v.is_empty()) {
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| PathBuf::from(dir)),
        None => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_defaults_to_the_root() {
        let root = Path::new("/repo");
        assert_eq!(resolve_target(None, root), root.join("target"));
        assert_eq!(
            resolve_target(Some(OsString::new()), root),
            root.join("target")
        );
    }

    #[test]
    fn target_from_the_environment_is_absolute() {
        let dir = resolve_target(Some("out".into()), Path::new("/repo"));
        assert!(dir.is_absolute() && dir.ends_with("out"));
    }

    #[test]
    fn root_holds_this_package() {
        assert!(root().join("xtask").is_dir());
    }
}
