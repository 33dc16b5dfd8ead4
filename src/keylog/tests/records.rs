//! What records do to a file. Lost without these: lines that Wireshark takes
//! for shorter secrets, and whole sessions that can't be decrypted.

use super::{
    line, lines, record, record_bytes, removed_files_keep_their_names, start, Dir, SECRET,
};
use crate::keylog::batch::Batch;
use crate::keylog::file::{self, Format, Rules};
use crate::keylog::{sink, Problem};
use std::fs;
use std::io::{self, Write};
use std::thread;

/// A file system that takes what it is told to, call by call.
struct Scripted {
    answers: Vec<io::Result<usize>>,
    taken: Vec<u8>,
    calls: usize,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = io::Result<usize>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Scripted {
            answers,
            taken: Vec::new(),
            calls: 0,
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.taken).unwrap()
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let n = self
            .answers
            .pop()
            .unwrap_or(Ok(bytes.len()))?
            .min(bytes.len());
        self.taken.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        unreachable!("nothing is buffered")
    }
}

/// Appends one line.
fn append(to: &mut Scripted, torn: &mut bool, line: &str) -> Result<(), io::Error> {
    let mut batch = Batch::default();
    assert!(batch.push(line.as_bytes()));
    let lines = batch.after(*torn);
    sink::write(to, torn, lines).map_err(|(error, written)| {
        assert_eq!(written, 0, "no line is whole");
        error
    })
}

fn full() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

#[test]
fn one_write_per_record() {
    let (mut to, mut torn) = (Scripted::new([]), false);
    append(&mut to, &mut torn, "A 1 2").unwrap();
    append(&mut to, &mut torn, "B 3 4").unwrap();
    assert_eq!((to.calls, to.text(), torn), (2, "A 1 2\nB 3 4\n", false));
}

#[test]
fn a_short_write_is_completed_and_an_interrupted_one_repeated() {
    let interrupted = Err(io::ErrorKind::Interrupted.into());
    let (mut to, mut torn) = (Scripted::new([Ok(2), interrupted, Ok(1)]), false);
    append(&mut to, &mut torn, "A 1 2").unwrap();
    assert_eq!((to.calls, to.text(), torn), (4, "A 1 2\n", false));
}

#[test]
fn a_torn_line_is_ended_before_the_next_record_in_the_same_write() {
    let (mut to, mut torn) = (Scripted::new([Ok(3), Err(full()), Err(full())]), false);
    append(&mut to, &mut torn, "A 1 2").unwrap_err();
    assert!(torn);
    append(&mut to, &mut torn, "B 3 4").unwrap_err();
    assert!(torn, "a write that took nothing changes nothing");
    append(&mut to, &mut torn, "C 5 6").unwrap();
    assert_eq!((to.calls, to.text(), torn), (4, "A 1\nC 5 6\n", false));
}

#[test]
fn a_line_break_that_got_through_alone_ends_the_torn_line() {
    let (mut to, mut torn) = (Scripted::new([Ok(1), Ok(0)]), true);
    let error = append(&mut to, &mut torn, "A 1 2").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    assert!(!torn);
    append(&mut to, &mut torn, "B 3 4").unwrap();
    assert_eq!(to.text(), "\nB 3 4\n");
}

#[test]
fn what_a_dead_process_left_torn_is_ended_too() {
    let dir = Dir::new("tail");
    for (tail, expected) in [("", ""), ("# whole\n", "# whole\n"), ("A 1", "A 1\n")] {
        let path = dir.file("keys.log", tail.as_bytes());
        let handle = start(&path);
        record(&handle, "B 3 4");
        record(&handle, "C 5 6");
        let content = fs::read_to_string(&path).unwrap();
        assert_eq!(content, format!("{expected}B 3 4\nC 5 6\n"));
    }
}

/// Lost: a record of a log that works, behind what another process left torn.
#[test]
fn what_another_process_leaves_torn_swallows_no_record() {
    let dir = Dir::new("tail-of-others");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let tear = || {
        let mut other = fs::OpenOptions::new().append(true).open(&path).unwrap();
        other.write_all(b"A 1").unwrap();
    };
    for line in ["B 2 3", "C 4 5"] {
        record(&handle, line);
        tear();
    }
    record(&handle, "D 6 7");
    let content = fs::read_to_string(&path).unwrap();
    assert_eq!(content, "B 2 3\nA 1C 4 5\nC 4 5\nA 1D 6 7\nD 6 7\n");

    let mut opened = file::open(&path, &Rules::default(), Format::Lines).unwrap();
    assert!(!opened.torn);
    tear();
    sink::write_lines(&mut opened, &path, b"E 1 1\nF 1 1\n").unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert!(
        content.ends_with("D 6 7\nA 1E 1 1\nF 1 1\nE 1 1\n"),
        "{content}"
    );
    // Nothing but the first may be there twice, and that only then.
    sink::write_lines(&mut opened, &path, b"G 1 1\n").unwrap();
    let content = fs::read_to_string(&path).unwrap();
    assert!(content.ends_with("\nE 1 1\nG 1 1\n"), "{content}");
}

#[test]
fn what_is_no_line_is_dropped_and_counted() {
    let dir = Dir::new("dropped");
    let path = dir.path("keys.log");
    let handle = start(&path);
    let long = vec![b'a'; 64 * 1024 + 1];
    let bad: [&[u8]; 6] = [b"", b"A 1\nB 2", b"A\0", b"A\t1", b"caf\xc3\xa9", &long];
    for line in bad {
        record_bytes(&handle, line);
    }
    record_bytes(&handle, &long[1..]);
    let stats = handle.stats();
    assert_eq!((stats.written, stats.dropped, stats.failed), (1, 6, 0));
    assert_eq!(stats.problem, None);
    assert_eq!(fs::read(&path).unwrap().len(), 64 * 1024 + 1);
}

