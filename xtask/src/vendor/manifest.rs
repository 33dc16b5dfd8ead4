//! `vendor/manifest.toml`: which release is vendored and how it is recognised.

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, IoContext, Result};

/// The manifest.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Release of the C library.
    pub version: String,
    /// The archive of that release.
    pub archive: Archive,
    /// Where Debian carries it.
    pub debian: Debian,
    /// What is kept of it.
    pub keep: Paths,
    /// What isn't, below that.
    #[serde(default)]
    pub leave: Paths,
}

/// How the archive is recognised.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// File name.
    pub file: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the file, in lower-case hexadecimal.
    pub sha256: String,
}

/// Debian's source package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debian {
    /// Name of the source package.
    pub source: String,
    /// Suite (release) of Debian to look in.
    pub suite: String,
}

/// Parts of the archive.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// Files and directories, relative to the archive's top directory.
    pub paths: Vec<PathBuf>,
}

impl Manifest {
    /// Reads and checks a manifest; returns its text as well.
    pub fn load(path: &Path) -> Result<(Self, String)> {
        let text = fs::read_to_string(path).doing("read", path)?;
        let manifest =
            Self::parse(&text).map_err(|why| Error::new(format!("{}: {why}", path.display())))?;
        Ok((manifest, text))
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        let sha = &manifest.archive.sha256;
        if sha.len() != 64 || !sha.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("archive.sha256 must be 64 lower-case hexadecimal digits".into());
        }
        // These end up in file names and on apt's command line.
        for (key, value) in [
            ("archive.file", &manifest.archive.file),
            ("debian.source", &manifest.debian.source),
            ("debian.suite", &manifest.debian.suite),
        ] {
            if !is_plain_name(value) {
                return Err(format!("{key} must be a plain name, not `{value}`"));
            }
        }
        if manifest.keep.paths.is_empty() {
            return Err("keep.paths is empty".into());
        }
        let (keep, leave) = (&manifest.keep.paths, &manifest.leave.paths);
        for (key, paths) in [("keep", keep), ("leave", leave)] {
            for path in paths {
                if !path.components().all(|c| matches!(c, Component::Normal(_))) {
                    let shown = path.display();
                    return Err(format!(
                        "{key}.paths: `{shown}` must be a plain relative path"
                    ));
                }
            }
        }
        let is_below = |path: &PathBuf| {
            let mut kept = keep.iter();
            kept.any(|kept| path != kept && path.starts_with(kept))
        };
        if let Some(path) = leave.iter().find(|path| !is_below(path)) {
            let shown = path.display();
            return Err(format!("leave.paths: `{shown}` is below no kept path"));
        }
        Ok(manifest)
    }
}

/// Letters, digits and `_ . + - ~`, beginning with a letter or digit.
fn is_plain_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.+-~".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str, sha: &str, keep: &str) -> String {
        format!(
            "version = '1'\n[archive]\nfile = '{file}'\nsize = 3\nsha256 = '{sha}'\n\
             [debian]\nsource = 's'\nsuite = 't'\n[keep]\npaths = [{keep}]\n"
        )
    }

    fn leave(path: &str) -> String {
        format!("[leave]\npaths = ['{path}']\n")
    }

    #[test]
    fn the_real_manifest_is_valid() {
        let path = crate::paths::root().join("vendor/manifest.toml");
        Manifest::load(&path).unwrap();
    }

    #[test]
    fn a_good_manifest_is_read() {
        let m = Manifest::parse(&text("a.tar.gz", &"0".repeat(64), "'lib'")).unwrap();
        assert_eq!(m.archive.size, 3);
        assert_eq!(m.keep.paths, [PathBuf::from("lib")]);
        assert!(m.leave.paths.is_empty());
        let more = text("a.tar.gz", &"0".repeat(64), "'lib'") + &leave("lib/x");
        let m = Manifest::parse(&more).unwrap();
        assert_eq!(m.leave.paths, [PathBuf::from("lib/x")]);
    }

    #[test]
    fn bad_values_are_refused() {
        let sha = "0".repeat(64);
        for (bad, expect) in [
            (text("a", "12", "'lib'"), "sha256"),
            (text("../a", &sha, "'lib'"), "archive.file"),
            (text("-a", &sha, "'lib'"), "archive.file"),
            (text("a", &sha, ""), "keep.paths"),
            (text("a", &sha, "'../lib'"), "keep.paths"),
            (text("a", &sha, "'/lib'"), "keep.paths"),
            (text("a", &sha, "'lib'") + &leave("lib/../x"), "leave.paths"),
            (text("a", &sha, "'lib'") + &leave("lib"), "below no kept"),
            (
                text("a", &sha, "'lib'") + &leave("other/x"),
                "below no kept",
            ),
            (text("a", &sha, "'lib'") + "extra = 1\n", "extra"),
        ] {
            let why = Manifest::parse(&bad).unwrap_err();
            assert!(why.contains(expect), "{why}");
        }
    }
}
