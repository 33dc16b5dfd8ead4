//! Which files may hold secrets, and how they are opened.

pub(super) mod archive;
#[cfg(feature = "keylog-gzip")]
pub(super) mod compress;
pub(super) mod lock;
mod tail;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as platform;
#[cfg(windows)]
use windows as platform;

use super::reader::is_label;
use super::{pcapng, KeyLogError};
use crate::ffi::wipe::wipe;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// How often a file is opened that others rename in the same moment.
const TRIES: u32 = 5;

/// How long a write takes that others may see a part of, more or less.
const LONGEST_WRITE: Duration = Duration::from_millis(32);

/// What the application allows beyond the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Group or world bits in the mode of an existing file (Unix), or a file system that has
    /// no access lists (Windows).
    pub access_by_others: bool,
    /// A file on another machine (Windows).
    pub network_path: bool,
}

/// A file that was found fit, open for appending.
pub(super) struct Opened {
    pub file: File,
    pub identity: Identity,
    /// Whether its last line or block has no end, as a process leaves it that dies while
    /// it writes, or a file system that fills up.
    pub torn: bool,
    blocks: Option<Blocks>,
    tail: tail::Tail,
    /// When it was created, as far as can be told.
    born: SystemTime,
}

/// What a log is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Lines,
    /// Blocks of a pcapng file.
    Pcapng,
}

/// The blocks of a pcapng file, open to be read: what was written may be another process's.
struct Blocks {
    file: File,
    /// So many bytes are whole blocks.
    known: u64,
}

/// What can be asked of an open file at any time.
pub(super) struct Look {
    /// It has no name left.
    pub removed: bool,
    /// Its length in bytes.
    pub len: u64,
}

/// What tells one file from another, whatever their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    volume: u64,
    number: u128,
}

impl Identity {
    /// The file that is at a path now.
    pub fn at(path: &Path) -> io::Result<Self> {
        platform::identity_at(path)
    }
}

impl Opened {
    /// Looks at the open file, wherever its name leads.
    pub fn look(&self) -> io::Result<Look> {
        platform::look(&self.file)
    }

    pub fn age(&self) -> Duration {
        archive::age(Ok(self.born))
    }

    /// Sees whether the last block is whole, whoever wrote it. One that wasn't when this was
    /// last asked isn't waited for again.
    pub fn check_blocks(&mut self) {
        if let Some(blocks) = &mut self.blocks {
            let whole = match self.torn {
                true => blocks.is_whole(),
                false => soon(|| blocks.is_whole()),
            };
            self.torn = !whole.unwrap_or(true);
        }
    }
}

impl Blocks {
    fn open(path: &Path, identity: Identity) -> io::Result<Self> {
        let file = to_read(path, identity)?;
        Ok(Blocks { file, known: 0 })
    }

    fn is_whole(&mut self) -> io::Result<bool> {
        pcapng::is_whole(&mut self.file, &mut self.known)
    }
}

/// The directory that absolute paths begin in, where a process can change it.
pub(super) fn root() -> Option<Identity> {
    if cfg!(unix) {
        Identity::at(Path::new("/")).ok()
    } else {
        None
    }
}

/// Makes a path absolute, so that it stays the same file wherever the process
/// goes.
pub(super) fn resolve(path: &Path) -> Result<PathBuf, KeyLogError> {
    if path.as_os_str().is_empty() {
        return Err(KeyLogError::EmptyPath);
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(KeyLogError::NulInPath {
            path: path.to_owned(),
        });
    }
    path::absolute(path).map_err(|source| KeyLogError::Open {
        path: path.to_owned(),
        source,
    })
}

/// Finds what can be known to be wrong with a path without opening or creating
/// anything there: opening a device alone can set it going.
pub(super) fn check(path: &Path, rules: &Rules) -> Result<(), KeyLogError> {
    platform::check_path(path, rules)?;
    match fs::symlink_metadata(path) {
        Ok(found) => accept(path, &found, rules),
        Err(source) if source.kind() == io::ErrorKind::NotFound => check_parent(path),
        Err(source) => Err(cannot_open(path, source)),
    }
}

