//! A queue before what is slow. Lost without these: handshakes that wait for a disk, a
//! program that stands still, or records that nobody tells of.

use super::{in_time, line, lines, record, session_of, Dir};
use crate::keylog::file::lock;
use crate::keylog::{self, AutoOff, KeyLog, KeyLogHandle, Rotation};
use crate::Context;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_queue_writes_all_before_disable_returns() {
    let dir = Dir::new("queue");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).queue(1 << 20);
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..500 {
        record(&handle, &line(0, n));
    }
    handle.disable();
    let expected: Vec<_> = (0..500).map(|n| line(0, n)).collect();
    assert_eq!(lines(&path), expected);
    let stats = handle.stats();
    assert_eq!(
        (stats.written, stats.dropped, stats.connections),
        (500, 0, 500)
    );
    handle.enable().unwrap();
    assert_eq!(handle.path(), Some(path));
    record(&handle, &line(1, 0));
    handle.rotate().unwrap();
    drop(handle);
}

#[test]
fn a_full_queue_drops_visibly_and_holds_nobody_up() {
    let (sender, receiver) = mpsc::channel();
    let stuck = Arc::new(AtomicBool::new(true));
    let own = Arc::clone(&stuck);
    let keylog = KeyLog::function(move |lines| {
        sender.send(lines.to_vec()).unwrap();
        while own.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let len = line(0, 0).len() + 1;
    let handle = keylog::start(&keylog.queue(3 * len)).unwrap();
    record(&handle, &line(0, 0));
    receiver.recv().unwrap(); // it is being written, slowly
    for n in 1..10 {
        record(&handle, &line(0, n));
    }
    assert_eq!(handle.stats().dropped, 7);
    stuck.store(false, Ordering::Relaxed);
    for expected in [line(0, 1), line(0, 2), "# 7 records are missing".into()] {
        let text = String::from_utf8(receiver.recv().unwrap()).unwrap();
        assert!(
            text.starts_with(&expected),
            "where they are missing: {text}"
        );
    }
    record(&handle, &line(0, 10));
    handle.disable();
    let last = receiver.try_iter().last().unwrap();
    assert_eq!(last, format!("{}\n", line(0, 10)).as_bytes());
    assert_eq!(handle.stats().written, 4);
}

/// A log whose function is slow, and asks the log for something each time.
fn asks_back() -> (Arc<OnceLock<KeyLogHandle>>, mpsc::Receiver<u64>) {
    let own = Arc::new(OnceLock::<KeyLogHandle>::new());
    let (tell, told) = mpsc::channel();
    let asks = Arc::downgrade(&own);
    let function = KeyLog::function(move |_| {
        thread::sleep(Duration::from_millis(10));
        let own = asks.upgrade().unwrap();
        let handle = own.get().unwrap();
        drop(handle.path());
        let _ = tell.send(handle.stats().failed);
    });
    own.set(keylog::start(&function.queue(1 << 20)).unwrap())
        .unwrap();
    (own, told)
}

/// Lost: a program that stands still, because who writes asks for what an operation holds that
/// waits for it.
#[test]
fn a_verb_that_waits_for_a_queue_holds_up_nobody_who_writes() {
    let (own, told) = asks_back();
    let handle = own.get().unwrap();
    for n in 0..20 {
        record(handle, &line(0, n));
        if n % 4 == 0 {
            handle.rotate().unwrap();
            handle.enable().unwrap();
        }
    }
    handle.disable();
    assert_eq!(told.try_iter().count(), 20);
    assert_eq!(handle.stats().written, 20);
}

/// Lost: seconds at the end of each context with a queue, and then what was queued.
#[test]
fn the_end_of_a_context_waits_for_what_is_queued_and_no_longer() {
    let (own, told) = asks_back();
    let handle = own.get().unwrap();
    for n in 0..5 {
        record(handle, &line(0, n));
    }
    let start = Instant::now();
    handle.log().context_gone();
    let took = start.elapsed();
    assert_eq!(told.try_iter().count(), 5);
    assert_eq!(handle.stats().written, 5);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// Nothing that comes after them could tell of them.
#[test]
fn what_a_queue_drops_last_is_told_too() {
    let dir = Dir::new("queue-last");
    let path = dir.path("k-{vhost}");
    let handle = keylog::start(&KeyLog::file(&path).queue(1)).unwrap();
    for n in 0..2 {
        record(&handle, &line(0, n));
    }
    handle.disable();
    assert_eq!(missing(&dir.path("k-vhost")), 2);
    let stats = handle.stats();
    assert_eq!((stats.written, stats.dropped), (0, 2));
}

/// How many records a file's comments tell of, which has nothing else.
fn missing(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let count = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words[0], "#", "{line}");
        words[1].parse::<u64>().unwrap()
    };
    text.lines().map(count).sum()
}

/// Lost: the number of missing records, where somebody looks who misses some of theirs.
#[test]
fn each_file_tells_of_its_own_missing_records() {
    let dir = Dir::new("queue-vhosts");
    let handle = keylog::start(&KeyLog::file(dir.path("{vhost}.log")).queue(1)).unwrap();
    for (vhost, count) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
        for n in 0..count {
            let mut session = session_of(&handle, vhost);
            session.line(line(0, n).as_bytes());
        }
    }
    handle.disable();
    for (vhost, count) in [("a", 4), ("b", 2), ("c", 4)] {
        assert_eq!(
            missing(&dir.path(&format!("{vhost}.log"))),
            count,
            "{vhost}"
        );
    }
}

