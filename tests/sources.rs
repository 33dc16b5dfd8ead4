//! Where the C library comes from: a tree, an installed library, and what is
//! said of one that won't do.

#![cfg(all(target_os = "linux", feature = "keylog", feature = "deflate"))]

mod common;

use common::cargo::{
    self, build_example, cmake, package, stderr, verdict, Workshop, WITHOUT_KEYLOG,
};
use common::temp::{copy, TempDir};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Builds and links the crate against what the variables name. As a C library,
/// so that every symbol has to be there.
fn build(features: &str, variables: &[(&str, &Path)]) -> Result<(), String> {
    let workshop = Workshop::enter();
    let mut command = workshop.cargo(package());
    command
        .args(["rustc", "--quiet", "--lib", "--crate-type", "cdylib"])
        .args(["--no-default-features", "--features", features])
        .args(["--", "-Clink-arg=-Wl,-z,defs"])
        .envs(variables.iter().copied());
    verdict(&command.output().unwrap())
}

/// As [`build`], without compiling more than the build script.
fn check<V: AsRef<OsStr>>(features: &str, variables: &[(&str, V)]) -> Result<(), String> {
    let workshop = Workshop::enter();
    cargo::check(workshop.cargo(package()), features, variables)
}

/// The vendored library, installed below a prefix as a packager would, both shared and
/// static. It is compiled once for all tests.
fn installed() -> &'static Path {
    static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| {
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("installed");
        let _ = std::fs::remove_dir_all(&prefix);
        install(&prefix);
        prefix
    });
    &PREFIX
}

fn install(prefix: &Path) {
    let build = TempDir::new();
    cmake(|cmake| {
        cmake
            .arg(package().join("vendor/libwebsockets"))
            .arg(format!("-DCMAKE_INSTALL_PREFIX={}", prefix.display()))
            .args(["-DCMAKE_BUILD_TYPE=None", "-DDISABLE_WERROR=ON"])
            .arg("-DCMAKE_POLICY_VERSION_MINIMUM=3.5")
            .args(["-DLWS_WITHOUT_TESTAPPS=ON", "-DLWS_WITH_EVLIB_PLUGINS=OFF"])
            .args(["-DLWS_WITHOUT_EXTENSIONS=OFF", "-DLWS_WITH_ZLIB=ON"])
            .args(["-DLWS_WITH_SHARED=ON", "-DLWS_WITH_STATIC=ON"])
            .args(["-DLWS_STATIC_PIC=ON", "-DLWS_MAX_SMP=2"])
            .arg("-DLWS_HAVE_MALLOC_USABLE_SIZE=0")
            .current_dir(build.path())
    });
    cmake(|cmake| {
        cmake
            .args(["--build", ".", "--parallel", "2", "--target", "install"])
            .current_dir(build.path())
    });
}

/// Builds the example `keylog` against a prefix.
fn keylog_example(kind: &str, prefix: &Path) -> PathBuf {
    build_example("keylog", kind, "keylog,tls,deflate", &[("LWS_DIR", prefix)])
}

fn run(program: &Path, prefix: &Path) -> Output {
    Command::new(program)
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        // Nobody is there. A library as its makers build it takes them for a proxy.
        .env("http_proxy", "127.0.0.1:1")
        .env("socks_proxy", "127.0.0.1:1")
        .output()
        .unwrap()
}

#[test]
fn an_installed_library_serves_by_prefix_and_by_pkg_config() {
    let prefix = installed();

    // Three contexts, handshakes of both versions of TLS, the key log on and off,
    // and what tshark reads with it: the example checks all that itself.
    let program = keylog_example("installed", prefix);
    let output = run(&program, prefix);
    assert!(output.status.success(), "{}", stderr(&output));

    let pkg_config = prefix.join("lib/pkgconfig");
    build("tls,deflate,system", &[("PKG_CONFIG_PATH", &pkg_config)]).unwrap();

    let dir = TempDir::new();
    pretend_5_0(prefix, dir.path());
    check("keylog,tls,deflate", &[("LWS_DIR", dir.path())]).unwrap();
}

