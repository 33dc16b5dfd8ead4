//! The archive in the cache: given, kept from an earlier run, or fetched.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::{Archive, Manifest};
use super::{archive, fetch};
use crate::error::{IoContext, Result};
use crate::lock;

/// Returns a verified archive in the cache directory. `given` has been verified.
pub fn obtain(manifest: &Manifest, given: Option<&Path>, cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).doing("create", cache)?;
    // Other checkouts may share the folder. What is right stays, so it may be read unlocked.
    let _lock = lock::hold(&cache.join(".lock"))?;
    let cached = cache.join(&manifest.archive.file);
    if let Some(file) = given {
        let same =
            fs::canonicalize(&cached).is_ok_and(|c| fs::canonicalize(file).is_ok_and(|f| c == f));
        if !same {
            store(file, &cached, &manifest.archive)?;
        }
        return Ok(cached);
    }
    if cached.exists() {
        match archive::verify(&cached, &manifest.archive) {
            Ok(()) => return Ok(cached),
            Err(why) => {
                println!("vendor: removing a bad file from the cache: {why}");
                fs::remove_file(&cached).doing("remove", &cached)?;
            }
        }
    }
    fetch::fetch(manifest, cache, |fetched| {
        archive::verify(fetched, &manifest.archive)?;
        store(fetched, &cached, &manifest.archive)
    })?;
    Ok(cached)
}

/// Copies a file into the cache, so that it appears there only when whole and right.
fn store(file: &Path, cached: &Path, expected: &Archive) -> Result<()> {
    let part = cached.with_extension("part");
    let stored = fs::copy(file, &part)
        .doing("copy", file)
        .and_then(|_| archive::verify(&part, expected))
        .and_then(|()| fs::rename(&part, cached).doing("rename", &part));
    if stored.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&part);
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    /// Stores a file that is to hold "abc"; what is in the cache afterwards.
    fn try_store(file: &Path) -> (std::result::Result<(), Error>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let expected = Archive {
            file: "a.tar.gz".into(),
            size: 3,
            sha256: archive::sha256(b"abc"),
        };
        let result = store(file, &dir.path().join("a.tar.gz"), &expected);
        let names = fs::read_dir(&dir).unwrap();
        let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
        (result, names.collect())
    }

    #[test]
    fn a_right_file_is_stored_and_a_wrong_copy_is_not_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (content, right) in [("abc", true), ("abd", false)] {
            fs::write(&file, content).unwrap();
            let (result, names) = try_store(file.path());
            assert_eq!(result.is_ok(), right);
            assert_eq!(names.len(), usize::from(right), "{names:?}");
        }
    }

    /// Nothing is mapped at address 0, so that reading fails with an error of the disk's kind.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        let (result, names) = try_store(Path::new("/proc/self/mem"));
        assert!(result.unwrap_err().to_string().contains("cannot copy"));
        assert!(names.is_empty(), "{names:?}");
    }
}
