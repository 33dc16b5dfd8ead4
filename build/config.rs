//! What this build was asked for: features, target and build variables.

use super::{vars, Result};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The key-log variable's name when `LWS_KEYLOG_ENV` doesn't say otherwise.
const DEFAULT_KEYLOG_ENV: &str = "LWS_SSLKEYLOGFILE";

/// The longest name of a key-log variable that is accepted.
const KEYLOG_ENV_MAX: usize = 128;

/// Everything that the other steps need to know.
pub struct Config {
    pub manifest_dir: PathBuf,
    pub out_dir: PathBuf,
    pub target: Target,
    pub tls: bool,
    pub deflate: bool,
    pub ipv6: bool,
    pub unix_sockets: bool,
    pub system: bool,
    /// `None` without feature `keylog`; empty for a build that reads no variable.
    pub keylog_env: Option<String>,
    /// `-fsanitize=` value for every C compile, from `LWS_SANITIZE`.
    pub sanitize: Option<String>,
    /// docs.rs builds nothing that has to link.
    pub docs_only: bool,
    /// Include folders of the libraries that lws is compiled against.
    pub dependency_includes: Vec<PathBuf>,
}

/// The target, as cargo tells it (never by `cfg!`, which speaks of the host).
pub struct Target {
    pub os: String,
    pub env: String,
}

impl Target {
    pub fn is_windows(&self) -> bool {
        self.os == "windows"
    }

    pub fn is_msvc(&self) -> bool {
        self.env == "msvc"
    }

    pub fn is_mingw(&self) -> bool {
        self.is_windows() && self.env == "gnu"
    }
}

impl Config {
    pub fn from_env() -> Result<Self> {
        let required =
            |name: &str| vars::cargo(name).ok_or_else(|| format!("cargo did not set {name}"));
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let keylog = vars::feature("keylog");
        Ok(Config {
            manifest_dir: required("CARGO_MANIFEST_DIR")?.into(),
            out_dir: required("OUT_DIR")?.into(),
            target: Target {
                os: text(required("CARGO_CFG_TARGET_OS")?),
                env: text(vars::cargo("CARGO_CFG_TARGET_ENV").unwrap_or_default()),
            },
            tls: vars::feature("tls"),
            deflate: vars::feature("deflate"),
            ipv6: vars::feature("ipv6"),
            unix_sockets: vars::feature("unix-sockets"),
            system: vars::feature("system"),
            keylog_env: if keylog { Some(keylog_env()?) } else { None },
            sanitize: sanitizer()?,
            docs_only: vars::flag("DOCS_RS"),
            dependency_includes: dependency_includes(),
        })
    }
}

/// The name of the key-log variable, checked.
fn keylog_env() -> Result<String> {
    match vars::var("LWS_KEYLOG_ENV") {
        None => Ok(DEFAULT_KEYLOG_ENV.into()),
        Some(name) => check_keylog_env(&name),
    }
}

fn check_keylog_env(name: &OsStr) -> Result<String> {
    if let Some(name) = name.to_str().filter(|name| is_variable_name(name)) {
        return Ok(name.into());
    }
    let name = name.to_string_lossy();
    Err(format!(
        "LWS_KEYLOG_ENV is {name:?}, which cannot name an environment variable.\n\
         It must match [A-Za-z_][A-Za-z0-9_]* and have at most {KEYLOG_ENV_MAX} characters \
         (it has {}), or be empty for a build that reads no key-log variable.\n\
         Unset it to get the default, {DEFAULT_KEYLOG_ENV}.",
        name.chars().count()
    ))
}

/// Empty, or what a variable may be called.
fn is_variable_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.len() <= KEYLOG_ENV_MAX
        && name.chars().all(is_word)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// `LWS_SANITIZE`: instruments the C code as well, for the sanitizer test runs.
fn sanitizer() -> Result<Option<String>> {
    let value = vars::var("LWS_SANITIZE").unwrap_or_default();
    match value.to_string_lossy().as_ref() {
        "" => Ok(None),
        kind @ ("address" | "thread" | "undefined") => Ok(Some(kind.into())),
        other => Err(format!(
            "LWS_SANITIZE is {other:?}; it takes address, thread or undefined"
        )),
    }
}

/// The C compiler's flags for a sanitizer. What is undefined ends the program: a
/// message alone would be overlooked.
pub fn sanitizer_flags(kind: &str) -> Vec<String> {
    let mut flags = vec![
        format!("-fsanitize={kind}"),
        "-fno-omit-frame-pointer".into(),
        "-g".into(),
    ];
    if kind == "undefined" {
        flags.push("-fno-sanitize-recover=all".into());
    }
    flags
}

/// What openssl-sys and libz-sys found, by their DEP_ metadata.
fn dependency_includes() -> Vec<PathBuf> {
    ["DEP_OPENSSL_INCLUDE", "DEP_Z_INCLUDE"]
        .into_iter()
        .filter_map(vars::cargo)
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect()
}