/// A prefix with the installed library alone that is static, and other defines.
fn only_static(prefix: &Path, defines: impl Fn(&str) -> String) {
    copy(&installed().join("include"), &prefix.join("include"), &[]);
    std::fs::create_dir(prefix.join("lib")).unwrap();
    let library = Path::new("lib/libwebsockets.a");
    std::fs::copy(installed().join(library), prefix.join(library)).unwrap();
    let header = prefix.join("include/lws_config.h");
    let text = std::fs::read_to_string(&header).unwrap();
    let changed = defines(&text);
    assert_ne!(changed, text);
    std::fs::write(&header, changed).unwrap();
}

// Lost: the memory safety of two contexts on two threads.
#[test]
fn a_library_without_locks_gives_one_context_and_says_why_no_second() {
    let without_locks = |text: &str| text.replace("#define LWS_MAX_SMP 2", "#define LWS_MAX_SMP 1");
    // With locks, but for the count of allocated bytes.
    let count = |text: &str| {
        text.replace(
            "/* #undef LWS_HAVE_MALLOC_USABLE_SIZE */",
            "#define LWS_HAVE_MALLOC_USABLE_SIZE",
        )
    };
    for defines in [without_locks as fn(&str) -> String, count] {
        let dir = TempDir::new();
        only_static(dir.path(), defines);
        let program = keylog_example("single", dir.path());
        let output = run(&program, dir.path());
        let text = stderr(&output);
        assert!(!output.status.success(), "it got its three contexts");
        assert!(text.contains("LWS_MAX_SMP"), "{text}");
        assert!(text.contains("LWS_HAVE_MALLOC_USABLE_SIZE"), "{text}");
    }
}

/// What is known of 5.0's headers and could touch a binding: file, 4.3's text,
/// and 5.0's. There is no tree of 5.0 to test with.
const IN_5_0: &[(&str, &str, &str)] = &[
    ("lws_config.h", "_VERSION_MAJOR 4", "_VERSION_MAJOR 5"),
    ("lws_config.h", "_VERSION_MINOR 3", "_VERSION_MINOR 0"),
    (
        "lws_config.h",
        "/* #undef LWS_WITH_IPV6 */",
        "#define LWS_WITH_IPV6\n#define LWS_HAVE_SSL_CTX_set_keylog_callback",
    ),
    (
        "libwebsockets/lws-protocols-plugins.h",
        "lws_finalize_startup(struct lws_context *context)",
        "lws_finalize_startup(struct lws_context *context, const char *where)",
    ),
    (
        "libwebsockets/lws-network-helper.h",
        "void\nlws_get_peer_addresses",
        "int\nlws_get_peer_addresses",
    ),
    (
        "libwebsockets/lws-vfs.h",
        "(*LWS_FOP_OPEN)(const struct lws_plat_file_ops *fops,",
        "(*LWS_FOP_OPEN)(const struct lws_plat_file_ops *own, const struct lws_plat_file_ops *fops,",
    ),
    (
        "libwebsockets/lws-async-dns.h",
        "struct lws *wsi, void *opaque);",
        "struct lws *wsi, void *opaque, void *more);",
    ),
    (
        "libwebsockets/lws-callbacks.h",
        "\tLWS_CALLBACK_USER = 1000,",
        "\tLWS_CALLBACK_ONE_MORE = 999,\n\tLWS_CALLBACK_USER = 1000,",
    ),
    (
        "libwebsockets/lws-client.h",
        "\tstruct lws_sequencer *seq;",
        "\tint local_port;\n\tconst char *auth_username, *auth_password;",
    ),
    (
        "libwebsockets/lws-client.h",
        "\tvoid *_unused[4];",
        "#if !defined(__STRICT_ANSI__)\n\tvoid *_unused[4];\n#endif\n\tint allow_reserved_bits;",
    ),
    (
        "libwebsockets/lws-context-vhost.h",
        "\tvoid *_unused[2];",
        "#if !defined(__STRICT_ANSI__)\n\tvoid *_unused[2];\n#endif\n\tint vh_listen_sockfd;",
    ),
    (
        "libwebsockets/lws-context-vhost.h",
        "#define LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE",
        "#define LWS_SERVER_OPTION_DISABLE_UTF8_VALIDATION (1ll << 34)\n\
         #define LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE",
    ),
];

