//! One record, as it goes to the file.

use crate::ffi::wipe::wipe;

/// The longest line that is taken. The longest that TLS libraries emit, an
/// ECHConfig in hexadecimal, has a few thousand bytes.
const LONGEST: usize = 64 * 1024;

/// A line with its end, in a buffer that is zeroed when it goes. It has no
/// `Debug`, so that no message can show it.
pub(super) struct Record {
    /// A line break, the line, a line break.
    bytes: Vec<u8>,
}

impl Record {
    /// Copies a line; `None` if it would break the file's format: only
    /// printable ASCII has a place in a line of RFC 9850, section 2.
    pub fn new(line: &[u8]) -> Option<Self> {
        let fits = !line.is_empty() && line.len() <= LONGEST;
        if !fits || !line.iter().all(|b| matches!(b, b' '..=b'~')) {
            return None;
        }
        // Exactly as long as needed: growing would leave a copy behind.
        let mut bytes = Vec::with_capacity(line.len() + 2);
        bytes.push(b'\n');
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
        Some(Record { bytes })
    }

    /// What to append: the line and its end; before them, if the file's last
    /// line is torn, a line break that ends it.
    pub fn after(&self, torn: bool) -> &[u8] {
        &self.bytes[usize::from(!torn)..]
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}
