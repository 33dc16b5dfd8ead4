//! The variables of the build, and what a build says that can't go on.

#![cfg(all(target_os = "linux", feature = "keylog"))]

mod common;

use common::cargo::{
    self, build_dir, build_echo_server, cargo_program, package, stderr, Workshop, FEATURES,
    WITHOUT_KEYLOG,
};
use common::temp::{copy, TempDir};
use common::WAIT;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

/// An example server that runs until this is dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts it with these variables, and no others that ask for a key log.
    fn start(program: &Path, variables: &[(&str, &Path)]) -> Server {
        let mut command = Command::new(program);
        command
            .arg("--tls")
            .env_remove("LWS_SSLKEYLOGFILE")
            .env_remove("SSLKEYLOGFILE")
            .env_remove("ACME_KEYS")
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.envs(variables.iter().copied());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
        let mut server = Server {
            child,
            url: String::new(),
        };
        server.url = url.unwrap_or_else(|| panic!("it doesn't listen: {line:?}"));
        server
    }

    /// Makes a connection to it, with an exchange of messages.
    fn visit(&self) {
        use libwebsockets::tls::ClientTls;
        let client = common::client_context();
        let (probe, events) = common::probe();
        let to = libwebsockets::Client::new(&self.url)
            .unwrap()
            .tls(ClientTls::new().danger_accept_anything());
        let connecting = client.handle.connect(to, probe).unwrap();
        let id = connecting.wait(WAIT).unwrap();
        assert_eq!(events.open(), id);
        client.handle.send(id, "hello").unwrap();
        assert_eq!(events.message().as_text(), Some("hello"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Which of the variables' files a server writes that was built like this.
fn honoured(program: &Path) -> Vec<String> {
    let dir = TempDir::new();
    let names = ["ACME_KEYS", "LWS_SSLKEYLOGFILE", "SSLKEYLOGFILE"];
    let files = names.map(|name| dir.file(name));
    let variables: Vec<_> = names
        .into_iter()
        .zip(files.iter().map(PathBuf::as_path))
        .collect();
    let server = Server::start(program, &variables);
    server.visit();
    drop(server);
    dir.names()
}

// One test, so that the builds come one after the other and share a folder: each
// builds the C library anew.
#[test]
fn variable_name_chosen_at_build() {
    for (name, expected) in [("ACME_KEYS", &["ACME_KEYS"][..]), ("", &[])] {
        let program = build_echo_server("keylog-variable", FEATURES, &[("LWS_KEYLOG_ENV", name)]);
        assert_eq!(honoured(&program), expected, "LWS_KEYLOG_ENV={name}");
    }
}

/// A check of the library in a folder.
fn check(workshop: &Workshop, package: &Path) -> Command {
    let mut cargo = workshop.cargo(package);
    cargo.args(["check", "--lib", "--no-default-features"]);
    cargo.args(["--features", FEATURES]);
    cargo
}

/// What a build says that fails with these variables.
#[track_caller]
fn refusal<V: AsRef<OsStr>>(variables: &[(&str, V)]) -> String {
    let workshop = Workshop::enter();
    let mut check = check(&workshop, package());
    check.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = check.output().unwrap();
    assert!(!output.status.success(), "it is built");
    stderr(&output)
}

#[test]
fn a_name_that_no_variable_can_have_is_quoted_with_the_rule() {
    let long = "X".repeat(129);
    let invalid = OsStr::from_bytes(b"NOT_\xff_UTF8");
    let names = ["bad name", "1ST", "A=B", "É", &long].map(OsStr::new);
    for name in names.into_iter().chain([invalid]) {
        let text = refusal(&[("LWS_KEYLOG_ENV", name)]);
        assert!(
            text.contains(&format!("{:?}", name.to_string_lossy())),
            "{text}"
        );
        assert!(text.contains("[A-Za-z_][A-Za-z0-9_]*"), "{text}");
        assert!(text.contains("128"), "{text}");
    }
}

// Lost: a build for another architecture than the target's.
#[test]
fn windows_on_what_mingw_is_not_told_of_is_refused() {
    for arch in ["i686", "aarch64"] {
        let abi = if arch == "i686" { "gnu" } else { "gnullvm" };
        let workshop = Workshop::enter();
        let mut check = workshop.cargo(package());
        check.args(["check", "--lib", "--no-default-features"]);
        check.args(["--target", &format!("{arch}-pc-windows-{abi}")]);
        // Dependencies for a target whose standard library isn't here fail, too.
        let output = check.arg("--keep-going").output().unwrap();
        assert!(!output.status.success(), "it is built");
        let text = stderr(&output);
        let arch = if arch == "i686" { "x86" } else { arch };
        assert!(text.contains(&format!("Windows on {arch}")), "{text}");
        assert!(text.contains("x86_64-pc-windows-gnu"), "{text}");
    }
}

#[test]
fn a_path_that_cargo_cannot_pass_on_is_quoted() {
    for variable in ["LWS_SOURCE_DIR", "LWS_DIR"] {
        let text = refusal(&[(variable, OsStr::from_bytes(b"/opt/caf\xe9"))]);
        assert!(
            text.contains(&format!("{variable} is \"/opt/caf\u{fffd}\"")),
            "{text}"
        );
        assert!(text.contains("UTF-8"), "{text}");
    }
}

#[test]
fn an_unknown_sanitizer_is_quoted_with_the_known_ones() {
    let text = refusal(&[("LWS_SANITIZE", "adress")]);
    assert!(text.contains("LWS_SANITIZE is \"adress\""), "{text}");
    assert!(
        text.contains("address, thread, undefined or address,undefined"),
        "{text}"
    );
}

#[test]
fn a_cmake_that_cannot_run_is_named_with_its_variable() {
    let text = refusal(&[("CMAKE", "/nonexistent/cmake")]);
    assert!(text.contains("cannot run \"/nonexistent/cmake\""), "{text}");
    assert!(text.contains("variable CMAKE"), "{text}");
}

// Lost: the minutes that the C library takes to compile, and a word on what is missing.
#[test]
fn a_libclang_that_cannot_be_loaded_is_named_with_what_to_install() {
    let dir = TempDir::new();
    // The newest by its name, and nothing but the beginning of a library. Bindgen itself watches
    // the variable LIBCLANG_PATH, and would be compiled again.
    std::fs::write(dir.file("libclang-999.so"), b"\x7fELF\x02").unwrap();
    let text = refusal(&[
        ("LD_LIBRARY_PATH", dir.path()),
        ("LWS_KEYLOG_ENV", Path::new("NO_LIBCLANG")),
    ]);
    assert!(text.contains("cannot load libclang"), "{text}");
    assert!(text.contains("libclang-dev"), "{text}");
    assert!(text.contains("LIBCLANG_PATH"), "{text}");
    assert!(text.contains("libclang-999.so"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

// Lost: cross builds that need other settings than those for the host.
#[test]
fn a_variable_for_the_target_alone_goes_before_the_general_one() {
    let version = Command::new(cargo_program()).arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let target = host.unwrap().replace('-', "_");
    for (name, specific, general) in [
        ("LWS_DIR", "/nonexistent/specific", "/nonexistent/general"),
        ("LWS_KEYLOG_ENV", "not specific", "not general"),
    ] {
        let for_target = format!("{name}_{target}");
        let text = refusal(&[(for_target.as_str(), specific), (name, general)]);
        assert!(text.contains(specific), "{text}");
        assert!(!text.contains(general), "{text}");
    }
}

// Only headers are made, as for docs.rs, and without TLS: that takes a fifth of the time.
#[test]
fn the_generator_and_the_compiler_may_be_others_than_before() {
    let run = |generator: &str, path: &OsStr, docs_rs: &str| {
        let workshop = Workshop::enter();
        let mut cargo = workshop.cargo(package());
        cargo.env("PATH", path).env("DOCS_RS", docs_rs);
        cargo::check(cargo, "", &[("CMAKE_GENERATOR", generator)])
    };
    let path = std::env::var_os("PATH").unwrap();
    let unknown = run("No Such Generator", &path, "1").unwrap_err();
    assert!(unknown.contains("No Such Generator"), "{unknown}");
    for generator in ["Unix Makefiles", "Ninja"] {
        run(generator, &path, "1").unwrap();
    }

    // Found by the path: other crates watch the variable `CC`, and would be compiled again.
    let dir = TempDir::new();
    let compiler = dir.file("cc");
    std::fs::write(&compiler, "#!/bin/sh\nexec gcc \"$@\"\n").unwrap();
    std::fs::set_permissions(&compiler, PermissionsExt::from_mode(0o755)).unwrap();
    let folders = [dir.path().to_owned()].into_iter();
    let other = std::env::join_paths(folders.chain(std::env::split_paths(&path))).unwrap();
    // CMake would configure it without the switches, the way its makers do. Another value
    // of the variable has the build script run.
    run("Ninja", &other, "2").unwrap();
}

/// The variables of the build that README names, but for those of other features.
fn documented() -> Vec<String> {
    let text = std::fs::read_to_string(package().join("README.md")).unwrap();
    let (_, text) = text.split_once("\nThe library is searched for").unwrap();
    let (text, _) = text.split_once("\nBuild scripts of crates").unwrap();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let words = text.split('`').skip(1).step_by(2);
    let mut names: Vec<_> = words
        .filter(|word| word.contains('_') || word.starts_with('C'))
        .filter(|word| word.chars().all(is_name))
        .map(str::to_owned)
        .collect();
    // That of a log is read when a program runs.
    names.retain(|name| name != "LWS_SSLKEYLOGFILE");
    assert!(names.len() > 10, "{names:?}");
    names
}

// Lost: seconds, at each build of a program that uses this crate; or a build of what
// was asked for.
#[test]
fn what_has_not_changed_is_not_built_again() {
    let workshop = Workshop::enter();
    let run = |name: &str| {
        let mut check = check(&workshop, package());
        let output = check
            .env("LWS_KEYLOG_ENV", name)
            .arg("-vv")
            .output()
            .unwrap();
        let text = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        text
    };
    let is_fresh = |text: &str| text.contains("Fresh libwebsockets ");
    run("ACME_KEYS");
    for name in ["ACME_KEYS", "OTHER_KEYS"] {
        let text = run(name);
        let fresh = is_fresh(&text);
        assert_eq!(
            fresh,
            name == "ACME_KEYS",
            "{name}: a new name, a new build"
        );
        if !fresh {
            for name in documented() {
                let watched = format!("cargo:rerun-if-env-changed={name}\n");
                // Those of OpenSSL by its own crate.
                let is_others = name == "OPENSSL_DIR";
                assert!(is_others || text.contains(&watched), "{name} isn't watched");
            }
        }
        let library = compiled(&workshop);
        assert!(is_fresh(&run(name)), "the crate is built again");
        assert_eq!(
            compiled(&workshop),
            library,
            "the C library is compiled again"
        );
    }
}

/// When the C libraries in the workshop were compiled.
fn compiled(workshop: &Workshop) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    // Cargo before 1.91 knows of one folder alone.
    let folders = [build_dir(), workshop.target()].map(|dir| dir.join("debug/build"));
    let folders = folders.into_iter().filter_map(|dir| dir.read_dir().ok());
    for entry in folders.flatten() {
        let path = entry
            .unwrap()
            .path()
            .join("out/lwsNinja/build/lib/libwebsockets.a");
        if let Ok(about) = path.metadata() {
            found.push((path, about.modified().unwrap()));
        }
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

/// A checkout of this crate, without what git doesn't keep.
fn checkout(copied: &Path) {
    std::fs::create_dir(copied).unwrap();
    for file in ["Cargo.toml", "Cargo.lock", "build.rs"] {
        std::fs::copy(package().join(file), copied.join(file)).unwrap();
    }
    for folder in [
        "build",
        "csrc",
        "src",
        "xtask",
        "bench",
        "conformance",
        "models",
        "examples",
    ] {
        copy(&package().join(folder), &copied.join(folder), &["target"]);
    }
}

#[test]
fn a_checkout_without_the_c_library_says_how_to_get_it() {
    let dir = TempDir::new();
    let copied = dir.file("checkout");
    checkout(&copied);
    let workshop = Workshop::enter();
    // The variable says no to pkg-config with these values.
    for use_pkg_config in ["", "0"] {
        let mut check = check(&workshop, &copied);
        let output = check
            .env("LWS_USE_PKG_CONFIG", use_pkg_config)
            .output()
            .unwrap();
        assert!(!output.status.success());
        let text = stderr(&output);
        assert!(text.contains("cargo xtask vendor"), "{text}");
        assert!(text.contains("vendor/libwebsockets"), "{text}");
    }
}

/// What a build script learns of this crate, built with these features and this
/// name: one line for each variable.
fn dependents_view(features: &str, name: &str) -> String {
    let dir = TempDir::new();
    let answers = dir.file("answers");
    std::fs::create_dir(dir.file("src")).unwrap();
    std::fs::write(dir.file("src/lib.rs"), "").unwrap();
    std::fs::copy(package().join("Cargo.lock"), dir.file("Cargo.lock")).unwrap();
    let features: Vec<_> = features.split(',').collect();
    let manifest = format!(
        "[package]\nname = \"dependent\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         links = \"dependent\"\n[workspace]\n[dependencies.libwebsockets]\npath = {:?}\n\
         default-features = false\nfeatures = {features:?}\n",
        package()
    );
    std::fs::write(dir.file("Cargo.toml"), manifest).unwrap();
    let script = r#"fn main() {
        let value = |name: &str| std::env::var(format!("DEP_WEBSOCKETS_{name}"));
        let include = std::path::PathBuf::from(value("INCLUDE").unwrap());
        assert!(include.join("lws_config.h").is_file());
        assert!(include.join("libwebsockets.h").is_file());
        let text = format!("{:?}\n{:?}", value("VERSION").ok(), value("KEYLOG_ENV").ok());
        std::fs::write(std::env::var_os("ANSWERS").unwrap(), text).unwrap();
    }"#;
    std::fs::write(dir.file("build.rs"), script).unwrap();
    let workshop = Workshop::enter();
    let output = workshop
        .cargo(dir.path())
        .args(["check", "--quiet", "--offline"])
        .env("LWS_KEYLOG_ENV", name)
        .env("ANSWERS", &answers)
        // Only headers are made.
        .env("DOCS_RS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    std::fs::read_to_string(&answers).unwrap()
}

#[test]
fn a_crate_that_depends_on_this_one_learns_what_was_built() {
    for (features, name, learnt) in [
        (FEATURES, "ACME_KEYS", "Some(\"ACME_KEYS\")"),
        (FEATURES, "", "Some(\"\")"),
        (WITHOUT_KEYLOG, "ACME_KEYS", "None"),
    ] {
        let expected = format!("Some(\"4.3.5\")\n{learnt}");
        assert_eq!(dependents_view(features, name), expected);
    }
}
