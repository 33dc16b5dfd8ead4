//! Environment variables of the build: one getter, so that none is read
//! without cargo being told to watch it.

use std::env;
use std::path::PathBuf;

/// Reads a build variable. `NAME_<target triple with underscores>` goes before
/// `NAME`, so that a cross build can differ from a host build.
pub fn var(name: &str) -> Option<String> {
    let target = env::var("TARGET").unwrap_or_default().replace('-', "_");
    let specific = format!("{name}_{target}");
    watched(&specific).or_else(|| watched(name))
}

/// A build variable that holds a path; an empty one counts as unset.
pub fn path(name: &str) -> Option<PathBuf> {
    var(name).filter(|v| !v.is_empty()).map(PathBuf::from)
}

/// A build variable that is on unless it is unset, empty or `0`.
pub fn flag(name: &str) -> bool {
    var(name).is_some_and(|v| !v.is_empty() && v != "0")
}

/// A variable that cargo itself sets; cargo re-runs us when it changes.
pub fn cargo(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Whether a feature of this crate is on, by its name in `Cargo.toml`.
pub fn feature(name: &str) -> bool {
    let key = name.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{key}")).is_some()
}

fn watched(name: &str) -> Option<String> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).ok()
}