/// A file that each write has to wait for, for at most 200 ms, until this is dropped: another
/// process rotates it, and doesn't get on.
fn stuck(path: &Path) -> fs::File {
    let lock = fs::File::open(lock::path(path)).unwrap();
    lock.lock().unwrap();
    lock
}

/// Lost: the last records, for who disables a log while somebody else does.
#[test]
fn every_disable_waits_until_all_is_written() {
    let dir = Dir::new("queue-disables");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).rotation(Rotation::new());
    let handle = keylog::start(&keylog.queue(1 << 16)).unwrap();
    let lock = stuck(&path);
    record(&handle, &line(0, 0));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            handle.disable();
            lines(&path)
        });
        while handle.is_enabled() {
            thread::yield_now();
        }
        handle.disable();
        assert_eq!(lines(&path), [line(0, 0)]);
        assert_eq!(other.join().unwrap(), [line(0, 0)]);
    });
    drop(lock);
}

/// Lost: TLS that stands still, though there is a queue, because an application rotates.
#[test]
fn a_rotation_that_waits_for_a_write_holds_nothing_up() {
    // A machine that stands still for 400 ms itself proves nothing.
    assert!((0..5).any(|n| nothing_waits_for_a_rotation(&format!("queue-rotates-{n}"))));
}

fn nothing_waits_for_a_rotation(test: &str) -> bool {
    let dir = Dir::new(test);
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).rotation(Rotation::new());
    let handle = keylog::start(&keylog.queue(1 << 16)).unwrap();
    let lock = stuck(&path);
    let done = AtomicBool::new(false);
    record(&handle, &line(0, 0));
    let in_time = thread::scope(|scope| {
        scope.spawn(|| {
            // Waits for the write, and then for itself.
            handle.rotate().unwrap_err();
            done.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(20));
        record(&handle, &line(0, 1));
        assert_eq!(handle.path().as_deref(), Some(&*path));
        assert_eq!(handle.stats().dropped, 0);
        !done.load(Ordering::SeqCst)
    });
    drop(lock);
    handle.disable();
    assert_eq!(lines(&path).len(), 2);
    in_time
}

/// Lost: a program that stands still, because two functions wait for each other.
#[test]
fn functions_may_switch_each_others_logs_off() {
    let logs: [Arc<OnceLock<KeyLogHandle>>; 2] = Default::default();
    let (tell, told) = mpsc::channel();
    for n in 0..2 {
        let (other, tell) = (Arc::downgrade(&logs[1 - n]), tell.clone());
        let function = KeyLog::function(move |_| {
            thread::sleep(Duration::from_millis(50));
            other.upgrade().unwrap().get().unwrap().disable();
            tell.send(()).unwrap();
        });
        let handle = keylog::start(&function.queue(1 << 16)).unwrap();
        logs[n].set(handle).unwrap();
    }
    for log in &logs {
        record(log.get().unwrap(), &line(0, 0));
    }
    for _ in 0..2 {
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(()));
    }
    for log in &logs {
        log.get().unwrap().disable();
    }
}

/// Lost: records, because one panic of the application's ended who writes.
#[test]
fn a_function_that_panics_loses_what_it_was_given_and_no_more() {
    for queue in [None, Some(1 << 16)] {
        let (sender, receiver) = mpsc::channel();
        let keylog = KeyLog::function(move |lines| {
            sender.send(lines.len()).unwrap();
            assert!(lines.starts_with(b"CLIENT"), "this panic is part of a test");
        });
        let keylog = match queue {
            Some(most) => keylog.queue(most),
            None => keylog,
        };
        let handle = keylog::start(&keylog).unwrap();
        let mut session = session_of(&handle, "vhost");
        session.line(b"BAD 00 11");
        session.line(b"BAD 00 22");
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(session)));
        assert_eq!(dropped.is_err(), queue.is_none());
        record(&handle, &line(0, 0));
        handle.disable();
        assert_eq!(receiver.try_iter().count(), 2);
        let stats = handle.stats();
        assert_eq!((stats.written, stats.failed), (1, 2));
        assert_eq!(handle.log().take_panic().is_some(), queue.is_some());
    }
}

