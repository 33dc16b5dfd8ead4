//! When a log begins a new file, which old ones it keeps, and when it ends.

use std::time::Duration;

/// When a key log begins a new file. The old one is renamed: `keys.log` to
/// `keys.log.1`, that to `keys.log.2`, and so on.
///
/// A handshake's records are never spread over two files. The new file begins
/// with a copy of the last records of the old one, so that a program that
/// follows the path, as Wireshark does, misses none of those that it hadn't read
/// yet. Processes that rotate the same file agree by a lock on `keys.log.lock`,
/// which stays; they must be configured alike.
///
/// ```
/// use libwebsockets::keylog::{KeyLog, Retention, Rotation};
/// use std::time::Duration;
///
/// let keylog = KeyLog::file("keys.log")
///     .rotation(Rotation::new().max_size(10 << 20).max_age(Duration::from_secs(3600)))
///     .retention(Retention::new().max_files(24).max_age(Duration::from_secs(86_400)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a rotation does nothing until a key log is given it"]
pub struct Rotation {
    pub(super) max_size: Option<u64>,
    pub(super) max_age: Option<Duration>,
    pub(super) overlap: u64,
}

impl Rotation {
    /// Only when the application asks for it
    /// ([`KeyLogHandle::rotate`](super::KeyLogHandle::rotate)).
    pub fn new() -> Self {
        Rotation {
            max_size: None,
            max_age: None,
            overlap: 64 << 10,
        }
    }

    /// Before the file has more than this many bytes; a file holds at least one
    /// handshake, whatever its size.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// When the file is this old, and there is something to write.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// How many bytes of the old file, at most, the new one begins with; of
    /// [`max_size`](Self::max_size) at most half. Default: 64 KiB, some 80
    /// connections.
    pub fn overlap(mut self, bytes: u64) -> Self {
        self.overlap = bytes;
        self
    }

    /// The overlap that leaves room for new records.
    pub(super) fn sane_overlap(&self) -> u64 {
        let half = self.max_size.map_or(u64::MAX, |size| size / 2);
        self.overlap.min(half)
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self::new()
    }
}

/// Which of a key log's old files are kept; the oldest go first. They are
/// looked at after each rotation, and when a log that has a [`Rotation`] is opened: a log that
/// neither is written to nor opened any more keeps what it has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a retention does nothing until a key log is given it"]
pub struct Retention {
    pub(super) max_files: Option<usize>,
    pub(super) max_total_size: Option<u64>,
    pub(super) max_age: Option<Duration>,
}

impl Retention {
    /// Ten old files, of whatever size and age.
    pub fn new() -> Self {
        Retention {
            max_files: Some(10),
            max_total_size: None,
            max_age: None,
        }
    }

    /// How many old files are kept; 0: none.
    pub fn max_files(mut self, files: usize) -> Self {
        self.max_files = Some(files);
        self
    }

    /// How many bytes the old files have together, at most.
    pub fn max_total_size(mut self, bytes: u64) -> Self {
        self.max_total_size = Some(bytes);
        self
    }

    /// How long ago an old file was written to last, at most.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self::new()
    }
}

/// When a key log switches itself off, so that one that was forgotten doesn't go
/// on for ever. Each [`enable`](super::KeyLogHandle::enable) starts anew.
///
/// No clock runs for it: nothing is logged once the time is over, and the file is closed by
/// what comes next, a record or a question to the handle.
///
/// ```
/// use libwebsockets::keylog::{AutoOff, KeyLog};
/// use std::time::Duration;
///
/// let keylog = KeyLog::file("keys.log").auto_off(AutoOff::new().after(Duration::from_secs(600)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a key log is given it"]
pub struct AutoOff {
    pub(super) time: Option<Duration>,
    pub(super) bytes: Option<u64>,
    pub(super) connections: Option<u64>,
}

impl AutoOff {
    /// Never.
    pub fn new() -> Self {
        Self::default()
    }

    /// So long after it was switched on.
    pub fn after(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Before more than this many bytes of records have been written, since it was switched on.
    pub fn after_bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// After the handshakes of this many connections, since it was switched on.
    pub fn after_connections(mut self, connections: u64) -> Self {
        self.connections = Some(connections);
        self
    }
}
