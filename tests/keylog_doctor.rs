//! The example that looks at key logs: what it finds, and how it ends.

#![cfg(all(feature = "keylog", unix))]

mod common;

use common::programs::{example, Ended, Program};
use common::temp::TempDir;
use std::fs;
use std::process::{Command, Stdio};

const NONE: [&str; 0] = [];

fn doctor() -> Command {
    let mut command = example("keylog_doctor", &NONE);
    let name = libwebsockets::keylog::env_name().unwrap();
    command.env_remove(name).env_remove("SSLKEYLOGFILE");
    command
}

fn end(command: &mut Command) -> Ended {
    Program::start(command).end()
}

fn line(label: &str, random: u8, secret: u8) -> String {
    let (random, secret) = (format!("{random:02x}"), format!("{secret:02x}"));
    format!("{label} {} {}\n", random.repeat(32), secret.repeat(48))
}

#[track_caller]
fn has(ended: &Ended, line: &str) {
    assert!(ended.stdout.iter().any(|l| l == line), "{line}: {ended:?}");
}

/// Lost: why nothing is logged, before a capture is made in vain.
#[test]
fn without_a_file_it_says_why_nothing_would_be_logged() {
    let ended = end(&mut doctor());
    assert_eq!(ended.status, Some(1));
    assert!(ended.stdout.iter().any(|l| l.starts_with("TLS library: ")));
    has(&ended, "no secret would be logged");
    let dir = TempDir::new();
    let name = libwebsockets::keylog::env_name().unwrap();
    let ended = end(doctor().env(name, dir.file("missing/keys.log")));
    assert_eq!(ended.status, Some(1));
    assert!(ended
        .stdout
        .iter()
        .any(|l| l.contains("does not exist: create it")));
    let ended = end(doctor().env(name, dir.file("keys.log")));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    has(&ended, "secrets would be logged");
}

