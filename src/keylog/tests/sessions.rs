//! What becomes of the records of one connection.

use super::{line, lines, record, session, session_of, start, Dir};
use crate::connection::Role;
use crate::keylog::{self, AutoOff, Facts, Filter, KeyLog, Problem, Session};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_handshakes_records_go_out_together_when_it_is_done() {
    let dir = Dir::new("together");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let mut session = session(&handle);
    for n in 0..5 {
        session.line(line(0, n).as_bytes());
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
    session.finish();
    assert_eq!(lines(&path).len(), 5);
    assert_eq!(handle.stats().connections, 1);
}

#[test]
fn the_records_of_a_handshake_that_fails_are_kept() {
    let dir = Dir::new("failed-handshake");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let mut session = session(&handle);
    session.line(line(0, 0).as_bytes());
    drop(session);
    assert_eq!(lines(&path), [line(0, 0)]);
}

#[test]
fn the_secrets_of_a_late_key_update_are_written_at_once() {
    let dir = Dir::new("key-update");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let mut session = session(&handle);
    session.line(line(0, 0).as_bytes());
    session.finish();
    for n in 1..4 {
        session.line(line(0, n).as_bytes());
        assert_eq!(lines(&path).len(), n + 1);
    }
    assert_eq!(handle.stats().connections, 1, "it is one connection");
}

#[test]
fn a_handshake_that_never_ends_does_not_fill_memory() {
    let dir = Dir::new("endless");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let mut session = session(&handle);
    for n in 0..1000 {
        session.line(line(0, n).as_bytes());
    }
    assert!(lines(&path).len() > 500);
}

#[test]
fn a_log_that_is_switched_off_in_the_midst_of_a_handshake_writes_nothing_more() {
    let dir = Dir::new("midst");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let mut session = session(&handle);
    session.line(line(0, 0).as_bytes());
    handle.disable();
    session.finish();
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!((handle.stats().written, handle.stats().dropped), (0, 1));
}

/// A connection to `name`, of a log with this filter; what is in its file.
fn filtered(test: &str, filter: Filter, labels: &[&str]) -> (String, keylog::Stats) {
    let dir = Dir::new(test);
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path).filter(filter)).unwrap();
    let log = Arc::clone(handle.log());
    let mut session = Session::new(log, "a.test".into(), || Facts {
        role: Role::Client,
        vhost: "a.test",
        server_name: Some("www.example.com"),
        peer: Some("192.0.2.7:443".parse().unwrap()),
    });
    for label in labels {
        session.line(format!("{label} 00 11").as_bytes());
    }
    session.finish();
    (fs::read_to_string(&path).unwrap(), handle.stats())
}

#[test]
fn a_connection_that_the_filter_leaves_out_is_counted_and_not_written() {
    let (text, stats) = filtered("left-out", Filter::new().role(Role::Server), &["A"]);
    assert_eq!(text, "");
    assert_eq!((stats.filtered_connections, stats.written), (1, 0));
    let (text, stats) = filtered("let-in", Filter::new().role(Role::Client), &["A"]);
    assert_eq!(text, "A 00 11\n");
    assert_eq!((stats.filtered_connections, stats.written), (0, 1));
}

#[test]
fn exporter_secrets_and_tls_1_2_master_secrets_can_be_withheld() {
    let filter = Filter::new()
        .without_label("EXPORTER_SECRET")
        .without_label("CLIENT_RANDOM");
    let labels = [
        "CLIENT_RANDOM",
        "EXPORTER_SECRET",
        "CLIENT_TRAFFIC_SECRET_0",
    ];
    let (text, stats) = filtered("withheld", filter, &labels);
    assert_eq!(text, "CLIENT_TRAFFIC_SECRET_0 00 11\n");
    assert_eq!((stats.written, stats.dropped), (1, 0));
}

#[test]
fn a_closure_decides_once_for_a_connection_from_its_facts() {
    let calls = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let filter = Filter::new().connections(move |facts| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        facts.peer.is_some_and(|peer| peer.port() == 443) && facts.vhost == "a.test"
    });
    let (text, _) = filtered("closure", filter, &["A", "B"]);
    assert_eq!(text, "A 00 11\nB 00 11\n");
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A log that ends by itself, with one record of a connection each in its file.
#[track_caller]
fn ends(test: &str, auto_off: AutoOff, records: usize, expected: usize, limit: &str) {
    let dir = Dir::new(test);
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path).auto_off(auto_off)).unwrap();
    for n in 0..records {
        record(&handle, &line(0, n));
    }
    assert_eq!(lines(&path).len(), expected);
    assert!(!handle.is_enabled());
    let problem = handle.stats().problem.unwrap();
    assert!(matches!(problem, Problem::LimitReached { limit: l } if l.contains(limit)));
    assert!(problem.to_string().contains("enable()"), "{problem}");
    // It starts anew where that is asked for.
    handle.enable().unwrap();
    record(&handle, &line(1, 0));
    assert_eq!(lines(&path).len(), expected + 1);
}

