//! Generates the bindings from the headers of this very build, and a C file
//! that checks the layout of the structs that we fill.

use super::config::Config;
use super::library::Library;
use super::{glue, mingw, vars, versions, Result};
use std::{fs, panic};

/// Structs whose fields Rust writes or reads; C asserts where they lie.
const CHECKED: &[(&str, &[&str])] = &[
    (
        "lws_context_creation_info",
        &[
            "iface",
            "protocols",
            "extensions",
            "port",
            "max_http_header_data2",
            "options",
            "user",
            "vhost_name",
            "count_threads",
            "fd_limit_per_thread",
            "timeout_secs",
            "connect_timeout_secs",
            "timeout_secs_ah_idle",
            "pt_serv_buf_size",
            "retry_and_idle_policy",
            "foreign_loops",
            "event_lib_custom",
            "uid",
            "gid",
        ],
    ),
    (
        "lws_client_connect_info",
        &[
            "context",
            "address",
            "port",
            "ssl_connection",
            "path",
            "host",
            "origin",
            "protocol",
            "vhost",
            "pwsi",
            "local_protocol_name",
            "alpn",
            "opaque_user_data",
            "retry_and_idle_policy",
        ],
    ),
    (
        "lws_protocols",
        &["name", "callback", "rx_buffer_size", "id"],
    ),
    (
        "lws_retry_bo",
        &["secs_since_valid_ping", "secs_since_valid_hangup"],
    ),
    ("lws_sorted_usec_list", &["cb"]),
    ("lws_plugin_evlib", &["hdr", "ops"]),
    (
        "lws_event_loop_ops",
        &["name", "init_pt", "io", "flags", "evlib_size_pt"],
    ),
    ("lws_extension", &["name", "callback", "client_offer"]),
];

/// The same for what a library without TLS doesn't have.
const CHECKED_WITH_TLS: &[(&str, &[&str])] = &[(
    "lws_context_creation_info",
    &["alpn", "provided_client_ssl_ctx"],
)];

/// Functions that the headers declare and that this crate leaves out:
/// those of drivers, thread pool, JOSE, CBOR, Secure Streams' and boards' helpers.
const NOT_COMPILED: &str = "lws_(threadpool|tp_|i2c|bb_|spi|button|led|pwm|display|settings|netdev|wifi|jw[kset]|jwa|\
    jose|jws|jwe|cose|lecp|dlo|lhp|upng|jpeg|css|surface|font|mcufont|gpio|esp32|flow|sspc|ss_|ssl_tls_null|\
    fts|dir|diskcache|genaes|genrsa|genec|genhash|genhmac|gencrypto|crypto|x509|acme|vbi|eddsa).*";

/// Loads libclang, which bindgen reads C with, or says how to get it.
pub fn require_libclang() -> Result<()> {
    vars::watch_bindgens();
    // Bindgen panics where there is none, with the reason as the message.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(bindgen::clang_version);
    panic::set_hook(hook);
    let Err(payload) = loaded else {
        return Ok(());
    };
    let why = payload.downcast_ref::<String>().map_or("", String::as_str);
    Err(format!(
        "cannot load libclang, with which bindgen reads the C library's headers.\n\
         Install it (libclang-dev on Debian and Ubuntu, clang or clang-devel elsewhere, LLVM on \
         Windows and macOS; in a checkout of this crate `cargo xtask setup` does), or name the \
         folder that it is in by the variable LIBCLANG_PATH.\n{why}"
    ))
}

