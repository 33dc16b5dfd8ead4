//! One TLS connection: its records, kept together until its handshake is done.

use super::batch::Batch;
use super::filter::Facts;
use super::group::Group;
use super::log::{Log, Ticket};
use std::sync::Arc;

/// Records beyond this go out at once, however long the handshake takes.
const MOST: usize = 64 * 1024;

/// What a connection has of secrets that aren't written yet.
///
/// Those of a handshake go to the log together when it is done, and out before any
/// application data of the peer is delivered; those of one that fails when the
/// connection is freed; later ones at once.
pub(crate) struct Session {
    log: Arc<Log>,
    vhost: Arc<str>,
    /// Whether the filter takes this connection.
    wanted: bool,
    batch: Batch,
    /// Whether its handshake is done.
    finished: bool,
    /// Whether records of this connection were given to the log.
    counted: bool,
    /// What they wait for.
    ticket: Option<Ticket>,
    /// The process that the records were made in.
    forks: u32,
}

impl Session {
    /// A connection with a first record to come. `facts` is asked for only if the
    /// filter looks at them.
    pub fn new<'a>(log: Arc<Log>, vhost: Arc<str>, facts: impl FnOnce() -> Facts<'a>) -> Self {
        let filter = log.filter();
        let wanted = !filter.looks_at_connections() || filter.takes_connection(&facts());
        if !wanted {
            log.count_filtered_connection();
        }
        let mut session = Session::ignored(log, vhost);
        session.wanted = wanted;
        session
    }

    /// One that isn't logged.
    pub fn ignored(log: Arc<Log>, vhost: Arc<str>) -> Self {
        Session {
            vhost,
            wanted: false,
            batch: Batch::default(),
            finished: false,
            counted: false,
            ticket: None,
            forks: super::forks(),
            log,
        }
    }

    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.log)
    }

    /// Takes a line of the TLS library, without its end.
    pub fn line(&mut self, line: &[u8]) {
        let forks = super::forks();
        if self.forks != forks {
            // What is here is the parent's, who writes it; what comes is this process's.
            self.forks = forks;
            self.batch = Batch::default();
            self.ticket = None;
        }
        if !self.wanted || !self.log.filter().takes_line(line) {
            return;
        }
        if !self.batch.push(line) {
            self.log.count_dropped();
            return;
        }
        if self.finished || self.batch.lines().len() > MOST {
            self.write();
        }
    }

    /// The handshake is done.
    pub fn finish(&mut self) {
        self.finished = true;
        if let Some(group) = self.take() {
            self.ticket = self.log.write_soon(group);
        }
    }

    /// Sees to it that what was given to the log is written, or has failed to be.
    pub fn commit(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.log.commit(ticket);
        }
    }

    fn write(&mut self) {
        if let Some(group) = self.take() {
            self.log.write(group);
        }
    }

    /// What isn't with the log yet.
    fn take(&mut self) -> Option<Group> {
        let batch = std::mem::take(&mut self.batch);
        // A child after a fork has a copy of what its parent is going to write.
        if batch.is_empty() || self.forks != super::forks() {
            return None;
        }
        let first = !std::mem::replace(&mut self.counted, true);
        Some(Group::new(batch, &self.vhost, first))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.write();
    }
}
