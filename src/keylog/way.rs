//! The way of records from a log that is on to where they go.

use super::sink::{Queue, Sink};
use std::path::PathBuf;

/// The way to a sink: at once, or through a queue.
pub(super) enum Way {
    Direct(Sink),
    Queued(Queue),
}

impl Way {
    pub fn is_open(&self) -> bool {
        match self {
            Way::Direct(sink) => sink.is_open(),
            Way::Queued(queue) => queue.is_open(),
        }
    }

    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Way::Direct(sink) => sink.path(),
            Way::Queued(queue) => queue.with(|sink| sink.path()).flatten(),
        }
    }

    /// Whether a write costs so much that the records of several handshakes share it. A
    /// queue takes them one by one, for one that has no room loses them.
    pub fn is_worth_waiting(&self) -> bool {
        matches!(self, Way::Direct(Sink::Files(_) | Sink::Descriptor { .. }))
    }

    /// Whether the records of these vhosts go to different files.
    pub fn separates(&self, vhost: &str, other: &str) -> bool {
        match self {
            Way::Direct(sink) => vhost != other && sink.is_per_vhost(),
            Way::Queued(_) => false, // nothing is joined before it
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Way::Direct(sink) => sink.describe(),
            Way::Queued(queue) => queue.describe(),
        }
    }
}
