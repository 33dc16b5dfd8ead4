//! `cargo xtask msrv`: the crate compiles with the oldest Rust that its manifest
//! promises.

use std::fs;
use std::process::Command;

use crate::error::{Error, IoContext, Result};
use crate::{features, paths, process, setup, test, vendor};

/// Runs the verb.
pub fn run() -> Result<()> {
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    check()
}

/// Checks library and examples.
pub fn check() -> Result<()> {
    let version = promised()?;
    obtain(&version)?;
    let mut command = Command::new("rustup");
    command
        .current_dir(paths::root())
        .args(["run", &version, "cargo", "check"])
        .args(["--package", "libwebsockets", "--lib", "--examples"])
        .args(["--features", test::FEATURES])
        // The toolchain that runs this task is another one.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTDOC");
    features::headers_only(&mut command);
    process::run(&mut command)?;
    println!("msrv: library and examples compile with Rust {version}");
    Ok(())
}

/// `rust-version` of the workspace.
fn promised() -> Result<String> {
    let file = paths::root().join("Cargo.toml");
    let text = fs::read_to_string(&file).doing("read", &file)?;
    version_in(&text).ok_or_else(|| Error::new("Cargo.toml of the workspace has no rust-version"))
}

fn version_in(manifest: &str) -> Option<String> {
    let manifest: toml::Table = manifest.parse().ok()?;
    let package = manifest.get("workspace")?.get("package")?;
    Some(package.get("rust-version")?.as_str()?.to_owned())
}

/// Finds the toolchain, or lets rustup bring it.
fn obtain(version: &str) -> Result<()> {
    let Some(rustup) = process::find_program("rustup") else {
        let why = format!("there is no rustup to bring Rust {version}");
        return Err(Error::Lacking(why));
    };
    if process::succeeds(Command::new(&rustup).args(["run", version, "rustc", "-V"])) {
        return Ok(());
    }
    let mut install = Command::new(&rustup);
    install
        .args(["toolchain", "install", version, "--profile", "minimal"])
        .args(["--no-self-update"])
        // Else it tries for minutes where there is no network.
        .env("RUSTUP_MAX_RETRIES", "1");
    // It has said why. That it may fetch nothing looks like a server that is down.
    process::run(&mut install)
        .map_err(|_| Error::Lacking(format!("rustup doesn't bring Rust {version}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_manifest() {
        let text = "[workspace.package]\nrust-version = \"1.89\"\n";
        assert_eq!(version_in(text).as_deref(), Some("1.89"));
        assert_eq!(version_in("[package]\n"), None);
        assert!(promised().is_ok());
    }
}
