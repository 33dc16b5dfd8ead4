//! Records of several handshakes that end in one turn of the loop. Lost without these: a
//! write for each, or records that wait for ever, go to the wrong file, or come twice.

use super::{line, lines, session, session_of, start, Dir};
use crate::keylog::{self, AutoOff, KeyLog, KeyLogHandle, MemoryLog, Retention, Rotation, Session};
use std::fs;
use std::path::Path;

/// The handshake of connection `n`, with two records.
fn handshake(handle: &KeyLogHandle, n: usize) -> Session {
    let mut session = session(handle);
    session.line(line(n, 0).as_bytes());
    session.line(line(n, 1).as_bytes());
    session.finish();
    session
}

fn both(connections: &[usize]) -> Vec<String> {
    let of = |n: &usize| [line(*n, 0), line(*n, 1)];
    connections.iter().flat_map(of).collect()
}

fn is_empty(path: &Path) -> bool {
    fs::read(path).unwrap().is_empty()
}

#[test]
fn one_write_for_all_handshakes_of_a_turn() {
    let dir = Dir::new("turn");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().begin_turn();
    let _sessions: Vec<_> = (0..3).map(|n| handshake(&handle, n)).collect();
    assert!(is_empty(&path));
    handle.log().end_turn();
    assert_eq!(lines(&path), both(&[0, 1, 2]));
    let stats = handle.stats();
    assert_eq!((stats.written, stats.connections), (6, 3));
    // Outside of a turn nobody would write what waits.
    let _later = handshake(&handle, 3);
    assert_eq!(lines(&path), both(&[0, 1, 2, 3]));
}

/// Lost: a logger that prints the handle, where that calls the logger.
#[test]
fn debug_output_changes_nothing() {
    let dir = Dir::new("turn-debug");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().begin_turn();
    let _session = handshake(&handle, 0);
    let shown = format!("{handle:?}");
    assert!(is_empty(&path), "it was written");
    for part in ["enabled: true", "keys.log", "written: 0"] {
        assert!(shown.contains(part), "{shown}");
    }
    let off = AutoOff::default().after(std::time::Duration::ZERO);
    let log = KeyLog::file(dir.path("off.log")).auto_off(off);
    let handle = keylog::start(&log).unwrap();
    assert!(format!("{handle:?}").contains("enabled: true"));
    assert!(handle.log().is_on(), "it was switched off");
    assert!(!handle.is_enabled());
}

/// Who reads from a pipe gets each handshake's when it is done, in a write of its own.
#[cfg(unix)]
#[test]
fn a_descriptor_that_is_no_file_waits_for_nothing() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    // Each write to a datagram socket is one datagram.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let log = KeyLog::descriptor(OwnedFd::from(ours).into());
    let handle = keylog::start(&log).unwrap();
    theirs.set_nonblocking(true).unwrap();
    handle.log().begin_turn();
    let mut buffer = vec![0; 1 << 16];
    for n in 0..3 {
        let _session = handshake(&handle, n);
        let len = theirs.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..len]).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), both(&[n]));
    }
    handle.log().end_turn();
    assert!(theirs.recv(&mut buffer).is_err(), "and nothing else");
}

/// How many writes this thread has made.
#[cfg(target_os = "linux")]
fn writes() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("syscw: "))?;
    line.parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_turn_writes_is_one_write() {
    let dir = Dir::new("turn-one");
    let path = dir.path("keys.log");
    let open = fs::File::create(dir.path("open.log")).unwrap();
    for log in [KeyLog::file(&path), KeyLog::descriptor(open)] {
        let handle = keylog::start(&log).unwrap();
        handle.log().begin_turn();
        let _sessions: Vec<_> = (0..3).map(|n| handshake(&handle, n)).collect();
        let Some(before) = writes() else {
            return super::machine::skip("this kernel counts no writes");
        };
        handle.log().end_turn();
        assert_eq!(writes(), Some(before + 1));
    }
    for name in ["keys.log", "open.log"] {
        assert_eq!(lines(&dir.path(name)), both(&[0, 1, 2]));
    }
}

