//! Where records go now, and what waits to go there.

use super::deferred::Deferred;
use crate::keylog::delivery::Delivery;
use crate::keylog::group::Group;
use crate::keylog::limit::Limit;
use crate::keylog::sink::{Closed, Sink, Writer};

/// How many different errors are logged; a guard against a cause whose message
/// never repeats.
const MOST_CAUSES: usize = 16;

/// Where records go now.
#[derive(Default)]
pub(super) struct Output {
    /// `Some` while the log is on.
    pub delivery: Option<Delivery>,
    /// Which delivery that is: grows with each.
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
        match &self.delivery {
            Some(Delivery::Queued(queue)) => Some(queue.writer().clone()),
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

    /// Ends a delivery; what can't be done under a lock is left to
    /// others. A queue's thread closes its files, with their removal if that is wanted;
    /// others are returned.
    pub fn close(
        &mut self,
        delivery: Delivery,
        remove: bool,
        deferred: &mut Deferred,
    ) -> Vec<Closed> {
        match delivery {
            Delivery::Direct(Sink::Function(_)) => deferred.closing.push(delivery),
            Delivery::Direct(sink) => return sink.close(),
            Delivery::Queued(queue) => {
                self.past.retain(|writer| !writer.is_done());
                self.past.push(queue.end(remove));
                deferred.closing.push(Delivery::Queued(queue));
            }
        }
        Vec::new()
    }
}
