//! The key log of a context: who asks for it, what is in the file, and what is not.

#![cfg(feature = "keylog")]

mod common;

use common::certs::Ca;
use common::machine::{is_wine, removed_files_keep_their_names};
use common::secrets::{
    labels, lines, logged as server, open_tls, randoms, visit, visit_at, TLS12, TLS13,
};
use common::temp::TempDir;
use common::{client_context, probe, Running};
use libwebsockets::keylog::{KeyLog, KeyLogError, Problem, Source};
use libwebsockets::{Client, Context, Error};
use rustls::version::{TLS12 as V12, TLS13 as V13};
#[cfg(unix)]
use std::path::Path;

#[test]
fn path_by_api_per_context() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (a, b) = (dir.file("a.log"), dir.file("b.log"));
    let first = server(&ca, KeyLog::file(&a));
    let second = server(&ca, KeyLog::file(&b));
    let third = server(&ca, KeyLog::off());
    let mut seen: [Vec<String>; 3] = Default::default();
    for _ in 0..3 {
        for (server, seen) in [&first, &second, &third].into_iter().zip(&mut seen) {
            seen.push(visit(server, &ca));
        }
    }
    let (a, b) = (lines(&a), lines(&b));
    assert_eq!(randoms(&a), seen[0].iter().cloned().collect());
    assert_eq!(randoms(&b), seen[1].iter().cloned().collect());
    for random in &seen[0] {
        assert_eq!(labels(&a, random), TLS13);
    }
    assert_eq!(dir.names(), ["a.log", "b.log"]);
    assert_eq!(third.keylog.stats().written, 0);
    assert_eq!(third.keylog.stats().requested_by, Source::Off);
}

#[test]
fn the_labels_are_those_of_the_version() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&path));
    let (_old, old) = open_tls(server.addr(), ca.rustls_client_of(&[&V12]));
    let (_new, new) = open_tls(server.addr(), ca.rustls_client_of(&[&V13]));
    let lines = lines(&path);
    assert_eq!(labels(&lines, &old), TLS12);
    assert_eq!(labels(&lines, &new), TLS13);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.dropped, stats.failed), (6, 0, 0));
    assert_eq!((stats.requested_by, stats.problem), (Source::Api, None));
}

#[test]
fn the_secrets_are_in_the_file_when_the_handshake_is_done() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&path));
    for _ in 0..20 {
        let (_socket, random) = open_tls(server.addr(), ca.rustls_client());
        assert_eq!(labels(&lines(&path), &random), TLS13);
    }
}

#[test]
fn both_ends_of_a_connection_log_the_same_lines() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (ours, theirs) = (dir.file("server.log"), dir.file("client.log"));
    let server = server(&ca, KeyLog::file(&ours));
    let own = theirs.clone();
    let client = Running::start(move || Context::builder().keylog(KeyLog::file(own)));
    for (i, max) in [
        libwebsockets::tls::TlsVersion::Tls13,
        libwebsockets::tls::TlsVersion::Tls12,
    ]
    .into_iter()
    .enumerate()
    {
        let (probe, events) = probe();
        let tls = ca
            .trust()
            .versions(libwebsockets::tls::TlsVersion::Tls12, max);
        let to = Client::new(&server.url("wss", "/")).unwrap().tls(tls);
        drop(client.handle.connect(to, probe).unwrap());
        events.open();
        let lines = lines(&ours);
        assert_eq!(lines, common::secrets::lines(&theirs));
        assert_eq!(randoms(&lines).len(), i + 1);
    }
}

#[test]
fn several_contexts_share_one_file() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let servers: Vec<_> = (0..3).map(|_| server(&ca, KeyLog::file(&path))).collect();
    let one = std::sync::Mutex::new(());
    let seen = std::thread::scope(|scope| {
        let visits = |server: &Running| {
            let (addr, ca, one) = (server.addr(), &ca, &one);
            let visit = move || {
                let _in_turn = is_wine().then(|| one.lock().unwrap());
                visit_at(addr, ca)
            };
            scope.spawn(move || (0..10).map(|_| visit()).collect::<Vec<_>>())
        };
        let threads: Vec<_> = servers.iter().map(visits).collect();
        let seen = threads.into_iter().flat_map(|t| t.join().unwrap());
        seen.collect::<std::collections::BTreeSet<_>>()
    });
    let lines = lines(&path);
    assert_eq!(randoms(&lines), seen);
    assert_eq!(lines.len(), 30 * TLS13.len());
}

#[test]
fn switch_at_run_time_from_any_thread() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&path).enabled(false));
    let log = &server.keylog;
    assert!(!log.is_enabled());
    assert_eq!(log.stats().problem, Some(Problem::Disabled));
    visit(&server, &ca);
    assert!(dir.names().is_empty(), "no file before it is switched on");

    log.enable().unwrap();
    let second = visit(&server, &ca);
    log.disable();
    let size = std::fs::metadata(&path).unwrap().len();
    visit(&server, &ca);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
    assert_eq!(log.path(), Some(path.clone()));

    log.enable().unwrap();
    let fourth = visit(&server, &ca);
    assert_eq!(randoms(&lines(&path)), [second, fourth].into());
}

