//! Logs in blocks of a pcapng file.

use super::{line, record, Dir};
use crate::keylog::file::{self, Format, Rules};
use crate::keylog::{self, pcapng, KeyLog, KeyLogError, Rotation};
use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

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
    let header = pcapng::header().len();
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

/// As [`nothing_follows_a_block_that_was_cut_off`], where it is another process that dies, or
/// another process's file that comes to the path.
#[test]
fn a_block_that_another_process_leaves_cut_off_is_seen() {
    for moved in [false, true] {
        let dir = Dir::new(&format!("pcapng-other-{moved}"));
        let path = dir.path("k");
        let keylog = KeyLog::file(&path).pcapng(true).rotation(Rotation::new());
        let handle = keylog::start(&keylog).unwrap();
        record(&handle, &line(0, 0));
        let whole = fs::read(&path).unwrap();
        let torn = [&whole[..], &whole[28..whole.len() - 3]].concat();
        if moved {
            fs::rename(&path, dir.path("moved")).unwrap();
            fs::write(&path, &torn).unwrap();
            #[cfg(unix)]
            super::set_mode(&path, 0o600);
        } else {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(&torn[whole.len()..]).unwrap();
        }
        record(&handle, &line(0, 0));
        record(&handle, &line(0, 0));
        assert_eq!(fs::read(dir.path("k.1")).unwrap(), torn, "{moved}");
        let new = fs::read(&path).unwrap();
        assert_eq!(new, [&whole[..], &whole[28..]].concat(), "{moved}");
        assert!(!dir.path("k.2").exists());
        assert_eq!((handle.stats().written, handle.stats().failed), (3, 0));
    }
}

/// Lost: good files, each moved on by the next of several processes that began with one whose
/// last block was cut off.
#[test]
fn a_file_that_is_cut_off_is_left_once() {
    for rotation in [None, Some(Rotation::new())] {
        let dir = Dir::new(&format!("pcapng-once-{}", rotation.is_some()));
        let path = dir.file("k", &pcapng::header()[..20]);
        let mut keylog = KeyLog::file(&path).pcapng(true);
        if let Some(rotation) = &rotation {
            keylog = keylog.rotation(rotation.clone());
        }
        let handles: Vec<_> = (0..12).map(|_| keylog::start(&keylog).unwrap()).collect();
        for handle in &handles {
            record(handle, &line(0, 0));
        }
        let written = fs::read(&path).unwrap();
        let (header, blocks) = written.split_at(pcapng::header().len());
        assert_eq!(header, pcapng::header());
        // All of them are in one file.
        assert_eq!(blocks.len() % handles.len(), 0);
        let block = blocks.len() / handles.len();
        assert!(blocks.chunks(block).all(|each| *each == blocks[..block]));
        assert_eq!(fs::read(dir.path("k.1")).unwrap().len(), 20);
        assert!(!dir.path("k.2").exists());
    }
}

/// Lost: time of each handshake whose file is of the other format, which nobody completes.
#[test]
fn a_file_of_the_other_format_is_refused_at_once() {
    let dir = Dir::new("pcapng-format");
    let lines = dir.file("k.log", b"A 00 11\n");
    let blocks = dir.file("k.pcapng", &pcapng::header());
    for (path, pcapng) in [(lines, true), (blocks, false)] {
        let keylog = KeyLog::file(&path).pcapng(pcapng);
        let at_once = (0..10).any(|_| {
            let start = Instant::now();
            assert!(matches!(
                keylog::start(&keylog),
                Err(KeyLogError::OtherFormat { .. })
            ));
            // Waiting took 63 ms.
            start.elapsed() < Duration::from_millis(50)
        });
        assert!(at_once, "{path:?}");
    }
}

/// Lost: time with each handshake, where no file can take the place of one that was cut off.
#[test]
fn what_was_cut_off_is_waited_for_once() {
    let dir = Dir::new("pcapng-cut-once");
    let path = dir.file("k.pcapng", &[&pcapng::header()[..], b"cut"].concat());
    let mut opened = file::open(&path, &Rules::default(), Format::Pcapng).unwrap();
    opened.check_blocks();
    assert!(opened.torn);
    let at_once = (0..10).any(|_| {
        let start = Instant::now();
        opened.check_blocks();
        assert!(opened.torn);
        start.elapsed() < Duration::from_millis(50)
    });
    assert!(at_once);
}
