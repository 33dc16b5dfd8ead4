//! A C library that is ready to be bound: where its headers are, what they
//! were configured with, and how to link it.

use super::config::Config;
use super::versions::{self, Version};
use super::Result;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// TLS libraries that lws may be built for instead of OpenSSL: what it calls an
/// SSL_CTX is something else then.
const OTHER_TLS: &[&str] = &[
    "LWS_WITH_MBEDTLS",
    "LWS_WITH_GNUTLS",
    "LWS_WITH_BEARSSL",
    "LWS_WITH_SCHANNEL",
    "LWS_WITH_OPENHITLS",
    "USE_WOLFSSL",
];

/// A resolver that is off by default, and that no patch mends.
const ASYNC_DNS: &str = "LWS_WITH_SYS_ASYNC_DNS";

/// How to get what the crate is made for.
const VENDORED: &str = "turn feature `system` off, and unset LWS_SOURCE_DIR, LWS_DIR and \
     LWS_USE_PKG_CONFIG";

/// A prepared library.
pub struct Library {
    /// Folders for `#include`, in the compiler's order.
    pub includes: Vec<PathBuf>,
    /// Lines for cargo that link it.
    pub link_lines: Vec<String>,
    /// For messages: "the vendored tree", "LWS_DIR=…".
    pub origin: String,
    pub version: Version,
    /// The `lws_config.h` that was read.
    pub config_header: PathBuf,
    defines: HashMap<String, String>,
}

impl Library {
    /// Reads the configuration that the library was built with.
    pub fn new(includes: Vec<PathBuf>, link_lines: Vec<String>, origin: String) -> Result<Self> {
        let header = includes
            .iter()
            .map(|dir| dir.join("lws_config.h"))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                format!("{origin} has no lws_config.h in its include folders {includes:?}")
            })?;
        let defines = parse_defines(&header)?;
        let number = |name: &str| {
            defines
                .get(name)
                .and_then(|value| value.parse().ok())
                .ok_or_else(|| format!("{} does not define {name}", header.display()))
        };
        let version = Version(
            number("LWS_LIBRARY_VERSION_MAJOR")?,
            number("LWS_LIBRARY_VERSION_MINOR")?,
            number("LWS_LIBRARY_VERSION_PATCH")?,
        );
        Ok(Library {
            includes,
            link_lines,
            origin,
            version,
            config_header: header,
            defines,
        })
    }

    /// Whether `lws_config.h` defines this switch.
    pub fn defines(&self, name: &str) -> bool {
        self.defines.contains_key(name)
    }

    /// More than one context at a time is sound only with lws' locks compiled in, and
    /// without its count of allocated bytes, which has no lock.
    pub fn is_multi_context(&self) -> bool {
        let smp = self.defines.get("LWS_MAX_SMP");
        smp.and_then(|n| n.parse::<u32>().ok())
            .is_some_and(|n| n > 1)
            && !self.defines("LWS_HAVE_MALLOC_USABLE_SIZE")
    }

    /// Refuses a library of another version, or one that lacks what a feature needs.
    pub fn check(&self, config: &Config) -> Result<()> {
        versions::check(self.version, &self.origin)?;
        let mut needs = vec![
            (true, "this crate", "LWS_ROLE_WS", true),
            (true, "this crate", "LWS_WITH_CLIENT", true),
            (true, "this crate", "LWS_WITH_SERVER", true),
            (config.tls, "feature tls", "LWS_WITH_TLS", true),
            (config.ipv6, "feature ipv6", "LWS_WITH_IPV6", true),
            (
                config.unix_sockets,
                "feature unix-sockets",
                "LWS_WITH_UNIX_SOCK",
                true,
            ),
            (
                config.deflate,
                "feature deflate",
                "LWS_WITHOUT_EXTENSIONS",
                false,
            ),
        ];
        for other in OTHER_TLS {
            needs.push((config.tls, "feature tls", other, false));
        }
        let openssl = config.tls && config.aws_lc.is_none();
        needs.push((openssl, "feature tls", "LWS_WITH_BORINGSSL", false));
        if self.defines(ASYNC_DNS) {
            return Err(format!(
                "{} was built with {ASYNC_DNS}: an answer to its questions for names can overflow \
                 its stack (CVE-2025-11678). Rebuild it with -D{ASYNC_DNS}=OFF, or use the vendored \
                 library.",
                self.origin
            ));
        }
        for (wanted, who, define, present) in needs {
            if wanted && self.defines(define) != present {
                return Err(format!(
                    "{who} needs a libwebsockets built {} {define}, which {} is not. Rebuild \
                     that library, turn the feature off, or use the vendored library.",
                    if present { "with" } else { "without" },
                    self.origin
                ));
            }
        }
        Ok(())
    }

    /// Says what is to be known of a library that isn't the vendored one.
    pub fn warn(&self, config: &Config) {
        if !self.is_patched() {
            let deflate = match config.deflate {
                true => ", and permessage-deflate stays off",
                false => "",
            };
            println!(
                "cargo:warning={} lacks the patches of this crate: memory errors that a peer can \
                 provoke aren't mended, not all that RFC 6455 forbids is refused, messages go out \
                 slower{deflate}. The vendored library has them: {VENDORED}.",
                self.origin
            );
        }
        if !config.tls || config.keylog_env.is_some() {
            return;
        }
        if let Some(define) = versions::own_keylog(self.version, |name| self.defines(name)) {
            println!(
                "cargo:warning={} has a key log of its own ({define}): where the variable \
                 SSLKEYLOGFILE is set it can write the secrets of connections, though this crate's \
                 feature `keylog` is off. Build it with -D{define}=OFF, or use the vendored \
                 library: {VENDORED}.",
                self.origin
            );
        }
    }

    /// Whether it has our patches, of which one leaves a mark in a header.
    fn is_patched(&self) -> bool {
        let header = self
            .includes
            .iter()
            .map(|dir| dir.join("libwebsockets/lws-ws-ext.h"))
            .find_map(|path| fs::read_to_string(path).ok());
        header.is_some_and(|text| text.contains("LWS_PMD_INFLATES_TO_THE_END"))
    }

    /// Tells cargo how to link the library.
    pub fn link(&self) {
        for line in &self.link_lines {
            println!("{line}");
        }
    }
}

/// `#define NAME VALUE` lines of a header, without preprocessing it:
/// `lws_config.h` is generated and holds nothing else.
fn parse_defines(header: &Path) -> Result<HashMap<String, String>> {
    let text =
        fs::read_to_string(header).map_err(|e| format!("cannot read {}: {e}", header.display()))?;
    Ok(text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#define "))
        .filter_map(|rest| {
            let mut words = rest.split_whitespace();
            let name = words.next()?;
            Some((name.to_owned(), words.collect::<Vec<_>>().join(" ")))
        })
        .collect())
}