/// Lost: the promise that a record is in the file before the application gets its
/// connection's data, where an operation of another thread is just writing it.
#[test]
fn data_waits_for_records_that_another_thread_writes() {
    // A machine that stands still for 200 ms itself proves nothing.
    assert!((0..5).any(|n| data_waits(&format!("turn-thread-{n}"))));
}

/// Whether the records weren't written yet when it was asked for them.
fn data_waits(test: &str) -> bool {
    let dir = Dir::new(test);
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path).rotation(Rotation::new())).unwrap();
    // Each write waits for who rotates, for 200 ms.
    let rotates = fs::File::open(dir.path("keys.log.lock")).unwrap();
    rotates.lock().unwrap();
    handle.log().begin_turn();
    let mut session = handshake(&handle, 0);
    let log = handle.log();
    let in_time = std::thread::scope(|scope| {
        scope.spawn(|| handle.stats());
        while !log.is_writing() && is_empty(&path) {
            std::thread::yield_now();
        }
        let in_time = is_empty(&path);
        session.commit();
        assert_eq!(lines(&path), both(&[0]));
        in_time
    });
    assert!(!log.waits());
    log.end_turn();
    assert_eq!(lines(&path), both(&[0]));
    in_time
}

/// Lost: files far beyond the size that was asked for.
#[test]
fn records_that_share_a_write_keep_files_within_their_size() {
    let dir = Dir::new("turn-size");
    let path = dir.path("keys.log");
    let most = 20 * (line(0, 0).len() as u64 + 1);
    let keylog = KeyLog::file(&path).rotation(Rotation::new().max_size(most).overlap(0));
    let handle = keylog::start(&keylog.retention(Retention::new().max_files(1000))).unwrap();
    handle.log().begin_turn();
    let _sessions: Vec<_> = (0..100).map(|n| handshake(&handle, n)).collect();
    handle.log().end_turn();
    let rotations = handle.stats().rotations;
    let mut found = lines(&path);
    for n in 1..=rotations {
        let old = dir.path(&format!("keys.log.{n}"));
        assert!(fs::metadata(&old).unwrap().len() <= most);
        found.splice(..0, lines(&old));
    }
    assert_eq!(found, both(&(0..100).collect::<Vec<_>>()));
    assert_eq!(rotations, 9, "files are filled");
}

#[test]
fn the_records_of_a_connection_whose_data_came_go_out_before_the_turn_ends() {
    let dir = Dir::new("turn-data");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().begin_turn();
    let mut first = handshake(&handle, 0);
    first.commit();
    assert_eq!(lines(&path), both(&[0]));
    let _second = handshake(&handle, 1);
    // Its own were written: it doesn't matter to others what it is told.
    first.commit();
    assert_eq!(lines(&path), both(&[0]));
    let mut third = handshake(&handle, 2);
    third.commit();
    assert_eq!(lines(&path), both(&[0, 1, 2]));
    handle.log().end_turn();
    assert_eq!(lines(&path), both(&[0, 1, 2]));
}

#[test]
fn later_records_and_those_of_a_failed_handshake_wait_for_nothing() {
    let dir = Dir::new("turn-later");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().begin_turn();
    let mut updated = handshake(&handle, 0);
    assert!(is_empty(&path));
    updated.line(line(0, 2).as_bytes());
    let mut expected = both(&[0]);
    expected.push(line(0, 2));
    assert_eq!(lines(&path), expected, "in the order in which they came");

    let _waits = handshake(&handle, 1);
    let mut failed = session(&handle);
    failed.line(line(2, 0).as_bytes());
    drop(failed);
    expected.extend(both(&[1]));
    expected.push(line(2, 0));
    assert_eq!(lines(&path), expected);
}

#[test]
fn a_verb_of_the_handle_finds_written_what_waits() {
    let dir = Dir::new("turn-operations");
    let [path, other] = ["keys.log", "other.log"].map(|name| dir.path(name));
    let handle = start(&path);
    handle.log().begin_turn();

    let _first = handshake(&handle, 0);
    assert_eq!(handle.stats().written, 2);
    assert_eq!(lines(&path), both(&[0]));

    let _second = handshake(&handle, 1);
    handle.rotate().unwrap();
    assert_eq!(lines(&dir.path("keys.log.1")), both(&[0, 1]));

    fs::write(&path, "").unwrap();
    let _third = handshake(&handle, 2);
    handle.set_path(&other).unwrap();
    assert_eq!(lines(&path), both(&[2]));

    let _fourth = handshake(&handle, 3);
    handle.disable();
    assert_eq!(lines(&other), both(&[3]));
    handle.log().end_turn();
    assert_eq!(lines(&other), both(&[3]), "once");
    let stats = handle.stats();
    assert_eq!((stats.written, stats.dropped, stats.connections), (8, 0, 4));
}

