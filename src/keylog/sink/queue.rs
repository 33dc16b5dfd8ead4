//! A bounded queue before a sink, with a thread that writes, so that a slow disk
//! holds no handshake up.

mod writer;

use super::{Failure, FileOptions, SideEffects, Sink, Target};
use crate::keylog::group::Group;
use crate::keylog::KeyLogError;
use std::any::Any;
use std::sync::Arc;
pub(in crate::keylog) use writer::Writer;

/// What came of records, told by the writing thread.
pub(in crate::keylog) enum Outcome<'a> {
    Written(&'a Group, Result<SideEffects, (Failure, SideEffects)>),
    /// The application's code panicked, by which so many records were lost.
    Panicked(Box<dyn Any + Send>, u64),
}

/// Tells it.
pub(in crate::keylog) type Report = Arc<dyn Fn(Outcome<'_>) + Send + Sync>;

/// A sink that another thread writes to. Dropping it ends that thread once it has
/// written what waits, and waits for nothing; [`Writer::wait`] does.
pub(in crate::keylog) struct Queue {
    target: Target,
    options: Arc<FileOptions>,
    report: Report,
    description: String,
    most: usize,
    writer: Writer,
}

impl Queue {
    pub fn start(
        target: &Target,
        options: &Arc<FileOptions>,
        most: usize,
        report: Report,
    ) -> Result<Self, KeyLogError> {
        let sink = Sink::open(target, options)?;
        let description = sink.describe();
        let writer = Writer::start(sink, most, &report)?;
        Ok(Queue {
            target: target.clone(),
            options: Arc::clone(options),
            report,
            description,
            most,
            writer,
        })
    }

    pub fn describe(&self) -> String {
        self.description.clone()
    }

    /// Queues records; `false` if there is no room for them.
    pub fn push(&mut self, group: Group) -> Result<bool, KeyLogError> {
        if !self.writer.is_here() {
            // In the child of a fork. The parent writes what it has queued.
            let report = Arc::clone(&self.report);
            *self = Queue::start(&self.target, &self.options, self.most, report)?;
        }
        Ok(self.writer.push(group))
    }

    /// The thread that writes.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Ends the thread once it has written what waits; it then removes the files, if that
    /// is wanted. Nothing can be queued any more. Dropping it drops what is the application's.
    pub fn end(&self, remove: bool) -> Writer {
        self.writer.end(remove);
        self.writer.clone()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.writer.end(false);
    }
}
