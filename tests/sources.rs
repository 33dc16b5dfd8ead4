//! Where the C library comes from: a tree, an installed library, and what is
//! said of one that won't do.

#![cfg(all(target_os = "linux", feature = "tls", feature = "deflate"))]

mod common;

use common::cargo::{package, stderr, Workshop};
use common::temp::TempDir;
use std::path::Path;
use std::process::Command;

/// Builds and links the crate against what the variables name. As a C library,
/// so that every symbol has to be there.
fn build(variables: &[(&str, &Path)]) -> Result<(), String> {
    build_with("tls,deflate", variables)
}

fn build_with(features: &str, variables: &[(&str, &Path)]) -> Result<(), String> {
    let workshop = Workshop::enter();
    let mut command = workshop.cargo(package());
    command
        .args(["rustc", "--quiet", "--lib", "--crate-type", "cdylib"])
        .args(["--no-default-features", "--features", features])
        .args(["--", "-Clink-arg=-Wl,-z,defs"])
        .envs(variables.iter().copied());
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(stderr(&output)),
    }
}

/// Installs the vendored library below a prefix, as a packager would.
fn install(prefix: &Path) {
    let build = TempDir::new();
    let tree = package().join("vendor/libwebsockets");
    let run = |command: &mut Command| {
        let output = command.output().expect("cmake: run `cargo xtask setup`");
        assert!(output.status.success(), "{}", stderr(&output));
    };
    let on = ["LWS_WITH_SHARED", "LWS_WITH_STATIC", "LWS_WITH_ZLIB"];
    let also = ["LWS_WITHOUT_TESTAPPS", "DISABLE_WERROR", "LWS_STATIC_PIC"];
    let off = ["LWS_WITHOUT_EXTENSIONS", "LWS_WITH_EVLIB_PLUGINS"];
    run(Command::new("cmake")
        .arg(&tree)
        .arg(format!("-DCMAKE_INSTALL_PREFIX={}", prefix.display()))
        .args(["-DCMAKE_BUILD_TYPE=Release", "-DLWS_MAX_SMP=2"])
        .args(["-DLWS_HAVE_MALLOC_USABLE_SIZE=0"])
        .arg("-DCMAKE_POLICY_VERSION_MINIMUM=3.5")
        .args(on.iter().chain(&also).map(|name| format!("-D{name}=ON")))
        .args(off.map(|name| format!("-D{name}=OFF")))
        .current_dir(build.path()));
    run(Command::new("cmake")
        .args(["--build", ".", "--parallel", "2", "--target", "install"])
        .current_dir(build.path()));
}

// One test, for the library is built once: an installed library serves, by its
// prefix and by pkg-config.
#[test]
fn an_installed_library_serves_by_prefix_and_by_pkg_config() {
    let dir = TempDir::new();
    let prefix = dir.path();
    install(prefix);
    build(&[("LWS_DIR", prefix)]).unwrap();
    let pkg_config = prefix.join("lib/pkgconfig");
    build_with("tls,deflate,system", &[("PKG_CONFIG_PATH", &pkg_config)]).unwrap();
    // The variable asks for the same; nothing is there to be found.
    let variables = [
        ("LWS_USE_PKG_CONFIG", "1"),
        ("PKG_CONFIG_LIBDIR", "/nonexistent"),
    ];
    let text = build(&variables.map(|(name, value)| (name, Path::new(value)))).unwrap_err();
    assert!(text.contains("pkg-config"), "{text}");
}

#[test]
fn a_tree_elsewhere_is_compiled_and_something_else_is_refused() {
    let dir = TempDir::new();
    let link = dir.file("tree");
    std::os::unix::fs::symlink(package().join("vendor/libwebsockets"), &link).unwrap();
    build(&[("LWS_SOURCE_DIR", &link)]).unwrap();
    let text = build(&[("LWS_SOURCE_DIR", dir.path())]).unwrap_err();
    assert!(text.contains("CMakeLists.txt"), "{text}");
    assert!(text.contains(&dir.path().display().to_string()), "{text}");
}

#[test]
fn a_library_of_another_version_is_refused_with_the_range() {
    let dir = TempDir::new();
    let include = dir.file("include");
    std::fs::create_dir(&include).unwrap();
    std::fs::create_dir(dir.file("lib")).unwrap();
    std::fs::write(include.join("libwebsockets.h"), "").unwrap();
    std::fs::write(dir.file("lib/libwebsockets.a"), "").unwrap();
    let config = "#define LWS_LIBRARY_VERSION_MAJOR 4\n#define LWS_LIBRARY_VERSION_MINOR 1\n\
                  #define LWS_LIBRARY_VERSION_PATCH 6\n";
    std::fs::write(include.join("lws_config.h"), config).unwrap();
    let text = build(&[("LWS_DIR", dir.path())]).unwrap_err();
    assert!(text.contains("4.1.6") && text.contains("4.3.0"), "{text}");
    let text = build(&[("LWS_DIR", Path::new("/nonexistent"))]).unwrap_err();
    assert!(
        text.contains("LWS_DIR") && text.contains("libwebsockets.h"),
        "{text}"
    );
}
