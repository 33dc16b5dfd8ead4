//! What this build was asked for: features, target and build variables.

use super::{vars, Result};
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
}

impl Config {
    pub fn from_env() -> Result<Self> {
        let required =
            |name: &str| vars::cargo(name).ok_or_else(|| format!("cargo did not set {name}"));
        let keylog = vars::feature("keylog");
        Ok(Config {
            manifest_dir: required("CARGO_MANIFEST_DIR")?.into(),
            out_dir: required("OUT_DIR")?.into(),
            target: Target {
                os: required("CARGO_CFG_TARGET_OS")?,
                env: vars::cargo("CARGO_CFG_TARGET_ENV").unwrap_or_default(),
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
    let name = vars::var("LWS_KEYLOG_ENV").unwrap_or_else(|| DEFAULT_KEYLOG_ENV.into());
    check_keylog_env(&name).map(|()| name)
}

fn check_keylog_env(name: &str) -> Result<()> {
    let mut chars = name.chars();
    let valid = match chars.next() {
        None => true, // an empty name: the build reads no variable at all
        Some(first) => {
            (first.is_ascii_alphabetic() || first == '_')
                && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
                && name.len() <= KEYLOG_ENV_MAX
        }
    };
    if valid {
        return Ok(());
    }
    Err(format!(
        "LWS_KEYLOG_ENV is {name:?}, which cannot name an environment variable.\n\
         It must match [A-Za-z_][A-Za-z0-9_]* and have at most {KEYLOG_ENV_MAX} characters \
         (it has {}), or be empty for a build that reads no key-log variable.\n\
         Unset it to get the default, {DEFAULT_KEYLOG_ENV}.",
        name.chars().count()
    ))
}

/// `LWS_SANITIZE`: instruments the C code as well, for the sanitizer test runs.
fn sanitizer() -> Result<Option<String>> {
    match vars::var("LWS_SANITIZE").as_deref() {
        None | Some("") => Ok(None),
        Some(kind @ ("address" | "thread" | "undefined")) => Ok(Some(kind.into())),
        Some(other) => Err(format!(
            "LWS_SANITIZE is {other:?}; it takes address, thread or undefined"
        )),
    }
}

/// What openssl-sys and libz-sys found, by their DEP_ metadata.
fn dependency_includes() -> Vec<PathBuf> {
    ["DEP_OPENSSL_INCLUDE", "DEP_Z_INCLUDE"]
        .into_iter()
        .filter_map(vars::cargo)
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect()
}
