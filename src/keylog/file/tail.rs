//! The end of a file of lines that other processes append to as well.

use super::{to_read, Identity, Opened};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::thread;

/// How often a file is looked at that somebody may be in the midst of writing to: a system may
/// show as much of it as fills a page.
const LOOKS: u32 = 3;

/// What is known of a file's end.
#[derive(Default)]
pub(super) struct Tail {
    /// Opened when somebody else has written, to read that.
    reader: Option<File>,
    /// So many bytes are whole lines.
    whole: Option<u64>,
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
    /// Sees whether the last line has its end, whoever wrote it. Where it can't be read, what
    /// was known of it stays.
    pub fn check_lines(&mut self, path: &Path) {
        for _ in 0..LOOKS {
            let Ok(look) = self.look() else {
                return;
            };
            if look.len == 0 || self.tail.whole == Some(look.len) {
                self.torn = false;
                return;
            }
            let Ok(whole) = self.tail.is_line_end(path, self.identity, look.len) else {
                return;
            };
            self.torn = !whole;
            self.tail.whole = whole.then_some(look.len);
            if whole {
                return;
            }
            thread::yield_now();
        }
    }

    /// Takes note that so many bytes were appended, which end in a whole line. `true`: they
    /// follow what somebody left without an end since [`check_lines`](Self::check_lines).
    pub fn follows_torn(&mut self, path: &Path, appended: usize) -> bool {
        let end = self.file.stream_position().ok();
        let start = end.and_then(|end| end.checked_sub(appended as u64));
        let whole = self.tail.whole.take();
        let Some(start) = start else {
            return false;
        };
        self.tail.whole = end;
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
    }
}