/// A prefix with an installed library's headers, changed to those of 5.0.
fn pretend_5_0(installed: &Path, prefix: &Path) {
    let include = prefix.join("include");
    copy(&installed.join("include"), &include, &[]);
    for (file, old, new) in IN_5_0 {
        let path = include.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} has no {old:?}");
        std::fs::write(&path, text.replace(old, new)).unwrap();
    }
    std::fs::create_dir(prefix.join("lib")).unwrap();
    std::fs::write(prefix.join("lib/libwebsockets.a"), "").unwrap();
}

#[test]
fn a_tree_elsewhere_is_compiled_and_something_else_is_refused() {
    // Always in the same place, so that the compiler's cache has it.
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tree");
    let _ = std::fs::remove_dir_all(&tree);
    copy(&package().join("vendor/libwebsockets"), &tree, &[]);
    // A generator of several configurations, which would have a folder for each.
    let generator = ("CMAKE_GENERATOR", Path::new("Ninja Multi-Config"));
    build(WITHOUT_KEYLOG, &[("LWS_SOURCE_DIR", &tree), generator]).unwrap();

    // Lost: bindings for the structs that the tree had, not for those it has now. Only headers
    // are made, which is enough to see what is read.
    let header = tree.join("include/libwebsockets/lws-misc.h");
    let text = std::fs::read_to_string(&header).unwrap();
    std::fs::write(&header, text + "\n#error what was added to the tree\n").unwrap();
    let variables = [
        ("LWS_SOURCE_DIR", tree.as_path()),
        ("DOCS_RS", Path::new("1")),
        generator,
    ];
    let said = check(WITHOUT_KEYLOG, &variables).unwrap_err();
    assert!(said.contains("what was added to the tree"), "{said}");

    let dir = TempDir::new();
    let text = check("keylog,tls", &[("LWS_SOURCE_DIR", dir.path())]).unwrap_err();
    assert!(text.contains("CMakeLists.txt"), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
}

/// A source tree that holds nothing but its version.
fn pretend_tree(tree: &Path, version: [&str; 3]) {
    for folder in ["include", "lib"] {
        std::fs::create_dir_all(tree.join(folder)).unwrap();
    }
    std::fs::write(tree.join("include/libwebsockets.h"), "").unwrap();
    let parts = ["MAJOR", "MINOR", "PATCH_NUMBER"];
    let lines: String = std::iter::zip(parts, version)
        .map(|(part, number)| format!("set(CPACK_PACKAGE_VERSION_{part} \"{number}\")\n"))
        .collect();
    std::fs::write(tree.join("CMakeLists.txt"), lines).unwrap();
}

// Lost: the minutes that a tree takes to compile which is refused in the end, and
// a word on what is missing from one of 5.0.
#[test]
fn a_tree_that_will_not_do_is_refused_before_it_is_compiled() {
    let dir = TempDir::new();
    let tree = dir.path();
    for (version, said) in [
        (["4", "2", "9"], "libwebsockets 4.2.9"),
        (["5", "1", "0"], "libwebsockets 5.1.0"),
        (["5", "0", "0"], "without its folder plugins/"),
    ] {
        pretend_tree(tree, version);
        let text = check("keylog,tls", &[("LWS_SOURCE_DIR", tree)]).unwrap_err();
        assert!(text.contains(said), "{text}");
        assert!(text.contains(&tree.display().to_string()), "{text}");
    }
    std::fs::create_dir(tree.join("plugins")).unwrap();
    let text = check("keylog,tls", &[("LWS_SOURCE_DIR", tree)]).unwrap_err();
    assert!(
        !text.contains("plugins/"),
        "it is cmake that refuses it now: {text}"
    );
}

/// A prefix that holds nothing but an `lws_config.h` with these defines.
fn pretend(prefix: &Path, defines: &[&str]) {
    let include = prefix.join("include");
    std::fs::create_dir_all(&include).unwrap();
    std::fs::create_dir_all(prefix.join("lib")).unwrap();
    std::fs::write(include.join("libwebsockets.h"), "").unwrap();
    std::fs::write(prefix.join("lib/libwebsockets.a"), "").unwrap();
    let lines: String = defines.iter().map(|d| format!("#define {d}\n")).collect();
    std::fs::write(include.join("lws_config.h"), lines).unwrap();
}

/// What a build says that is refused with such a prefix.
#[track_caller]
fn refusal(features: &str, defines: &[&str]) -> String {
    let dir = TempDir::new();
    pretend(dir.path(), defines);
    let text = check(features, &[("LWS_DIR", dir.path())]).unwrap_err();
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
    text
}

fn version(major: &str, minor: &str, patch: &str) -> [String; 3] {
    [
        format!("LWS_LIBRARY_VERSION_MAJOR {major}"),
        format!("LWS_LIBRARY_VERSION_MINOR {minor}"),
        format!("LWS_LIBRARY_VERSION_PATCH {patch}"),
    ]
}

#[test]
fn a_library_of_another_version_is_refused_with_the_range() {
    for (given, shown) in [(("4", "1", "6"), "4.1.6"), (("5", "1", "0"), "5.1.0")] {
        let defines = version(given.0, given.1, given.2);
        let text = refusal("keylog,tls", &defines.each_ref().map(String::as_str));
        assert!(text.contains(shown), "{text}");
        assert!(text.contains("4.3.0") && text.contains("5.1.0"), "{text}");
    }
    let text = check("keylog,tls", &[("LWS_DIR", "/nonexistent")]).unwrap_err();
    assert!(
        text.contains("LWS_DIR") && text.contains("libwebsockets.h"),
        "{text}"
    );
}

#[test]
fn a_library_that_lacks_what_a_feature_needs_is_refused_by_its_switch() {
    let version = version("4", "3", "5");
    let version = version.each_ref().map(String::as_str);
    let roles = ["LWS_ROLE_WS", "LWS_WITH_CLIENT", "LWS_WITH_SERVER"];
    let whole = [&version[..], &roles, &["LWS_WITH_TLS"]].concat();
    // What the library has more or less, the features, and what is said.
    for (defines, features, said) in [
        (
            whole[..6].to_vec(),
            "keylog,tls",
            "feature tls needs a libwebsockets built with LWS_WITH_TLS",
        ),
        (
            [&whole[..], &["LWS_WITH_MBEDTLS"]].concat(),
            "keylog,tls",
            "without LWS_WITH_MBEDTLS",
        ),
        (
            [&whole[..], &["LWS_WITHOUT_EXTENSIONS"]].concat(),
            "keylog,tls,deflate",
            "without LWS_WITHOUT_EXTENSIONS",
        ),
        (whole.clone(), "keylog,tls,ipv6", "feature ipv6"),
        (
            whole.clone(),
            "keylog,tls,unix-sockets",
            "feature unix-sockets",
        ),
        (
            [&version[..], &roles[..2]].concat(),
            "keylog,tls",
            "LWS_WITH_SERVER",
        ),
        (
            [&whole[..], &["LWS_WITH_SYS_ASYNC_DNS"]].concat(),
            "keylog,tls",
            "CVE-2025-11678",
        ),
    ] {
        let text = refusal(features, &defines);
        assert!(text.contains(said), "{text}");
    }
}

/// What the build script warns of, before it finds that there are no headers.
#[track_caller]
fn warnings(features: &str, minor: &str, switch: &str, is_patched: bool) -> String {
    let dir = TempDir::new();
    let version = version("4", minor, "0");
    let version = version.each_ref().map(String::as_str);
    let needed = ["LWS_ROLE_WS", "LWS_WITH_CLIENT", "LWS_WITH_SERVER"];
    let defines = [&version[..], &needed, &["LWS_WITH_TLS", switch]].concat();
    pretend(dir.path(), &defines);
    if is_patched {
        let header = "include/libwebsockets/lws-ws-ext.h";
        let patched = package().join("vendor/libwebsockets").join(header);
        std::fs::create_dir(dir.path().join("include/libwebsockets")).unwrap();
        std::fs::copy(patched, dir.path().join(header)).unwrap();
    }
    let workshop = Workshop::enter();
    let mut cargo = workshop.cargo(package());
    cargo
        .args(["check", "--lib", "--no-default-features"])
        .args(["--features", features])
        .env("LWS_DIR", dir.path());
    let text = stderr(&cargo.output().unwrap());
    assert!(text.contains("cannot read the headers"), "{text}");
    let is_warning = |line: &&str| line.starts_with("warning: ");
    let lines: Vec<_> = text.lines().filter(is_warning).collect();
    lines.join("\n")
}

// Lost: what a peer can do to a library that the vendored one isn't, without a word.
#[test]
fn a_library_without_our_patches_is_warned_of_and_one_with_them_is_not() {
    let none = "LWS_WITH_NOTHING";
    let text = warnings("keylog,tls,deflate", "3", none, false);
    assert!(text.contains("LWS_DIR="), "{text}");
    assert!(text.contains("lacks the patches of this crate"), "{text}");
    assert!(text.contains("permessage-deflate stays off"), "{text}");
    assert!(text.contains("turn feature `system` off"), "{text}");
    let text = warnings("tls", "3", none, false);
    assert!(!text.contains("permessage-deflate"), "{text}");
    let text = warnings("keylog,tls,deflate", "3", none, true);
    assert!(!text.contains("patches"), "{text}");
}

// Lost: secrets in a file of a program that was built without the key log.
#[test]
fn a_key_log_of_the_librarys_own_is_warned_of_where_ours_is_off() {
    let [older, newer] = [
        "LWS_HAVE_SSL_CTX_set_keylog_callback",
        "LWS_WITH_TLS_KEYLOG",
    ];
    for switch in [older, newer] {
        let text = warnings("tls", "5", switch, true);
        assert!(text.contains("SSLKEYLOGFILE"), "{text}");
        assert!(text.contains(&format!("-D{switch}=OFF")), "{text}");
    }
    for (features, minor) in [("tls", "3"), ("keylog,tls", "5")] {
        let text = warnings(features, minor, older, true);
        assert!(!text.contains("SSLKEYLOGFILE"), "{text}");
    }
}

// Lost: an hour with a key log of connections that can have no secrets.
#[test]
fn a_key_log_without_a_tls_library_is_refused() {
    let text = check::<&str>("keylog", &[]).unwrap_err();
    assert!(
        text.contains("needs a TLS library: turn on `tls`"),
        "{text}"
    );
    assert!(text.contains("or `aws-lc`"), "{text}");
}

// Lost: a build of another library than the one that was named first.
#[test]
fn a_source_tree_goes_before_a_prefix_and_a_prefix_before_pkg_config() {
    let mut variables = vec![
        ("LWS_SOURCE_DIR", "/nonexistent/tree"),
        ("LWS_DIR", "/nonexistent/prefix"),
        ("LWS_USE_PKG_CONFIG", "1"),
        ("PKG_CONFIG_LIBDIR", "/nonexistent"),
    ];
    for said in [
        "/nonexistent/tree",
        "/nonexistent/prefix",
        "pkg-config finds none",
    ] {
        // All of them are asked in vain; the first one says so. Without features, for
        // OpenSSL is asked of pkg-config, too.
        let text = check("", &variables).unwrap_err();
        assert!(text.contains(said), "{text}");
        variables.remove(0);
    }
}
