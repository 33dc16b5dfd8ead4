//! The way of records through a log that is on.

use super::output::Output;
use super::told::Told;
use super::{lock, Control, Log, Ticket};
use crate::keylog::group::Group;
use crate::keylog::sink::{Aside, Failure, Outcome, Queue, Sink, Target};
use crate::keylog::way::Way;
use crate::keylog::KeyLogError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Weak};

/// Counts what a panic of the application's code loses.
struct Lost<'a> {
    counter: &'a AtomicU64,
    records: u64,
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.counter.fetch_add(self.records, Relaxed);
    }
}

impl Log {
    /// From here on, until [`end_turn`](Self::end_turn), records may wait.
    pub(crate) fn begin_turn(&self) {
        self.in_turn.store(true, Relaxed);
    }

    /// Writes what waits. The loop mustn't wait before.
    pub(crate) fn end_turn(&self) {
        self.in_turn.store(false, Relaxed);
        if self.waits() {
            self.commit_all();
        }
    }

    /// Whether records wait to be written, or are being written.
    pub(crate) fn waits(&self) -> bool {
        // Acquire: if not, what this thread gave to the log is written.
        self.waits.load(Acquire)
    }

    /// Returns once the records that waited with this ticket are written, or have failed to be.
    pub(in crate::keylog) fn commit(&self, ticket: Ticket) {
        // Acquire: as above.
        if self.committed.load(Acquire) < ticket.0 {
            self.commit_all();
        }
    }

    fn commit_all(&self) {
        let mut told = Told::default();
        self.write_out(&mut lock(&self.output), &mut told);
        told.tell();
    }

    /// Takes records of one connection, and writes them now.
    pub(in crate::keylog) fn write(&self, group: Group) {
        self.append(group, true).0.tell();
    }

    /// Takes records of one connection, which are written by the end of this turn of
    /// the loop. A ticket, if they wait for it.
    pub(in crate::keylog) fn write_soon(&self, group: Group) -> Option<Ticket> {
        let (told, ticket) = self.append(group, false);
        told.tell();
        ticket
    }

    /// The way of records while the log is on; what to tell the application
    /// about it, which mustn't happen under the lock.
    pub(super) fn append(&self, group: Group, now: bool) -> (Told, Option<Ticket>) {
        let mut told = Told::default();
        let (len, first) = (group.len() as u64, group.is_first());
        let mut guard = lock(&self.output);
        let output = &mut *guard;
        if let Some(late) = &mut output.late {
            late.push(group);
            return (told, None);
        }
        let Some(way) = &output.way else {
            // Switched off since they were taken. Nothing is written any more.
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return (told, None);
        };
        let (function, most) = (way.function(), way.most_together());
        if let Some(limit) = output.limit.forbids(len, first) {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            self.switch_off(output, limit, &mut told);
            return (told, None);
        }
        let mut reached = output.limit.count(len, first);
        let mut ticket = None;
        if let Some(function) = function {
            // The application's code, which may come back to this log.
            let generation = output.generation;
            drop(guard);
            let lost = Lost {
                counter: &self.counters.failed,
                records: group.records(),
            };
            function(group.batch().lines());
            std::mem::forget(lost);
            guard = lock(&self.output);
            let done = Ok(Aside::default());
            self.settle(&mut guard, &mut told, &group, generation, done);
            if guard.way.is_none() || guard.generation != generation {
                reached = None; // it was the limit of what has ended since
            }
        } else {
            let wait = !now && self.in_turn.load(Relaxed) && group.len() <= most;
            self.join(output, group, most, &mut told);
            if wait && reached.is_none() {
                ticket = Some(Ticket(self.committed.load(Relaxed) + 1));
            } else {
                self.write_out(output, &mut told);
            }
        }
        if let Some(limit) = reached {
            self.switch_off(&mut guard, limit, &mut told);
        }
        (told, ticket)
    }

    /// Puts records to those that wait, or in their place once they are written.
    fn join(&self, output: &mut Output, group: Group, most: usize, told: &mut Told) {
        let separate = match (&output.waiting, &output.way) {
            (Some(waiting), Some(way)) => {
                waiting.is_parents()
                    || waiting.len() + group.len() > most
                    || way.separates(waiting.vhost(), group.vhost())
            }
            _ => false,
        };
        if separate {
            self.write_out(output, told);
        }
        match &mut output.waiting {
            Some(waiting) => waiting.join(&group),
            None => output.waiting = Some(group),
        }
        // Relaxed: the thread that asks is this one, or learns of it by the lock.
        self.waits.store(true, Relaxed);
    }

