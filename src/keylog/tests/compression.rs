//! Old files that are compressed.

use super::rotation::len;
use super::{line, record, Dir};
#[cfg(target_os = "linux")]
use crate::keylog::Retention;
use crate::keylog::{self, KeyLog, KeyLogHandle, Rotation};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What a compressed file holds, once it is there and nothing else.
fn decompressed(compressed: &Path, plain: &Path) -> String {
    use std::io::Read;
    for _ in 0..1000 {
        if compressed.exists() && !plain.exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let mut text = String::new();
    let file = fs::File::open(compressed).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Lost: what a process writes that hasn't noticed yet that another has rotated its file.
#[test]
fn what_comes_to_an_old_file_late_is_compressed_with_it() {
    use std::io::Write;
    let dir = Dir::new("rotate-gzip-late");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path)
        .rotation(Rotation::new().overlap(0))
        .compress(true);
    let handle = keylog::start(&keylog).unwrap();
    record(&handle, &line(0, 0));
    let mut other = fs::OpenOptions::new().append(true).open(&path).unwrap();
    handle.rotate().unwrap();
    thread::sleep(Duration::from_millis(900));
    writeln!(other, "{}", line(0, 1)).unwrap();
    let text = decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    assert_eq!(text, format!("{}\n{}\n", line(0, 0), line(0, 1)));
}

/// A log with an old file that is to be compressed.
fn rotated(dir: &Dir, change: fn(KeyLog) -> KeyLog) -> KeyLogHandle {
    let keylog = KeyLog::file(dir.path("k")).rotation(Rotation::new().overlap(0));
    let handle = keylog::start(&change(keylog.compress(true))).unwrap();
    record(&handle, &line(0, 0));
    handle.rotate().unwrap();
    handle
}

/// The same, and what another process would have locked
/// for one of its own.
#[cfg(unix)]
fn compressed_by_another(dir: &Dir, change: fn(KeyLog) -> KeyLog) -> (KeyLogHandle, fs::File) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let handle = rotated(dir, change);
    let mut options = fs::File::options();
    options.append(true).create_new(true).mode(0o600);
    let mut part = options.open(dir.path("k.gz-part")).unwrap();
    part.lock().unwrap();
    part.write_all(b"half").unwrap();
    // By now it is waited for.
    thread::sleep(Duration::from_millis(3500));
    (handle, part)
}

/// Lost: an old file that two processes compress at once.
#[cfg(unix)]
#[test]
fn what_another_process_is_compressing_is_waited_for() {
    let dir = Dir::new("rotate-gzip-other");
    let (_handle, part) = compressed_by_another(&dir, |keylog| keylog);
    assert_eq!(fs::read(dir.path("k.gz-part")).unwrap(), b"half");
    assert!(dir.path("k.1").exists() && !dir.path("k.1.gz").exists());
    // It dies.
    drop(part);
    let text = decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    assert_eq!(text, format!("{}\n", line(0, 0)));
    assert!(!dir.path("k.gz-part").exists());
}

/// Lost: all that comes after, where that process was stopped, or has left its files to a child.
#[cfg(unix)]
#[test]
fn who_does_not_go_on_compressing_is_not_waited_for() {
    let dir = Dir::new("rotate-gzip-idle");
    let (_handle, part) = compressed_by_another(&dir, |keylog| keylog);
    let text = decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    assert_eq!(text, format!("{}\n", line(0, 0)));
    drop(part);
}

/// Lost: files that stay as they are, for the log goes elsewhere.
#[test]
fn what_was_rotated_is_compressed_also_if_the_log_is_closed() {
    let dir = Dir::new("rotate-gzip-closed");
    let handle = rotated(&dir, |keylog| keylog);
    handle.disable();
    let text = decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    assert_eq!(text, format!("{}\n", line(0, 0)));
}

