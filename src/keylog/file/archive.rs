//! The old files of a log: `keys.log.1` is the newest.

use super::{platform, strip_name};
use crate::ffi::wipe::wipe;
use crate::keylog::rotation::Retention;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What compressed files are called behind their number.
pub(super) const COMPRESSED: &str = ".gz";

/// What a compressed file is called behind its log's name until it is whole.
pub(super) const PARTIAL: &str = ".gz-part";

/// One old file.
#[derive(Debug)]
struct Old {
    number: u32,
    compressed: bool,
    path: PathBuf,
}

/// What there is under the names of a log's old files.
#[derive(Debug, Default)]
struct Found {
    /// Its old files, the newest first.
    old: Vec<Old>,
    /// Numbers that something else has: a directory, or a file that is no key log.
    taken: BTreeSet<u32>,
}

impl Found {
    fn of(path: &Path) -> io::Result<Self> {
        let mut found = Found::default();
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(found);
        };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Some((number, compressed)) = number(name, &entry.file_name()) else {
                continue;
            };
            let path = entry.path();
            if is_ours(&path) {
                found.old.push(Old {
                    number,
                    compressed,
                    path,
                });
            } else {
                found.taken.insert(number);
            }
        }
        found.old.sort_by_key(|old| old.number);
        Ok(found)
    }

    /// The next number that nobody else has.
    fn after(&self, number: u32) -> u32 {
        let mut next = number.saturating_add(1);
        while next < u32::MAX && self.taken.contains(&next) {
            next += 1;
        }
        next
    }
}

/// Whether a file may be renamed and removed as an old one.
fn is_ours(path: &Path) -> bool {
    let found = fs::symlink_metadata(path);
    let ours = found.is_ok_and(|found| super::check_removable(path, &found).is_ok());
    ours && super::begins_as_log(path).unwrap_or(false)
}

/// Whether a file is called as a compressed one is, whole or not.
pub(super) fn is_compressed(name: &[u8]) -> bool {
    name.ends_with(COMPRESSED.as_bytes()) || name.ends_with(PARTIAL.as_bytes())
}

/// The paths of the old files, the newest first.
pub(in crate::keylog) fn paths(path: &Path) -> io::Result<Vec<PathBuf>> {
    let found = Found::of(path)?;
    Ok(found.old.into_iter().map(|old| old.path).collect())
}

/// The number of an old file of the log called `name`, and whether it is
/// compressed.
fn number(name: &OsStr, found: &OsStr) -> Option<(u32, bool)> {
    let (name, found) = (name.as_encoded_bytes(), found.as_encoded_bytes());
    numbered_as(strip_name(found, name)?.strip_prefix(b".")?)
}