    /// Writes what waits, to where the log goes until now.
    pub(super) fn write_out(&self, output: &mut Output, told: &mut Told) {
        if let Some(group) = output.waiting.take() {
            // Those of a parent process it writes itself.
            if !group.is_parents() {
                self.deliver(output, group, told);
            }
            // Release: who sees this sees them written.
            self.committed.fetch_add(1, Release);
        }
        self.waits.store(false, Release);
    }

    fn deliver(&self, output: &mut Output, group: Group, told: &mut Told) {
        match &mut output.way {
            Some(Way::Direct(sink)) => {
                let result = sink.append(group.batch(), group.vhost());
                let generation = output.generation;
                self.settle(output, told, &group, generation, result);
            }
            Some(Way::Queued(queue)) => {
                let records = group.records();
                match queue.push(group) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.counters.dropped.fetch_add(records, Relaxed);
                    }
                    Err(error) => {
                        self.counters.failed.fetch_add(records, Relaxed);
                        told.errors.extend(output.complain(error.to_string()));
                    }
                }
            }
            None => {
                self.counters.dropped.fetch_add(group.records(), Relaxed);
            }
        }
    }

    /// Counts what came of records that went a way.
    fn settle(
        &self,
        output: &mut Output,
        told: &mut Told,
        group: &Group,
        generation: u64,
        result: Result<Aside, (Failure, Aside)>,
    ) {
        let (aside, failure) = match result {
            Ok(aside) => (aside, None),
            Err((failure, aside)) => (aside, Some(failure)),
        };
        self.count_aside(output, told, aside);
        if output.generation == generation {
            output.failing = failure.is_some();
        }
        let written = match failure {
            None => group.records(),
            Some(failure) => {
                let message = failure.error.to_string();
                told.errors.extend(output.complain(message));
                failure.written
            }
        };
        self.counters.written.fetch_add(written, Relaxed);
        let failed = group.records().saturating_sub(written);
        self.counters.failed.fetch_add(failed, Relaxed);
        let connections = group.connections(written);
        self.counters.connections.fetch_add(connections, Relaxed);
    }

    /// Counts what happened beside writing.
    pub(super) fn count_aside(&self, output: &mut Output, told: &mut Told, aside: Aside) {
        self.counters.rotations.fetch_add(aside.rotations, Relaxed);
        if let Some(error) = aside.trouble {
            told.errors.extend(output.complain(error.to_string()));
        }
    }

    /// What the writing thread of a queue tells.
    fn told_by_writer(&self, outcome: Outcome<'_>, generation: u64) {
        match outcome {
            Outcome::Written(group, result) => {
                let mut told = Told::default();
                let mut output = lock(&self.output);
                self.settle(&mut output, &mut told, group, generation, result);
                drop(output);
                told.tell();
            }
            Outcome::Panicked(panic, records) => {
                self.counters.failed.fetch_add(records, Relaxed);
                self.keep_panic(panic);
            }
        }
    }

    /// Opens the way to a target, which will be the next one.
    pub(super) fn open(&self, control: &Control, target: &Target) -> Result<Way, KeyLogError> {
        let Some(most) = control.queue else {
            return Sink::open(target, &control.options).map(Way::Direct);
        };
        let log = Weak::clone(&self.me);
        let generation = lock(&self.output).generation + 1;
        let report = move |outcome: Outcome<'_>| match log.upgrade() {
            Some(log) => log.told_by_writer(outcome, generation),
            // Nobody is left to resume a panic.
            None => {
                if let Outcome::Panicked(panic, _) = outcome {
                    crate::panic::discard(panic);
                }
            }
        };
        Queue::start(target, &control.options, most, Arc::new(report)).map(Way::Queued)
    }

    /// Switches off, once what waits is written.
    pub(super) fn switch_off(&self, output: &mut Output, limit: &'static str, told: &mut Told) {
        self.close(output, false, told);
        output.reached = Some(limit);
        told.off = Some(limit);
    }
}
