//! How records get from a log that is on to where they go.

use super::sink::{Queue, Sink};
use std::path::PathBuf;

/// How records get to a sink: at once, or through a queue.
pub(super) enum Delivery {
    Direct(Sink),
    /// One by one: records that were joined before would be lost together.
    Queued(Queue),
}

impl Delivery {
    /// The path of the file; with one for each vhost, the template.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Delivery::Direct(sink) => sink.path(),
            Delivery::Queued(queue) => queue.writer().path().cloned(),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Delivery::Direct(sink) => sink.describe(),
            Delivery::Queued(queue) => queue.describe(),
        }
    }
}
