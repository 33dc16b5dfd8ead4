//! Where records can go beside a file of lines.

use super::{in_time, line, lines, record, Dir, LONG};
use crate::keylog::{
    self, AutoOff, KeyLog, KeyLogError, KeyLogHandle, MemoryLog, Problem, Rotation,
};
use std::fs;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn memory_holds_the_last_records_and_nothing_is_on_disk() {
    let memory = MemoryLog::new(1 << 20);
    let handle = keylog::start(&KeyLog::memory(&memory)).unwrap();
    record(&handle, &line(0, 0));
    record(&handle, &line(0, 1));
    let mut text = Vec::new();
    memory.write_to(&mut text).unwrap();
    assert_eq!(text, format!("{}\n{}\n", line(0, 0), line(0, 1)).as_bytes());
    assert_eq!((handle.path(), handle.stats().written), (None, 2));
    handle.disable();
    record(&handle, &line(0, 2));
    handle.enable().unwrap();
    record(&handle, &line(0, 3));
    assert_eq!(memory.len(), 3 * (line(0, 0).len() + 1));
}

#[test]
fn a_function_gets_whole_lines_and_may_use_the_handle() {
    let (sender, receiver) = mpsc::channel();
    let slot = Arc::new(Mutex::new(None::<keylog::KeyLogHandle>));
    let own = Arc::clone(&slot);
    let keylog = KeyLog::function(move |lines| {
        let stats = own.lock().unwrap().as_ref().unwrap().stats();
        sender.send((lines.to_vec(), stats.written)).unwrap();
    });
    let handle = keylog::start(&keylog).unwrap();
    *slot.lock().unwrap() = Some(handle.clone());
    record(&handle, &line(0, 0));
    // The log has the function, the function the handle, and that the log.
    drop(slot.lock().unwrap().take());
    let (text, before) = receiver.recv().unwrap();
    assert_eq!(text, format!("{}\n", line(0, 0)).as_bytes());
    assert_eq!((before, handle.stats().written), (0, 1));
}

/// Lost: a log that was switched on anew, by the limit of the one before.
#[test]
fn a_function_may_start_its_log_anew() {
    let slot = Arc::new(Mutex::new(None::<keylog::KeyLogHandle>));
    let own = Arc::downgrade(&slot);
    let keylog = KeyLog::function(move |_| {
        let handle = own.upgrade().unwrap().lock().unwrap().clone().unwrap();
        handle.disable();
        handle.enable().unwrap();
    });
    let limit = AutoOff::new().after_connections(1);
    let handle = keylog::start(&keylog.auto_off(limit)).unwrap();
    *slot.lock().unwrap() = Some(handle.clone());
    for n in 1..=3 {
        record(&handle, &line(0, n));
        assert!(handle.is_enabled(), "after {n}");
    }
    assert_eq!((handle.stats().written, handle.stats().problem), (3, None));
}

/// What a function owns, and asks the log for something as it goes.
struct Asks(Weak<OnceLock<KeyLogHandle>>, mpsc::Sender<u64>);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(handle) = self.0.upgrade().as_deref().and_then(OnceLock::get) {
            drop(handle.path());
            self.1.send(handle.stats().written).unwrap();
        }
    }
}

/// Lost: a program that stands still, because what a function owns goes under a lock.
#[test]
fn what_a_function_owns_may_use_the_handle_as_it_goes() {
    let dir = Dir::new("function-owns");
    let path = dir.path("k");
    let (moved, to) = (AtomicBool::new(false), path.clone());
    let own = Arc::new(OnceLock::<KeyLogHandle>::new());
    let (tell, told) = mpsc::channel();
    let (asks, slot) = (
        Asks(Arc::downgrade(&own), tell.clone()),
        Arc::downgrade(&own),
    );
    // It moves its own log, so that nobody but its caller has it.
    let keylog = KeyLog::function(move |_| {
        let _ = &asks;
        if !moved.swap(true, Ordering::Relaxed) {
            slot.upgrade()
                .unwrap()
                .get()
                .unwrap()
                .set_path(&to)
                .unwrap();
        }
    });
    own.set(keylog::start(&keylog).unwrap()).unwrap();
    drop(keylog);
    in_time(LONG, move || {
        let handle = own.get().unwrap();
        record(handle, &line(0, 0));
        record(handle, &line(0, 1));
        assert_eq!(handle.stats().written, 2);
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(lines(&path), [line(0, 1)]);

    // Moved by others: while it is off, or on, with a thread that has it too.
    for (queue, on) in [(false, false), (true, false), (false, true), (true, true)] {
        for _ in 0..50 {
            let own = Arc::new(OnceLock::<KeyLogHandle>::new());
            let asks = Asks(Arc::downgrade(&own), tell.clone());
            let mut keylog = KeyLog::function(move |_| {
                let _ = &asks;
            });
            if queue {
                keylog = keylog.queue(1 << 16);
            }
            own.set(keylog::start(&keylog).unwrap()).unwrap();
            drop(keylog);
            let path = path.clone();
            in_time(LONG, move || {
                let handle = own.get().unwrap();
                record(handle, &line(0, 2));
                if !on {
                    handle.disable();
                }
                handle.set_path(&path).unwrap();
            });
            assert!(told.try_recv().is_ok());
        }
    }
}

/// Lost: a limit, because what reached it was lost to a panic.
#[test]
fn a_function_that_panics_at_the_limit_ends_the_log_all_the_same() {
    let keylog = KeyLog::function(|_| panic!("this panic is part of a test"));
    let limit = AutoOff::new().after_connections(1);
    let handle = keylog::start(&keylog.auto_off(limit)).unwrap();
    let write = std::panic::AssertUnwindSafe(|| record(&handle, &line(0, 0)));
    assert!(std::panic::catch_unwind(write).is_err());
    assert!(!handle.is_enabled());
    let stats = handle.stats();
    assert_eq!((stats.written, stats.failed), (0, 1));
    let limit = "number of connections";
    assert_eq!(stats.problem, Some(Problem::LimitReached { limit }));
}

#[test]
fn an_open_file_is_written_to_as_it_is() {
    let dir = Dir::new("descriptor");
    let path = dir.path("k");
    let handle = keylog::start(&KeyLog::descriptor(fs::File::create(&path).unwrap())).unwrap();
    record(&handle, &line(0, 0));
    handle.disable();
    handle.enable().unwrap();
    record(&handle, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 0), line(0, 1)]);

    let (mut reader, writer) = std::io::pipe().unwrap();
    #[cfg(unix)]
    let writer = fs::File::from(std::os::fd::OwnedFd::from(writer));
    #[cfg(windows)]
    let writer = fs::File::from(std::os::windows::io::OwnedHandle::from(writer));
    let handle = keylog::start(&KeyLog::descriptor(writer)).unwrap();
    record(&handle, &line(0, 0));
    let mut buffer = vec![0; line(0, 0).len() + 1];
    reader.read_exact(&mut buffer).unwrap();
    assert_eq!(buffer, format!("{}\n", line(0, 0)).as_bytes());
    drop(reader);
    record(&handle, &line(0, 1));
    assert_eq!(
        handle.stats().failed,
        1,
        "a reader that is gone kills nobody"
    );
}

