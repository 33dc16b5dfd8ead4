//! The last records, in memory.

use crate::keylog::batch::Batch;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The last secrets of the contexts that log to it, in memory and nowhere else,
/// for an application that writes them out when something goes wrong. Clones are
/// the same one; it works from any thread.
///
/// When it is full, the oldest go. Memory that isn't used any more is zeroed.
///
/// ```
/// use libwebsockets::keylog::{KeyLog, MemoryLog};
///
/// let last = MemoryLog::new(1 << 20);
/// let keylog = KeyLog::memory(&last);
/// // … later, to a file or wherever it belongs:
/// let mut text = Vec::new();
/// last.write_to(&mut text)?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryLog {
    ring: Arc<Mutex<Ring>>,
}

struct Ring {
    most: usize,
    bytes: usize,
    batches: VecDeque<Batch>,
}

impl MemoryLog {
    /// An empty one that holds at most this many bytes of lines; one connection
    /// with TLS 1.3 has some 800 to 1000.
    pub fn new(max_bytes: usize) -> Self {
        MemoryLog {
            ring: Arc::new(Mutex::new(Ring {
                most: max_bytes,
                bytes: 0,
                batches: VecDeque::new(),
            })),
        }
    }

    /// Writes the lines, the oldest first, in the format of a key log.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_to(&self, mut writer: impl Write) -> io::Result<()> {
        // Copies, so that no foreign code runs under the lock; they are wiped.
        let copies: Vec<Batch> = self.lock().batches.iter().map(Batch::copy).collect();
        for batch in copies {
            writer.write_all(batch.lines())?;
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut ring = self.lock();
        ring.batches.clear();
        ring.bytes = 0;
    }

    /// How many bytes of lines it holds.
    pub fn len(&self) -> usize {
        self.lock().bytes
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn append(&self, batch: &Batch) {
        let mut ring = self.lock();
        ring.bytes += batch.lines().len();
        ring.batches.push_back(batch.copy());
        while ring.bytes > ring.most {
            let oldest = ring.batches.pop_front();
            ring.bytes -= oldest.map_or(0, |batch| batch.lines().len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &MemoryLog, line: &str) {
        let mut batch = Batch::default();
        assert!(batch.push(line.as_bytes()));
        log.append(&batch);
    }

    #[test]
    fn the_oldest_go_when_it_is_full() {
        let log = MemoryLog::new(10);
        for line in ["aaaa", "bbbb", "cccc"] {
            push(&log, line);
        }
        let mut text = Vec::new();
        log.write_to(&mut text).unwrap();
        assert_eq!(text, b"bbbb\ncccc\n");
        assert_eq!(log.len(), 10);
        push(&log, "longer than all of it");
        assert!(log.is_empty());
        push(&log, "dddd");
        log.clone().clear();
        assert!(log.is_empty());
        assert_eq!(format!("{log:?}"), "MemoryLog { len: 0, .. }");
    }
}
