//! A queue before a pipe that nobody reads. Lost without these: a program that stands still, or
//! doesn't end.

use super::{in_time, line, record};
use crate::ffi::descriptor::set_nonblocking;
use crate::keylog::{self, AutoOff, KeyLog, KeyLogHandle};
use crate::Context;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Fills a pipe, however much it takes, so that one further byte finds no room.
fn fill(writer: &std::io::PipeWriter) {
    use std::io::{ErrorKind, Write};
    set_nonblocking(writer, true).unwrap();
    for len in [1 << 12, 1] {
        let mut writer = writer;
        let full = loop {
            if let Err(error) = writer.write_all(&vec![b'#'; len]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
    set_nonblocking(writer, false).unwrap();
}

/// A log to a pipe that nobody reads, and the other end.
fn full_pipe() -> (KeyLog, std::io::PipeReader) {
    use std::os::fd::OwnedFd;
    let (reader, writer) = std::io::pipe().unwrap();
    fill(&writer);
    (KeyLog::descriptor(OwnedFd::from(writer).into()), reader)
}

/// A log into a pipe that nobody reads: the first write never ends. With its other end.
fn into_a_full_pipe(change: impl FnOnce(KeyLog) -> KeyLog) -> (KeyLogHandle, std::io::PipeReader) {
    let (keylog, reader) = full_pipe();
    let handle = keylog::start(&change(keylog.queue(1 << 20))).unwrap();
    (handle, reader)
}

/// Lost: TLS that stands still, because the loop's thread switches a log off and waits for
/// a disk.
#[test]
fn a_limit_that_is_reached_holds_nobody_up() {
    let limit = AutoOff::new().after_connections(1);
    let (handle, reader) = into_a_full_pipe(|keylog| keylog.auto_off(limit));
    let (tell, told) = mpsc::channel();
    let own = handle.clone();
    let thread = thread::spawn(move || {
        record(&own, &line(0, 0));
        tell.send(own.is_enabled()).unwrap();
    });
    let is_enabled = told.recv_timeout(Duration::from_secs(20));
    assert_eq!(is_enabled, Ok(false), "without that anybody reads");
    thread.join().unwrap();
    drop(reader);
    handle.disable();
    assert_eq!(handle.stats().failed, 1);
}

/// Lost: a program that doesn't end, because nobody reads its key log any more.
#[test]
fn the_end_of_a_context_waits_for_nobody_for_ever() {
    for remove in [false, true] {
        let (handle, reader) = into_a_full_pipe(|keylog| keylog.remove_on_drop(remove));
        for n in 0..3 {
            record(&handle, &line(0, n));
        }
        let own = handle.clone();
        in_time(Duration::from_secs(20), move || own.log().context_gone());
        // What can't be written any more is counted; else it may still be.
        assert_eq!(handle.stats().dropped, if remove { 2 } else { 0 });
        drop(reader);
        handle.disable();
        assert_eq!(handle.stats().failed, if remove { 1 } else { 3 });
    }
}

/// The same where nobody else has a handle: it waits once.
#[test]
fn the_end_of_a_context_and_of_its_log_wait_once() {
    let (keylog, reader) = full_pipe();
    let context = Context::builder()
        .keylog(keylog.queue(1 << 20))
        .build()
        .unwrap();
    record(context.keylog(), &line(0, 0));
    let began = Instant::now();
    drop(context);
    let took = began.elapsed();
    assert!(took < Duration::from_millis(1800), "{took:?}, of 1 s");
    drop(reader);
}
