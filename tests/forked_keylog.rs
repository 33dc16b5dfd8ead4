//! A process that is forked from one with a key log, before any TLS connection. One test, so
//! that no other thread but the log's own is there when it forks.

#![cfg(all(target_os = "linux", feature = "keylog"))]

mod common;

use common::temp::TempDir;
use libwebsockets::keylog::KeyLog;
use libwebsockets::Context;
use std::time::{Duration, Instant};

// Lost: a daemon that hangs, or the parent's log, because nobody noticed the fork.
#[test]
fn a_child_takes_neither_its_parents_log_nor_the_thread_that_writes_it_for_its_own() {
    let dir = TempDir::new();
    for (name, queue) in [("direct.log", None), ("queued.log", Some(1 << 16))] {
        let path = dir.file(name);
        let keylog = KeyLog::file(&path).remove_on_drop(true);
        let keylog = match queue {
            Some(most) => keylog.queue(most),
            None => keylog,
        };
        let context = Context::builder().keylog(keylog).build().unwrap();
        // SAFETY: this process has no other threads now but the harness', which waits, and
        // the log's, which does.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: its signal ends the child, should it hang.
            unsafe { libc::alarm(20) };
            context.keylog().rotate().unwrap();
            let began = Instant::now();
            drop(context);
            let in_time = began.elapsed() < Duration::from_secs(4);
            // SAFETY: ends the child without running what is the parent's.
            unsafe { libc::_exit(if in_time { 0 } else { 1 }) };
        }
        assert!(child > 0);
        let mut status = 0;
        // SAFETY: `status` is valid for the write.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "{name}");
        assert!(path.exists(), "{name} is the parent's");
        drop(context);
        assert!(!path.exists(), "{name}");
    }
}
