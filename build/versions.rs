//! What differs between the releases of libwebsockets that the crate is written
//! for, and what the build makes of it. Nothing else asks for a version.
//!
//! | release | difference | what is done |
//! |---|---|---|
//! | 4.3 | declares a minimum of CMake that CMake 4 refuses | [`super::switches`] |
//! | 4.4 | a key log of its own, which `SSLKEYLOGFILE` turns on | [`super::switches`], [`own_keylog`] |
//! | 4.4 | Secure Streams are on by default | [`super::switches`] |
//! | 4.4, 5.0 | functions change their arguments or results | [`NOT_THE_SAME`] |
//! | 4.4, 4.5, 5.0 | members of structs come and go, callback reasons come | bindings and the checks of layouts are made of the headers of this build; unknown reasons pass |
//! | 5.0 | HTTP/3 is on by default and wants GnuTLS | [`super::switches`] |
//! | 5.0 | a bit of the server options has two meanings | [`NOT_THE_SAME`] |
//! | 5.0 | IPv6 is on by default | the build always sets it; a vhost of the crate disables it by name |
//! | 5.0 | cmake wants `plugins/` | [`check_tree`] |
//! | 5.0 | `_unused` members depend on `__STRICT_ANSI__` | gnu C everywhere |
//! | 5.0 | `lws_tls_cert_updated` makes an SSL_CTX without the hooks of the old one | it isn't called |

use super::switches::OWN_KEYLOG;
use super::Result;
use std::fs;
use std::path::Path;

/// The versions that the wrapper is written for: from the first up to, but not
/// including, the second.
const SUPPORTED: (Version, Version) = (Version(4, 3, 0), Version(5, 1, 0));

/// What has one name and several meanings in these versions, or isn't in all of
/// them: functions and constants, as patterns of bindgen's. They aren't bound, for
/// code that used one would be right for some versions only.
pub const NOT_THE_SAME: (&str, &str) = (
    "lws_(finalize_startup|get_peer_addresses|async_dns_query|vfs_file_open|json_dump_.*|seq_.*|\
     http_mp_sm_.*|wsmsg_.*)",
    "LWS_SERVER_OPTION_(H2_PRIOR_KNOWLEDGE|DISABLE_UTF8_VALIDATION)",
);

/// A release of libwebsockets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Refuses a version that the wrapper isn't written for.
pub fn check(version: Version, origin: &str) -> Result<()> {
    let (from, below) = SUPPORTED;
    if version < from || version >= below {
        return Err(format!(
            "{origin} is libwebsockets {version}, and this crate binds {from} up to (not \
             including) {below}. Point it at another one, or use the vendored library."
        ));
    }
    Ok(())
}

/// Refuses a source tree before minutes go into compiling it.
pub fn check_tree(tree: &Path, origin: &str) -> Result<()> {
    // One that can't be told by its text is, later, by what it was configured with.
    let Some(version) = version_of(tree) else {
        return Ok(());
    };
    check(version, origin)?;
    if version >= Version(5, 0, 0) && !tree.join("plugins").is_dir() {
        return Err(format!(
            "{origin} is libwebsockets {version} without its folder plugins/, which cmake \
             wants since 5.0, whether any is compiled or not. Name a whole tree."
        ));
    }
    Ok(())
}

/// The version that a tree's `CMakeLists.txt` gives it.
fn version_of(tree: &Path) -> Option<Version> {
    let text = fs::read(tree.join("CMakeLists.txt")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let number = |part: &str| {
        let start = format!("set(CPACK_PACKAGE_VERSION_{part} \"");
        let rest = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(&start))?;
        rest.split('"').next()?.parse().ok()
    };
    Some(Version(
        number("MAJOR")?,
        number("MINOR")?,
        number("PATCH_NUMBER")?,
    ))
}

/// The switch by which a library has a key log of its own, as far as its defines tell.
pub fn own_keylog(version: Version, defines: impl Fn(&str) -> bool) -> Option<&'static str> {
    let is_there = |name: &&str| version >= Version(4, 4, 0) && defines(name);
    OWN_KEYLOG.into_iter().find(is_there)
}
