//! ccache, where it is installed: the checks build the C library in many folders, and
//! most of these builds are alike.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use crate::{paths, process};

/// The variable by which CMake is told what to start compilers with.
const LAUNCHER: &str = "CMAKE_C_COMPILER_LAUNCHER";

/// Lets what this command builds with CMake use the cache, which is kept below cargo's
/// target directory. Whoever has set CMake's variable has chosen another, or none.
pub fn enable(command: &mut Command) {
    if env::var_os(LAUNCHER).is_none() && process::find_program("ccache").is_some() {
        command.envs(variables());
    }
}

fn variables() -> [(&'static str, OsString); 3] {
    [
        (LAUNCHER, OsStr::new("ccache").into()),
        ("CCACHE_DIR", paths::target_dir().join("ccache").into()),
        // Folders below it are told apart by their place in it alone.
        ("CCACHE_BASEDIR", paths::root().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_stays() {
        let mut command = Command::new("true");
        enable(&mut command);
        let chosen = env::var_os(LAUNCHER).is_some();
        let ours = !chosen && process::find_program("ccache").is_some();
        assert_eq!(command.get_envs().any(|(name, _)| name == LAUNCHER), ours);
    }
}
