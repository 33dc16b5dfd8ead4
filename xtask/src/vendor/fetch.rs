//! Fetching the archive as Debian's source package.

use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use crate::debian::Sources;
use crate::error::{Error, Result};
use crate::paths;

/// Fetches the archive into a working directory in the cache and hands it to
/// `accept`; the working directory is removed in any case.
pub fn fetch(
    manifest: &Manifest,
    cache: &Path,
    accept: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let work = cache.join("apt");
    paths::remove(&work)?;
    let result = fetch_into(manifest, &work).and_then(|file| accept(&file));
    paths::remove(&work)?;
    result
}

fn fetch_into(manifest: &Manifest, work: &Path) -> Result<PathBuf> {
    let (source, suite) = (&manifest.debian.source, &manifest.debian.suite);
    println!("vendor: fetching Debian's source package {source} ({suite}) with apt ...");
    let brought = Sources::open(work, suite).and_then(|sources| sources.archive(source));
    let (files, names) = brought.map_err(|why| with_hint(&why.to_string(), manifest))?;
    let name = choose(&names, manifest).map_err(|why| with_hint(&why, manifest))?;
    Ok(files.join(name))
}

/// Picks the archive from the names of the files apt has brought.
fn choose<'a>(names: &'a [String], manifest: &Manifest) -> std::result::Result<&'a str, String> {
    let wanted = &manifest.archive.file;
    if let Some(name) = names.iter().find(|name| *name == wanted) {
        return Ok(name);
    }
    let suite = &manifest.debian.suite;
    match names.iter().find(|name| name.contains(".orig.tar.")) {
        Some(other) => Err(format!(
            "Debian's {suite} has moved on: it carries {other}, \
             while vendor/manifest.toml names {wanted}"
        )),
        None => Err(format!(
            "apt brought no {wanted}, but: {}",
            names.join(", ")
        )),
    }
}

fn with_hint(what: &str, manifest: &Manifest) -> Error {
    let (file, version) = (&manifest.archive.file, &manifest.version);
    Error::new(format!(
        "{what}\n  \
         Get {file} from Debian's source package `{}` {version} by other means and run\n  \
         `cargo xtask vendor --archive FILE`. Only a file with the size and sha256 of\n  \
         vendor/manifest.toml is accepted.",
        manifest.debian.source
    ))
}
