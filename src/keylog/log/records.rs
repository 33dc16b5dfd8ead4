//! The way of records through a log that is on.

use super::deferred::Deferred;
use super::output::Output;
use super::{lock, Control, Log, Ticket};
use crate::forks;
use crate::keylog::delivery::Delivery;
use crate::keylog::group::Group;
use crate::keylog::sink::{Failure, Function, Outcome, Queue, SideEffects, Sink, Target};
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
        let mut deferred = Deferred::default();
        self.write_out(&mut lock(&self.output), &mut deferred);
        deferred.run();
    }

    /// Takes records of one connection, and writes them now.
    pub(in crate::keylog) fn write(&self, group: Group) {
        self.append(group, true).0.run();
    }

    /// Takes records of one connection, which are written by the end of this turn of
    /// the loop. A ticket, if they wait for it.
    pub(in crate::keylog) fn write_soon(&self, group: Group) -> Option<Ticket> {
        let (deferred, ticket) = self.append(group, false);
        deferred.run();
        ticket
    }

    /// The way of records while the log is on; what to tell the application
    /// about it, which mustn't happen under the lock.
    pub(super) fn append(&self, group: Group, now: bool) -> (Deferred, Option<Ticket>) {
        let mut deferred = Deferred::default();
        let (len, first) = (group.len() as u64, group.is_first());
        let mut guard = lock(&self.output);
        let output = &mut *guard;
        if let Some(late) = &mut output.late {
            late.push(group);
            return (deferred, None);
        }
        let Some(delivery) = &mut output.delivery else {
            // Switched off since they were taken. Nothing is written any more.
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return (deferred, None);
        };
        if let Some(limit) = output.limit.forbids(len, first) {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            self.switch_off(output, limit, &mut deferred);
            return (deferred, None);
        }
        let mut ticket = None;
        let reached = match delivery {
            Delivery::Direct(Sink::Function(function)) => {
                let function = Arc::clone(function);
                let reached = output.limit.count(len, first);
                let generation = output.generation;
                drop(guard);
                guard = self.call(function, &group, generation, &mut deferred);
                // Else it was the limit of what has ended since.
                reached.filter(|_| guard.delivery.is_some() && guard.generation == generation)
            }
            Delivery::Queued(queue) => match self.push(queue, group) {
                Ok(true) => output.limit.count(len, first),
                Ok(false) => None,
                Err(error) => {
                    deferred.errors.extend(output.complain(error.to_string()));
                    None
                }
            },
            Delivery::Direct(sink) => {
                let most = sink.most_together();
                let reached = output.limit.count(len, first);
                let now = now || !self.in_turn.load(Relaxed) || group.len() > most;
                self.join(output, group, most, &mut deferred);
                if now || reached.is_some() {
                    self.write_out(output, &mut deferred);
                } else {
                    ticket = Some(Ticket(self.committed.load(Relaxed) + 1));
                }
                reached
            }
        };
        if let Some(limit) = reached {
            self.switch_off(&mut guard, limit, &mut deferred);
        }
        (deferred, ticket)
    }

    /// Calls the application's function, which may come back to this log, without the lock;
    /// and with it counts what came of that.
    fn call(
        &self,
        function: Function,
        group: &Group,
        generation: u64,
        deferred: &mut Deferred,
    ) -> MutexGuard<'_, Output> {
        let call = AssertUnwindSafe(|| function(group.batch().lines()));
        let called = catch_unwind(call);
        // It may be the last that has it.
        deferred
            .closing
            .push(Delivery::Direct(Sink::Function(function)));
        let mut output = lock(&self.output);
        match called {
            Ok(()) => {
                let done = Ok(SideEffects::default());
                self.settle(&mut output, deferred, group, generation, done);
            }
            Err(panic) => {
                self.counters.failed.fetch_add(group.records(), Relaxed);
                deferred.panic = Some(panic);
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
    fn join(&self, output: &mut Output, group: Group, most: usize, deferred: &mut Deferred) {
        let separate = match (&output.waiting, &output.delivery) {
            (Some(waiting), Some(Delivery::Direct(sink))) => {
                waiting.is_parents()
                    || waiting.len() + group.len() > most
                    || sink.is_per_vhost() && waiting.vhost() != group.vhost()
            }
            _ => false,
        };
        if separate {
            self.write_out(output, deferred);
        }
        match &mut output.waiting {
            Some(waiting) => waiting.join(&group),
            None => output.waiting = Some(group),
        }
        // Relaxed: the thread that asks is this one, or learns of it by the lock.
        self.waits.store(true, Relaxed);
    }

    /// Writes what waits, to where the log goes until now.
    pub(super) fn write_out(&self, output: &mut Output, deferred: &mut Deferred) {
        if let Some(group) = output.waiting.take() {
            // Those of a parent process it writes itself.
            if !group.is_parents() {
                self.deliver(output, group, deferred);
            }
            // Release: who sees this sees them written.
            self.committed.fetch_add(1, Release);
        }
        self.waits.store(false, Release);
    }

    fn deliver(&self, output: &mut Output, group: Group, deferred: &mut Deferred) {
        let Some(Delivery::Direct(sink)) = &mut output.delivery else {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return;
        };
        let result = sink.append(group.batch(), group.vhost());
        let generation = output.generation;
        self.settle(output, deferred, &group, generation, result);
    }

    /// Counts what came of records that were delivered.
    fn settle(
        &self,
        output: &mut Output,
        deferred: &mut Deferred,
        group: &Group,
        generation: u64,
        result: Result<SideEffects, (Failure, SideEffects)>,
    ) {
        let (side_effects, failure) = match result {
            Ok(side_effects) => (side_effects, None),
            Err((failure, side_effects)) => (side_effects, Some(failure)),
        };
        self.count_side_effects(output, deferred, side_effects);
        if output.generation == generation {
            output.failing = failure.is_some();
        }
        let written = match failure {
            None => group.records(),
            Some(failure) => {
                let message = failure.error.to_string();
                deferred.errors.extend(output.complain(message));
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
    pub(super) fn count_side_effects(
        &self,
        output: &mut Output,
        deferred: &mut Deferred,
        side_effects: SideEffects,
    ) {
        self.counters
            .rotations
            .fetch_add(side_effects.rotations, Relaxed);
        if let Some(error) = side_effects.trouble {
            deferred.errors.extend(output.complain(error.to_string()));
        }
    }

    /// What the writing thread of a queue tells.
    fn told_by_writer(&self, outcome: Outcome<'_>, generation: u64) {
        match outcome {
            Outcome::Written(group, result) => {
                let mut deferred = Deferred::default();
                {
                    let _no_fork = forks::hold();
                    let mut output = lock(&self.output);
                    self.settle(&mut output, &mut deferred, group, generation, result);
                }
                deferred.run();
            }
            Outcome::Panicked(panic, records) => {
                self.counters.failed.fetch_add(records, Relaxed);
                self.keep_panic(panic);
            }
        }
    }

    /// Opens the delivery to a target, which will be the next one.
    pub(super) fn open(&self, control: &Control, target: &Target) -> Result<Delivery, KeyLogError> {
        let Some(most) = control.queue else {
            return Sink::open(target, &control.options).map(Delivery::Direct);
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
        Queue::start(target, &control.options, most, Arc::new(report)).map(Delivery::Queued)
    }

    /// Switches off, once what waits is written.
    pub(super) fn switch_off(
        &self,
        output: &mut Output,
        limit: &'static str,
        deferred: &mut Deferred,
    ) {
        let writer = output.writer();
        let files = self.close(output, false, deferred);
        if self.remove {
            output.ended.extend(files);
            output.ended_by.extend(writer);
        }
        output.reached = Some(limit);
        deferred.off = Some(limit);
    }
}
