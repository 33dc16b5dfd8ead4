//! The way of records from a log that is on to where they go.

use super::sink::{Function, Queue, Sink};
use std::sync::Arc;

/// The way to a sink: at once, or through a queue.
pub(super) enum Way {
    Direct(Sink),
    Queued(Queue),
}

impl Way {
    /// The application's function that gets the records, without a lock, if one does.
    pub fn function(&self) -> Option<Function> {
        match self {
            Way::Direct(Sink::Function(function)) => Some(Arc::clone(function)),
            _ => None,
        }
    }

    /// How many bytes of records of several handshakes are written together, at most; 0:
    /// none are. A queue takes them one by one, for one that has no room loses them.
    pub fn most_together(&self) -> usize {
        match self {
            Way::Direct(sink) => sink.most_together(),
            Way::Queued(_) => 0,
        }
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
