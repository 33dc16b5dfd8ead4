//! What mingw's compiler and clang have to be told, for `*-pc-windows-gnu`.

use super::{vars, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The system's libraries that the C library, OpenSSL and Rust's tests of both
/// need, in the linker's order.
pub const SYSTEM_LIBRARIES: &[&str] = &[
    "ws2_32", "iphlpapi", "userenv", "psapi", "crypt32", "gdi32", "user32", "advapi32", "kernel32",
];

/// CMake appends these to every link. It has to be all that OpenSSL needs, or
/// its functions seem to be missing; among OpenSSL's own libraries they would
/// come too early.
pub fn standard_libraries() -> String {
    let flags: Vec<_> = SYSTEM_LIBRARIES.iter().map(|l| format!("-l{l}")).collect();
    flags.join(" ")
}

/// The locks of POSIX threads, which the C library uses with `LWS_MAX_SMP` above
/// 1. The static library: a program shouldn't need a DLL.
pub fn pthread() -> Result<PathBuf> {
    let file = "libwinpthread.a";
    let found = ask(&[&format!("-print-file-name={file}")])?;
    // A file that isn't there comes back as its bare name.
    let path = PathBuf::from(found.trim());
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(format!(
            "mingw's compiler has no {file}: install the static library of winpthreads"
        ))
    }
}

/// Lines for cargo that link [`pthread`].
pub fn link_pthread() -> Result<Vec<String>> {
    let library = pthread()?;
    let dir = library.parent().unwrap_or(&library);
    Ok(vec![
        format!("cargo:rustc-link-search=native={}", dir.display()),
        "cargo:rustc-link-lib=static:-bundle=winpthread".into(),
    ])
}

/// What libclang has to be told: the target in clang's own words, where the
/// system's headers are (mingw's compiler knows), and where its own ones are.
pub fn clang_args() -> Result<Vec<String>> {
    let text = ask(&["-E", "-Wp,-v", "-xc", "-"])?;
    let dirs = text
        .lines()
        .skip_while(|line| !line.starts_with("#include <"))
        .skip(1)
        .take_while(|line| line.starts_with(' '))
        .filter_map(|line| Path::new(line.trim()).canonicalize().ok())
        // The compiler's own headers are no good for clang.
        .filter(|dir| !dir.components().any(|part| part.as_os_str() == "gcc"));
    let mut args = vec!["--target=x86_64-w64-mingw32".to_owned()];
    args.extend(dirs.flat_map(|dir| ["-isystem".to_owned(), dir.display().to_string()]));
    if let Some(dir) = clang_dir() {
        args.extend(["-resource-dir".to_owned(), dir.display().to_string()]);
    }
    Ok(args)
}

/// The folder of clang's own headers. A clang knows where it is, but libclang
/// alone searches from a program that isn't there. For Linux that does no harm:
/// the compiler's headers stand in for them.
fn clang_dir() -> Option<PathBuf> {
    let (major, _) = bindgen::clang_version().parsed?;
    let mut parents = vec![
        format!("/usr/lib/llvm-{major}/lib/clang").into(),
        PathBuf::from("/usr/lib/clang"),
        PathBuf::from("/usr/lib64/clang"),
    ];
    if let Ok(Some(libclang)) = vars::path("LIBCLANG_PATH") {
        parents.insert(0, libclang.join("clang"));
    }
    let versions = parents
        .iter()
        .filter_map(|dir| dir.read_dir().ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    versions
        .filter(|dir| dir.join("include/stddef.h").is_file())
        .find(|dir| {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            name.split('.').next() == Some(major.to_string().as_str())
        })
}

/// The C compiler in the place of the C++ one, for which CMake's crate looks and
/// which isn't used.
pub fn no_cxx() -> cc::Build {
    let mut build = cc::Build::new();
    build.cargo_metadata(false);
    let compiler = build.get_compiler();
    build.compiler(compiler.path());
    build
}

/// What the compiler prints to either stream.
fn ask(args: &[&str]) -> Result<String> {
    let compiler = cc::Build::new().cargo_metadata(false).get_compiler();
    let mut command: Command = compiler.to_command();
    command.args(args).stdin(std::process::Stdio::null());
    let output = command
        .output()
        .map_err(|e| format!("cannot run {}: {e}", compiler.path().display()))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    Ok(text)
}
