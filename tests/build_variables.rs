//! The variables of the build, and what a build says that can't go on.

#![cfg(all(target_os = "linux", feature = "keylog"))]

mod common;

use common::cargo::{build_echo_server, package, stderr, Workshop};
use common::temp::TempDir;
use common::WAIT;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
fn the_name_of_the_variable_is_chosen_by_the_build() {
    for (name, expected) in [("ACME_KEYS", &["ACME_KEYS"][..]), ("", &[])] {
        let program = build_echo_server("keylog-variable", "keylog", &[("LWS_KEYLOG_ENV", name)]);
        assert_eq!(honoured(&program), expected, "LWS_KEYLOG_ENV={name}");
    }
}

/// A check of the library in a folder, with the key log and no more.
fn check(workshop: &Workshop, package: &Path) -> Command {
    let mut cargo = workshop.cargo(package);
    cargo.args(["check", "--quiet", "--lib", "--no-default-features"]);
    cargo.args(["--features", "keylog"]);
    cargo
}

/// What a build says that fails with this name.
fn refusal(name: &str) -> String {
    let workshop = Workshop::enter();
    let output = check(&workshop, package())
        .env("LWS_KEYLOG_ENV", name)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{name:?} is accepted");
    stderr(&output)
}

#[test]
fn a_name_that_no_variable_can_have_is_quoted_with_the_rule() {
    let long = "X".repeat(129);
    for name in ["bad name", "1ST", "A=B", "É", &long] {
        let text = refusal(name);
        assert!(text.contains(&format!("{name:?}")), "{text}");
        assert!(text.contains("[A-Za-z_][A-Za-z0-9_]*"), "{text}");
        assert!(text.contains("128"), "{text}");
    }
}

/// Copies a folder, without what `skip` names.
fn copy(from: &Path, to: &Path, skip: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if skip.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, skip);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

#[test]
fn a_checkout_without_the_c_library_says_how_to_get_it() {
    let dir = TempDir::new();
    let copied = dir.file("checkout");
    std::fs::create_dir(&copied).unwrap();
    for file in ["Cargo.toml", "Cargo.lock", "build.rs"] {
        std::fs::copy(package().join(file), copied.join(file)).unwrap();
    }
    for folder in ["build", "csrc", "src", "xtask", "examples"] {
        copy(&package().join(folder), &copied.join(folder), &["target"]);
    }
    let workshop = Workshop::enter();
    let output = check(&workshop, &copied).output().unwrap();
    assert!(!output.status.success());
    let text = stderr(&output);
    assert!(text.contains("cargo xtask vendor"), "{text}");
    assert!(text.contains("vendor/libwebsockets"), "{text}");
}

#[test]
fn a_crate_that_depends_on_this_one_learns_what_was_built_and_builds_it_once() {
    let dir = TempDir::new();
    let dependent = dir.path();
    std::fs::create_dir(dir.file("src")).unwrap();
    std::fs::write(dir.file("src/lib.rs"), "").unwrap();
    std::fs::copy(package().join("Cargo.lock"), dir.file("Cargo.lock")).unwrap();
    let manifest = format!(
        "[package]\nname = \"dependent\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
         links = \"dependent\"\n[workspace]\n[dependencies.libwebsockets]\npath = {:?}\n\
         default-features = false\nfeatures = [\"keylog\"]\n",
        package()
    );
    std::fs::write(dir.file("Cargo.toml"), manifest).unwrap();
    let script = r#"fn main() {
        let value = |name: &str| std::env::var(name).unwrap();
        assert_eq!(value("DEP_WEBSOCKETS_KEYLOG_ENV"), "ACME_KEYS");
        assert_eq!(value("DEP_WEBSOCKETS_VERSION"), "4.3.5");
        let include = std::path::PathBuf::from(value("DEP_WEBSOCKETS_INCLUDE"));
        assert!(include.join("lws_config.h").is_file());
        assert!(include.join("libwebsockets.h").is_file());
    }"#;
    std::fs::write(dir.file("build.rs"), script).unwrap();
    let workshop = Workshop::enter();
    let check = || {
        let mut cargo = workshop.cargo(dependent);
        cargo.args(["check", "--verbose", "--offline"]);
        let output = cargo.env("LWS_KEYLOG_ENV", "ACME_KEYS").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    check();
    let again = check();
    assert!(again.contains("Fresh libwebsockets v"), "{again}");
}
