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
    if cfg!(target_os = "linux") && find_program("apt-get").is_some() {
        apt::install(&missing)?;
        let still: Vec<&Need> = missing.into_iter().filter(|n| !(n.found)()).collect();
        return if still.is_empty() {
            println!("setup: done");
            Ok(())
        } else {
            Err(Error::new(format!(
                "still missing after the installation: {}",
                names(&still)
            )))
        };
    }
    println!("{}", needs::hints(&missing));
    let (required, optional): (Vec<&Need>, Vec<&Need>) =
        missing.into_iter().partition(|need| need.required);
    if !required.is_empty() {
        return Err(Error::new(format!(
            "install what is missing ({}), then run `cargo xtask setup` again",
            names(&required)
        )));
    }
    println!(
        "setup: going on without {}; tests that use it may fail, and builds take longer",
        names(&optional)
    );
    Ok(())
}

fn names(needs: &[&Need]) -> String {
    needs
        .iter()
        .map(|need| need.what)
        .collect::<Vec<_>>()
        .join(", ")
}
