//! Replacing `vendor/libwebsockets/` as a whole.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};

const NEW: &str = ".libwebsockets-new";
const OLD: &str = ".libwebsockets-old";

/// The vendored tree.
pub fn path(vendor: &Path) -> PathBuf {
    vendor.join("libwebsockets")
}

/// Removes what a run that was killed left behind.
pub fn clean(vendor: &Path) -> Result<()> {
    let (tree, old) = (path(vendor), vendor.join(OLD));
    if old.exists() && !tree.exists() {
        // Killed between the two renames: the old tree is still whole.
        fs::rename(&old, &tree).doing("rename", &old)?;
    }
    remove(&vendor.join(NEW))?;
    remove(&old)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).doing("remove", dir)?;
    }
    Ok(())
}

/// A tree being made; removed again unless committed.
pub struct NewTree {
    vendor: PathBuf,
    temp: PathBuf,
}

impl NewTree {
    /// Makes the temporary directory, in `vendor/` so that it can be renamed.
    pub fn create(vendor: &Path) -> Result<Self> {
        let temp = vendor.join(NEW);
        fs::create_dir(&temp).doing("create", &temp)?;
        Ok(Self {
            vendor: vendor.to_path_buf(),
            temp,
        })
    }

    /// The temporary directory.
    pub fn path(&self) -> &Path {
        &self.temp
    }

    /// Puts the new tree in the place of the old one.
    pub fn commit(self) -> Result<()> {
        let (tree, old) = (path(&self.vendor), self.vendor.join(OLD));
        if tree.exists() {
            fs::rename(&tree, &old).doing("rename", &tree)?;
        }
        if let Err(cause) = fs::rename(&self.temp, &tree) {
            // Best effort: `clean` does the same on the next run.
            let _ = fs::rename(&old, &tree);
            return Err(Error::io("rename", &self.temp, cause));
        }
        remove(&old)
    }
}

impl Drop for NewTree {
    fn drop(&mut self) {
        // After a commit there is nothing left; otherwise `clean` tries again.
        let _ = fs::remove_dir_all(&self.temp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn commit_replaces_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        for content in ["1", "2"] {
            let new = NewTree::create(dir).unwrap();
            fs::write(new.path().join("f"), content).unwrap();
            new.commit().unwrap();
            assert_eq!(fs::read_to_string(path(dir).join("f")).unwrap(), content);
        }
        assert_eq!(names(dir), ["libwebsockets"]);
    }

    #[test]
    fn nothing_half_made_stays() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        drop(NewTree::create(dir).unwrap());
        assert!(names(dir).is_empty());
    }

    #[test]
    fn clean_repairs_after_a_killed_run() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join(NEW).join("half")).unwrap();
        fs::create_dir_all(dir.join(OLD).join("whole")).unwrap();
        clean(dir).unwrap();
        assert_eq!(names(dir), ["libwebsockets"]);
        assert!(path(dir).join("whole").is_dir());
        fs::create_dir_all(dir.join(OLD)).unwrap();
        clean(dir).unwrap();
        assert_eq!(names(dir), ["libwebsockets"]);
    }
}
