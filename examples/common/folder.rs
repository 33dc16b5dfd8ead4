//! A temporary folder for this user alone.

use super::Fail;
use std::fs;
use std::path::{Path, PathBuf};

/// Removed with its contents when it is dropped, unless it is kept.
pub struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    pub fn create(name: &str) -> Result<Folder, Fail> {
        let name = format!("libwebsockets-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // An error if it is there already: nobody can have prepared it.
        if let Err(error) = builder.create(&path) {
            return Err(format!("cannot create {}: {error}", path.display()).into());
        }
        Ok(Folder { path, kept: false })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            if let Err(error) = fs::remove_dir_all(&self.path) {
                eprintln!("cannot remove {}: {error}", self.path.display());
            }
        }
    }
}
