//! Environment variables of the build: all are read here, so that none is without cargo
//! being told to watch it, whether this crate reads it or a tool that it runs.

use super::Result;
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Reads a build variable. `NAME_<target triple with underscores>` goes before
/// `NAME`, so that a cross build can differ from a host build.
pub fn var(name: &str) -> Option<OsString> {
    let target = env::var("TARGET").unwrap_or_default();
    var_of_target(name, &target).or_else(|| watched(name))
}

/// A build variable that holds a path; an empty one counts as unset.
///
/// Cargo is told of libraries and files in lines of UTF-8 text, so that no
/// other path would reach the linker as it is.
pub fn path(name: &str) -> Result<Option<PathBuf>> {
    match var(name).filter(|value| !value.is_empty()) {
        Some(value) if value.to_str().is_none() => Err(format!(
            "{name} is {:?}, which is not UTF-8, as paths of a cargo build have to be. \
             Rename the folder, or name a link to it.",
            value.to_string_lossy()
        )),
        value => Ok(value.map(PathBuf::from)),
    }
}

/// A build variable that is on unless it is unset, empty or `0`.
pub fn flag(name: &str) -> bool {
    var(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// A variable that CMake's crate reads, by the names that it takes, in its order.
pub fn cmake(name: &str) -> Option<OsString> {
    let target = env::var("TARGET").unwrap_or_default();
    let kind = match env::var("HOST") {
        Ok(host) if host == target => "HOST",
        _ => "TARGET",
    };
    watched(&format!("{name}_{target}"))
        .or_else(|| var_of_target(name, &target))
        .or_else(|| watched(&format!("{kind}_{name}")))
        .or_else(|| watched(name))
}

/// A variable that others read, by no other name.
pub fn verbatim(name: &str) -> Option<OsString> {
    watched(name)
}

/// Has cargo watch the variables that bindgen and its search of libclang read themselves.
pub fn watch_bindgens() {
    let target = env::var("TARGET").unwrap_or_default();
    let arguments = "BINDGEN_EXTRA_CLANG_ARGS";
    watched(&format!("{arguments}_{target}"));
    var_of_target(arguments, &target);
    for name in [arguments, "LIBCLANG_PATH", "LLVM_CONFIG_PATH", "CLANG_PATH"] {
        watched(name);
    }
}

/// A variable that cargo itself sets; cargo re-runs us when it changes.
pub fn cargo(name: &str) -> Option<OsString> {
    env::var_os(name)
}

/// A folder that a variable of openssl-sys names, `OPENSSL_` and this; that crate
/// puts a target in front.
pub fn openssl(name: &str) -> Option<PathBuf> {
    let target = env::var("TARGET").unwrap_or_default();
    let target = target.to_uppercase().replace('-', "_");
    watched(&format!("{target}_OPENSSL_{name}"))
        .or_else(|| watched(&format!("OPENSSL_{name}")))
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
}

/// Whether a feature of this crate is on, by its name in `Cargo.toml`.
pub fn feature(name: &str) -> bool {
    let key = name.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{key}")).is_some()
}

fn var_of_target(name: &str, target: &str) -> Option<OsString> {
    watched(&format!("{name}_{}", target.replace('-', "_")))
}

fn watched(name: &str) -> Option<OsString> {
    println!("cargo:rerun-if-env-changed={name}");
    env::var_os(name)
}
