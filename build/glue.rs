//! Compiles our C glue: what is a macro or inline in the headers, what the TLS
//! library needs, the key-log hook, and the layout checks.

use super::config::{sanitizer_flags, Config};
use super::library::Library;
use super::Result;
use std::path::PathBuf;

/// What is compiled where there is TLS.
const TLS: [&str; 6] = [
    "tls.c",
    "tls_alerts.c",
    "tls_certificates.c",
    "tls_facts.c",
    "tls_rules.c",
    "tls_system_roots.c",
];

/// Compiles `csrc/` into a static library and links it.
pub fn compile(config: &Config, library: &Library) -> Result<()> {
    let dir = config.manifest_dir.join("csrc");
    println!("cargo:rerun-if-changed={}", dir.display());
    let mut cc = cc::Build::new();
    cc.file(dir.join("glue.c"))
        .file(config.out_dir.join("layout.c"))
        .includes(&library.includes)
        .include(&dir)
        .std("gnu11")
        .warnings(true)
        // Callbacks take what the TLS library gives them.
        .flag_if_supported("-Wno-unused-parameter");
    if config.tls {
        cc.files(TLS.map(|name| dir.join(name)));
    }
    if let Some(aws_lc) = &config.aws_lc {
        cc.flag("-include").flag(&aws_lc.names);
    }
    if config.tls && config.target.is_windows() {
        // Of the system's roots.
        println!("cargo:rustc-link-lib=dylib=crypt32");
    }
    if let Some(name) = &config.keylog_env {
        cc.file(dir.join("keylog.c"));
        cc.define("LWS_KEYLOG_ENV_NAME", format!("\"{name}\"").as_str());
    }
    if let Some(kind) = &config.sanitize {
        cc.flags(sanitizer_flags(kind));
    }
    cc.try_compile("lws_rs_glue")
        .map_err(|e| format!("cannot compile the C glue against {}: {e}", library.origin))
}

/// The header that bindgen reads.
pub fn header(config: &Config) -> PathBuf {
    config.manifest_dir.join("csrc/glue.h")
}