#[test]
fn a_pcapng_file_is_made_of_blocks_and_is_not_mixed_with_lines() {
    let dir = Dir::new("pcapng");
    let path = dir.path("k.pcapng");
    let keylog = KeyLog::file(&path).pcapng(true);
    for n in 0..2 {
        let handle = keylog::start(&keylog).unwrap();
        record(&handle, &line(0, n));
    }
    let bytes = fs::read(&path).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut kinds) = (0, Vec::new());
    while at < bytes.len() {
        let len = word(at + 4);
        assert_eq!(word(at + len - 4), len);
        kinds.push(word(at));
        if kinds.len() > 1 {
            let secrets = &bytes[at + 16..at + 16 + word(at + 12)];
            let expected = format!("{}\n", line(0, kinds.len() - 2));
            assert_eq!(secrets, expected.as_bytes());
        }
        at += len;
    }
    assert_eq!(kinds, [0x0a0d_0d0a, 10, 10]);

    let error = keylog::start(&KeyLog::file(&path)).unwrap_err();
    assert!(matches!(
        error,
        KeyLogError::OtherFormat { pcapng: true, .. }
    ));
    let text = dir.file("k.log", b"A 00 11\n");
    let error = keylog::start(&KeyLog::file(&text).pcapng(true)).unwrap_err();
    assert!(matches!(
        error,
        KeyLogError::OtherFormat { pcapng: false, .. }
    ));
    assert!(error.to_string().contains("another path"), "{error}");
}

/// As a process leaves it that dies while it writes, or a disk that fills up.
#[test]
fn nothing_follows_a_block_that_was_cut_off() {
    let dir = Dir::new("pcapng-cut");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).pcapng(true);
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    let whole = fs::read(&path).unwrap();
    for _ in 0..2 {
        handle.disable();
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        handle.enable().unwrap();
        record(&handle, &line(0, 0));
        assert_eq!(fs::read(&path).unwrap(), whole);
        assert_eq!(fs::read(dir.path("k.1")).unwrap(), whole[..whole.len() - 3]);
    }
    assert_eq!((handle.stats().written, handle.stats().failed), (3, 0));
    assert!(dir.path("k.2").exists());
}

/// Lost: 63 ms of the handshake that had the file opened, for its end is no line break.
#[test]
fn a_pcapng_file_that_is_whole_is_opened_at_once() {
    let dir = Dir::new("pcapng-whole");
    let keylog = KeyLog::file(dir.path("k")).pcapng(true);
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    let at_once = (0..10).any(|_| {
        handle.disable();
        let start = Instant::now();
        handle.enable().unwrap();
        start.elapsed() < Duration::from_millis(20)
    });
    assert!(at_once);
}

/// Several processes write one file, each at its time.
#[test]
fn a_block_that_is_being_written_is_waited_for() {
    let dir = Dir::new("pcapng-midst");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).pcapng(true);
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    handle.disable();
    let whole = fs::read(&path).unwrap();
    let (begin, end) = whole.split_at(whole.len() - 3);
    // The other process may have to wait for a processor for too long.
    let waited = (0..10).any(|_| {
        let _ = fs::remove_file(dir.path("k.1"));
        fs::write(&path, begin).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(2));
                let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(end).unwrap();
            });
            handle.enable().unwrap();
        });
        record(&handle, &line(0, 1));
        handle.disable();
        !dir.path("k.1").exists()
    });
    assert!(waited);
    let both = fs::read(&path).unwrap();
    assert_eq!(both[..whole.len()], whole);
    let header = keylog::pcapng::header().len();
    assert_eq!(both.len(), 2 * whole.len() - header);
}

#[test]
fn a_pcapng_file_begins_with_a_header_after_each_rotation() {
    let dir = Dir::new("pcapng-rotate");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path)
        .pcapng(true)
        .rotation(Rotation::new().max_size(1));
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..3 {
        record(&handle, &line(0, n));
    }
    for name in ["k", "k.1", "k.2"] {
        let bytes = fs::read(dir.path(name)).unwrap();
        assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a], "{name}");
    }
}
