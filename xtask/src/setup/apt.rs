//! Installing packages with apt.

use std::io::{stdin, IsTerminal};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::needs::Need;
use crate::error::{Error, Result};
use crate::process::{self, find_program};

/// How commands get the rights to install.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rights {
    Root,
    Sudo { ask: bool },
}

/// Whether apt's lists have been brought up to date: once in a run is enough.
static UPDATED: AtomicBool = AtomicBool::new(false);

/// Installs the packages of what is missing.
pub fn install(missing: &[&Need]) -> Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|need| need.apt.split(' '))
        .collect();
    let rights = if is_root() {
        Rights::Root
    } else if find_program("sudo").is_some() {
        println!("setup: not root, so using sudo");
        Rights::Sudo {
            ask: stdin().is_terminal(),
        }
    } else {
        return Err(Error::new(format!(
            "not root, and there is no sudo; run this as root:\n  \
             apt-get update && {}",
            shell(&install_command(&packages))
        )));
    };
    if !UPDATED.swap(true, Ordering::Relaxed) {
        println!("setup: updating apt's package lists ...");
        if !process::status(&mut command(rights, &["apt-get", "update", "-q"]))?.success() {
            // One broken source must not stop us; the lists may still be good enough.
            println!("setup: `apt-get update` failed, trying to install all the same");
        }
    }
    println!("setup: installing {} ...", packages.join(" "));
    let install = install_command(&packages);
    let status = process::status(&mut command(rights, &install))?;
    if !status.success() {
        return Err(Error::new(format!(
            "the installation failed ({status}); to see why, run as root:\n  {}",
            shell(&install)
        )));
    }
    Ok(())
}

fn is_root() -> bool {
    let id = process::output(Command::new("id").arg("-u"));
    matches!(id, Ok(Some(text)) if text.trim() == "0")
}

fn install_command<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec![
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
    ];
    words.extend(["-q", "-y", "--no-install-recommends"]);
    words.extend(["-o", "DPkg::Lock::Timeout=300"]);
    words.extend(packages);
    words
}

fn shell(words: &[&str]) -> String {
    words.join(" ")
}

fn command(rights: Rights, words: &[&str]) -> Command {
    let full: Vec<&str> = match rights {
        Rights::Root => words.to_vec(),
        Rights::Sudo { ask: true } => [&["sudo"], words].concat(),
        Rights::Sudo { ask: false } => [&["sudo", "-n"], words].concat(),
    };
    let mut command = Command::new(full[0]);
    command.args(&full[1..]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sudo_asks_only_at_a_terminal() {
        let words = |rights| format!("{:?}", command(rights, &["apt-get", "update"]));
        assert_eq!(words(Rights::Root), r#""apt-get" "update""#);
        assert_eq!(
            words(Rights::Sudo { ask: false }),
            r#""sudo" "-n" "apt-get" "update""#
        );
        assert!(!words(Rights::Sudo { ask: true }).contains("-n"));
    }

    #[test]
    fn installation_is_not_interactive() {
        let line = shell(&install_command(&["gcc", "cmake"]));
        assert!(line.contains("DEBIAN_FRONTEND=noninteractive"));
        assert!(line.ends_with("gcc cmake"));
    }
}