#[test]
fn the_log_moves_while_the_context_runs() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (a, b) = (dir.file("a.log"), dir.file("b.log"));
    let server = server(&ca, KeyLog::off());
    assert!(matches!(server.keylog.enable(), Err(KeyLogError::NoPath)));
    server.keylog.set_path(&a).unwrap();
    assert!(!server.keylog.is_enabled(), "it stays off");
    server.keylog.enable().unwrap();
    let first = visit(&server, &ca);
    server.keylog.set_path(&b).unwrap();
    let second = visit(&server, &ca);
    assert_eq!(randoms(&lines(&a)), [first.clone()].into());
    assert_eq!(randoms(&lines(&b)), [second].into());
    // One that can't be used leaves the old one in place.
    let missing = dir.missing();
    let error = server.keylog.set_path(&missing).unwrap_err();
    assert!(
        error.to_string().contains(&format!("{missing:?}")),
        "{error}"
    );
    let third = visit(&server, &ca);
    assert!(randoms(&lines(&b)).contains(&third));
    assert_eq!(server.keylog.stats().requested_by, Source::Api);
}

/// Lost: a log that somebody can't move or throw away while a service runs; or
/// the records after that.
#[test]
fn delete_and_rename_while_in_use() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (path, old) = (dir.file("keys.log"), dir.file("old.log"));
    let server = server(&ca, KeyLog::file(&path));
    let first = visit(&server, &ca);
    std::fs::rename(&path, &old).unwrap();
    // It is noticed within a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let second = visit(&server, &ca);
    assert_eq!(randoms(&lines(&old)), [first].into());
    assert_eq!(randoms(&lines(&path)), [second].into());
    if removed_files_keep_their_names() {
        return;
    }
    std::fs::remove_file(&path).unwrap();
    let after = visit(&server, &ca);
    assert_eq!(randoms(&lines(&path)), [after].into());
    #[cfg(unix)]
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_log_that_cannot_be_written_never_stops_tls() {
    if removed_files_keep_their_names() {
        return;
    }
    let ca = Ca::new();
    let dir = TempDir::new();
    let folder = dir.file("folder");
    std::fs::create_dir(&folder).unwrap();
    let server = server(&ca, KeyLog::file(folder.join("keys.log")));
    std::fs::remove_dir_all(&folder).unwrap();
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.failed), (0, TLS13.len() as u64));
    assert!(matches!(stats.problem, Some(Problem::Failing { .. })));
    assert!(stats.last_error.unwrap().contains("keys.log"));
    // It heals by itself.
    std::fs::create_dir(&folder).unwrap();
    let healed = visit(&server, &ca);
    assert_eq!(randoms(&lines(&folder.join("keys.log"))), [healed].into());
    assert_eq!(server.keylog.stats().problem, None);
}

#[test]
fn a_bad_path_by_api_is_an_error_of_the_build_and_names_the_path() {
    let dir = TempDir::new();
    let path = dir.missing();
    let error = Context::builder()
        .keylog(KeyLog::file(&path))
        .build()
        .unwrap_err();
    assert!(
        matches!(&error, Error::KeyLog(KeyLogError::ParentMissing { path: p, .. }) if *p == path)
    );
    assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
    assert!(error.to_string().contains("create it"), "{error}");

    let error = Context::builder()
        .keylog(KeyLog::file(""))
        .build()
        .unwrap_err();
    assert!(
        matches!(error, Error::KeyLog(KeyLogError::EmptyPath)),
        "{error}"
    );
    let error = Context::builder()
        .keylog(KeyLog::file(dir.path()))
        .build()
        .unwrap_err();
    assert!(
        matches!(error, Error::KeyLog(KeyLogError::NotRegular { .. })),
        "{error}"
    );
    let error = Context::builder()
        .keylog(KeyLog::off().enabled(true))
        .build()
        .unwrap_err();
    assert!(
        matches!(error, Error::KeyLog(KeyLogError::NoPath)),
        "{error}"
    );
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[cfg(unix)]
#[test]
fn created_0600_and_checked() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let context = Context::builder()
        .keylog(KeyLog::file(&path))
        .build()
        .unwrap();
    assert_eq!(mode(&path), 0o600);
    drop(context);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = Context::builder()
        .keylog(KeyLog::file(&path))
        .build()
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("0640") && text.contains("chmod 600"),
        "{text}"
    );
    let allowed = KeyLog::file(&path).allow_access_by_others(true);
    Context::builder().keylog(allowed).build().unwrap();

    let link = dir.file("link.log");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = Context::builder()
        .keylog(KeyLog::file(&link))
        .build()
        .unwrap_err();
    assert!(
        matches!(error, Error::KeyLog(KeyLogError::Symlink { .. })),
        "{error}"
    );
}

#[test]
fn a_client_context_has_a_log_of_its_own_beside_a_servers() {
    let ca = Ca::new();
    let dir = TempDir::new();
    let path = dir.file("client.log");
    let server = server(&ca, KeyLog::off());
    let own = path.clone();
    let logging = Running::start(move || Context::builder().keylog(KeyLog::file(own)));
    let silent = client_context();
    for client in [&logging, &silent] {
        let (probe, events) = probe();
        let to = Client::new(&server.url("wss", "/"))
            .unwrap()
            .tls(ca.trust());
        drop(client.handle.connect(to, probe).unwrap());
        events.open();
    }
    assert_eq!(randoms(&lines(&path)).len(), 1);
}
