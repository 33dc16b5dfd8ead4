//! What this build was asked for: features, target and build variables.

use super::{aws_lc::AwsLc, vars, Result};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The key-log variable's name when `LWS_KEYLOG_ENV` doesn't say otherwise.
const DEFAULT_KEYLOG_ENV: &str = "LWS_SSLKEYLOGFILE";

/// The longest name of a key-log variable that is accepted.
const KEYLOG_ENV_MAX: usize = 128;

/// Said of a build with feature `keylog` and nothing to log.
const NO_TLS_LIBRARY: &str = "feature `keylog` needs a TLS library: turn on `tls` as well, \
     which is OpenSSL, or `aws-lc`";

/// Said where another crate has changed what openssl-sys stands for.
const OPENSSL_IS_ANOTHER: &str = "openssl-sys is built for AWS-LC or BoringSSL here, by a feature \
     of its own that another crate turns on, and feature `tls` needs OpenSSL. Turn on `aws-lc` \
     instead, or turn that feature off.";

/// Said on Apple's systems of a copy of AWS-LC that can't be made there.
const AWS_LC_ON_APPLE: &str = "feature `aws-lc` renames AWS-LC's functions, to keep them apart \
     from OpenSSL's, and can't do so yet in the libraries of macOS and Apple's other systems. Turn \
     it off, and `tls` on, which is OpenSSL.";

/// The only architecture for which mingw and libclang are told what they have to be.
const MINGW_ARCH: &str = "x86_64";

/// Everything that the other steps need to know.
pub struct Config {
    pub manifest_dir: PathBuf,
    pub out_dir: PathBuf,
    pub target: Target,
    /// There is TLS, by OpenSSL unless `aws_lc` has another one.
    pub tls: bool,
    pub aws_lc: Option<AwsLc>,
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
    arch: String,
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

    /// Refuses what the build knows no words for.
    fn check(&self) -> Result<()> {
        if self.is_mingw() && self.arch != MINGW_ARCH {
            return Err(format!(
                "the target is Windows on {}, with mingw's compiler or LLVM's, and this crate is \
                 built by them for {MINGW_ARCH} alone: use the target {MINGW_ARCH}-pc-windows-gnu",
                self.arch
            ));
        }
        Ok(())
    }
}

impl Config {
    pub fn from_env() -> Result<Self> {
        let required =
            |name: &str| vars::cargo(name).ok_or_else(|| format!("cargo did not set {name}"));
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let target = Target {
            arch: text(required("CARGO_CFG_TARGET_ARCH")?),
            os: text(required("CARGO_CFG_TARGET_OS")?),
            env: text(vars::cargo("CARGO_CFG_TARGET_ENV").unwrap_or_default()),
        };
        target.check()?;
        let keylog = vars::feature("keylog");
        let tls = vars::feature("tls") || vars::feature("aws-lc");
        if keylog && !tls {
            return Err(NO_TLS_LIBRARY.into());
        }
        if tls && !vars::feature("aws-lc") && openssl_is_another() {
            return Err(OPENSSL_IS_ANOTHER.into());
        }
        let out_dir = PathBuf::from(required("OUT_DIR")?);
        let docs_only = vars::flag("DOCS_RS");
        let is_apple = vars::cargo("CARGO_CFG_TARGET_VENDOR").is_some_and(|name| name == "apple");
        if vars::feature("aws-lc") && is_apple && !docs_only {
            return Err(AWS_LC_ON_APPLE.into());
        }
        let aws_lc = vars::feature("aws-lc")
            .then(|| AwsLc::prepare(&out_dir, docs_only))
            .transpose()?;
        Ok(Config {
            manifest_dir: required("CARGO_MANIFEST_DIR")?.into(),
            target,
            tls,
            deflate: vars::feature("deflate"),
            ipv6: vars::feature("ipv6"),
            unix_sockets: vars::feature("unix-sockets"),
            system: vars::feature("system"),
            keylog_env: if keylog { Some(keylog_env()?) } else { None },
            sanitize: sanitizer()?,
            docs_only,
            dependency_includes: dependency_includes(aws_lc.as_ref()),
            out_dir,
            aws_lc,
        })
    }
}

/// Whether openssl-sys binds something else than OpenSSL.
fn openssl_is_another() -> bool {
    let tells = |name| vars::cargo(name).is_some();
    tells("DEP_OPENSSL_AWSLC") || tells("DEP_OPENSSL_BORINGSSL")
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
        kind @ ("address" | "thread" | "undefined" | "address,undefined") => Ok(Some(kind.into())),
        other => Err(format!(
            "LWS_SANITIZE is {other:?}; it takes address, thread, undefined or address,undefined"
        )),
    }
}

/// The C compiler's flags for a sanitizer. What is undefined ends the program: a
/// message alone would be overlooked. Beside AddressSanitizer it does so by a trap, without a
/// word, for which no further library is needed.
pub fn sanitizer_flags(kind: &str) -> Vec<String> {
    let mut flags = vec![
        format!("-fsanitize={kind}"),
        "-fno-omit-frame-pointer".into(),
        "-g".into(),
    ];
    match kind {
        "undefined" => flags.push("-fno-sanitize-recover=all".into()),
        "address,undefined" => flags.push("-fsanitize-undefined-trap-on-error".into()),
        _ => {}
    }
    flags
}

/// What the crates of the TLS library and libz-sys found, by their DEP_ metadata.
fn dependency_includes(aws_lc: Option<&AwsLc>) -> Vec<PathBuf> {
    let tls = match aws_lc {
        Some(aws_lc) => Some(aws_lc.include.clone().into()),
        None => vars::cargo("DEP_OPENSSL_INCLUDE"),
    };
    tls.into_iter()
        .chain(vars::cargo("DEP_Z_INCLUDE"))
        .flat_map(|list| std::env::split_paths(&list).collect::<Vec<_>>())
        .collect()
}
