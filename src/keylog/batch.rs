//! Records on their way to a file: whole lines that are written together.

use super::Record;
use crate::ffi::wipe::wipe;

/// The longest line that is taken. The longest that TLS libraries emit, an
/// ECHConfig in hexadecimal, has a few thousand bytes.
const LONGEST: usize = 64 * 1024;

/// Room for the five records of a TLS 1.3 handshake with 48-byte secrets, which have 938
/// bytes; and no more than glibc's allocator has at hand for each thread (1032 bytes).
const USUAL: usize = 1024;

/// Lines with their ends, in a buffer that is zeroed when it goes. It has no
/// `Debug`, so that no message can show it.
#[derive(Default)]
pub(crate) struct Batch {
    /// Nothing, or a line break and then lines, each with its own.
    bytes: Vec<u8>,
    records: u64,
}

impl Batch {
    /// Copies a line; `false` if it would break the file's format: only
    /// printable ASCII has a place in a line of RFC 9850, section 2.
    pub fn push(&mut self, line: &[u8]) -> bool {
        let fits = !line.is_empty() && line.len() <= LONGEST;
        // All are looked at, without a jump: that can be done many at a time.
        let odd = |found, byte: &u8| found | u8::from(byte.wrapping_sub(b' ') > b'~' - b' ');
        if !fits || line.iter().fold(0, odd) != 0 {
            return false;
        }
        self.append(line);
        self.append(b"\n");
        self.records += 1;
        true
    }

    /// Adds a record that was read.
    pub fn push_record(&mut self, record: &Record) {
        let mut line = record.line();
        self.append(&line);
        self.records += 1;
        wipe(&mut line);
    }

    /// Adds the lines of another.
    pub fn push_batch(&mut self, other: &Batch) {
        self.append(other.lines());
        self.records += other.records;
    }

    /// Puts a comment before the lines.
    pub fn push_comment_first(&mut self, comment: &str) {
        let mut with = Batch::default();
        with.append(comment.as_bytes());
        with.append(b"\n");
        with.push_batch(self);
        *self = with;
    }

    /// A copy that takes no more memory than its lines.
    pub fn copy(&self) -> Self {
        let mut bytes = Vec::with_capacity(self.bytes.len());
        bytes.extend_from_slice(&self.bytes);
        Batch {
            bytes,
            records: self.records,
        }
    }

    /// Gives back memory that the lines don't need, if it is much.
    pub fn shrink(&mut self) {
        if self.bytes.capacity() > 2 * self.bytes.len() {
            *self = self.copy();
        }
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// The lines alone.
    pub fn lines(&self) -> &[u8] {
        self.after(false)
    }

    /// What to append to a file: the lines; before them, if the file's last line
    /// is torn, a line break that ends it.
    pub fn after(&self, torn: bool) -> &[u8] {
        self.bytes.get(usize::from(!torn)..).unwrap_or_default()
    }

    fn append(&mut self, bytes: &[u8]) {
        let needed = self.bytes.len() + 1 + bytes.len();
        if needed > self.bytes.capacity() {
            // By hand: Vec's own growing would leave a copy behind.
            let mut larger = Vec::with_capacity((2 * needed).max(USUAL));
            larger.extend_from_slice(&self.bytes);
            wipe(&mut self.bytes);
            self.bytes = larger;
        }
        if self.bytes.is_empty() {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(bytes);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

/// How many whole lines these bytes hold that aren't comments.
pub(super) fn count(bytes: &[u8]) -> u64 {
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    let whole = lines.filter(|line| line.ends_with(b"\n") && !line.starts_with(b"#"));
    whole.count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_as_the_buffer_grows() {
        let mut batch = Batch::default();
        assert!(batch.is_empty() && batch.after(true).is_empty());
        let mut expected = String::new();
        for n in 0..100 {
            let line = format!("LABEL {n} {}", "ab".repeat(n));
            assert!(batch.push(line.as_bytes()));
            expected += &line;
            expected.push('\n');
        }
        assert_eq!(batch.lines(), expected.as_bytes());
        assert_eq!(batch.after(true), format!("\n{expected}").as_bytes());
        assert_eq!(batch.records(), 100);
    }

    #[test]
    fn comments_and_torn_lines_are_no_records() {
        for (bytes, expected) in [
            (&b""[..], 0),
            (b"A\nB\n", 2),
            (b"# two are missing\nA\nB", 1),
            (b"# torn", 0),
        ] {
            assert_eq!(count(bytes), expected);
        }
    }
}
