//! A process that is forked from one with a key log, before any TLS connection. One test, so
//! that no other thread but the log's own is there when it forks.

#![cfg(all(target_os = "linux", feature = "keylog"))]

mod common;

use common::child::in_a_child;
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
        let mut context = Some(Context::builder().keylog(keylog).build().unwrap());
        // This process has no other threads now but the harness', which waits, and the
        // log's, which does.
        in_a_child(|| {
            let context = context.take().unwrap();
            context.keylog().rotate().unwrap();
            let began = Instant::now();
            drop(context);
            assert!(began.elapsed() < Duration::from_secs(4));
        });
        assert!(path.exists(), "{name} is the parent's");
        drop(context);
        assert!(!path.exists(), "{name}");
    }
}
