//! Subcommands of cargo that the machine may lack: they are installed below
//! `target/`, and nothing of the user's changes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{IoContext, Result};
use crate::{paths, process};

/// A program of crates.io, of any version that is there already.
pub fn obtain(name: &str) -> Result<PathBuf> {
    let root = paths::target_dir().join("tools");
    let own = root
        .join("bin")
        .join(format!("{name}{}", env::consts::EXE_SUFFIX));
    let found = process::find_program(name).or_else(|| own.is_file().then(|| own.clone()));
    if let Some(program) = found {
        return Ok(program);
    }
    let mut install = process::cargo_for_host();
    install
        // Compiled faster than they would be for speed: they wait for the compiler.
        .args(["install", name, "--debug", "--locked", "--root"])
        .arg(&root);
    process::run(&mut install)?;
    Ok(own)
}

/// A program that is one of the compiler's with unstable options allowed: where it is given
/// this one, or always. For it alone: were the variable cargo's, some dependencies would be
/// compiled anew.
pub fn permissive(program: &str, option: Option<&str>) -> Result<PathBuf> {
    let dir = paths::target_dir().join("tools");
    fs::create_dir_all(&dir).doing("create", &dir)?;
    let file = dir.join(format!("permissive-{program}.sh"));
    let given = option.map_or(String::new(), |option| format!("*{option}"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in {given}*) export RUSTC_BOOTSTRAP=1 ;; esac\n\
         exec {program} \"$@\"\n"
    );
    if fs::read_to_string(&file).is_ok_and(|old| old == script) {
        return Ok(file);
    }
    // Whoever runs it meanwhile has the whole of it, and one that may be run.
    let new = dir.join(format!("permissive-{program}.{}", std::process::id()));
    let made =
        write_program(&new, &script).and_then(|()| fs::rename(&new, &file).doing("rename", &new));
    if made.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&new);
    }
    made.map(|()| file)
}

fn write_program(file: &Path, script: &str) -> Result<()> {
    fs::write(file, script).doing("write", file)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(file, mode).doing("change", file)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn only_what_is_given_the_option_may_be_unstable() {
        let asked = |option, args: &[&str]| {
            // `env` prints the variables, and takes a name and a value for one more.
            let script = permissive("env", option).unwrap();
            let mut command = Command::new(script);
            let output = command.args(args).env_remove("RUSTC_BOOTSTRAP").output();
            let text = String::from_utf8(output.unwrap().stdout).unwrap();
            text.lines().any(|line| line == "RUSTC_BOOTSTRAP=1")
        };
        assert!(asked(Some("-Zsan"), &["A=-Zsanitizer"]));
        assert!(!asked(Some("-Zsan"), &["A=-Zother"]));
        assert!(asked(None, &[]));
    }
}
