//! A temporary folder for this user alone.

use super::Fail;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Removed with its contents when it is dropped, unless it is kept.
pub struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    pub fn create(name: &str) -> Result<Folder, Fail> {
        let name = format!("libwebsockets-{name}-{}", std::process::id());
        let mut path = std::env::temp_dir().join(&name);
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // An existing folder is never used: somebody else may have prepared it. Usually an
        // earlier process with this id left it.
        for number in 1..100 {
            match builder.create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    path.set_file_name(format!("{name}-{number}"));
                }
                Err(error) => {
                    return Err(format!("cannot create {}: {error}", path.display()).into())
                }
                Ok(()) => return Ok(Folder { path, kept: false }),
            }
        }
        Err(format!("remove old folders like {}", path.display()).into())
    }

    /// Removes the folder when a signal ends the program, too.
    pub fn remove_on_signals(&self) -> Result<(), Fail> {
        let path = self.path.clone();
        super::on_signals(move || {
            // It fails if another thread creates a file meanwhile.
            let _ = (0..10).find(|_| fs::remove_dir_all(&path).is_ok());
            // The other threads would go on otherwise.
            signal_hook::low_level::exit(1);
        })
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
