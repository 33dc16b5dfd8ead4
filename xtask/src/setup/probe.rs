//! Looking for programs and libraries, however they were installed.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{find_program, output, succeeds};

/// A program named in an environment variable, or one of these names in `PATH`.
fn program(variable: &str, names: &[&str]) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
        || names.iter().any(|name| find_program(name).is_some())
}

/// `CC`, or `cc`, which Rust's linking needs too. Visual Studio's is found by
/// CMake without being in `PATH`, so Windows counts as having one.
pub fn c_compiler() -> bool {
    cfg!(windows) || program("CC", &["cc"])
}

/// `CXX`, or `c++`.
pub fn cxx_compiler() -> bool {
    cfg!(windows) || program("CXX", &["c++"])
}

/// Perl with the modules that OpenSSL's configuration uses; some systems' has none.
pub fn perl() -> bool {
    succeeds(Command::new("perl").args(["-MFindBin", "-MIPC::Cmd", "-e1"]))
}

/// make.
pub fn make() -> bool {
    cfg!(windows) || find_program("make").is_some()
}

/// The headers of the C library (a compiler package may come without them).
pub fn libc_headers() -> bool {
    cfg!(not(target_os = "linux")) || header("stdio.h")
}

/// CMake.
pub fn cmake() -> bool {
    program("CMAKE", &["cmake"])
}

/// Ninja, under one of the names that CMake and the build script look for.
pub fn ninja() -> bool {
    let names = ["ninja", "ninja-build", "samu"];
    cfg!(windows) || names.iter().any(|name| find_program(name).is_some())
}

/// The names that the build scripts look for.
const PKG_CONFIG: &[&str] = &["pkg-config", "pkgconf"];

/// pkg-config or a replacement.
pub fn pkg_config() -> bool {
    program("PKG_CONFIG", PKG_CONFIG)
}

/// tshark, by the variable that the tests and the example take, too.
pub fn tshark() -> bool {
    program("TSHARK", &["tshark"])
}

/// ccache.
pub fn ccache() -> bool {
    find_program("ccache").is_some()
}

/// xz.
pub fn xz() -> bool {
    find_program("xz").is_some()
}

/// strace.
pub fn strace() -> bool {
    find_program("strace").is_some()
}

/// Valgrind.
pub fn valgrind() -> bool {
    find_program("valgrind").is_some()
}

/// clang, with what it links to programs for a sanitizer.
pub fn clang() -> bool {
    let dir = output(Command::new("clang").arg("-print-runtime-dir"));
    let Ok(Some(dir)) = dir else {
        return false;
    };
    let name = format!("libclang_rt.asan-{}.a", env::consts::ARCH);
    Path::new(dir.trim()).join(name).is_file()
}

/// mingw's C compiler for 64-bit Windows.
pub fn mingw() -> bool {
    find_program("x86_64-w64-mingw32-gcc").is_some()
}

/// Wine for 64-bit programs.
pub fn wine() -> bool {
    crate::windows::wine::find().is_some()
}

/// A Python that makes environments.
pub fn python() -> bool {
    crate::conformance::find_python3().is_some()
}

/// OpenSSL's headers.
pub fn openssl() -> bool {
    env::var_os("OPENSSL_DIR").is_some() || library("openssl") || header("openssl/ssl.h")
}

/// zlib's headers; macOS has them in its SDK.
pub fn zlib() -> bool {
    cfg!(target_os = "macos") || library("zlib") || header("zlib.h")
}

fn library(name: &str) -> bool {
    let knows = |tool: &OsStr| succeeds(Command::new(tool).args(["--exists", name]));
    match env::var_os("PKG_CONFIG") {
        Some(tool) => knows(&tool),
        None => PKG_CONFIG.iter().any(|tool| knows(tool.as_ref())),
    }
}

/// Whether a header is in one of the usual places.
fn header(name: &str) -> bool {
    let triple = format!("/usr/include/{}-linux-gnu", env::consts::ARCH);
    ["/usr/include", "/usr/local/include", triple.as_str()]
        .iter()
        .any(|dir| Path::new(dir).join(name).is_file())
}

/// libclang with what belongs to it: the library alone lacks clang's own
/// headers, but a development package or a clang in `PATH` brings them.
pub fn libclang() -> bool {
    let clang = find_program("clang").is_some();
    // The variable may name the folder or the library itself.
    let given = env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    given.is_some_and(|path| path.is_file() || holds_libclang(&path, true))
        || libclang_dirs().iter().any(|dir| holds_libclang(dir, clang))
}

fn libclang_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = Vec::new();
    if let Ok(Some(dir)) = output(Command::new("llvm-config").arg("--libdir")) {
        dirs.push(PathBuf::from(dir.trim()));
    }
    for dir in [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
        "C:\\Program Files\\LLVM\\bin",
    ] {
        dirs.push(PathBuf::from(dir));
    }
    dirs.push(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH).into());
    // Debian and others: one directory per LLVM version.
    for parent in ["/usr/lib", "/usr/lib64"] {
        let entries = Path::new(parent).read_dir().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with("llvm") {
                dirs.push(entry.path().join("lib"));
            }
        }
    }
    dirs
}

fn holds_libclang(dir: &Path, versioned: bool) -> bool {
    let entries = dir.read_dir().into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .any(|entry| is_libclang(&entry.file_name().to_string_lossy(), versioned))
}

/// Whether a file is libclang; `versioned` accepts names like `libclang.so.1` too,
/// which the library has without its development package.
fn is_libclang(name: &str, versioned: bool) -> bool {
    let plain = ["libclang.so", "libclang.dylib", "libclang.dll"].contains(&name);
    let numbered = (name.starts_with("libclang.so.") || name.starts_with("libclang-"))
        && name.contains(".so")
        && !name.starts_with("libclang-cpp");
    plain || (versioned && numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libclang() {
        assert!(is_libclang("libclang.so", false));
        assert!(is_libclang("libclang.dylib", false));
        assert!(!is_libclang("libclang.so.1", false));
        assert!(is_libclang("libclang.so.1", true));
        assert!(is_libclang("libclang-14.so.1", true));
        assert!(!is_libclang("libclang-cpp.so.14", true));
        assert!(!is_libclang("libclangBasic.a", true));
    }
}