/// Whether the folder of a path is there.
pub(super) fn check_folder(path: &Path, rules: &Rules) -> Result<(), KeyLogError> {
    platform::check_path(path, rules)?;
    check_parent(path)
}

fn check_parent(path: &Path) -> Result<(), KeyLogError> {
    match path.parent().map(fs::metadata) {
        Some(Ok(_)) => Ok(()),
        _ => Err(KeyLogError::ParentMissing {
            path: path.to_owned(),
        }),
    }
}

/// Opens a log for appending, or creates it for its owner alone.
pub(super) fn open(path: &Path, rules: &Rules, format: Format) -> Result<Opened, KeyLogError> {
    open_by(platform::open, path, rules, format)
}

pub(super) fn open_by(
    open: fn(&Path) -> io::Result<File>,
    path: &Path,
    rules: &Rules,
    format: Format,
) -> Result<Opened, KeyLogError> {
    let fail = |source| cannot_open(path, source);
    let mut tries = 0;
    loop {
        check(path, rules)?;
        let file = open(path).map_err(fail)?;
        // What was opened is judged, not what was there a moment ago.
        let found = file.metadata().map_err(fail)?;
        accept(path, &found, rules)?;
        #[cfg(windows)]
        platform::check_opened(path, &file, rules)?;
        let identity = platform::identity(&file).map_err(fail)?;
        let tail = match (format, found.len()) {
            (Format::Pcapng, _) => Blocks::open(path, identity).map(|blocks| (true, Some(blocks))),
            (Format::Lines, 0) => Ok((true, None)),
            (Format::Lines, _) => ends_whole_soon(path, identity).map(|whole| (whole, None)),
        };
        if matches!(&tail, Err(error) if error.kind() == io::ErrorKind::NotFound) && tries < TRIES {
            tries += 1; // renamed in this moment
            continue;
        }
        // Where it can't be read, a line break too many does no harm; a new file would.
        let (whole, blocks) = tail.unwrap_or((format == Format::Pcapng, None));
        return Ok(Opened {
            file,
            identity,
            torn: !whole,
            blocks,
            tail: tail::Tail::default(),
            born: found.created().unwrap_or_else(|_| SystemTime::now()),
        });
    }
}

/// Whether a file may be a key log.
fn accept(path: &Path, found: &Metadata, rules: &Rules) -> Result<(), KeyLogError> {
    let kind = found.file_type();
    if kind.is_symlink() {
        return Err(KeyLogError::Symlink {
            path: path.to_owned(),
        });
    }
    if !kind.is_file() {
        return Err(KeyLogError::NotRegular {
            path: path.to_owned(),
            kind: platform::describe(kind),
        });
    }
    platform::check_owner(path, found, rules)
}

