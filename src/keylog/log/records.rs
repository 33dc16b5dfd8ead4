//! The way of records through a log that is on.

use super::output::Output;
use super::told::Told;
use super::{lock, Control, Log, Ticket};
use crate::forks;
use crate::keylog::group::Group;
use crate::keylog::sink::{Aside, Failure, Function, Outcome, Queue, Sink, Target};
use crate::keylog::way::Way;
use crate::keylog::{KeyLogError, TARGET};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, MutexGuard, Weak};

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
        let Some(way) = &mut output.way else {
            // Switched off since they were taken. Nothing is written any more.
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return (told, None);
        };
        if let Some(limit) = output.limit.forbids(len, first) {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            self.switch_off(output, limit, &mut told);
            return (told, None);
        }
        let mut ticket = None;
        let reached = match way {
            Way::Direct(Sink::Function(function)) => {
                let function = Arc::clone(function);
                let reached = output.limit.count(len, first);
                let generation = output.generation;
                drop(guard);
                guard = self.call(function, &group, generation, &mut told);
                // Else it was the limit of what has ended since.
                reached.filter(|_| guard.way.is_some() && guard.generation == generation)
            }
            Way::Queued(queue) => match self.push(queue, group) {
                Ok(true) => output.limit.count(len, first),
                Ok(false) => None,
                Err(error) => {
                    told.errors.extend(output.complain(error.to_string()));
                    None
                }
            },
            Way::Direct(sink) => {
                let most = sink.most_together();
                let reached = output.limit.count(len, first);
                let now = now || !self.in_turn.load(Relaxed) || group.len() > most;
                self.join(output, group, most, &mut told);
                if now || reached.is_some() {
                    self.write_out(output, &mut told);
                } else {
                    ticket = Some(Ticket(self.committed.load(Relaxed) + 1));
                }
                reached
            }
        };
        if let Some(limit) = reached {
            self.switch_off(&mut guard, limit, &mut told);
        }
        (told, ticket)
    }

    /// Calls the application's function, which may come back to this log, without the lock;
    /// and with it counts what came of that.
    fn call(
        &self,
        function: Function,
        group: &Group,
        generation: u64,
        told: &mut Told,
    ) -> MutexGuard<'_, Output> {
        let call = AssertUnwindSafe(|| function(group.batch().lines()));
        let called = catch_unwind(call);
        // It may be the last that has it.
        told.closing.push(Way::Direct(Sink::Function(function)));
        let mut output = lock(&self.output);
        match called {
            Ok(()) => {
                let done = Ok(Aside::default());
                self.settle(&mut output, told, group, generation, done);
            }
            Err(panic) => {
                self.counters.failed.fetch_add(group.records(), Relaxed);
                told.panic = Some(panic);
            }
        }
        output
    }

    /// Queues records; `false` if there is no room for them.
    fn push(&self, queue: &mut Queue, group: Group) -> Result<bool, KeyLogError> {
        let records = group.records();
        let result = queue.push(group);
        match result {
            Ok(true) => {}
            Ok(false) => {
                self.counters.dropped.fetch_add(records, Relaxed);
            }
            Err(_) => {
                self.counters.failed.fetch_add(records, Relaxed);
            }
        }
        result
    }

    /// Puts records to those that wait, or in their place once they are written.
    fn join(&self, output: &mut Output, group: Group, most: usize, told: &mut Told) {
        let separate = match (&output.waiting, &output.way) {
            (Some(waiting), Some(Way::Direct(sink))) => {
                waiting.is_parents()
                    || waiting.len() + group.len() > most
                    || sink.is_per_vhost() && waiting.vhost() != group.vhost()
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
        let Some(Way::Direct(sink)) = &mut output.way else {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return;
        };
        let result = sink.append(group.batch(), group.vhost());
        let generation = output.generation;
        self.settle(output, told, &group, generation, result);
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
                {
                    let _no_fork = forks::hold();
                    let mut output = lock(&self.output);
                    self.settle(&mut output, &mut told, group, generation, result);
                }
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
        let me = Weak::clone(&self.me);
        let generation = lock(&self.output).generation + 1;
        let report = move |outcome: Outcome<'_>| match me.upgrade() {
            Some(log) => log.told_by_writer(outcome, generation),
            // Nobody is left to count, or to resume a panic: it is logged.
            None => match outcome {
                Outcome::Written(_, Ok(_)) => {}
                Outcome::Written(_, Err((failure, _))) => {
                    log::error!(target: TARGET, "{}", failure.error);
                }
                Outcome::Panicked(panic, _) => crate::panic::report(panic),
            },
        };
        Queue::start(target, &control.options, most, Arc::new(report)).map(Way::Queued)
    }

    /// Switches off, once what waits is written.
    pub(super) fn switch_off(&self, output: &mut Output, limit: &'static str, told: &mut Told) {
        let writer = output.writer();
        let files = self.close(output, false, told);
        if self.remove {
            output.ended.extend(files);
            output.ended_by.extend(writer);
        }
        output.reached = Some(limit);
        told.off = Some(limit);
    }
}