/// Lost: a log that ends before it has written anything.
#[test]
fn what_finds_no_room_counts_for_no_limit() {
    let dir = Dir::new("queue-limit");
    let keylog = KeyLog::file(dir.path("k")).queue(1);
    let limit = AutoOff::new().after_connections(2).after_bytes(1000);
    let handle = keylog::start(&keylog.auto_off(limit)).unwrap();
    for n in 0..10 {
        record(&handle, &line(0, n));
    }
    assert!(handle.is_enabled());
    assert_eq!(handle.stats().dropped, 10);
}

/// Lost: a file that was removed with its context, and is made anew by who still had something
/// to write to it.
#[test]
fn a_log_is_switched_on_when_what_it_was_is_written() {
    let dir = Dir::new("queue-enable");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).rotation(Rotation::new());
    let limit = AutoOff::new().after_connections(1);
    let handle = keylog::start(&keylog.queue(1 << 16).auto_off(limit)).unwrap();
    let lock = stuck(&path);
    record(&handle, &line(0, 0));
    assert!(!handle.is_enabled());
    handle.enable().unwrap();
    assert_eq!(lines(&path), [line(0, 0)]);
    drop(lock);
}

/// Lost: a panic, until something happens by chance.
#[test]
fn a_panic_of_who_writes_wakes_the_loop_that_resumes_it() {
    in_time(Duration::from_secs(15), || {
        let keylog = KeyLog::function(|_| panic!("this panic is part of a test"));
        let mut context = Context::builder()
            .keylog(keylog.queue(1 << 16))
            .build()
            .unwrap();
        let handle = context.keylog().clone();
        let other = thread::spawn(move || {
            // More or less when the loop sleeps; it would do so for 30 s.
            thread::sleep(Duration::from_millis(100));
            record(&handle, &line(0, 0));
        });
        let run = std::panic::AssertUnwindSafe(|| context.run());
        assert!(std::panic::catch_unwind(run).is_err());
        other.join().unwrap();
    });
}

/// Lost: that records are missing, where the disk was full when that was to be told.
#[cfg(unix)] // elsewhere a removed file may keep its name while it is open
#[test]
fn what_cannot_be_told_at_first_is_told_later() {
    let dir = Dir::new("queue-untold");
    let path = dir.path("k");
    let handle = keylog::start(&KeyLog::file(&path).queue(line(0, 0).len() + 1)).unwrap();
    let settled = |failed| {
        while handle.stats().failed < failed {
            thread::yield_now();
        }
    };
    // A directory in the place of the file: nothing can be written.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    record(&handle, &line(0, 0));
    settled(1);
    let mut long = session_of(&handle, "vhost");
    long.line(line(0, 1).as_bytes());
    long.line(line(0, 2).as_bytes());
    drop(long); // two find no room
                // More or less when that couldn't be told.
    thread::sleep(Duration::from_millis(50));
    fs::remove_dir(&path).unwrap();
    handle.disable();
    assert_eq!(missing(&path), 2);
    let stats = handle.stats();
    assert_eq!((stats.written, stats.dropped, stats.failed), (0, 2, 1));
}

#[test]
fn the_end_of_a_context_removes_what_a_queue_writes() {
    let dir = Dir::new("queue-remove");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path).remove_on_drop(true).queue(1 << 16);
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    handle.log().context_gone();
    assert!(!path.exists() && !handle.is_enabled());
    assert_eq!(handle.stats().written, 1);
}

/// Lost: five seconds at a program's end, and that records are missing.
#[test]
fn a_queue_that_had_room_for_nothing_is_not_waited_for() {
    let dir = Dir::new("queue-nothing");
    let path = dir.path("k");
    let handle = keylog::start(&KeyLog::file(&path).queue(1)).unwrap();
    record(&handle, &line(0, 0));
    assert_eq!(handle.stats().dropped, 1);
    let before = Instant::now();
    handle.log().context_gone();
    assert!(
        before.elapsed() < Duration::from_millis(900),
        "FLUSH is 1 s"
    );
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# 1 record"), "{text:?}");
}

/// Lost: secrets that were to go with their context, in a log that is switched on later.
#[test]
fn a_log_that_is_switched_on_after_its_context_goes_with_its_handle() {
    for queue in [None, Some(1 << 16)] {
        let dir = Dir::new("queue-late");
        let path = dir.path("k");
        let mut keylog = KeyLog::file(&path).remove_on_drop(true);
        if let Some(bytes) = queue {
            keylog = keylog.queue(bytes);
        }
        let handle = keylog::start(&keylog).unwrap();
        handle.log().context_gone();
        assert!(!path.exists());
        handle.enable().unwrap();
        assert!(path.exists());
        drop(handle);
        assert!(!path.exists(), "{queue:?}");
    }
}