/// Opens a file once more, to read it; not found, if it isn't there any more.
pub(super) fn to_read(path: &Path, identity: Identity) -> io::Result<File> {
    let file = platform::open_to_read(path)?;
    match platform::identity(&file)? == identity {
        true => Ok(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// What a file begins with.
pub(super) fn begins_with(path: &Path, opened: &Opened) -> io::Result<Vec<u8>> {
    beginning(&mut to_read(path, opened.identity)?)
}

/// The first bytes of a file, which are no secret, as many as tell what it is.
fn beginning(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(16).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file is one that may be removed as a key log of ours: whoever may
/// read it.
pub(super) fn check_removable(path: &Path, found: &Metadata) -> Result<(), KeyLogError> {
    let rules = Rules {
        access_by_others: true,
        ..Rules::default()
    };
    accept(path, found, &rules)?;
    #[cfg(windows)]
    {
        let file = platform::open_to_read(path).map_err(|source| cannot_open(path, source))?;
        platform::check_opened(path, &file, &rules)?;
    }
    Ok(())
}

/// What is left of a file's name behind this one. Windows takes upper and lower case for the
/// same.
pub(super) fn strip_name<'a>(found: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let fold = |text| String::from_utf8_lossy(text).to_lowercase();
    let (begin, rest) = found.split_at_checked(name.len())?;
    let same = begin == name || cfg!(windows) && fold(begin) == fold(name);
    same.then_some(rest)
}

/// Whether a file begins as a key log does, in lines or as pcapng; or is compressed, and
/// called so. An empty one is one that has nothing yet.
pub(super) fn begins_as_log(path: &Path) -> io::Result<bool> {
    const ENOUGH: u64 = 1024;

    let mut bytes = Vec::with_capacity(ENOUGH as usize);
    platform::open_to_read(path)?
        .take(ENOUGH)
        .read_to_end(&mut bytes)?;
    let name = path.as_os_str().as_encoded_bytes();
    let is_log = if archive::is_compressed(name) {
        bytes.is_empty() || bytes.starts_with(b"\x1f\x8b")
    } else {
        bytes.is_empty() || pcapng::is_header(&bytes) || begins_with_record(&bytes)
    };
    wipe(&mut bytes);
    Ok(is_log)
}

/// Whether text begins with a record, behind comments and blank lines; as much as there is
/// of it, for it may have been cut off.
fn begins_with_record(text: &[u8]) -> bool {
    if text.starts_with(b"#!") {
        return false; // a script
    }
    let lines = text.split_inclusive(|b| *b == b'\n');
    let mut rest = lines.skip_while(|line| line.starts_with(b"#") || line.trim_ascii().is_empty());
    let Some(line) = rest.next() else {
        return true;
    };
    let mut fields = line.trim_ascii_end().split(|b| *b == b' ');
    let label = fields.next().unwrap_or_default();
    let is_hex = |field: &[u8]| field.iter().all(u8::is_ascii_hexdigit);
    let fits = is_label(label) && label.iter().any(u8::is_ascii_alphabetic) && fields.all(is_hex);
    let is_whole = line.ends_with(b"\n");
    fits && (!is_whole || line.iter().filter(|b| **b == b' ').count() == 2)
}

/// As [`ends_whole`], once whoever is in the midst of a write is done. What isn't lines has
/// no such end, and is refused.
fn ends_whole_soon(path: &Path, identity: Identity) -> io::Result<bool> {
    let mut file = to_read(path, identity)?;
    match pcapng::is_header(&beginning(&mut file)?) {
        true => Ok(false),
        false => soon(|| ends_whole(&mut file)),
    }
}

/// Whether a file is whole, now or once whoever is in the midst of a write is done: a system
/// may show as much of it as fills a page. What is torn stays so.
fn soon(mut is_whole: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    let mut pause = Duration::from_millis(1);
    loop {
        let whole = is_whole()?;
        if whole || pause > LONGEST_WRITE {
            return Ok(whole);
        }
        thread::sleep(pause);
        pause *= 2;
    }
}

/// Whether the last byte of a file is a line break.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

fn cannot_open(path: &Path, source: io::Error) -> KeyLogError {
    KeyLogError::Open {
        path: path.to_owned(),
        source,
    }
}

/// Opens a path as [`open`] does, without looking at it first.
#[cfg(all(test, unix))]
pub(super) fn open_unchecked(path: &Path) -> io::Result<File> {
    platform::open(path)
}

#[cfg(test)]
mod tests {
    use super::begins_with_record;

    /// Lost: a file of somebody else's, which is removed for a key log.
    #[test]
    fn a_log_is_known_by_its_beginning() {
        for log in [
            "CLIENT_RANDOM 00 11\n",
            "# a comment\n\n# another\nA 0f 1\nwhatever follows",
            "# nothing but a comment",
            "\nSERVER_TRAFFIC_SECRET_12 aa bb\r\n",
            "CLIENT_HANDSHAKE_TR",
            "CLIENT_RANDOM 0123",
        ] {
            assert!(begins_with_record(log.as_bytes()), "{log}");
        }
        for other in [
            "#!/bin/sh\nexit\n",
            "A letter to somebody",
            "INFO started as usual\n",
            "20241127 10:00:00 started\n",
            "A face to face talk\n",
            "CLIENT_RANDOM 00\n",
            "CLIENT_RANDOM 00 11 22\n",
            "{\"json\": 1}",
            "1234 5678 9abc\n",
        ] {
            assert!(!begins_with_record(other.as_bytes()), "{other}");
        }
    }
}