#[test]
fn a_log_is_counted_and_its_torn_lines_are_named() {
    let dir = TempDir::new();
    let (a, b) = (dir.file("a.log"), dir.file("b.log"));
    let one = line("CLIENT_RANDOM", 1, 0xaa);
    fs::write(&a, one.clone() + &line("EXPORTER_SECRET", 2, 0xbb)).unwrap();
    let ended = end(doctor().args([&a]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    has(&ended, "connections: 2");
    has(&ended, "with all that Wireshark needs: 1");
    has(&ended, "CLIENT_RANDOM: 1");
    fs::write(&b, format!("{}{one}", &one[..100])).unwrap();
    let ended = end(doctor().args([&a, &b]));
    assert_eq!(ended.status, Some(1));
    assert!(ended.stdout.iter().any(|l| l.contains("b.log: line 1 is")));
    assert!(ended.stderr.contains("1 line(s)"));
    let shown = format!("{ended:?}");
    assert!(!shown.contains("aaaaaaaa") && !shown.contains("bbbbbbbb"));
    let ended = end(doctor().arg(dir.file("none.log")));
    assert!(ended.stderr.contains("none.log"), "{ended:?}");
}

/// Lost: the keys of captures that carry them.
#[test]
fn secrets_are_found_in_a_pcapng_file_also_if_it_was_cut_off() {
    let dir = TempDir::new();
    let capture = dir.file("keys.pcapng");
    // A section of unknown length, and a block of secrets.
    let section = [0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28];
    let text = line("CLIENT_RANDOM", 1, 0xaa);
    let len = text.len() as u32;
    let total = 12 + 8 + len.next_multiple_of(4);
    let words = [0x0a, total, 0x544c_534b, len].map(u32::to_le_bytes);
    let mut bytes = [section.map(u32::to_le_bytes).concat(), words.concat()].concat();
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(total.to_le_bytes());
    fs::write(&capture, &bytes).unwrap();
    let ended = end(doctor().arg(&capture));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    has(&ended, "CLIENT_RANDOM: 1");
    fs::write(&capture, &bytes[..bytes.len() - 2]).unwrap();
    let ended = end(doctor().arg(&capture));
    assert_eq!(ended.status, Some(1));
    let why = |line: &String| line.contains("in the midst of a block");
    assert!(ended.stdout.iter().any(why), "{ended:?}");
    has(&ended, "CLIENT_RANDOM: 1");
}

/// Lost: what was rotated.
#[cfg(feature = "keylog-gzip")]
#[test]
fn secrets_are_found_in_what_gzip_has_compressed() {
    let dir = TempDir::new();
    let path = dir.file("keys.log.1");
    fs::write(&path, line("CLIENT_RANDOM", 1, 0xaa)).unwrap();
    let gzip = Command::new("gzip").arg(&path).status().unwrap();
    assert!(gzip.success());
    let ended = end(doctor().arg(dir.file("keys.log.1.gz")));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    has(&ended, "CLIENT_RANDOM: 1");
}

#[test]
fn logs_are_merged_and_split() {
    let dir = TempDir::new();
    let (a, b, merged) = (dir.file("a"), dir.file("b"), dir.file("merged"));
    let [one, two, three] = [1, 2, 3].map(|n| line("CLIENT_RANDOM", n, n));
    fs::write(&a, format!("{one}{two}")).unwrap();
    fs::write(&b, format!("# comment\r\n{two}{three}")).unwrap();
    let parts = dir.file("parts");
    fs::create_dir(&parts).unwrap();
    let mut command = doctor();
    command
        .arg("--merge")
        .arg(&merged)
        .arg("--split")
        .arg(&parts);
    let ended = end(command.args([&a, &b]));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    has(&ended, "records that were there twice: 1");
    assert_eq!(
        fs::read_to_string(&merged).unwrap(),
        format!("{one}{two}{three}")
    );
    let part = parts.join(format!("{}.log", "02".repeat(32)));
    assert_eq!(fs::read_to_string(part).unwrap(), two);
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 3);
    // What is there already is never overwritten.
    let ended = end(doctor().arg("--merge").arg(&merged).arg(&a));
    assert_eq!(ended.status, Some(1));
    let only = dir.file("only");
    let mut command = doctor();
    command.args(["--random", "03"]).arg("--merge").arg(&only);
    assert_eq!(end(command.args([&a, &b])).status, Some(0));
    assert_eq!(fs::read_to_string(&only).unwrap(), three);
}

#[test]
fn logs_of_dead_processes_are_removed() {
    let dir = TempDir::new();
    let mut child = Command::new("true").stdout(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    let stale = dir.file(&format!("keys-{}.log", child.id()));
    let live = dir.file(&format!("keys-{}.log", std::process::id()));
    for path in [&stale, &live] {
        fs::write(path, line("CLIENT_RANDOM", 1, 1)).unwrap();
    }
    let clean = |more: &[&str]| end(doctor().arg("--clean").arg(dir.path()).args(more));
    has(&clean(&["--dry-run"]), "would be removed: 1, left: 0");
    assert!(stale.exists());
    has(&clean(&[]), "removed: 1, left: 0");
    assert!(!stale.exists() && live.exists());
    assert_eq!(clean(&["--names", "keys.log"]).status, Some(1));
}

/// Lost: what somebody asked for, and believes was done.
#[test]
fn options_that_would_do_nothing_are_refused() {
    let dir = TempDir::new();
    let log = dir.file("keys.log");
    fs::write(&log, line("CLIENT_RANDOM", 0xab, 1)).unwrap();
    let [dir, log] = [dir.path(), &log].map(|path| path.to_str().unwrap());
    let refused = |args: &[&str], says: &str| {
        let ended = end(doctor().args(args));
        assert_eq!(
            (ended.status, ended.stdout.len()),
            (Some(1), 0),
            "{ended:?}"
        );
        assert!(ended.stderr.contains(says), "{says}: {ended:?}");
    };
    for option in [
        &["--names", "keys.log"][..],
        &["--min-age", "5"],
        &["--dry-run"],
    ] {
        refused(option, "go with --clean");
        refused(&[option, &[log]].concat(), "go with --clean");
    }
    for option in [
        &["--merge", "x"][..],
        &["--split", dir],
        &["--random", "ab"],
    ] {
        refused(
            &[&["--clean", dir], option].concat(),
            "--clean reads no files",
        );
        refused(option, "need files to read");
    }
    refused(&["--clean", dir, log], "--clean reads no files");
    for random in ["", "xy", "0xab", &"a".repeat(65)] {
        refused(&["--random", random, log], "hexadecimal digits");
    }
    let ended = end(doctor().args(["--random", "aB", log]));
    has(&ended, "connections: 1");
}