#[test]
fn threads_and_logs_that_share_a_file_tear_nothing() {
    let dir = Dir::new("threads");
    let path = dir.path("keys.log");
    let one = start(&path);
    // Wine's appends aren't atomic between handles; Windows' are.
    let other = match super::is_wine() {
        true => one.clone(),
        false => start(&path),
    };
    let handles = [one, other];
    thread::scope(|scope| {
        for t in 0..8 {
            let handle = handles[t % 2].clone();
            scope.spawn(move || (0..1000).for_each(|n| record(&handle, &line(t, n))));
        }
    });
    let mut found = lines(&path);
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 8000);
    let written = if super::is_wine() { 8000 } else { 4000 };
    assert_eq!(handles.map(|h| h.stats().written), [written; 2]);
}

#[test]
fn two_logs_keep_their_records_apart() {
    let dir = Dir::new("apart");
    let paths = [dir.path("one.log"), dir.path("two.log")];
    let handles = [start(&paths[0]), start(&paths[1])];
    let off = crate::keylog::start(&crate::keylog::KeyLog::off()).unwrap();
    for n in 0..10 {
        record(&handles[n % 2], &line(n % 2, n));
        record(&off, &line(9, n));
    }
    for (t, path) in paths.iter().enumerate() {
        let expected: Vec<_> = (t..10).step_by(2).map(|n| line(t, n)).collect();
        assert_eq!(lines(path), expected);
    }
    assert_eq!(fs::read_dir(paths[0].parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn a_removed_file_is_replaced_before_the_next_record() {
    let dir = Dir::new("removed");
    let path = dir.path("keys.log");
    let handle = start(&path);
    record(&handle, &line(0, 0));
    if removed_files_keep_their_names() {
        return;
    }
    fs::remove_file(&path).unwrap();
    record(&handle, &line(0, 1));
    assert_eq!(lines(&path), [line(0, 1)]);
    assert_eq!(handle.stats().written, 2);
}

#[test]
fn a_renamed_file_is_left_at_the_next_look() {
    let dir = Dir::new("renamed");
    let (path, old) = (dir.path("keys.log"), dir.path("keys.log.1"));
    let handle = start(&path);
    record(&handle, &line(0, 0));
    fs::rename(&path, &old).unwrap();
    record(&handle, &line(0, 1));
    handle.log().look_now();
    record(&handle, &line(0, 2));
    // Another program may have made the new file.
    fs::remove_file(&old).unwrap();
    fs::rename(&path, &old).unwrap();
    dir.file("keys.log", b"");
    handle.log().look_now();
    record(&handle, &line(0, 3));
    assert_eq!(lines(&old), [line(0, 2)]);
    assert_eq!(lines(&path), [line(0, 3)]);
}

#[test]
fn a_failure_is_counted_told_once_and_over_when_its_cause_is() {
    if removed_files_keep_their_names() {
        return;
    }
    let dir = Dir::new("failure");
    let path = dir.path("deep/keys.log");
    fs::create_dir(dir.path("deep")).unwrap();
    let handle = start(&path);
    fs::remove_dir_all(dir.path("deep")).unwrap();
    let write = |n| handle.log().told_of(line(0, n).as_bytes());
    let message = write(0).expect("a new cause is told");
    assert!(message.contains(&format!("{path:?}")), "{message}");
    assert_eq!(write(1), None, "the same cause is told once");
    let stats = handle.stats();
    assert_eq!((stats.written, stats.failed), (0, 2));
    assert_eq!(stats.last_error.as_ref(), Some(&message));
    assert_eq!(stats.problem, Some(Problem::Failing { reason: message }));
    assert!(handle.is_enabled());

    fs::create_dir(dir.path("deep")).unwrap();
    assert_eq!(write(2), None);
    let stats = handle.stats();
    assert_eq!((stats.written, stats.problem), (1, None));
    assert!(stats.last_error.is_some());
    assert_eq!(lines(&path), [line(0, 2)]);
}

#[cfg(unix)]
#[test]
fn a_link_planted_in_the_files_place_gets_no_secret() {
    let dir = Dir::new("planted");
    let (path, target) = (dir.path("keys.log"), dir.file("target", b""));
    let handle = start(&path);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    record(&handle, &line(0, 0));
    assert_eq!(handle.stats().failed, 1);
    assert_eq!(fs::read(&target).unwrap(), b"");
}

#[test]
fn no_secret_is_in_debug_output_statistics_or_messages() {
    if removed_files_keep_their_names() {
        return;
    }
    let dir = Dir::new("secrets");
    let path = dir.path("deep/keys.log");
    fs::create_dir(dir.path("deep")).unwrap();
    let handle = start(&path);
    record(&handle, &line(0, 0));
    record(&handle, &format!("{}\n", line(0, 1)));
    fs::remove_dir_all(dir.path("deep")).unwrap();
    let message = handle.log().told_of(line(0, 2).as_bytes()).unwrap();
    let error = handle.log().enable().unwrap_err();
    let stats = handle.stats();
    let problem = stats.problem.clone().unwrap();
    assert_eq!((stats.written, stats.dropped, stats.failed), (1, 1, 1));
    let said = format!("{handle:?} {stats:?} {problem} {message} {error:?} {error}");
    assert!(
        said.contains("keys.log") && !said.contains(SECRET),
        "{said}"
    );
    assert!(!said.contains("CLIENT_RANDOM"), "{said}");
}
