//! Rotation. Lost without these: logs that fill a disk, and connections that a
//! live Wireshark can't read because their secrets went to another file.

use super::{is_wine, line, lines, record, session, Dir};
use crate::keylog::{self, KeyLog, KeyLogHandle, Retention, Rotation};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// The bytes of one record of these tests.
pub(super) fn len() -> u64 {
    line(0, 0).len() as u64 + 1
}

fn start(path: &Path, rotation: Rotation) -> KeyLogHandle {
    let retention = Retention::new().max_files(1000);
    let keylog = KeyLog::file(path).rotation(rotation).retention(retention);
    keylog::start(&keylog).unwrap()
}

/// The records of a log, from the oldest file to the newest.
fn all(dir: &Dir, newest: usize) -> Vec<Vec<String>> {
    let old = (1..=newest).rev().map(|n| dir.path(&format!("k.{n}")));
    old.chain([dir.path("k")])
        .map(|path| lines(&path))
        .collect()
}

#[test]
fn a_file_never_grows_beyond_its_size_and_nothing_is_lost() {
    let dir = Dir::new("rotate-size");
    let rotation = Rotation::new().max_size(4 * len()).overlap(0);
    let handle = start(&dir.path("k"), rotation);
    for n in 0..10 {
        record(&handle, &line(0, n));
    }
    let files = all(&dir, 2);
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    let expected: Vec<_> = (0..10).map(|n| line(0, n)).collect();
    assert_eq!(files.concat(), expected);
    let stats = handle.stats();
    assert_eq!(
        (stats.rotations, stats.written, stats.problem),
        (2, 10, None)
    );
}

#[test]
fn the_new_file_begins_with_the_last_records_of_the_old_one() {
    let dir = Dir::new("rotate-overlap");
    let rotation = Rotation::new().max_size(4 * len()).overlap(2 * len());
    let handle = start(&dir.path("k"), rotation);
    for n in 0..6 {
        record(&handle, &line(0, n));
    }
    let numbers = |range: std::ops::Range<usize>| range.map(|n| line(0, n)).collect::<Vec<_>>();
    assert_eq!(all(&dir, 1), [numbers(0..4), numbers(2..6)]);
    assert_eq!(handle.stats().written, 6, "copies don't count");
}

#[test]
fn a_handshake_is_never_spread_over_two_files() {
    let dir = Dir::new("rotate-handshake");
    let handle = start(
        &dir.path("k"),
        Rotation::new().max_size(7 * len()).overlap(0),
    );
    for thread in 0..4 {
        let mut session = session(&handle);
        for n in 0..5 {
            session.line(line(thread, n).as_bytes());
        }
        session.finish();
    }
    for file in all(&dir, 3) {
        assert_eq!(file.len(), 5);
    }
}

#[test]
fn a_record_larger_than_the_limit_is_written_all_the_same() {
    let dir = Dir::new("rotate-tiny");
    let handle = start(&dir.path("k"), Rotation::new().max_size(1));
    for n in 0..3 {
        record(&handle, &line(0, n));
    }
    assert_eq!(all(&dir, 2).concat().len(), 3);
}

#[test]
fn an_application_can_ask_for_a_new_file() {
    let dir = Dir::new("rotate-asked");
    let path = dir.path("k");
    let handle = super::start(&path);
    handle.rotate().unwrap();
    record(&handle, &line(0, 0));
    handle.rotate().unwrap();
    record(&handle, &line(0, 1));
    let both = [line(0, 0), line(0, 1)];
    assert_eq!(lines(&dir.path("k.1")), both[..1]);
    assert_eq!(lines(&path), both, "with the overlap");
    assert_eq!(handle.stats().rotations, 2);
    handle.disable();
    handle.rotate().unwrap();
    assert_eq!(handle.stats().rotations, 2);
}

#[test]
fn a_file_that_is_old_enough_is_left() {
    let dir = Dir::new("rotate-age");
    let rotation = Rotation::new()
        .max_age(Duration::from_millis(20))
        .overlap(0);
    let handle = start(&dir.path("k"), rotation);
    record(&handle, &line(0, 0));
    thread::sleep(Duration::from_millis(30));
    record(&handle, &line(0, 1));
    assert_eq!(all(&dir, 1), [[line(0, 0)], [line(0, 1)]]);
}

#[test]
fn only_as_many_old_files_are_kept_as_asked_for() {
    let dir = Dir::new("rotate-retain");
    let keylog = KeyLog::file(dir.path("k"))
        .rotation(Rotation::new().max_size(len()))
        .retention(Retention::new().max_files(2));
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..6 {
        record(&handle, &line(0, n));
    }
    assert_eq!(all(&dir, 2).concat(), [line(0, 3), line(0, 4), line(0, 5)]);
    assert!(!dir.path("k.3").exists());
}

