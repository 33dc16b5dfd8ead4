//! Where records can go beside a file of lines.

use super::{line, lines, record, Dir};
use crate::keylog::{self, KeyLog, KeyLogError, KeyLogHandle, MemoryLog, Rotation};
use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex, OnceLock};
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
            std::thread::sleep(Duration::from_millis(1));
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
    let text = String::from_utf8(receiver.recv().unwrap()).unwrap();
    let comment = text.lines().next().unwrap();
    assert!(comment.starts_with("# 7 records are missing"), "{comment}");
    assert_eq!(text.lines().nth(1), Some(&*line(0, 1)));
    handle.disable();
    assert_eq!(handle.stats().written, 3);
}

/// A log whose function is slow, and asks the log for something each time.
fn asks_back() -> (Arc<OnceLock<KeyLogHandle>>, mpsc::Receiver<u64>) {
    let own = Arc::new(OnceLock::<KeyLogHandle>::new());
    let (tell, told) = mpsc::channel();
    let asks = Arc::downgrade(&own);
    let function = KeyLog::function(move |_| {
        std::thread::sleep(Duration::from_millis(10));
        let own = asks.upgrade().unwrap();
        let handle = own.get().unwrap();
        drop(handle.path());
        let _ = tell.send(handle.stats().failed);
    });
    own.set(keylog::start(&function.queue(1 << 20)).unwrap())
        .unwrap();
    (own, told)
}

/// Lost: a program that stands still, because who writes asks for what a verb holds that
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
    for n in 0..20 {
        record(handle, &line(0, n));
    }
    let start = Instant::now();
    handle.log().context_gone();
    let took = start.elapsed();
    assert!(told.try_iter().count() >= 19, "the last is being told of");
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
    let text = fs::read_to_string(dir.path("k-vhost")).unwrap();
    assert!(text.starts_with("# 2 records are missing here"), "{text}");
    assert_eq!(text.lines().count(), 1);
    let stats = handle.stats();
    assert_eq!((stats.written, stats.dropped), (0, 2));
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
