//! Which files are taken, and which are refused. Lost without these: secrets in
//! the hands of other users, or a process that hangs when it opens its log.

use super::{line, lines, record, set_mode, start, Dir};
use crate::keylog::{self, KeyLog, KeyLogError};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The error of a log in this file; it names the path.
fn refused(path: &Path) -> KeyLogError {
    let error = keylog::start(&KeyLog::file(path)).expect_err("the path was accepted");
    let later = keylog::start(&KeyLog::file(path).enabled(false)).expect_err("… while disabled");
    assert_eq!(error.to_string(), later.to_string());
    let message = error.to_string();
    assert!(message.contains(&format!("{path:?}")), "{message}");
    error
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_that_others_can_open_is_refused_unless_allowed() {
    let dir = Dir::new("others");
    let path = dir.file("keys.log", b"");
    for bits in [0o644, 0o620, 0o601] {
        set_mode(&path, bits);
        let error = refused(&path);
        assert!(matches!(error, KeyLogError::OpenToOthers { mode, .. } if mode == bits));
        assert!(error.to_string().contains("allow_access_by_others"));
        let allowed = KeyLog::file(&path).allow_access_by_others(true);
        record(&keylog::start(&allowed).unwrap(), &line(0, 0));
        assert_eq!(mode(&path), bits, "the mode is the application's affair");
    }
    assert_eq!(lines(&path).len(), 3);
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let dir = Dir::new("symlink");
    let target = dir.file("target", b"");
    let path = dir.path("keys.log");
    symlink(&target, &path).unwrap();
    assert!(matches!(refused(&path), KeyLogError::Symlink { .. }));
    fs::remove_file(&path).unwrap();
    symlink(dir.path("missing"), &path).unwrap();
    assert!(matches!(refused(&path), KeyLogError::Symlink { .. }));
    assert!(!dir.path("missing").exists());
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn only_a_regular_file_is_taken_and_nothing_else_is_waited_for() {
    let dir = Dir::new("kinds");
    let fifo = dir.path("fifo");
    assert!(Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap()
        .success());
    let socket = dir.path("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let cases = [
        (fifo, "a FIFO"),
        (socket, "a socket"),
        (dir.path("."), "a directory"),
        (PathBuf::from("/"), "a directory"),
        (PathBuf::from("/dev/null"), "a character device"),
    ];
    for (path, expected) in cases {
        let path = std::path::absolute(path).unwrap();
        match refused(&path) {
            KeyLogError::NotRegular { kind, .. } => assert_eq!(kind, expected),
            other => panic!("{path:?}: {other}"),
        }
    }
}

#[test]
fn what_was_opened_is_judged_again() {
    let dir = Dir::new("opened");
    let fifo = dir.path("fifo");
    assert!(Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap()
        .success());
    // As if it had come after the first look: opening it doesn't wait either.
    let error = crate::keylog::file::open_unchecked(&fifo).expect_err("a FIFO was opened");
    assert_eq!(error.raw_os_error(), Some(6), "ENXIO: {error}");
    let link = dir.path("link");
    symlink(dir.file("target", b""), &link).unwrap();
    assert!(crate::keylog::file::open_unchecked(&link).is_err());
}

#[test]
fn another_users_file_is_refused() {
    let dir = Dir::new("owner");
    let path = dir.file("keys.log", b"");
    // Only root can give a file away; everybody else has root's.
    let path = match chown(&path, Some(54321), None) {
        Ok(()) => path,
        Err(_) => PathBuf::from("/etc/passwd"),
    };
    assert!(matches!(refused(&path), KeyLogError::NotOwner { .. }));
}

#[test]
fn a_missing_directory_is_named() {
    let dir = Dir::new("parent");
    let path = dir.path("missing/keys.log");
    let error = refused(&path);
    assert!(matches!(error, KeyLogError::ParentMissing { .. }));
    assert!(error
        .to_string()
        .contains(&format!("{:?}", dir.path("missing"))));
}

#[test]
fn a_file_in_the_place_of_a_directory_is_the_systems_error() {
    let dir = Dir::new("notdir");
    let path = dir.file("file", b"").join("keys.log");
    let error = refused(&path);
    let KeyLogError::Open { source, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains(&source.to_string()));
    assert!(
        std::error::Error::source(&error).is_none(),
        "it would be shown twice"
    );
}

#[test]
fn path_length_any() {
    let dir = Dir::new("names");
    // Linux takes 4095 bytes, others fewer.
    let depth = if cfg!(target_os = "linux") { 32 } else { 4 };
    let long = dir.path(&vec!["d".repeat(120); depth].join("/"));
    fs::create_dir_all(&long).unwrap();
    let mut paths = vec![long.join("keys.log")];
    if cfg!(target_os = "linux") {
        // Others may have file systems that insist on UTF-8.
        paths.push(dir.path(".").join(OsStr::from_bytes(b"keys-\xff\xfe.log")));
    }
    for path in paths {
        let handle = start(&path);
        record(&handle, &line(0, 0));
        assert_eq!(lines(&path), [line(0, 0)]);
        assert_eq!(handle.path().unwrap(), std::path::absolute(&path).unwrap());
    }
}

#[test]
fn a_path_that_no_file_can_have_is_refused() {
    let nul = PathBuf::from(OsStr::from_bytes(b"/tmp/keys\0.log"));
    assert!(matches!(refused(&nul), KeyLogError::NulInPath { .. }));
    let empty = keylog::start(&KeyLog::file("")).unwrap_err();
    assert!(matches!(empty, KeyLogError::EmptyPath));
}

#[test]
fn a_disabled_log_leaves_no_file_open_and_an_enabled_one_none_to_children() {
    if !cfg!(target_os = "linux") {
        return; // the open files are looked up in /proc
    }
    let dir = Dir::new("open");
    let path = dir.path("keys.log");
    let open_here = || {
        let fds = fs::read_dir("/proc/self/fd").unwrap();
        fds.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
            .any(|open| open == path)
    };
    let handle = keylog::start(&KeyLog::file(&path).enabled(false)).unwrap();
    assert!(!path.exists() && !open_here());
    handle.enable().unwrap();
    assert!(open_here());
    let child = Command::new("ls")
        .args(["-l", "/proc/self/fd"])
        .output()
        .unwrap();
    let fds = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && !fds.contains("keys.log"), "{fds}");
    handle.disable();
    assert!(!open_here());
}

/// Lost: a folder for each vhost; and any log at all, for a file that is nobody's.
#[test]
fn what_stands_for_a_vhost_is_not_looked_for_as_a_vhosts_name() {
    let dir = Dir::new("vhost-folder");
    fs::create_dir(dir.path("a.test")).unwrap();
    let stray = dir.file("keys-vhost.log", b"");
    set_mode(&stray, 0o644);
    for template in ["{vhost}/keys.log", "keys-{vhost}.log"] {
        let handle = keylog::start(&KeyLog::file(dir.path(template))).unwrap();
        drop(handle);
    }
    let error = keylog::start(&KeyLog::file(dir.path("no/{vhost}/keys.log"))).unwrap_err();
    assert!(
        matches!(error, KeyLogError::ParentMissing { .. }),
        "{error}"
    );
}
