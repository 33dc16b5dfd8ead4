//! The switches of the C build that depend on features alone, each with its reason where the
//! name doesn't say it. `cargo xtask system` has this file, too.

/// The features of this crate that change what the C library is.
pub struct Features {
    pub tls: bool,
    pub deflate: bool,
    pub ipv6: bool,
    pub unix_sockets: bool,
}

/// The switches by which lws >= 4.4 has a key log of its own, keyed on `SSLKEYLOGFILE`: of
/// different versions, and each leaves it out.
pub const OWN_KEYLOG: [&str; 2] = [
    "LWS_HAVE_SSL_CTX_set_keylog_callback",
    "LWS_WITH_TLS_KEYLOG",
];

/// The switches for these features. Some are of some versions alone, and the others ignore them.
pub fn of(features: &Features) -> Vec<(&'static str, &'static str)> {
    let on = |yes: bool| if yes { "ON" } else { "OFF" };
    vec![
        ("LWS_STATIC_PIC", on(true)),
        ("LWS_WITHOUT_TESTAPPS", on(true)),
        ("LWS_WITH_MINIMAL_EXAMPLES", on(false)),
        ("LWS_WITH_EXPORT_LWSTARGETS", on(false)),
        // It would take the commit of whatever git checkout lies around it for its own.
        ("CMAKE_DISABLE_FIND_PACKAGE_Git", on(true)),
        // Compilers newer than the release warn of new things.
        ("DISABLE_WERROR", on(true)),
        // With one, two contexts on two threads race on lws' globals.
        ("LWS_MAX_SMP", "2"),
        // Its allocation counter is one of these globals.
        ("LWS_HAVE_MALLOC_USABLE_SIZE", "0"),
        ("LWS_WITH_SSL", on(features.tls)),
        ("LWS_WITHOUT_EXTENSIONS", on(!features.deflate)),
        ("LWS_WITH_ZLIB", on(features.deflate)),
        ("LWS_WITH_BUNDLED_ZLIB", on(false)),
        ("LWS_IPV6", on(features.ipv6)),
        ("LWS_UNIX_SOCK", on(features.unix_sockets)),
        // HTTP is bound later; its code is compiled, patched and tested now.
        ("LWS_WITH_HTTP2", on(true)),
        // What nobody here uses, and nobody is to reach. LEJP stays: a shared library refers to
        // it whether it is there or not.
        ("LWS_WITH_CACHE_NSCOOKIEJAR", on(false)),
        ("LWS_ROLE_RAW_FILE", on(false)),
        ("LWS_WITH_UDP", on(false)),
        ("LWS_WITH_SYS_SMD", on(false)),
        ("LWS_WITH_HTTP_BASIC_AUTH", on(false)),
        ("LWS_WITH_CONMON", on(false)),
        // Event libraries come in through event_lib_custom, never as plugins.
        ("LWS_WITH_EVLIB_PLUGINS", on(false)),
        ("LWS_WITH_NETLINK", on(false)),
        // Privileges are not its business here; where found, it would have to be linked.
        ("LWS_HAVE_LIBCAP", on(false)),
        // The http_proxy variable must not redirect an application's connections.
        ("LWS_CLIENT_HTTP_PROXYING", on(false)),
        // Two lines formatted for each connection, whoever wants them.
        ("LWS_LOG_TAG_LIFECYCLE", on(false)),
        // Its parser has a stack overflow (CVE-2025-11678).
        ("LWS_WITH_SYS_ASYNC_DNS", on(false)),
        // cmake 4 refuses the minimum that lws 4.3 declares.
        ("CMAKE_POLICY_VERSION_MINIMUM", "3.5"),
        (OWN_KEYLOG[0], "OFF"),
        (OWN_KEYLOG[1], "OFF"),
        // lws >= 4.4 has them on by default.
        ("LWS_WITH_SECURE_STREAMS", "OFF"),
        // lws 5.0: its default HTTP/3 build forces another TLS library.
        ("LWS_WITH_HTTP3", "OFF"),
        ("LWS_ROLE_QUIC", "OFF"),
        ("LWS_ROLE_H3", "OFF"),
    ]
}
