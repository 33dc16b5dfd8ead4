//! The archive in the cache: given, kept from an earlier run, or fetched.

use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::{archive, fetch};
use crate::error::{IoContext, Result};

/// Returns a verified archive in the cache directory. `given` has been verified.
pub fn obtain(manifest: &Manifest, given: Option<&Path>, cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).doing("create", cache)?;
    let cached = cache.join(&manifest.archive.file);
    if let Some(file) = given {
        let same =
            fs::canonicalize(&cached).is_ok_and(|c| fs::canonicalize(file).is_ok_and(|f| c == f));
        if !same {
            store(file, &cached)?;
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
        store(fetched, &cached)
    })?;
    Ok(cached)
}

/// Copies a file into the cache, so that it appears there only when whole.
fn store(file: &Path, cached: &Path) -> Result<()> {
    let part = cached.with_extension("part");
    fs::copy(file, &part).doing("copy", file)?;
    fs::rename(&part, cached).doing("rename", &part)
}
