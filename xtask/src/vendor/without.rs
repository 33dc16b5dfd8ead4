//! `cargo xtask vendor --without PATCH`: the tree without one patch, so that its tests can be
//! watched as they fail.

use std::fs;
use std::path::Path;

use super::manifest::Manifest;
use super::patches::{self, PatchFile};
use super::{cache, unpack};
use crate::error::{Error, IoContext, Result};
use crate::paths;

/// Makes the tree beside what is built, not in `vendor/`, and says how tests are run with it.
pub fn make(
    manifest: &Manifest,
    patches: &[PatchFile],
    patch: &str,
    archive: Option<&Path>,
) -> Result<()> {
    let left = chosen(patches, patch)?;
    let target = paths::target_dir();
    let archive = cache::obtain(manifest, archive, &target.join("vendor-cache"))?;
    let tree = target.join(format!("vendor-without-{}", left.stem()));
    paths::remove(&tree)?;
    fs::create_dir_all(&tree).doing("create", &tree)?;
    let made = unpack(manifest, &archive, &tree).and_then(|()| apply_others(patches, left, &tree));
    if made.is_err() {
        paths::remove(&tree)?;
        return made;
    }
    let (name, tree) = (left.stem(), tree.display());
    println!(
        "vendor: a tree without {name} is in {tree}\n\
         vendor: the tests that fail with it are in vendor/tests.toml; run them with\n  \
         LWS_PATCH_TEST_SOURCE='{tree}' cargo test --test vendored_patches\n\
         or, those of another suite, with\n  LWS_SOURCE_DIR='{tree}' cargo test \
         --features {} --test SUITE",
        crate::test::FEATURES
    );
    Ok(())
}

/// The patch of this number, or of this name.
fn chosen<'a>(patches: &'a [PatchFile], asked: &str) -> Result<&'a PatchFile> {
    let is_it = |patch: &&PatchFile| {
        let number = patch.stem().split_once('-').map(|(number, _)| number);
        [Some(patch.name.as_str()), Some(patch.stem()), number].contains(&Some(asked))
    };
    patches.iter().find(is_it).ok_or_else(|| {
        Error::new(format!(
            "there is no patch `{asked}` in vendor/patches; give its number, as in 0001, or its name"
        ))
    })
}

/// Applies all patches but one, and refuses where a later one builds on it.
fn apply_others(patches: &[PatchFile], left: &PatchFile, tree: &Path) -> Result<()> {
    for patch in patches.iter().filter(|patch| patch.name != left.name) {
        patches::apply_to_tree(patch, tree).map_err(|why| {
            if patch.name < left.name {
                return why;
            }
            Error::new(format!(
                "{} can't be left out, for {} builds on it: {why}",
                left.stem(),
                patch.stem()
            ))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(name: &str, old: &str, new: &str) -> PatchFile {
        PatchFile {
            name: format!("{name}.patch"),
            text: format!("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-{old}\n+{new}\n").into(),
        }
    }

    fn three() -> [PatchFile; 3] {
        [
            patch("0001-a", "one", "two"),
            patch("0002-b", "two", "three"),
            patch("0003-c", "other", "changed"),
        ]
    }

    #[test]
    fn a_patch_is_found_by_its_number_and_by_its_name() {
        let patches = three();
        for asked in ["0002", "0002-b", "0002-b.patch"] {
            assert_eq!(chosen(&patches, asked).unwrap().stem(), "0002-b");
        }
        for asked in ["0004", "2", "b", ""] {
            let why = chosen(&patches, asked).err().unwrap().to_string();
            assert!(why.contains("no patch"), "{why}");
        }
    }

    #[test]
    fn all_but_one_are_applied_unless_one_builds_on_it() {
        let patches = three();
        let apply = |left: usize| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("f");
            fs::write(&file, "one\nother\n").unwrap();
            apply_others(&patches, &patches[left], dir.path())?;
            Ok::<_, Error>(fs::read_to_string(&file).unwrap())
        };
        assert_eq!(apply(1).unwrap(), "two\nchanged\n");
        assert_eq!(apply(2).unwrap(), "three\nother\n");
        let why = apply(0).unwrap_err().to_string();
        let says = "0001-a can't be left out, for 0002-b builds on it";
        assert!(why.contains(says), "{why}");
    }
}
