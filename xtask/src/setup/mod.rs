//! `cargo xtask setup`: the programs and libraries the build needs.

mod apt;
mod needs;
mod probe;

use crate::error::{Error, Result};
use crate::process::find_program;
use needs::NEEDS;
pub use needs::{Need, CLANG, CXX, MAKE, MINGW, PERL, PYTHON, STRACE, VALGRIND, WINE, XZ};

/// Installs what is missing where there is apt; elsewhere says what to install.
pub fn run() -> Result<()> {
    satisfy(NEEDS)
}

/// The same for what only some verbs need.
pub fn satisfy(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.found)()).collect();
    if missing.is_empty() {
        println!("setup: all system packages are there");
        return Ok(());
    }
    for need in &missing {
        println!("setup: missing: {}", need.what);
    }
    let (required, optional): (Vec<&Need>, Vec<&Need>) =
        missing.into_iter().partition(|need| need.required);
    if cfg!(target_os = "linux") && find_program("apt-get").is_some() {
        // Apart, for apt installs nothing at all if it lacks one of the packages.
        return settle(&required, &optional, apt::install);
    }
    println!("{}", needs::hints(&[&*required, &*optional].concat()));
    settle(&required, &optional, |missing| {
        Err(Error::new(format!(
            "install what is missing ({}), then run `cargo xtask setup` again",
            names(missing)
        )))
    })
}

/// Has what is missing installed. It must be there then if it is required.
fn settle(
    required: &[&Need],
    optional: &[&Need],
    install: impl Fn(&[&Need]) -> Result<()>,
) -> Result<()> {
    let obtain = |needs: &[&Need]| -> Result<()> {
        if needs.is_empty() {
            return Ok(());
        }
        install(needs)?;
        let still: Vec<&Need> = needs.iter().copied().filter(|n| !(n.found)()).collect();
        match still.is_empty() {
            true => Ok(()),
            false => Err(Error::new(format!(
                "still missing after the installation: {}",
                names(&still)
            ))),
        }
    };
    obtain(required)?;
    if let Err(why) = obtain(optional) {
        println!(
            "setup: {why}\nsetup: going on without {}; tests that use it may fail, and builds \
             take longer",
            names(optional)
        );
    } else {
        println!("setup: done");
    }
    Ok(())
}

fn names(needs: &[&Need]) -> String {
    needs
        .iter()
        .map(|need| need.what)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn what_is_optional_is_installed_apart_and_may_be_missing() {
        let present = needs::made_up("one", || true);
        let missing = needs::made_up("other", || false);
        let asked = RefCell::new(Vec::new());
        let install = |fails: bool| {
            let asked = &asked;
            move |needs: &[&Need]| {
                asked.borrow_mut().push(names(needs));
                match fails {
                    true => Err(Error::new("no root")),
                    false => Ok(()),
                }
            }
        };
        settle(&[&present], &[&missing], install(false)).unwrap();
        assert_eq!(*asked.borrow(), ["one", "other"]);
        settle(&[], &[&missing], install(true)).unwrap();
        let why = settle(&[&present], &[&missing], install(true)).unwrap_err();
        assert_eq!(why.to_string(), "no root");
        // What apt says it has installed has to be there.
        let why = settle(&[&missing], &[], install(false)).unwrap_err();
        assert!(why.to_string().contains("installation: other"));
    }
}