/// Lost: a limit on how long secrets are kept, where the next rotation is far.
#[test]
fn what_is_not_to_be_kept_goes_when_the_log_is_opened() {
    let dir = Dir::new("rotate-retain-open");
    let path = dir.path("k");
    let handle = start(&path, Rotation::new().max_size(len()));
    for n in 0..4 {
        record(&handle, &line(0, n));
    }
    assert!(dir.path("k.3").exists());
    let keylog = KeyLog::file(&path).retention(Retention::new().max_files(1));
    keylog::start(&keylog).unwrap();
    assert!(dir.path("k.3").exists(), "nothing is rotated");
    let handle = keylog::start(&keylog.rotation(Rotation::new())).unwrap();
    assert!(dir.path("k.1").exists() && !dir.path("k.2").exists());
    assert_eq!(handle.stats().problem, None);
}

#[test]
fn old_files_go_by_their_total_size_and_by_their_age() {
    let dir = Dir::new("rotate-retain-size");
    let keylog = KeyLog::file(dir.path("k"))
        .rotation(Rotation::new().max_size(len()))
        .retention(Retention::new().max_total_size(3 * len()));
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..8 {
        record(&handle, &line(0, n));
    }
    assert_eq!(all(&dir, 3).concat().len(), 4);
    assert!(!dir.path("k.4").exists());

    let dir = Dir::new("rotate-retain-age");
    let age = Duration::from_millis(200);
    let keylog = KeyLog::file(dir.path("k"))
        .rotation(Rotation::new().max_size(len()))
        .retention(Retention::new().max_age(age));
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    record(&handle, &line(0, 1));
    thread::sleep(2 * age);
    record(&handle, &line(0, 2));
    // The first is too old by now; so is the second, which was the log until now.
    assert!(!dir.path("k.1").exists() && !dir.path("k.2").exists());
    assert_eq!(lines(&dir.path("k")), [line(0, 2)]);
}

#[test]
fn new_files_are_their_owners_alone() {
    let dir = Dir::new("rotate-mode");
    let handle = start(&dir.path("k"), Rotation::new().max_size(1));
    record(&handle, &line(0, 0));
    record(&handle, &line(0, 1));
    for name in ["k", "k.1", "k.lock"] {
        assert!(dir.path(name).exists(), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{name}");
        }
    }
}

/// Each log stands for a process: they share nothing but the files.
#[test]
fn many_that_rotate_one_file_agree_and_lose_nothing() {
    if is_wine() {
        // Who waits for the lock in vain appends without it, on a busy machine: what two
        // handles append at once may be lost there.
        return;
    }
    let dir = Dir::new("rotate-many");
    let path = dir.path("k");
    let rotation = Rotation::new().max_size(40 * len()).overlap(0);
    let (threads, records) = (8, 200);
    thread::scope(|scope| {
        for thread in 0..threads {
            let handle = start(&path, rotation.clone());
            scope.spawn(move || {
                for n in 0..records {
                    record(&handle, &line(thread, n));
                }
                let stats = handle.stats();
                assert_eq!((stats.written, stats.failed), (records as u64, 0));
            });
        }
    });
    let files = fs::read_dir(path.parent().unwrap()).unwrap().count() - 1;
    // On a busy machine some wait for the lock in vain, and rotate later.
    let full = threads * records / 40;
    assert!(files > full / 2, "{files} files of {full}");
    let written = all(&dir, files - 1).concat();
    assert_eq!(written.len(), threads * records);
    let distinct: BTreeSet<_> = written.into_iter().collect();
    assert_eq!(distinct.len(), threads * records);
}

#[test]
fn another_programs_rotation_is_followed() {
    let dir = Dir::new("rotate-foreign");
    let path = dir.path("k");
    let handle = start(&path, Rotation::new().max_size(1 << 20));
    record(&handle, &line(0, 0));
    fs::rename(&path, dir.path("elsewhere")).unwrap();
    record(&handle, &line(0, 1));
    assert_eq!(lines(&dir.path("elsewhere")), [line(0, 0)]);
    assert_eq!(lines(&path), [line(0, 1)]);
}

/// Lost: rotation, for as long as something else has the name.
#[test]
fn a_rotation_passes_over_a_name_that_something_else_has() {
    let dir = Dir::new("rotate-taken");
    let path = dir.path("k");
    let handle = start(&path, Rotation::new().max_size(len()));
    record(&handle, &line(0, 0));
    fs::create_dir(dir.path("k.1")).unwrap();
    dir.file("k.3", b"a letter");
    record(&handle, &line(0, 1));
    record(&handle, &line(0, 2));
    let stats = handle.stats();
    assert_eq!((stats.written, stats.failed, stats.rotations), (3, 0, 2));
    assert_eq!(stats.last_error, None);
    assert_eq!(lines(&path), [line(0, 2)]);
    assert_eq!(lines(&dir.path("k.2")), [line(0, 1)]);
    assert_eq!(lines(&dir.path("k.4")), [line(0, 0)]);
    assert_eq!(fs::read(dir.path("k.3")).unwrap(), b"a letter");
}