#[test]
fn a_log_ends_by_itself_after_bytes_or_connections() {
    let len = line(0, 0).len() as u64 + 1;
    ends(
        "bytes",
        AutoOff::new().after_bytes(3 * len + 1),
        5,
        3,
        "bytes",
    );
    // The second connection's record reaches the limit.
    let two = AutoOff::new().after_connections(2);
    ends("connections", two, 5, 2, "connections");
}

#[test]
fn a_log_ends_by_itself_after_a_time_though_nothing_happens() {
    let dir = Dir::new("time");
    let path = dir.path("keys.log");
    let auto_off = AutoOff::new().after(Duration::from_millis(30));
    let handle = keylog::start(&KeyLog::file(&path).auto_off(auto_off)).unwrap();
    record(&handle, &line(0, 0));
    std::thread::sleep(Duration::from_millis(40));
    assert!(!handle.is_enabled());
    record(&handle, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 0)]);
    let problem = handle.stats().problem;
    assert_eq!(problem, Some(Problem::LimitReached { limit: "time" }));
}

#[test]
fn each_vhost_has_a_file_of_its_own_where_the_path_says_so() {
    let dir = Dir::new("vhosts");
    let handle = start(&dir.path("{vhost}-{pid}.log"));
    for (vhost, n) in [("a.test", 0), ("../b", 1), ("a.test", 2)] {
        let mut session = session_of(&handle, vhost);
        session.line(line(0, n).as_bytes());
        session.finish();
    }
    let pid = std::process::id();
    let file = |name: &str| dir.path(&format!("{name}-{pid}.log"));
    assert_eq!(lines(&file("a.test")), [line(0, 0), line(0, 2)]);
    assert_eq!(lines(&file("_.._b")), [line(0, 1)]);
    assert_eq!(handle.path(), Some(dir.path("{vhost}-{pid}.log")));
}

#[test]
fn the_path_that_is_told_is_that_of_the_file() {
    let dir = Dir::new("told");
    let handle = start(&dir.path("keys-{pid}.log"));
    let path = handle.path().unwrap();
    assert!(path
        .to_str()
        .unwrap()
        .contains(&std::process::id().to_string()));
    assert!(path.exists());
}

/// Lost: secrets that stay, because a limit came before the end of the context.
#[test]
fn what_a_limit_has_ended_goes_with_the_context_where_that_is_asked_for() {
    let limit = AutoOff::new().after_connections(1);
    for queued in [false, true] {
        for (test, remove) in [("stays", false), ("goes", true)] {
            let dir = Dir::new(&format!("ended-{test}-{queued}"));
            let path = dir.path("keys.log");
            let mut keylog = KeyLog::file(&path).auto_off(limit.clone());
            if queued {
                keylog = keylog.queue(1 << 20);
            }
            let handle = keylog::start(&keylog.remove_on_drop(remove)).unwrap();
            record(&handle, &line(0, 0));
            assert!(!handle.is_enabled());
            handle.disable(); // waits for a queue
            assert_eq!(lines(&path), [line(0, 0)], "it can still be read");
            handle.log().context_gone();
            assert_eq!(path.exists(), !remove, "{test} {queued}");
        }
    }
}

/// Lost: why a log can't be switched on again.
#[test]
fn a_limit_is_no_longer_the_problem_when_the_path_is() {
    let dir = Dir::new("ended-refused");
    let path = dir.path("d");
    fs::create_dir(&path).unwrap();
    let keylog = KeyLog::file(path.join("keys.log")).auto_off(AutoOff::new().after_connections(1));
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    let problem = handle.stats().problem;
    assert!(matches!(problem, Some(Problem::LimitReached { .. })));
    fs::remove_dir_all(&path).unwrap();
    handle.enable().unwrap_err();
    let problem = handle.stats().problem;
    assert!(matches!(problem, Some(Problem::PathRefused { .. })));
    fs::create_dir(&path).unwrap();
    handle.enable().unwrap();
    handle.disable();
    assert_eq!(handle.stats().problem, Some(Problem::Disabled));
}
