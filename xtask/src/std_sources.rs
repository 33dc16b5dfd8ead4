//! The sources of the standard library, for verbs that compile it anew: with a
//! sanitizer, or for a target whose library isn't installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::Sources;
use crate::error::{Error, IoContext, Result};
use crate::{lock, paths, process, setup};

/// The suite whose source packages have recent compilers.
const SUITE: &str = "sid";

/// The folder `library` of the current compiler's sources.
pub struct Library {
    path: PathBuf,
    /// Whether cargo finds it by itself.
    is_component: bool,
}

impl Library {
    /// Finds or brings them: rustup's component `rust-src`, or Debian's source
    /// package of the very same version.
    /// Where neither can be had, this machine lacks them.
    pub fn obtain() -> Result<Self> {
        let ask = |args: &[&str]| {
            let text =
                process::output(Command::new("rustc").current_dir(paths::root()).args(args))?;
            text.ok_or_else(|| Error::new("`rustc` doesn't say what it is"))
        };
        let sysroot = ask(&["--print", "sysroot"])?;
        let component = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        if component.is_dir() {
            return Ok(Library {
                path: component,
                is_component: true,
            });
        }
        let text = ask(&["-vV"])?;
        let release = text.lines().find_map(|l| l.strip_prefix("release: "));
        let release = release.ok_or_else(|| Error::new("`rustc -vV` names no release"))?;
        let cache = paths::target_dir().join("std-sources");
        let library = cache.join(release).join("library");
        fs::create_dir_all(&cache).doing("create", &cache)?;
        // Other verbs, and other checkouts, may want them at the same time.
        let _lock = lock::hold(&cache.join(".lock"))?;
        if !library.is_dir() {
            bring(release, &cache).map_err(|why| {
                why.with(|why| {
                    format!(
                        "no sources of the standard library of rustc {release}: {why}\n  \
                         `rustup component add rust-src` brings them where rustup can reach its \
                         server"
                    )
                })
            })?;
        }
        Ok(Library {
            path: library,
            is_component: false,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets a cargo command of the current toolchain use `-Zbuild-std`.
    pub fn enable<'c>(&self, cargo: &'c mut Command) -> &'c mut Command {
        cargo.env("RUSTC_BOOTSTRAP", "1");
        if !self.is_component {
            cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", &self.path);
        }
        cargo
    }
}

/// Fetches a release's sources, and moves them into place when they are whole.
fn bring(release: &str, cache: &Path) -> Result<()> {
    setup::satisfy(&[setup::XZ])?;
    let work = cache.join("apt");
    paths::remove(&work)?;
    println!("std: fetching Debian's source package rustc ({SUITE}) with apt ...");
    let sources = Sources::open(&work, SUITE)?;
    let versions = sources.versions("rustc")?;
    let version = choose(&versions, release)
        .ok_or_else(|| Error::Lacking(format!("Debian's {SUITE} has {}", versions.join(", "))))?;
    let (files, names) = sources.archive(&format!("rustc={version}"))?;
    let archive = names.iter().find(|name| name.ends_with(".orig.tar.xz"));
    let archive = archive.ok_or_else(|| Error::new("apt brought no archive"))?;
    println!("std: unpacking {archive} ...");
    let unpacked = work.join("unpacked");
    fs::create_dir_all(&unpacked).doing("create", &unpacked)?;
    let mut tar = Command::new("tar");
    tar.arg("-xJf")
        .arg(files.join(archive))
        .arg("-C")
        .arg(&unpacked);
    tar.args([
        "--strip-components=1",
        "--wildcards",
        "rustc-*-src/library/*",
    ]);
    process::run(&mut tar)?;
    if !unpacked.join("library/Cargo.toml").is_file() {
        return Err(Error::new(format!("{archive} has no library/Cargo.toml")));
    }
    let place = cache.join(release);
    paths::remove(&place)?;
    fs::rename(&unpacked, &place).doing("rename", &unpacked)?;
    paths::remove(&work)
}

/// The version of a package whose upstream release is this one, the newest last.
fn choose<'a>(versions: &'a [String], release: &str) -> Option<&'a str> {
    let fits = |version: &&String| {
        let rest = version.strip_prefix(release);
        rest.is_some_and(|rest| rest.starts_with(['+', '-']))
    };
    versions.iter().rfind(fits).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_release_fits() {
        let versions = ["1.9.0+dfsg1-1", "1.95.0+dfsg1-2", "1.95.1+dfsg1-1"].map(String::from);
        assert_eq!(choose(&versions, "1.95.0"), Some("1.95.0+dfsg1-2"));
        assert_eq!(choose(&versions, "1.95"), None);
        assert_eq!(choose(&versions, "1.95.0-nightly"), None);
    }
}
