//! The end of a file of lines that other processes append to as well.

use super::{to_read, Identity, Opened};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// What is known of a file's end.
#[derive(Default)]
pub(super) struct Tail {
    /// Opened when somebody else has written, to read that.
    reader: Option<File>,
    /// So many bytes are whole lines.
    whole: Option<u64>,
    /// A write failed: there may be a line without its end.
    unsure: bool,
}

impl Tail {
    /// Whether a line ends in front of this place.
    fn is_line_end(&mut self, path: &Path, identity: Identity, place: u64) -> io::Result<bool> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            empty => empty.insert(to_read(path, identity)?),
        };
        let mut last = [0];
        reader.seek(SeekFrom::Start(place.saturating_sub(1)))?;
        reader.read_exact(&mut last)?;
        Ok(last == [b'\n'])
    }
}

impl Opened {
    /// After a write that failed: sees whether the last line has its end, or got it from
    /// somebody else. Where it can't be read, what was known of it stays.
    ///
    /// Else this isn't asked, for whoever is in the midst of a write shows a part of it.
    pub fn check_lines(&mut self, path: &Path) {
        if !self.tail.unsure {
            return;
        }
        let Ok(look) = self.look() else {
            return;
        };
        let whole = match look.len {
            0 => Ok(true),
            len => self.tail.is_line_end(path, self.identity, len),
        };
        self.torn = !whole.unwrap_or(!self.torn);
    }

    /// Takes note that so many bytes were appended, which end in a whole line. `true`: they
    /// follow what somebody else left without an end.
    pub fn follows_torn(&mut self, path: &Path, appended: usize) -> bool {
        let end = self.file.stream_position().ok();
        let start = end.and_then(|end| end.checked_sub(appended as u64));
        let whole = self.tail.whole.take();
        let Some(start) = start else {
            self.tail.unsure = true;
            return false;
        };
        self.tail.whole = end;
        self.tail.unsure = false;
        let known = start == 0 || Some(start) == whole;
        let whole = known
            || self
                .tail
                .is_line_end(path, self.identity, start)
                .unwrap_or(true);
        !whole
    }

    /// Nothing is known of the end any more.
    pub fn forget_end(&mut self) {
        self.tail.whole = None;
        self.tail.unsure = true;
    }
}