/// Writes `bindings.rs` and `layout.c` to OUT_DIR.
pub fn generate(config: &Config, library: &Library) -> Result<()> {
    let mut builder = bindgen::Builder::default()
        .header(glue::header(config).display().to_string())
        // gnu C, as the library itself: `_unused` members depend on it.
        .clang_arg("-std=gnu11")
        .allowlist_function("lws_.*")
        .allowlist_function("_lws_plat_service_forced_tsi")
        .allowlist_function("lwsrs_.*")
        .allowlist_type("lws_.*")
        .allowlist_type("lwsrs_.*")
        .allowlist_var("(LWS|LLL|LCCSCF|CONTEXT_PORT|WSI_TOKEN|HTTP_STATUS|LWSRS)_.*")
        // Declared by the headers whatever the configuration, and not compiled.
        .blocklist_function(NOT_COMPILED)
        .blocklist_function(versions::NOT_THE_SAME.0)
        .blocklist_var(versions::NOT_THE_SAME.1)
        // va_list differs between targets; nothing here takes one.
        .blocklist_function(".*_va_list|.*_valist|_?lws_log.*|_?lws_vhost_.*log.*|lws_v.*printf.*")
        .opaque_type("SSL|SSL_CTX|ssl_st|ssl_ctx_st|stat|timeval|timespec|sockaddr.*|addrinfo")
        .default_enum_style(bindgen::EnumVariation::NewType {
            is_bitfield: false,
            is_global: false,
        })
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_debug(true)
        .layout_tests(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .formatter(bindgen::Formatter::Prettyplease);
    for dir in &library.includes {
        builder = builder.clang_arg(format!("-I{}", dir.display()));
    }
    if config.target.is_mingw() {
        builder = builder.clang_args(mingw::clang_args()?);
    }
    if config.tls {
        builder = builder.clang_arg("-DLWSRS_TLS=1");
    }
    if config.keylog_env.is_some() {
        builder = builder.clang_arg("-DLWSRS_KEYLOG=1");
    }
    let bindings = builder.generate().map_err(|e| {
        format!(
            "bindgen cannot read the headers of {}: {e}\n\
             Where a header of the system's isn't found, libclang can be told of its folder by \
             the variable BINDGEN_EXTRA_CLANG_ARGS.",
            library.origin
        )
    })?;
    let text = bindings.to_string();
    fs::write(
        config.out_dir.join("layout.c"),
        layout_checks(config, &text)?,
    )
    .map_err(|e| format!("cannot write the layout checks: {e}"))?;
    fs::write(config.out_dir.join("bindings.rs"), text)
        .map_err(|e| format!("cannot write the bindings: {e}"))
}

/// Turns the offsets that bindgen found with clang into assertions for the C
/// compiler that builds the library.
fn layout_checks(config: &Config, bindings: &str) -> Result<String> {
    // White space is dropped, so that the generator's formatting doesn't matter.
    let compact: String = bindings.chars().filter(|c| !c.is_whitespace()).collect();
    let mut c = String::from(
        "/* Generated: what clang told bindgen, asserted by the C compiler. */\n\
         #include <stddef.h>\n#include \"glue.h\"\n",
    );
    let with_tls = if config.tls { CHECKED_WITH_TLS } else { &[] };
    for (name, fields) in CHECKED.iter().chain(with_tls) {
        let size = fact(&compact, &format!("size_of::<{name}>()")).ok_or_else(|| {
            format!("bindgen reported no size of struct {name}: its name or layout changed")
        })?;
        c += &format!("_Static_assert(sizeof(struct {name}) == {size}, \"size of {name}\");\n");
        for field in *fields {
            let offset =
                fact(&compact, &format!("offset_of!({name},{field})")).ok_or_else(|| {
                    format!("struct {name} of this libwebsockets has no field {field}")
                })?;
            c += &format!(
                "_Static_assert(offsetof(struct {name}, {field}) == {offset}, \"{name}.{field}\");\n"
            );
        }
    }
    Ok(c)
}

/// The number in bindgen's assertion `EXPRESSION - NUMBERusize`.
fn fact(compact: &str, expression: &str) -> Option<usize> {
    let at = compact.find(&format!("{expression}-"))? + expression.len() + 1;
    let digits: String = compact[at..]
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}
