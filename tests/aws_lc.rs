//! AWS-LC in OpenSSL's place, and programs that use both.

#![cfg(all(feature = "aws-lc", target_os = "linux"))]

mod common;

use common::cargo::{build_dir, cargo, package, stderr};
use common::certs::Ca;
use common::temp::TempDir;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Where this run's own builds are: AWS-LC takes a minute, and is there already. By the very
/// path of the build folder, or Cargo waits for a lock that it holds itself.
fn target() -> PathBuf {
    build_dir().to_owned()
}

/// Builds a program of `tests/aws_lc`, as a package that turns on `tls` and `aws-lc` both.
fn build(name: &str, dir: &TempDir) -> PathBuf {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n\
         [[bin]]\nname = \"{name}\"\npath = {:?}\n\
         [dependencies]\nopenssl = \"0.10\"\naws-lc-sys = \"0.47\"\n\
         [dependencies.libwebsockets]\npath = {:?}\n\
         default-features = false\nfeatures = [\"keylog\", \"tls\", \"aws-lc\"]\n",
        package().join(format!("tests/aws_lc/{name}.rs")),
        package()
    );
    std::fs::write(dir.file("Cargo.toml"), manifest).unwrap();
    std::fs::copy(package().join("Cargo.lock"), dir.file("Cargo.lock")).unwrap();
    let output = cargo(dir.path(), &target())
        .args(["build", "--quiet"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let program = dir.file("program");
    std::fs::copy(target().join("debug").join(name), &program).unwrap();
    program
}

fn run(dir: &TempDir, program: &Path) -> Output {
    let ca = Ca::new();
    let identity = ca.sign(&["localhost"]);
    let files = [
        ("ca.pem", &ca.pem),
        ("cert.pem", &identity.cert),
        ("key.pem", &identity.key),
    ];
    let mut command = Command::new(program);
    for (name, text) in files {
        std::fs::write(dir.file(name), text).unwrap();
        command.arg(dir.file(name));
    }
    command.output().unwrap()
}

#[cfg(feature = "keylog")]
#[test]
fn the_library_says_who_it_is() {
    let name = libwebsockets::keylog::capability().tls_library;
    assert!(name.starts_with("AWS-LC "), "{name}");
}

/// Lost: a program that mixes two libraries' functions, for both are called `SSL_new`.
#[test]
fn a_program_may_use_openssl_as_well() {
    let dir = TempDir::new();
    let output = run(&dir, &build("both", &dir));
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let [openssl, own] = lines[..] else {
        panic!("{text}");
    };
    assert!(openssl.starts_with("OpenSSL "), "{openssl}");
    assert!(own.starts_with("AWS-LC "), "{own}");
}

/// Lost: a program that mixes them after all, where a third crate brings AWS-LC's own names.
#[test]
fn a_program_whose_libraries_are_mixed_up_is_told_the_way_out() {
    let dir = TempDir::new();
    let output = Command::new(build("mixed", &dir)).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("use the feature tls instead"), "{text}");
}

/// Checks the library with these features and variables.
fn check(features: &str, variables: &[(&str, &Path)]) -> Result<(), String> {
    common::cargo::check(cargo(package(), &target()), features, variables)
}

/// Lost: a program that believes to have AWS-LC, and has the TLS library that an installed
/// libwebsockets was built with; or both.
#[test]
fn an_installed_library_is_refused_with_the_way_out() {
    let dir = TempDir::new();
    for variable in [
        ("LWS_DIR", dir.path()),
        ("LWS_USE_PKG_CONFIG", Path::new("1")),
    ] {
        let text = check("aws-lc,keylog", &[variable]).unwrap_err();
        let said = "Unset LWS_DIR and LWS_USE_PKG_CONFIG, or turn the feature off";
        assert!(text.contains("feature `aws-lc`"), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

/// Lost: a build that fails because another crate of the program turns on `system`. No
/// package is known to pkg-config here.
#[test]
fn aws_lc_goes_before_an_installed_library_that_a_feature_asks_for() {
    let dir = TempDir::new();
    let none = [
        ("PKG_CONFIG_LIBDIR", dir.path()),
        ("PKG_CONFIG_PATH", dir.path()),
    ];
    let without = check("tls,keylog,system", &none).unwrap_err();
    assert!(without.contains("pkg-config"), "{without}");
    check("aws-lc,keylog,system", &none).unwrap();
}