/// A process that was stopped while it held the lock.
#[test]
fn somebody_who_never_lets_go_holds_no_handshake_up() {
    let dir = Dir::new("rotate-stuck");
    let path = dir.path("k");
    let handle = start(&path, Rotation::new().max_size(len()));
    record(&handle, &line(0, 0));
    let stuck = fs::OpenOptions::new()
        .append(true)
        .open(dir.path("k.lock"))
        .unwrap();
    stuck.lock().unwrap();
    let began = std::time::Instant::now();
    record(&handle, &line(0, 1));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(lines(&path).len(), 2, "unrotated, and not lost");
    assert!(handle.rotate().is_err());
    // Each of them would wait for 200 ms.
    let began = std::time::Instant::now();
    for n in 2..52 {
        record(&handle, &line(0, n));
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(stuck);
    record(&handle, &line(0, 52));
    assert_eq!(lines(&dir.path("k.1")).len(), 52);
}

#[test]
fn a_log_goes_with_its_context_where_that_is_asked_for() {
    let dir = Dir::new("rotate-removed");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path)
        .rotation(Rotation::new().max_size(1))
        .remove_on_drop(true);
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..3 {
        record(&handle, &line(0, n));
    }
    fs::write(dir.path("k.other"), "").unwrap();
    handle.log().context_gone();
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "what isn't ours stays: {left:?}");
    assert!(!handle.is_enabled());
}

/// Lost: an old file that stays, under the name that another process gives it meanwhile.
#[cfg(unix)]
#[test]
fn a_log_is_removed_when_nobody_rotates_it() {
    let dir = Dir::new("rotate-removed-meanwhile");
    let keylog = KeyLog::file(dir.path("k")).rotation(Rotation::new().overlap(0));
    let handle = keylog::start(&keylog.remove_on_drop(true)).unwrap();
    record(&handle, &line(0, 0));
    handle.rotate().unwrap();
    let held = fs::File::open(dir.path("k.lock")).unwrap();
    held.lock().unwrap();
    std::thread::scope(|scope| {
        let removes = scope.spawn(|| handle.log().context_gone());
        std::thread::sleep(Duration::from_millis(60));
        fs::rename(dir.path("k.1"), dir.path("k.2")).unwrap();
        held.unlock().unwrap();
        removes.join().unwrap();
    });
    let left: Vec<_> = fs::read_dir(dir.path(".")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Lost: two processes that rotate at once, each with a lock of its own.
#[cfg(unix)]
#[test]
fn a_lock_that_was_removed_is_not_the_lock_any_more() {
    let dir = Dir::new("rotate-lock-removed");
    let rotation = || Rotation::new().overlap(0);
    let handle = start(&dir.path("k"), rotation());
    record(&handle, &line(0, 0));
    fs::remove_file(dir.path("k.lock")).unwrap();
    handle.rotate().unwrap();
    let held = fs::File::open(dir.path("k.lock")).unwrap();
    held.lock().unwrap();
    let error = handle.rotate().unwrap_err();
    assert!(error.to_string().contains("rotated"), "{error}");
    assert!(!dir.path("k.2").exists());
    drop(held);
    handle.rotate().unwrap();
    assert!(dir.path("k.2").exists());
}

/// Lost: a file without empty lines. Another process rotates it between our opening it
/// and our looking for the end of its last line.
#[cfg(unix)]
#[test]
fn a_file_that_is_rotated_while_it_is_opened_is_not_taken_for_torn() {
    use crate::keylog::file::{self, Format, Identity, Rules};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn rotated(path: &Path) -> std::io::Result<fs::File> {
        static DONE: AtomicBool = AtomicBool::new(false);
        let opened = file::open_unchecked(path)?;
        if !DONE.swap(true, Ordering::Relaxed) {
            fs::rename(path, path.with_extension("old"))?;
            fs::write(file::open_unchecked(path).map(|_| path)?, "whole\n")?;
        }
        Ok(opened)
    }
    let dir = Dir::new("rotated-while-opened");
    let path = dir.file("keys.log", b"whole\n");
    let Ok(opened) = file::open_by(rotated, &path, &Rules::default(), Format::Lines) else {
        panic!("it can be opened");
    };
    assert!(!opened.torn);
    assert_eq!(opened.identity, Identity::at(&path).unwrap());
}
