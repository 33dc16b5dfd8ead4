//! What CMake's folder was configured from.
//!
//! CMake keeps there what it was told and what it found, whatever it is told later; with
//! another compiler it forgets the switches of this run as well, and configures without
//! them. So a folder that was made from something else is removed.

use super::{vars, Result};
use std::ffi::OsString;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file in such a folder that says so.
const FILE: &str = "configured-from";

/// Variables that CMake's modules read, which look for OpenSSL and zlib.
const READ_BY_MODULES: &[&str] = &[
    "OPENSSL_ROOT_DIR",
    "ZLIB_ROOT",
    "PKG_CONFIG_PATH",
    "PKG_CONFIG_LIBDIR",
    "PKG_CONFIG_SYSROOT_DIR",
];

/// Everything that a configuration depends on, a line for each.
pub struct Inputs(String);

impl Inputs {
    /// What doesn't depend on how this crate uses CMake: the compiler, other crates'
    /// libraries, and variables.
    pub fn from_env() -> Inputs {
        let mut inputs = Inputs(String::new());
        // As CMake's crate asks. That of C++, which it passes on as well, isn't used.
        let compiler = cc::Build::new()
            .cargo_metadata(false)
            .opt_level(0)
            .debug(false)
            .warnings(false)
            .try_get_compiler();
        if let Ok(compiler) = compiler {
            inputs.add("compiler", (in_path(compiler.path()), compiler.args()));
        }
        for name in ["CMAKE", "CMAKE_TOOLCHAIN_FILE", "CMAKE_PREFIX_PATH"] {
            inputs.add(name, vars::cmake(name));
        }
        for name in READ_BY_MODULES {
            inputs.add(name, vars::verbatim(name));
        }
        let mut libraries: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                name.starts_with("DEP_OPENSSL_") || name.starts_with("DEP_Z_")
            })
            .collect();
        libraries.sort();
        inputs.add("libraries", libraries);
        inputs
    }

    pub fn add(&mut self, name: &str, value: impl Debug) {
        // Escaped, so that it is one line.
        let _ = writeln!(self.0, "{name}: {value:?}");
    }

    /// Removes a folder that wasn't configured from these, or not to the end.
    pub fn keep_or_remove(&self, folder: &Path) -> Result<()> {
        if fs::read_to_string(folder.join(FILE)).is_ok_and(|text| text == self.0) {
            return Ok(());
        }
        remove(folder)
    }

    /// Says of a folder that it was configured from these.
    pub fn note(&self, folder: &Path) -> Result<()> {
        let file = folder.join(FILE);
        fs::write(&file, &self.0).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }
}

/// Removes a folder that has to be made anew, if it is there.
pub fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(format!(
            "cannot remove {}, which has to be made anew: {e}",
            folder.display()
        )),
        _ => Ok(()),
    }
}

/// A program where CMake's crate finds it, which tells CMake so.
fn in_path(program: &Path) -> PathBuf {
    let folders = vars::cargo("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| program.to_owned())
}
