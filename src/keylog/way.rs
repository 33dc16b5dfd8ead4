//! The way of records from a log that is on to where they go.

use super::sink::{Queue, Sink};

/// The way to a sink: at once, or through a queue.
pub(super) enum Way {
    Direct(Sink),
    /// One by one: records that were joined before would be lost together.
    Queued(Queue),
}

impl Way {
    pub fn describe(&self) -> String {
        match self {
            Way::Direct(sink) => sink.describe(),
            Way::Queued(queue) => queue.describe(),
        }
    }
}
