//! Which libwebsockets to bind: a source tree, an installed library, or the
//! vendored tree, in this order.

use super::config::Config;
use super::library::Library;
use super::{system, vars, vendored, Result};
use std::path::{Path, PathBuf};

/// Said of a library that is bound, and would have to be built.
const AWS_LC_IS_BUILT_IN: &str = "feature `aws-lc` builds libwebsockets against an AWS-LC whose \
     functions are renamed, and an installed libwebsockets has another TLS library. Unset LWS_DIR \
     and LWS_USE_PKG_CONFIG, or turn the feature off.";

/// Where the C library comes from.
pub enum Source {
    /// A tree to compile.
    Tree { path: PathBuf, origin: String },
    /// An installed library below a prefix.
    Prefix(PathBuf),
    /// An installed library that pkg-config knows.
    PkgConfig,
}

/// Chooses the source; none is an error that says what to do.
pub fn locate(config: &Config) -> Result<Source> {
    if let Some(path) = vars::path("LWS_SOURCE_DIR")? {
        if !is_tree(&path) {
            return Err(format!(
                "LWS_SOURCE_DIR is {}, which is not a libwebsockets source tree \
                 (it has no CMakeLists.txt beside lib/ and include/libwebsockets.h)",
                path.display()
            ));
        }
        let origin = format!("LWS_SOURCE_DIR={}", path.display());
        return Ok(Source::Tree { path, origin });
    }
    let prefix = vars::path("LWS_DIR")?;
    let use_pkg_config = vars::flag("LWS_USE_PKG_CONFIG");
    if config.aws_lc.is_some() && (prefix.is_some() || use_pkg_config) {
        return Err(AWS_LC_IS_BUILT_IN.into());
    }
    if let Some(prefix) = prefix {
        return Ok(Source::Prefix(prefix));
    }
    // Who asks for AWS-LC gets it, whatever another crate of the program asks for:
    // a feature only adds.
    if use_pkg_config || config.system && config.aws_lc.is_none() {
        return Ok(Source::PkgConfig);
    }
    let path = config.manifest_dir.join("vendor/libwebsockets");
    // Watched even while it is absent, so that it is seen when it appears.
    println!("cargo:rerun-if-changed={}", path.display());
    if is_tree(&path) {
        let origin = "the vendored tree".into();
        return Ok(Source::Tree { path, origin });
    }
    Err(format!(
        "there is no libwebsockets source in {}.\n\
         In a checkout of this crate, run `cargo xtask vendor`, which brings, verifies and \
         patches it.\n\
         As a git dependency (which carries no C source), set LWS_SOURCE_DIR to a source tree of \
         libwebsockets 4.3 to 5.0, or LWS_DIR to an installed one, or turn on feature `system` to \
         use the one that pkg-config knows.",
        path.display()
    ))
}

impl Source {
    /// Compiles or queries the library.
    pub fn prepare(self, config: &Config) -> Result<Library> {
        match self {
            Source::Tree { path, origin } => vendored::build(config, &path, origin),
            Source::Prefix(prefix) => system::from_prefix(config, &prefix),
            Source::PkgConfig => system::from_pkg_config(config),
        }
    }
}

fn is_tree(path: &Path) -> bool {
    path.join("CMakeLists.txt").is_file()
        && path.join("include/libwebsockets.h").is_file()
        && path.join("lib").is_dir()
}
