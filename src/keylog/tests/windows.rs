//! What Windows alone has: names that lead elsewhere, and files that others
//! can't touch while somebody holds them open.
//!
//! Wine shows share modes and renames as Windows does. It doesn't show atomic
//! appends, and keeps the name of a removed file until its last handle is
//! closed: what is said of these below holds for both.

use super::{is_wine, line, lines, record, start, Dir};
use crate::keylog::{self, KeyLog, KeyLogError};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Lost: a log that somebody can't throw away or move while a service runs, for
/// days.
#[test]
fn delete_and_rename_while_in_use_on_windows() {
    let dir = Dir::new("held");
    let (path, old) = (dir.path("keys.log"), dir.path("keys.log.1"));
    let handle = start(&path);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                record(&handle, &line(0, n));
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let tried = (|| {
            fs::rename(&path, &old)?;
            // It is still written to: the log looks at the path once a second.
            fs::remove_file(&old)?;
            let began = Instant::now();
            while !path.exists() && began.elapsed() < Duration::from_secs(30) {
                thread::yield_now();
            }
            fs::remove_file(&path)
        })();
        stop.store(true, Ordering::Relaxed);
        tried.unwrap();
    });
    let stats = handle.stats();
    assert_eq!((stats.failed, stats.problem), (0, None));
    handle.disable();
    fs::remove_dir_all(dir.path(".")).unwrap();
}

/// Lost: a second program that logs to the same file.
#[test]
fn a_second_program_may_open_the_log_to_read_and_to_append() {
    let dir = Dir::new("shared");
    let path = dir.path("keys.log");
    let (one, two) = (start(&path), start(&path));
    record(&one, &line(0, 0));
    record(&two, &line(1, 0));
    record(&one, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 0), line(1, 0), line(0, 1)]);
}

fn refused(path: &str) -> KeyLogError {
    let error = keylog::start(&KeyLog::file(path)).expect_err(path);
    let message = error.to_string();
    assert!(message.contains("the key log"), "{message}");
    error
}

/// Lost: secrets that an injected variable sends to another machine.
#[test]
fn an_unc_path_is_refused_unless_it_is_allowed() {
    for path in [
        r"\\localhost\no-such-share\keys.log",
        r"//localhost/no-such-share/keys.log",
        r"\\?\UNC\localhost\no-such-share\keys.log",
    ] {
        let error = refused(path);
        assert!(matches!(error, KeyLogError::NetworkPath { .. }), "{error}");
        assert!(error.to_string().contains("allow_network_path"), "{error}");
        // Allowed, it fails for want of that share alone.
        let allowed = KeyLog::file(path).allow_network_path(true);
        let error = keylog::start(&allowed).unwrap_err();
        assert!(
            matches!(
                error,
                KeyLogError::ParentMissing { .. } | KeyLogError::Open { .. }
            ),
            "{error}"
        );
    }
}

/// Lost: secrets that go to whoever serves a pipe, or a handshake that waits for
/// a device.
#[test]
fn a_pipe_is_refused() {
    for path in [
        r"\\.\pipe\keys",
        r"\\?\pipe\keys",
        r"\\.\NUL",
        r"\\.\C:\keys.log",
        r"\\?\GLOBALROOT\Device\NamedPipe\keys",
        "NUL",
        "COM1",
    ] {
        let error = refused(path);
        assert!(
            matches!(error, KeyLogError::NotRegular { .. }),
            "{path}: {error}"
        );
        let allowed = KeyLog::file(path).allow_network_path(true);
        keylog::start(&allowed).expect_err("allowing the network allows no pipe");
    }
}

/// Lost: the log of whoever has a name that isn't in the ANSI code page, or a
/// deep directory.
#[test]
fn a_path_may_be_long_and_of_any_letters() {
    let dir = Dir::new("names");
    let deep = dir.path(&["d".repeat(100).as_str(); 3].join("\\"));
    fs::create_dir_all(&deep).unwrap();
    for path in [deep.join("keys.log"), dir.path("ключи-鍵.log")] {
        // Wine can't tell where a long path leads.
        let config = KeyLog::file(&path).allow_network_path(is_wine());
        let handle = keylog::start(&config).unwrap();
        record(&handle, &line(0, 0));
        assert_eq!(lines(&path), [line(0, 0)]);
    }
}

#[test]
fn a_directory_is_refused() {
    let dir = Dir::new("folder");
    let error = keylog::start(&KeyLog::file(dir.path("."))).unwrap_err();
    assert!(matches!(error, KeyLogError::NotRegular { .. }), "{error}");
}
