//! The way of records from a log that is on to where they go.

use super::sink::{Queue, Sink};
use std::path::PathBuf;

/// The way to a sink: at once, or through a queue.
pub(super) enum Way {
    Direct(Sink),
    /// One by one: records that were joined before would be lost together.
    Queued(Queue),
}

impl Way {
    /// The path of the file; with one for each vhost, the template.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Way::Direct(sink) => sink.path(),
            Way::Queued(queue) => queue.writer().path().cloned(),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Way::Direct(sink) => sink.describe(),
            Way::Queued(queue) => queue.describe(),
        }
    }
}
