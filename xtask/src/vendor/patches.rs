//! `vendor/patches/*.patch`: finding them and applying them to a tree.

use std::fs;
use std::path::{Path, PathBuf};

use super::apply::apply;
use super::diff::{self, FileDiff};
use crate::error::{Error, IoContext, Result};

/// A patch file.
pub struct PatchFile {
    /// File name.
    pub name: String,
    /// Content, with line feeds alone.
    pub text: Vec<u8>,
}

impl PatchFile {
    /// The name without `.patch`.
    pub fn stem(&self) -> &str {
        self.name.strip_suffix(".patch").unwrap_or(&self.name)
    }
}

/// Reads the patches of a directory in the order of their names.
pub fn load(dir: &Path) -> Result<Vec<PatchFile>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let mut patches = Vec::new();
    for entry in fs::read_dir(dir).doing("read", dir)? {
        let path = entry.doing("read", dir)?.path();
        if path.extension().is_some_and(|ext| ext == "patch") {
            let name = path.file_name().unwrap_or_default();
            patches.push(PatchFile {
                name: name.to_string_lossy().into_owned(),
                text: unix_lines(&fs::read(&path).doing("read", &path)?),
            });
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(patches)
}

/// Without the carriage returns that git may put at the ends of lines. The archive has none
/// there in what is patched, and stamps are to be the same everywhere.
fn unix_lines(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.map(|line| match line.strip_suffix(b"\r\n") {
        Some(text) => [text, b"\n"].concat(),
        None => line.to_vec(),
    });
    lines.collect::<Vec<_>>().concat()
}

/// Applies one patch to a tree.
pub fn apply_to_tree(patch: &PatchFile, tree: &Path) -> Result<()> {
    let fail = |why: String| Error::new(format!("vendor/patches/{}: {why}", patch.name));
    for file in diff::parse(&patch.text).map_err(&fail)? {
        apply_file(&file, tree).map_err(|why| fail(format!("does not apply: {why}")))?;
    }
    Ok(())
}

fn apply_file(diff: &FileDiff, tree: &Path) -> std::result::Result<(), String> {
    let shown = |path: &Path| path.display().to_string();
    match (&diff.old, &diff.new) {
        (None, Some(new)) => {
            let target = tree.join(new);
            if target.exists() {
                return Err(format!("{}: is to be created, but exists", shown(new)));
            }
            let text = apply(b"", &diff.hunks).map_err(|why| format!("{}: {why}", shown(new)))?;
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", shown(new)))?;
            }
            fs::write(&target, text).map_err(|e| format!("{}: {e}", shown(new)))
        }
        (Some(old), new) => {
            let target = tree.join(old);
            let text = fs::read(&target).map_err(|e| format!("{}: {e}", shown(old)))?;
            let patched =
                apply(&text, &diff.hunks).map_err(|why| format!("{}: {why}", shown(old)))?;
            let done = if new.is_some() {
                fs::write(&target, patched)
            } else if patched.is_empty() {
                fs::remove_file(&target)
            } else {
                return Err(format!(
                    "{}: is to be deleted, but lines remain",
                    shown(old)
                ));
            };
            done.map_err(|e| format!("{}: {e}", shown(old)))
        }
        (None, None) => Err("a file is neither in the old nor in the new tree".into()),
    }
}

/// The patches' directory below `vendor/`.
pub fn dir(vendor: &Path) -> PathBuf {
    vendor.join("patches")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(text: &str) -> PatchFile {
        PatchFile {
            name: "0001-test.patch".into(),
            text: text.into(),
        }
    }

    #[test]
    fn a_patch_with_crlf_is_the_same_patch() {
        let text = "--- a/f\n+++ b/f\n@@ -2 +2 @@\n-two\n+zwei\n";
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::write(dir.join("0001-a.patch"), text.replace('\n', "\r\n")).unwrap();
        let loaded = load(dir).unwrap();
        assert_eq!(loaded[0].text, text.as_bytes());
        fs::write(dir.join("f"), "one\ntwo\n").unwrap();
        apply_to_tree(&loaded[0], dir).unwrap();
        assert_eq!(fs::read(dir.join("f")).unwrap(), b"one\nzwei\n");
        // Within a line it is content.
        assert_eq!(unix_lines(b"a\rb\n\r"), b"a\rb\n\r");
    }

    #[test]
    fn changes_creates_and_deletes_files() {
        let tree = tempfile::tempdir().unwrap();
        let tree = tree.path();
        fs::create_dir_all(tree.join("lib")).unwrap();
        fs::write(tree.join("lib/a.c"), "one\ntwo\n").unwrap();
        fs::write(tree.join("gone"), "x\n").unwrap();
        let all = patch(
            "--- a/lib/a.c\n+++ b/lib/a.c\n@@ -2 +2 @@\n-two\n+zwei\n\
             --- /dev/null\n+++ b/new/b.c\n@@ -0,0 +1 @@\n+b\n\
             --- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
        );
        apply_to_tree(&all, tree).unwrap();
        assert_eq!(fs::read(tree.join("lib/a.c")).unwrap(), b"one\nzwei\n");
        assert_eq!(fs::read(tree.join("new/b.c")).unwrap(), b"b\n");
        assert!(!tree.join("gone").exists());

        let why = apply_to_tree(&all, tree).unwrap_err().to_string();
        assert!(why.contains("0001-test.patch: does not apply"), "{why}");
        assert!(why.contains("hunk 1"), "{why}");
        let missing = patch("--- a/no.c\n+++ b/no.c\n@@ -1 +1 @@\n-a\n+b\n");
        let why = apply_to_tree(&missing, tree).unwrap_err().to_string();
        assert!(why.contains("no.c"), "{why}");
    }
}
