//! The open file: whole lines to the end of it, and to the right one.

use super::file::{self, Identity, Opened, Rules};
use super::record::Record;
use super::KeyLogError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long another file may stand at our path unnoticed. What is written
/// meanwhile goes to the file that was renamed, and isn't lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Sink {
    path: PathBuf,
    rules: Rules,
    /// `None` after the file vanished and none could be opened in its place.
    file: Option<Opened>,
    looked: Instant,
}

impl Sink {
    pub fn open(path: &Path, rules: &Rules) -> Result<Self, KeyLogError> {
        Ok(Sink {
            path: path.to_owned(),
            rules: *rules,
            file: Some(file::open(path, rules)?),
            looked: Instant::now(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Appends one record, to a new file if ours was removed or replaced.
    pub fn append(&mut self, record: &Record) -> Result<(), KeyLogError> {
        if self.is_stale() {
            // Closed first: on Windows a removed file keeps its name until then.
            self.file = None;
        }
        let opened = match &mut self.file {
            Some(opened) => opened,
            None => {
                self.looked = Instant::now();
                self.file.insert(file::open(&self.path, &self.rules)?)
            }
        };
        append(&mut opened.file, &mut opened.torn, record).map_err(|source| KeyLogError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Whether the open file is no longer the one at our path.
    ///
    /// A removed file is noticed at once, because what is written to it is lost;
    /// a renamed one at the next look at the path.
    fn is_stale(&mut self) -> bool {
        let Some(opened) = &self.file else {
            return false;
        };
        if opened.is_removed() {
            return true;
        }
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        match Identity::at(&self.path) {
            Ok(identity) => identity != opened.identity,
            Err(e) => matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
            // Other errors say nothing about the file; a process that gave up
            // its rights may still append to what it opened with them.
        }
    }

    /// Makes the next record look at the path.
    #[cfg(test)]
    pub fn look_now(&mut self) {
        self.looked = Instant::now() - LOOK_EVERY;
    }
}

/// Appends a record in one write. If the system takes only a part of it, the
/// rest follows; if it refuses the rest, `torn` tells the next record to begin
/// with a line break.
pub(super) fn append(to: &mut impl Write, torn: &mut bool, record: &Record) -> io::Result<()> {
    let bytes = record.after(*torn);
    let mut done = 0;
    while done < bytes.len() {
        match to.write(&bytes[done..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                done += n;
                *torn = bytes[done - 1] != b'\n';
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
