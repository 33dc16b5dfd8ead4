//! AWS-LC as the crate `aws-lc-sys` has built it, copied with every symbol renamed.
//!
//! That crate gives its libcrypto's functions a prefix, but not its libssl's: in
//! a program that OpenSSL is linked into as well, `SSL_new` of either library may
//! answer the other's callers. So what is linked here is a copy with names that
//! nobody else has, and the original is left out: it is linked only where some
//! other crate uses it.

use super::{vars, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What each name begins with in the copy.
const PREFIX: &str = "lwsawslc_";

/// The renamed copy.
pub struct AwsLc {
    /// The folder of `openssl/ssl.h`.
    pub include: PathBuf,
    /// Defines each function as its name in the copy. It has to come first.
    pub names: PathBuf,
    /// Where the libraries are.
    dir: PathBuf,
    libraries: [String; 2],
}

impl AwsLc {
    /// Where the copy is to be. For documentation alone there is nothing to copy.
    pub fn prepare(out_dir: &Path, docs_only: bool) -> Result<AwsLc> {
        let include = PathBuf::from(metadata("INCLUDE")?);
        let dir = out_dir.join("aws-lc");
        fs::create_dir_all(&dir).map_err(|e| format!("cannot make {}: {e}", dir.display()))?;
        let copy = AwsLc {
            include,
            names: dir.join("names.h"),
            dir,
            // In the linker's order.
            libraries: ["ssl", "crypto"].map(|name| format!("{PREFIX}{name}")),
        };
        if !docs_only {
            copy.copy_libraries()?;
        }
        Ok(copy)
    }

    /// The paths of the libraries, in the linker's order.
    pub fn paths(&self) -> [PathBuf; 2] {
        self.libraries
            .each_ref()
            .map(|name| self.dir.join(format!("lib{name}.a")))
    }

    /// Lines for cargo that link them.
    pub fn link_lines(&self) -> Vec<String> {
        let dir = self.dir.display();
        let mut lines = vec![format!("cargo:rustc-link-search=native={dir}")];
        lines.extend(
            self.libraries
                .iter()
                .map(|name| format!("cargo:rustc-link-lib=static={name}")),
        );
        // On Windows, for random numbers.
        let system = metadata("SYSTEM_LIBS").unwrap_or_default();
        let system = system.to_string_lossy();
        let system = system.split(',').filter(|name| !name.is_empty());
        lines.extend(system.map(|name| format!("cargo:rustc-link-lib=dylib={name}")));
        lines
    }

    fn copy_libraries(&self) -> Result<()> {
        let kind = metadata("LINK_KIND")?;
        if kind != "static" {
            return Err(
                "aws-lc-sys uses an installed AWS-LC, whose functions can't be kept apart from \
                 OpenSSL's. Set AWS_LC_SYS_USE_SYSTEM=0 and unset AWS_LC_SYS_SYSTEM_DIR, so that \
                 it builds its own."
                    .into(),
            );
        }
        // Libraries and functions have the same prefix, which tells the version.
        let crypto = metadata("LIBCRYPTO")?;
        let crypto = crypto.to_string_lossy();
        let prefix = crypto.strip_suffix("crypto").unwrap_or_default();
        let originals = ["LIBSSL_PATH", "LIBCRYPTO_PATH"].map(metadata);
        let mut names = BTreeMap::new();
        let mut archives = Vec::new();
        for (original, path) in originals.into_iter().zip(self.paths()) {
            let original = PathBuf::from(original?);
            let bytes = fs::read(&original)
                .map_err(|e| format!("cannot read {}: {e}", original.display()))?;
            let symbols = symbols(&bytes)
                .ok_or_else(|| format!("{} has no list of its symbols", original.display()))?;
            names.extend(symbols.into_iter().map(|name| {
                let plain = name.strip_prefix(prefix).unwrap_or(&name).to_owned();
                (name, plain)
            }));
            archives.push((original, path));
        }
        let list = self.dir.join("names");
        write_if_new(&list, &pairs(&names))?;
        write_if_new(&self.names, &header(&names))?;
        for (original, path) in archives {
            rename(&list, &original, &path)?;
        }
        Ok(())
    }
}

/// What aws-lc-sys tells of its build. Its version is part of the variables' names.
fn metadata(name: &str) -> Result<OsString> {
    let suffix = format!("_{name}");
    std::env::vars_os()
        .find(|(key, _)| {
            let key = key.to_string_lossy();
            let version = key
                .strip_prefix("DEP_AWS_LC_")
                .and_then(|rest| rest.strip_suffix(&suffix));
            version.is_some_and(|v| v.bytes().all(|b| b.is_ascii_digit() || b == b'_'))
        })
        .map(|(_, value)| value)
        .ok_or_else(|| format!("aws-lc-sys doesn't tell its {name}: a version that isn't known"))
}

/// The symbols that an archive defines, by the index at its beginning: that of
/// GNU's, and LLVM's, for ELF and for Windows.
fn symbols(archive: &[u8]) -> Option<Vec<String>> {
    let header = archive.strip_prefix(b"!<arch>\n")?.get(..60)?;
    if !header.starts_with(b"/ ") {
        return None;
    }
    let size = std::str::from_utf8(&header[48..58]).ok()?.trim();
    let index = archive.get(68..)?.get(..size.parse().ok()?)?;
    let count = u32::from_be_bytes(index.get(..4)?.try_into().ok()?);
    let count = usize::try_from(count).ok()?;
    let text = index.get(4 + 4 * count..)?;
    let names = text.split(|byte| *byte == 0).take(count);
    names
        .map(|name| Some(std::str::from_utf8(name).ok()?.to_owned()))
        .collect()
}

/// For objcopy: an old and a new name on each line. `names` has those of the
/// original, with those of AWS-LC's sources.
fn pairs(names: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (old, plain) in names {
        let _ = writeln!(text, "{old} {PREFIX}{plain}");
    }
    text
}

/// For the C compiler, in the place of the header of AWS-LC's own that does the
/// same for its prefix.
fn header(names: &BTreeMap<String, String>) -> String {
    let mut text = String::from(
        "/* Generated: the names that AWS-LC has in this build. */\n\
         #define BORINGSSL_PREFIX_SYMBOLS_H\n",
    );
    let _ = writeln!(text, "#define BORINGSSL_PREFIX {PREFIX}");
    for plain in names.values() {
        // C++ names are nobody's to call.
        let is_c = plain
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !plain.starts_with("_Z");
        if is_c {
            let _ = writeln!(text, "#define {plain} {PREFIX}{plain}");
        }
    }
    text
}

/// A file that is newer than what was compiled from it would be compiled again.
fn write_if_new(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Copies an archive with other names.
fn rename(list: &Path, original: &Path, copy: &Path) -> Result<()> {
    let objcopy = objcopy()?;
    let mut redefine = OsString::from("--redefine-syms=");
    redefine.push(list);
    let output = Command::new(&objcopy)
        .arg(redefine)
        .args([original, copy])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run {}: {e}", objcopy.display()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{} cannot rename the symbols of {}: {}",
        objcopy.display(),
        original.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// The one that `OBJCOPY` names, Rust's own, or one of the system's.
fn objcopy() -> Result<PathBuf> {
    let given = vars::path("OBJCOPY")?;
    let mut candidates: Vec<PathBuf> = given.into_iter().collect();
    candidates.extend(rust_objcopy());
    candidates.extend(["llvm-objcopy", "objcopy"].map(PathBuf::from));
    let runs = |program: &&PathBuf| super::vendored::has(program);
    candidates.iter().find(runs).cloned().ok_or_else(|| {
        "feature `aws-lc` needs objcopy, to keep AWS-LC's functions apart from OpenSSL's, and \
         there is neither rust-objcopy beside rustc nor llvm-objcopy nor objcopy. Install \
         binutils or LLVM, or name one by the variable OBJCOPY."
            .into()
    })
}

/// What rustc strips programs with; Rust's own distributions have it.
fn rust_objcopy() -> Option<PathBuf> {
    let rustc = vars::cargo("RUSTC")?;
    let host = vars::cargo("HOST")?;
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    let name = format!("rust-objcopy{}", std::env::consts::EXE_SUFFIX);
    let tools = Path::new(sysroot.trim()).join("lib/rustlib").join(host);
    Some(tools.join("bin").join(name))
}
