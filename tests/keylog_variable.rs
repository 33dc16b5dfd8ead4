//! The key log's variable: who reads it, when, and whom it doesn't move.

#![cfg(feature = "keylog")]

mod common;

use common::certs::Ca;
use common::peer;
use common::secrets::{lines, open_tls, randoms};
use common::temp::TempDir;
use common::{loopback, Echo, Running};
use libwebsockets::keylog::{self, env_name, KeyLog};
use libwebsockets::Context;
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for a child of this test program, which then plays a part.
const PART: &str = "LIBWEBSOCKETS_TEST_PART";
const API_PATH: &str = "LIBWEBSOCKETS_TEST_API_PATH";

/// Not a test of its own: what the children do. Each makes one connection to
/// itself, prints what its log says of itself, and ends.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .init();
    let keylog = match &*part {
        "default" => None,
        "off" => Some(KeyLog::off()),
        "file" => Some(KeyLog::file(std::env::var_os(API_PATH).unwrap())),
        other => panic!("no such part: {other}"),
    };
    let ca = Ca::new();
    let tls = ca.sign(&["localhost"]).server();
    let server = Running::start(move || {
        let builder = Context::builder().vhost(loopback().tls(tls).accept(|_| Ok(Echo)));
        match keylog {
            Some(keylog) => builder.keylog(keylog),
            None => builder,
        }
    });
    let (mut socket, _) = open_tls(server.addr(), ca.rustls_client());
    socket.send("hello".into()).unwrap();
    assert_eq!(peer::read(&mut socket), "hello".into());
    let stats = server.keylog.stats();
    let notes = keylog::capability().problems;
    println!(
        "says: source={:?} written={} problem={}{}",
        stats.requested_by,
        stats.written,
        stats.problem.map_or("none".into(), |p| p.to_string()),
        match notes.contains(&keylog::Problem::LibraryLogs) {
            true => " capable=LibraryLogs",
            false => "",
        }
    );
}

/// Runs [`child`] with these variables, and no others that matter; what it says.
fn run_child(part: &str, variables: &[(&str, &Path)]) -> String {
    let program = Command::new(std::env::current_exe().unwrap());
    run(program, part, variables).0
}

/// What it says, and the warnings that its logger got.
fn run(mut command: Command, part: &str, variables: &[(&str, &Path)]) -> (String, Vec<String>) {
    command
        .args(["child", "--exact", "--nocapture"])
        .env_remove("LWS_SSLKEYLOGFILE")
        .env_remove("SSLKEYLOGFILE")
        .env(PART, part)
        .stdin(Stdio::null());
    for (name, value) in variables {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let says = stdout.split("says: ").nth(1).expect("it says something");
    let warnings = stderr.lines().filter(|line| line.contains("WARN"));
    let says = says.lines().next().unwrap().to_owned();
    (says, warnings.map(str::to_owned).collect())
}

/// The tests of the variable need the name that this build reads.
fn variable() -> &'static str {
    env_name().expect("this build reads a variable")
}

#[test]
fn the_variable_is_honoured() {
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let says = run_child("default", &[(variable(), &path)]);
    assert_eq!(says, "source=Variable written=5 problem=none");
    assert_eq!(randoms(&lines(&path)).len(), 1);
}

#[test]
fn without_the_variable_there_is_no_log() {
    let says = run_child("default", &[]);
    assert!(says.starts_with("source=Off written=0 problem="), "{says}");
    assert!(says.contains(variable()), "it says how to get one: {says}");
    let says = run_child("default", &[(variable(), Path::new(""))]);
    assert!(says.starts_with("source=Off written=0"), "{says}");
}

/// Lost: secrets, to a file that this crate says nobody writes. OpenSSL can be built to write
/// it (`cargo xtask test --tls openssl-sslkeylog` has one), which is told.
#[test]
fn the_generic_variable_is_ignored_or_it_is_told_who_reads_it() {
    assert_ne!(variable(), "SSLKEYLOGFILE");
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    for part in ["default", "off"] {
        let program = Command::new(std::env::current_exe().unwrap());
        let (says, warnings) = run(program, part, &[("SSLKEYLOGFILE", &path)]);
        assert!(says.starts_with("source=Off written=0"), "{says}");
        let told = warnings.iter().any(|w| w.contains("enable-sslkeylog"));
        let logged = path.exists() && !lines(&path).is_empty();
        assert_eq!(told, logged, "{warnings:?}");
        assert_eq!(says.contains("capable=LibraryLogs"), logged, "{says}");
        let _ = std::fs::remove_file(&path);
    }
    assert!(dir.names().is_empty());
}

#[test]
fn the_api_goes_before_the_variable() {
    let dir = TempDir::new();
    let (by_api, by_variable) = (dir.file("api.log"), dir.file("variable.log"));
    let says = run_child("file", &[(variable(), &by_variable), (API_PATH, &by_api)]);
    assert_eq!(says, "source=Api written=5 problem=none");
    assert_eq!(dir.names(), ["api.log"]);
    std::fs::remove_file(&by_api).unwrap();
    let says = run_child("off", &[(variable(), &by_variable)]);
    assert!(says.starts_with("source=Off written=0"), "{says}");
    assert!(dir.names().is_empty());
}

#[test]
fn a_bad_path_in_the_variable_stops_no_service_and_is_told() {
    let dir = TempDir::new();
    let path = dir.missing();
    let program = Command::new(std::env::current_exe().unwrap());
    let (says, warnings) = run(program, "default", &[(variable(), &path)]);
    assert!(says.starts_with("source=Variable written=0"), "{says}");
    assert!(says.contains(&format!("{path:?}")), "{says}");
    assert!(says.contains("does not exist"), "{says}");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(warning.contains(&format!("{path:?}")), "{warning}");
    assert!(warning.contains(variable()), "{warning}");
}

/// Lost: the secrets of a privileged program, to whoever starts it with a
/// variable of his own.
#[cfg(target_os = "linux")]
#[test]
fn setuid_safe_variable() {
    use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;

    let dir = TempDir::new();
    let program = dir.file("raised");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    if std::fs::metadata(&program).unwrap().uid() != 0 {
        let why = "only root can make a program that raises privileges for others";
        return common::machine::skip(why);
    }
    mode(dir.path(), 0o755);
    mode(&program, 0o4755);
    // A folder that both users may write to, so that only the rule keeps the log away.
    let open = dir.file("open");
    std::fs::create_dir(&open).unwrap();
    mode(&open, 0o777);
    let path = open.join("keys.log");

    let mut unprivileged = Command::new(&program);
    unprivileged.uid(NOBODY).gid(NOBODY);
    let (says, warnings) = run(unprivileged, "default", &[(variable(), &path)]);
    assert!(says.starts_with("source=Variable written=0"), "{says}");
    assert!(says.contains("raised privileges"), "{says}");
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(warning.contains("raised privileges"), "{warning}");
    assert!(warning.contains(variable()), "{warning}");
    assert!(!path.exists());

    // The same program of the same user without the bit does log.
    chown(&program, Some(NOBODY), Some(NOBODY)).unwrap();
    mode(&program, 0o755);
    let mut plain = Command::new(&program);
    plain.uid(NOBODY).gid(NOBODY);
    let (says, _) = run(plain, "default", &[(variable(), &path)]);
    assert_eq!(says, "source=Variable written=5 problem=none");
}
