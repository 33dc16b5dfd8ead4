//! Where records go now, and what waits to go there.

use super::told::Told;
use crate::keylog::group::Group;
use crate::keylog::limit::Limit;
use crate::keylog::sink::{Closed, Sink, Writer};
use crate::keylog::way::Way;

/// How many different errors are logged; a guard against a cause whose message
/// never repeats.
const MOST_CAUSES: usize = 16;

/// Where records go now.
#[derive(Default)]
pub(super) struct Output {
    /// `Some` while the log is on.
    pub way: Option<Way>,
    /// Which way that is: grows with each.
    pub generation: u64,
    /// Records that are to be written in this turn of the loop, while the log is on.
    pub waiting: Option<Group>,
    /// `Some` while the context is being destroyed: records that come meanwhile.
    pub late: Option<Vec<Group>>,
    /// The threads of former queues that may still write.
    pub past: Vec<Writer>,
    /// What a limit has ended, and that goes with the context.
    pub ended: Vec<Closed>,
    pub ended_by: Vec<Writer>,
    /// Whether the last record failed.
    pub failing: bool,
    pub last_error: Option<String>,
    /// The messages that were logged.
    pub logged: Vec<String>,
    pub limit: Limit,
    /// The limit that switched the log off.
    pub reached: Option<&'static str>,
}

impl Output {
    /// The thread that writes, if there is a queue.
    pub fn writer(&self) -> Option<Writer> {
        match &self.way {
            Some(Way::Queued(queue)) => Some(queue.writer().clone()),
            _ => None,
        }
    }

    /// Keeps an error; returns it if its cause is new.
    pub fn complain(&mut self, message: String) -> Option<String> {
        self.last_error = Some(message.clone());
        if self.logged.len() >= MOST_CAUSES || self.logged.contains(&message) {
            return None;
        }
        self.logged.push(message.clone());
        Some(message)
    }

    /// Closes the way to where records went; what can't be done under a lock is left to
    /// others. A queue's thread closes its files, with their removal if that is wanted;
    /// others are returned.
    pub fn close(&mut self, way: Way, remove: bool, told: &mut Told) -> Vec<Closed> {
        match way {
            Way::Direct(Sink::Function(_)) => told.closing.push(way),
            Way::Direct(sink) => return sink.close(),
            Way::Queued(queue) => {
                self.past.retain(|writer| !writer.is_done());
                self.past.push(queue.end(remove));
                told.closing.push(Way::Queued(queue));
            }
        }
        Vec::new()
    }
}
