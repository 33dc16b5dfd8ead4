//! `cargo xtask vendor`: fetch, verify, unpack and patch the C library.

mod apply;
mod archive;
mod cache;
mod diff;
mod fetch;
mod manifest;
mod patches;
mod stamp;
#[cfg(test)]
mod tests_table;
mod tree;
mod unpack;
mod without;

use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext, Result};
use crate::{lock, paths};
use manifest::Manifest;
use patches::PatchFile;
use tree::NewTree;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    archive: Option<PathBuf>,
    force: bool,
    without: Option<String>,
}

impl Options {
    /// Reads the arguments of the verb.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = |what| {
                let next = args.next().cloned();
                next.ok_or_else(|| Error::new(format!("`{arg}` needs {what}")))
            };
            if arg == "--force" {
                options.force = true;
            } else if arg == "--archive" {
                options.archive = Some(value("a file")?.into());
            } else if arg == "--without" {
                options.without = Some(value("a patch")?);
            } else if let Some(file) = arg.strip_prefix("--archive=") {
                options.archive = Some(PathBuf::from(file));
            } else {
                return Err(Error::new(format!(
                    "`vendor` knows no argument `{arg}`; it takes --archive FILE, --force and \
                     --without PATCH"
                )));
            }
        }
        Ok(options)
    }
}

/// Brings `vendor/libwebsockets/` up to date.
pub fn run(options: &Options) -> Result<()> {
    let vendor = paths::root().join("vendor");
    let (manifest, manifest_text) = Manifest::load(&vendor.join("manifest.toml"))?;
    // An archive named on the command line is checked even if it is not needed.
    let given = options.archive.as_deref();
    if let Some(file) = given {
        archive::verify(file, &manifest.archive)?;
    }
    let patches = patches::load(&patches::dir(&vendor))?;
    if let Some(patch) = &options.without {
        return without::make(&manifest, &patches, patch, given);
    }
    let stamp = stamp::text(&manifest, &manifest_text, &patches);
    let version = &manifest.version;
    let is_there = || !options.force && stamp::matches(&tree::path(&vendor), &stamp, &manifest);
    // Without the lock first: a checkout that is complete may be one that can't be written to.
    if is_there() {
        println!("vendor: libwebsockets {version} is up to date");
        return Ok(());
    }
    let _lock = lock::hold(&vendor.join(".lock"))?;
    tree::clean(&vendor)?;
    // Another run may have made it meanwhile.
    if is_there() {
        println!("vendor: libwebsockets {version} is up to date");
        return Ok(());
    }
    let cached = cache::obtain(&manifest, given, &paths::target_dir().join("vendor-cache"))?;
    build(&vendor, &manifest, &patches, &stamp, &cached)?;
    println!(
        "vendor: libwebsockets {version} is ready, with {} patch(es)",
        patches.len()
    );
    Ok(())
}

/// What the tree must not have, relative to it.
pub fn left_out() -> Result<Vec<PathBuf>> {
    let (manifest, _) = Manifest::load(&paths::root().join("vendor/manifest.toml"))?;
    Ok(manifest.leave.paths)
}

/// Unpacks and patches in a temporary directory, which then becomes the tree.
fn build(
    vendor: &Path,
    manifest: &Manifest,
    patches: &[PatchFile],
    stamp: &str,
    archive: &Path,
) -> Result<()> {
    let new = NewTree::create(vendor)?;
    unpack(manifest, archive, new.path())?;
    for patch in patches {
        println!("vendor: applying {}", patch.name);
        patches::apply_to_tree(patch, new.path())?;
    }
    let file = new.path().join(stamp::FILE);
    std::fs::write(&file, stamp).doing("write", &file)?;
    new.commit()
}

/// Unpacks what is kept of the archive.
fn unpack(manifest: &Manifest, archive: &Path, into: &Path) -> Result<()> {
    println!("vendor: unpacking {} ...", manifest.archive.file);
    let (keep, leave) = (&manifest.keep.paths, &manifest.leave.paths);
    let files = unpack::unpack(archive, keep, leave, into)?;
    println!("vendor: unpacked {files} files");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        Options::parse(&args.iter().map(|s| s.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments() {
        assert_eq!(parse(&[]).unwrap(), Options::default());
        for args in [
            &["--force", "--archive", "f"][..],
            &["--archive=f", "--force"],
        ] {
            let options = parse(args).unwrap();
            assert!(options.force);
            assert_eq!(options.archive.as_deref(), Some(Path::new("f")));
        }
        let options = parse(&["--without", "0001"]).unwrap();
        assert_eq!(options.without.as_deref(), Some("0001"));
        assert!(parse(&["--archive"]).is_err());
        assert!(parse(&["--without"]).is_err());
        assert!(parse(&["--fetch"]).is_err());
    }
}