#[test]
fn a_limit_that_is_reached_in_a_turn_loses_nothing_before_it() {
    let dir = Dir::new("turn-limit");
    let path = dir.path("keys.log");
    let two = AutoOff::new().after_connections(2);
    let handle = keylog::start(&KeyLog::file(&path).auto_off(two)).unwrap();
    handle.log().begin_turn();
    let _sessions: Vec<_> = (0..3).map(|n| handshake(&handle, n)).collect();
    assert_eq!(lines(&path), both(&[0, 1]));
    assert!(!handle.is_enabled());

    let other = dir.path("bytes.log");
    let bytes = AutoOff::new().after_bytes(5 * line(0, 0).len() as u64);
    let handle = keylog::start(&KeyLog::file(&other).auto_off(bytes)).unwrap();
    handle.log().begin_turn();
    let _sessions: Vec<_> = (0..3).map(|n| handshake(&handle, n)).collect();
    assert_eq!(lines(&other), both(&[0, 1]));
    assert_eq!(handle.stats().dropped, 2);
}

#[test]
fn vhosts_with_files_of_their_own_do_not_share_a_write() {
    let dir = Dir::new("turn-vhosts");
    let handle = start(&dir.path("{vhost}.log"));
    handle.log().begin_turn();
    let mut sessions = Vec::new();
    for (n, vhost) in ["a", "a", "b", "a"].into_iter().enumerate() {
        let mut session = session_of(&handle, vhost);
        session.line(line(n, 0).as_bytes());
        session.finish();
        sessions.push(session);
    }
    handle.log().end_turn();
    let expected = [0, 1, 3].map(|n| line(n, 0));
    assert_eq!(lines(&dir.path("a.log")), expected);
    assert_eq!(lines(&dir.path("b.log")), [line(2, 0)]);
}

#[test]
fn a_turn_with_many_handshakes_writes_in_between() {
    let dir = Dir::new("turn-many");
    let path = dir.path("keys.log");
    let handle = start(&path);
    handle.log().begin_turn();
    let sessions: Vec<_> = (0..1000).map(|n| handshake(&handle, n)).collect();
    let len = fs::metadata(&path).unwrap().len();
    assert!(len > 100_000, "{len}");
    handle.log().end_turn();
    drop(sessions);
    assert_eq!(lines(&path).len(), 2000);
    assert_eq!(handle.stats().connections, 1000);
}

#[test]
fn memory_and_functions_wait_for_nothing() {
    let memory = MemoryLog::new(1 << 16);
    let handle = keylog::start(&KeyLog::memory(&memory)).unwrap();
    handle.log().begin_turn();
    let _session = handshake(&handle, 0);
    assert!(!memory.is_empty() && !handle.log().waits());

    let (sender, receiver) = std::sync::mpsc::channel();
    let function = KeyLog::function(move |lines| sender.send(lines.to_vec()).unwrap());
    let handle = keylog::start(&function).unwrap();
    handle.log().begin_turn();
    let _sessions = [handshake(&handle, 0), handshake(&handle, 1)];
    assert_eq!(receiver.try_iter().count(), 2, "one call for each");
}

#[cfg(target_os = "linux")]
#[test]
fn a_write_that_fails_counts_what_it_lost() {
    let dir = Dir::new("turn-fails");
    let unwritable = fs::File::open(dir.file("read-only", b"")).unwrap();
    let handle = keylog::start(&KeyLog::descriptor(unwritable)).unwrap();
    handle.log().begin_turn();
    let _sessions = [handshake(&handle, 0), handshake(&handle, 1)];
    handle.log().end_turn();
    let stats = handle.stats();
    assert_eq!((stats.written, stats.failed, stats.connections), (0, 4, 0));
}