fn numbered_as(rest: &[u8]) -> Option<(u32, bool)> {
    let (digits, compressed) = match rest.strip_suffix(COMPRESSED.as_bytes()) {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let plain = digits.first().is_some_and(|b| *b != b'0') && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    plain.then_some((number, compressed))
}

/// Whether a log's name with this behind it is that of an old file, or of one
/// that is being compressed.
pub(in crate::keylog) fn is_suffix(rest: &[u8]) -> bool {
    let number = |rest| numbered_as(rest).is_some();
    rest == PARTIAL.as_bytes() || rest.strip_prefix(b".").is_some_and(number)
}

/// The path of the `number`th old file.
pub(super) fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Renames the log at `path` to the newest of the old ones; those move on that are in its
/// way. If somebody holds the log, there is a gap then, and the next try moves none.
pub(in crate::keylog) fn shift(path: &Path) -> io::Result<PathBuf> {
    let found = Found::of(path)?;
    let first = found.after(0);
    let mut free = first;
    // They are in the order of their numbers.
    let in_the_way = |old: &&Old| {
        let is = old.number <= free;
        free = found.after(old.number);
        is
    };
    let run: Vec<_> = found.old.iter().take_while(in_the_way).collect();
    for old in run.into_iter().rev() {
        let mut to = numbered(path, found.after(old.number)).into_os_string();
        if old.compressed {
            to.push(COMPRESSED);
        }
        fs::rename(&old.path, to)?;
    }
    let newest = numbered(path, first);
    fs::rename(path, &newest)?;
    Ok(newest)
}

/// Removes the old files that aren't to be kept; the first error, if some can't be.
pub(in crate::keylog) fn retain(path: &Path, retention: &Retention) -> io::Result<()> {
    let mut total = 0u64;
    let mut result = Ok(());
    for (index, old) in Found::of(path)?.old.into_iter().enumerate() {
        let Ok(found) = fs::symlink_metadata(&old.path) else {
            continue; // somebody else removed it
        };
        total = total.saturating_add(found.len());
        let too_many = retention.max_files.is_some_and(|most| index >= most);
        let too_much = retention.max_total_size.is_some_and(|most| total > most);
        let too_old = retention
            .max_age
            .is_some_and(|most| age(found.modified()) > most);
        if too_many || too_much || too_old {
            result = result.and(remove(&old.path));
        }
    }
    result
}

/// How long ago something was; no time at all if the clock was set back.
pub(in crate::keylog) fn age(time: io::Result<SystemTime>) -> Duration {
    let elapsed = time.ok().and_then(|time| time.elapsed().ok());
    elapsed.unwrap_or_default()
}

/// Removes a file that may be gone already.
pub(in crate::keylog) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The last whole lines of a file, at most `most` bytes of them; the caller
/// wipes them.
pub(in crate::keylog) fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = platform::open_to_read(path)?;
    let len = file.metadata()?.len();
    // One byte before, to see whether a line begins there.
    let start = len.saturating_sub(most.saturating_add(1));
    file.seek(SeekFrom::Start(start))?;
    let room = usize::try_from(len - start).unwrap_or(usize::MAX);
    let mut bytes = vec![0; room];
    let mut filled = 0;
    while filled < room {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) => {
                wipe(&mut bytes);
                return Err(error);
            }
        }
    }
    bytes.truncate(filled);
    let newline = |b: &u8| *b == b'\n';
    let begin = match start {
        0 => 0,
        _ => bytes.iter().position(newline).map_or(filled, |at| at + 1),
    };
    let end = bytes.iter().rposition(newline).map_or(begin, |at| at + 1);
    let lines = bytes.get(begin..end).unwrap_or_default().to_vec();
    wipe(&mut bytes);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::tests::Dir;

    #[test]
    fn only_numbered_files_of_this_log_are_old_ones() {
        let number = |found: &str| number(OsStr::new("k.log"), OsStr::new(found));
        assert_eq!(number("k.log.1"), Some((1, false)));
        assert_eq!(number("k.log.27.gz"), Some((27, true)));
        for other in [
            "k.log",
            "k.log.",
            "k.log.0",
            "k.log.01",
            "k.log.x",
            "k.log.1.x",
            "k.log.lock",
            "k.log1",
            "other.log.1",
            "k.log.-1",
            "k.log.99999999999",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }

    /// Lost: old files, one with each try to rotate a log that somebody else holds.
    #[test]
    fn old_files_beyond_a_gap_stay_where_they_are() {
        let dir = Dir::new("archive-gap");
        let path = dir.path("k");
        for name in ["k.1", "k.2", "k.2.gz", "k.4", "k.9.gz"] {
            fs::write(dir.path(name), content(name)).unwrap();
        }
        let was = |name: &str| {
            let all = fs::read(dir.path(name)).unwrap();
            let names = ["k", "k.1", "k.2", "k.2.gz", "k.4", "k.9.gz"];
            *names.iter().find(|name| content(name) == all).unwrap()
        };
        // There is no log to be moved: as if it were held.
        for _ in 0..2 {
            shift(&path).unwrap_err();
            let now = ["k.2", "k.3", "k.3.gz", "k.4", "k.9.gz"].map(was);
            assert_eq!(now, ["k.1", "k.2", "k.2.gz", "k.4", "k.9.gz"]);
            assert!(!dir.path("k.1").exists());
        }
        fs::write(&path, content("k")).unwrap();
        shift(&path).unwrap();
        assert_eq!([was("k.1"), was("k.2")], ["k", "k.1"]);
    }

    /// What is taken for a log of that name.
    fn content(name: &str) -> Vec<u8> {
        match name.ends_with(".gz") {
            true => [b"\x1f\x8b", name.as_bytes()].concat(),
            false => format!("# {name}\n").into_bytes(),
        }
    }

    /// Lost: files of somebody else's, whose names are those of old ones.
    #[test]
    fn what_is_no_log_is_neither_moved_nor_removed() {
        let dir = Dir::new("archive-others");
        let path = dir.path("notes");
        fs::create_dir(dir.path("notes.1")).unwrap();
        for name in ["notes.3", "notes.2024"] {
            fs::write(dir.path(name), "Dear diary").unwrap();
        }
        for n in 0..4 {
            fs::write(&path, content(&n.to_string())).unwrap();
            assert_eq!(shift(&path).unwrap(), dir.path("notes.2"));
        }
        for (number, n) in [(2, 3), (4, 2), (5, 1), (6, 0)] {
            let old = fs::read(dir.path(&format!("notes.{number}"))).unwrap();
            assert_eq!(old, content(&n.to_string()));
        }
        retain(&path, &Retention::new().max_files(0)).unwrap();
        assert!(paths(&path).unwrap().is_empty());
        assert!(dir.path("notes.1").is_dir());
        for name in ["notes.3", "notes.2024"] {
            assert_eq!(fs::read(dir.path(name)).unwrap(), b"Dear diary");
        }
    }

    #[test]
    fn the_tail_is_whole_lines() {
        let dir = Dir::new("archive-tail");
        let path = dir.path("k");
        fs::write(&path, "aa\nbb\ncc\n").unwrap();
        for (most, expected) in [
            (0, ""),
            (2, ""),
            (3, "cc\n"),
            (5, "cc\n"),
            (6, "bb\ncc\n"),
            (9, "aa\nbb\ncc\n"),
            (100, "aa\nbb\ncc\n"),
        ] {
            let tail = tail(&path, most).unwrap();
            assert_eq!(std::str::from_utf8(&tail).unwrap(), expected, "{most}");
        }
        fs::write(&path, "aa\ntorn").unwrap();
        assert_eq!(tail(&path, 100).unwrap(), b"aa\n");
        fs::write(&path, "").unwrap();
        assert_eq!(tail(&path, 100).unwrap(), b"");
    }

    /// Lost: old files that are overwritten, for a program spells the log's name otherwise.
    #[cfg(windows)]
    #[test]
    fn a_name_in_other_case_is_the_same() {
        let number = |found: &str| number(OsStr::new("Ä-Keys.log"), OsStr::new(found));
        assert_eq!(number("ä-keys.LOG.3"), Some((3, false)));
        assert_eq!(number("a-keys.log.3"), None);
    }

    #[test]
    fn old_files_move_on_and_the_oldest_go() {
        let dir = Dir::new("archive-shift");
        let path = dir.path("k");
        for n in 1..=4 {
            fs::write(&path, "X".repeat(n)).unwrap();
            assert_eq!(shift(&path).unwrap(), dir.path("k.1"));
        }
        let len = |name: &str| fs::metadata(dir.path(name)).unwrap().len();
        assert_eq!([1, 2, 3, 4].map(|n| len(&format!("k.{n}"))), [4, 3, 2, 1]);
        retain(&path, &Retention::new().max_total_size(8)).unwrap();
        assert_eq!(paths(&path).unwrap(), [dir.path("k.1"), dir.path("k.2")]);
        retain(&path, &Retention::new().max_files(1)).unwrap();
        assert_eq!(paths(&path).unwrap(), [dir.path("k.1")]);
        retain(&path, &Retention::new().max_age(Duration::ZERO)).unwrap();
        assert!(paths(&path).unwrap().is_empty());
    }
}
