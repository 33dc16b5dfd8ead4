//! The child of a fork, which has copies of what its parent is going to write, the
//! parent's open files, and none of its threads.

mod child;

use crate::keylog::tests::{record, session, Dir};
use crate::keylog::{self, KeyLog};
use child::{in_a_child, PATIENCE};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

/// Lost: records that are in a file twice, or under the parent's name.
#[test]
fn a_child_after_a_fork_never_replays_its_parents_records_and_opens_files_anew() {
    let queued = |keylog: KeyLog| keylog.queue(1 << 20);
    for (test, with) in [
        ("fork", (|keylog| keylog) as fn(KeyLog) -> KeyLog),
        // The thread that writes is the parent's; the child starts one.
        ("fork-queue", queued),
    ] {
        let dir = Dir::new(test);
        let handle = keylog::start(&with(KeyLog::file(dir.path("keys-{pid}.log")))).unwrap();
        let mut session = session(&handle);
        session.line(b"CLIENT_RANDOM 00 11");
        let child = in_a_child(|| {
            session.finish();
            record(&handle, "CLIENT_RANDOM 22 33");
            handle.disable();
        });
        session.finish();
        handle.disable();
        let read = |pid: u32| std::fs::read_to_string(dir.path(&format!("keys-{pid}.log")));
        assert_eq!(read(std::process::id()).unwrap(), "CLIENT_RANDOM 00 11\n");
        assert_eq!(read(child).unwrap(), "CLIENT_RANDOM 22 33\n");
    }
}

/// Lost: the records of a connection that a child has from its parent.
#[test]
fn a_child_writes_what_comes_of_an_inherited_connection() {
    let dir = Dir::new("fork-inherited");
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path)).unwrap();
    let mut session = session(&handle);
    session.line(b"CLIENT_RANDOM 00 11");
    in_a_child(|| {
        session.line(b"CLIENT_RANDOM 00 22");
        session.finish();
        session.line(b"CLIENT_RANDOM 00 33");
    });
    let childs = b"CLIENT_RANDOM 00 22\nCLIENT_RANDOM 00 33\n";
    assert_eq!(std::fs::read(&path).unwrap(), childs);
    session.finish();
    let both = [childs, &b"CLIENT_RANDOM 00 11\n"[..]].concat();
    assert_eq!(std::fs::read(&path).unwrap(), both);
}

/// Lost: records twice, because a handler forked in the turn in which they were to go out.
#[test]
fn a_child_that_was_forked_in_a_turn_writes_nothing_of_that_turns() {
    let dir = Dir::new("fork-turn");
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path)).unwrap();
    let finished = |text: &[u8]| {
        let mut session = session(&handle);
        session.line(text);
        session.finish();
        session
    };
    handle.log().begin_turn();
    let mut parents = finished(b"CLIENT_RANDOM 00 11");
    in_a_child(|| {
        let _own = finished(b"CLIENT_RANDOM 22 33");
        parents.commit();
        handle.log().end_turn();
    });
    assert_eq!(std::fs::read(&path).unwrap(), b"CLIENT_RANDOM 22 33\n");
    handle.log().end_turn();
    let both = b"CLIENT_RANDOM 22 33\nCLIENT_RANDOM 00 11\n";
    assert_eq!(std::fs::read(&path).unwrap(), both);
}

/// Lost: a parent's log, when its child ends first.
#[test]
fn a_child_that_ends_leaves_its_parents_log_where_it_is() {
    let dir = Dir::new("fork-remove");
    let path = dir.path("keys.log");
    for keylog in [KeyLog::file(&path), KeyLog::file(&path).queue(1 << 20)] {
        let handle = keylog::start(&keylog.remove_on_drop(true)).unwrap();
        in_a_child(|| handle.log().context_gone());
        assert!(path.exists());
        handle.log().context_gone();
        assert!(!path.exists());
    }
}

/// Lost: a child that hangs, because a thread of its parent was just writing.
#[test]
fn a_child_waits_for_nothing_that_its_parents_thread_has() {
    let (tell, told) = mpsc::channel();
    let stuck = Arc::new(AtomicBool::new(true));
    let own = Arc::clone(&stuck);
    let keylog = KeyLog::function(move |_| {
        tell.send(()).unwrap();
        // No longer than the child has: a test that fails ends, too.
        let began = Instant::now();
        while own.load(Relaxed) && began.elapsed() < 2 * PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let handle = keylog::start(&keylog.queue(1 << 20)).unwrap();
    record(&handle, "CLIENT_RANDOM 00 11");
    told.recv().unwrap();
    in_a_child(|| {
        drop(handle.path());
        handle.rotate().unwrap();
        handle.log().context_gone();
        handle.disable();
    });
    stuck.store(false, Relaxed);
    handle.disable();
    assert_eq!(handle.stats().written, 1);
}