/// Lost: what was to be gone with its log.
#[cfg(unix)]
#[test]
fn nothing_is_left_of_a_log_that_is_removed_while_it_is_to_be_compressed() {
    for is_opened_anew in [false, true] {
        let dir = Dir::new("rotate-gzip-gone");
        let handle = rotated(&dir, |keylog| keylog.remove_on_drop(true));
        if is_opened_anew {
            handle.disable();
            handle.enable().unwrap();
        }
        // The thread has compressed it, and waits for its turn to put it in place.
        let held = fs::File::open(dir.path("k.lock")).unwrap();
        held.lock().unwrap();
        for _ in 0..500 {
            if fs::metadata(dir.path("k.gz-part")).is_ok_and(|part| part.len() > 0) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(50));
        handle.log().context_gone();
        drop(held);
        thread::sleep(Duration::from_millis(500));
        let left: Vec<_> = fs::read_dir(dir.path(".")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Lost: the age of secrets, by which they are to go: they would stay for twice as long.
#[test]
fn a_compressed_file_is_as_old_as_what_is_in_it() {
    let dir = Dir::new("rotate-gzip-age");
    let _handle = rotated(&dir, |keylog| keylog);
    let old = fs::File::options().append(true).open(dir.path("k.1"));
    let then = std::time::SystemTime::now() - Duration::from_secs(6 * 24 * 3600);
    old.unwrap().set_modified(then).unwrap();
    decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    let now = fs::metadata(dir.path("k.1.gz"))
        .unwrap()
        .modified()
        .unwrap();
    assert!(now < then + Duration::from_secs(2), "{now:?}");
}

/// Lost: old files of a path that the log has left, which were to stay.
#[test]
fn what_was_rotated_stays_where_the_log_has_left_it() {
    let dir = Dir::new("rotate-gzip-left");
    let handle = rotated(&dir, |keylog| keylog.remove_on_drop(true));
    handle.set_path(dir.path("other")).unwrap();
    handle.log().context_gone();
    assert!(!dir.path("other").exists());
    let text = decompressed(&dir.path("k.1.gz"), &dir.path("k.1"));
    assert_eq!(text, format!("{}\n", line(0, 0)));
}

/// Lost: a process full of threads that wait, where each handshake is a rotation.
#[cfg(target_os = "linux")]
#[test]
fn one_thread_compresses_however_often_a_log_is_rotated() {
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names =
            tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names
            .filter(|name| name.trim() == "lws-keylog-gzip")
            .count()
    };
    let dir = Dir::new("rotate-gzip-often");
    let keylog = KeyLog::file(dir.path("k"))
        .rotation(Rotation::new().overlap(0))
        .retention(Retention::new().max_files(100))
        .compress(true);
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..30 {
        record(&handle, &line(0, n));
        handle.rotate().unwrap();
    }
    // Those of the tests beside this are among them.
    assert!((1..10).contains(&threads()), "{}", threads());
    // The first and the last: also what came while the thread waited.
    for n in [30, 1] {
        let text = decompressed(
            &dir.path(&format!("k.{n}.gz")),
            &dir.path(&format!("k.{n}")),
        );
        assert_eq!(text, format!("{}\n", line(0, 30 - n)));
    }
}

#[test]
fn old_files_are_compressed_and_can_be_read_again() {
    let dir = Dir::new("rotate-gzip");
    let path = dir.path("k");
    let keylog = KeyLog::file(&path)
        .rotation(Rotation::new().max_size(2 * len()).overlap(0))
        .compress(true);
    let handle = keylog::start(&keylog).unwrap();
    for n in 0..4 {
        record(&handle, &line(0, n));
    }
    let compressed = dir.path("k.1.gz");
    let text = decompressed(&compressed, &dir.path("k.1"));
    assert_eq!(text, format!("{}\n{}\n", line(0, 0), line(0, 1)));
    for n in 4..6 {
        record(&handle, &line(0, n));
    }
    for _ in 0..500 {
        if compressed.exists() && dir.path("k.2.gz").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(dir.path("k.2.gz").exists(), "it moves on like the others");
}
