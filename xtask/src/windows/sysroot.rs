//! The standard library for Windows: rustup's where it is installed, else one
//! compiled here from its sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TARGET;
use crate::error::{Error, IoContext, Result};
use crate::std_sources::Library;
use crate::{paths, process};

/// What tests link, with what they find by `extern crate`.
const CRATES: &str = "std,panic_unwind,panic_abort,proc_macro,test";

/// In a sysroot that is whole: the compiler that it was made by.
const STAMP: &str = "made-by";

/// A cargo package that depends on the standard library and nothing else.
const PACKAGE: &str = "\
[package]
name = \"nothing\"
version = \"0.0.0\"
edition = \"2021\"

[workspace]
";

/// The sysroot to compile against; `None`: the compiler's own.
pub fn obtain() -> Result<Option<PathBuf>> {
    if installed()? {
        return Ok(None);
    }
    let version = process::output(rustc().arg("-vV"))?
        .ok_or_else(|| Error::new("`rustc -vV` doesn't say what it is"))?;
    let sysroot = paths::target_dir().join("windows/sysroot");
    let stamp = sysroot.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == version) {
        return Ok(Some(sysroot));
    }
    make(&Library::obtain()?, &sysroot)?;
    fs::write(&stamp, version).doing("write", &stamp)?;
    Ok(Some(sysroot))
}

fn rustc() -> Command {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(paths::root());
    rustc
}

/// Whether the toolchain has a standard library for the target.
fn installed() -> Result<bool> {
    let args = ["--print", "target-libdir", "--target", TARGET];
    let dir = process::output(rustc().args(args))?.unwrap_or_default();
    let entries = Path::new(dir.trim()).read_dir().into_iter().flatten();
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .any(|name| name.starts_with("libstd-")))
}

fn make(library: &Library, sysroot: &Path) -> Result<()> {
    println!("windows: compiling the standard library for {TARGET} ...");
    paths::remove(sysroot)?;
    let work = paths::target_dir().join("windows/std");
    let source = work.join("src");
    fs::create_dir_all(&source).doing("create", &source)?;
    for (file, text) in [("Cargo.toml", PACKAGE), ("src/lib.rs", "")] {
        let file = work.join(file);
        fs::write(&file, text).doing("write", &file)?;
    }
    let target_dir = work.join("target");
    let mut cargo = process::cargo();
    cargo
        .current_dir(&work)
        .args(["build", "--quiet", "--release", "--target", TARGET])
        .arg(format!("-Zbuild-std={CRATES}"))
        .env("CARGO_TARGET_DIR", &target_dir)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    process::run(library.enable(&mut cargo))?;

    let place = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&place).doing("create", &place)?;
    let built = target_dir.join(TARGET).join("release/deps");
    for entry in fs::read_dir(&built).doing("read", &built)? {
        let file = entry.doing("read", &built)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libnothing-") {
            fs::copy(&file, place.join(&*name)).doing("copy", &file)?;
        }
    }
    // The linker puts these two around a program.
    for name in ["rsbegin", "rsend"] {
        let source = library.path().join(format!("rtstartup/{name}.rs"));
        if source.is_file() {
            let mut compile = rustc();
            compile.args(["--target", TARGET, "--emit=obj", "-o"]);
            compile.arg(place.join(format!("{name}.o"))).arg(source);
            process::run(compile.env("RUSTC_BOOTSTRAP", "1"))?;
        }
    }
    paths::remove(&work)
}
