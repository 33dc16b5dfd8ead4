//! Where records can go beside a file of lines.

use super::{in_time, line, lines, record, Dir, LONG};
use crate::keylog::{self, AutoOff, KeyLog, KeyLogHandle, MemoryLog, Problem};
use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, OnceLock, Weak};

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
