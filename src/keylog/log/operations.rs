//! What the handle does to a log.

use super::deferred::Deferred;
use super::output::Output;
use super::{lock, Control, Log, FLUSH};
use crate::ffi::keylog as ffi;
use crate::keylog::delivery::Delivery;
use crate::keylog::limit::Limit;
use crate::keylog::sink::{self, Closed, Sink, Target, Writer};
use crate::keylog::{KeyLogError, Problem, Source, Stats, TARGET};
use std::fmt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, TryLockError};
use std::time::Instant;

impl Log {
    /// Does what an operation of the handle is for, and tells of it afterwards.
    fn operation<R>(&self, f: impl FnOnce(&mut Control, &mut Deferred) -> R) -> R {
        let mut deferred = Deferred::default();
        let result = f(&mut lock(&self.control), &mut deferred);
        deferred.run();
        result
    }

    /// Does what an operation is for, and waits until what it has ended is written and closed, with
    /// what another thread, or a limit, has just switched off.
    fn operation_and_wait<R>(&self, f: impl FnOnce(&mut Control, &mut Deferred) -> R) -> R {
        let mut deferred = Deferred::default();
        let result = f(&mut lock(&self.control), &mut deferred);
        let panic = deferred.run_all();
        self.wait_for_past(None);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
        result
    }

    /// Waits until what has been switched off is written and closed, at most so long.
    fn wait_for_past(&self, deadline: Option<Instant>) {
        let past = lock(&self.output).past.clone();
        for writer in past {
            if !writer.wait(deadline) {
                self.stuck.store(true, Relaxed);
            }
        }
        lock(&self.output).past.retain(|writer| !writer.is_done());
    }

    /// Does something with the open files, between two writes; `None`: there are none. With
    /// a queue that may take as long as a disk does; the lock of `control` mustn't be held.
    fn with_sink<R>(&self, f: impl FnOnce(&mut Sink) -> R) -> Option<R> {
        let writer = match &mut lock(&self.output).delivery {
            None => return None,
            Some(Delivery::Direct(sink)) => return Some(f(sink)),
            Some(Delivery::Queued(queue)) => queue.writer().clone(),
        };
        writer.with(f)
    }

    /// Whether the log is on, and all files that it had opened still are; and which delivery that
    /// was asked of. As above.
    fn is_open(&self) -> (bool, u64) {
        let (writer, generation) = {
            let output = lock(&self.output);
            let generation = output.generation;
            match &output.delivery {
                None => return (false, generation),
                Some(Delivery::Direct(sink)) => return (sink.is_open(), generation),
                Some(Delivery::Queued(queue)) => (queue.writer().clone(), generation),
            }
        };
        (writer.is_open(), generation)
    }

    pub(in crate::keylog) fn enable(&self) -> Result<(), KeyLogError> {
        if !self.is_enabled() {
            // What is switched off may have the same file, to write to and then to remove.
            self.wait_for_past(None);
        }
        let (is_open, generation) = self.is_open();
        self.operation(|control, deferred| {
            let target = control.target.clone().ok_or(KeyLogError::NoPath)?;
            {
                let output = lock(&self.output);
                // Another thread may have begun a new one, or ended it.
                let is_open = is_open || output.generation != generation;
                if output.delivery.is_some() && is_open {
                    return Ok(());
                }
            }
            match self.open(control, &target) {
                Ok(delivery) => self.start(control, delivery, true, deferred),
                Err(e) => {
                    lock(&self.output).reached = None; // it isn't the reason any more
                    control.refused = Some(Problem::PathRefused {
                        reason: e.to_string(),
                    });
                    return Err(e);
                }
            }
            Ok(())
        })
    }

    /// Whether the path can be used, as far as can be told without a file.
    pub(in crate::keylog) fn check(&self) -> Result<(), KeyLogError> {
        let control = lock(&self.control);
        match &control.target {
            Some(target) => target.check(&control.options),
            None => Ok(()),
        }
    }

    pub(in crate::keylog) fn disable(&self) {
        self.operation_and_wait(|control, deferred| {
            if self.is_on() {
                control.refused = None;
            }
            self.close(&mut lock(&self.output), false, deferred);
        });
    }

    /// Closes what is open, once what waits is written. The files that are to be removed.
    pub(super) fn close(
        &self,
        output: &mut Output,
        remove: bool,
        deferred: &mut Deferred,
    ) -> Vec<Closed> {
        self.write_out(output, deferred);
        self.on.store(false, Relaxed);
        output.failing = false;
        output.reached = None;
        match output.delivery.take() {
            Some(delivery) => output.close(delivery, remove, deferred),
            None => Vec::new(),
        }
    }

    pub(in crate::keylog) fn is_enabled(&self) -> bool {
        let mut deferred = Deferred::default();
        self.look_at_the_clock(&mut deferred);
        deferred.run();
        self.is_on()
    }

    /// Switches off what has been on for long enough, though nothing was
    /// written since.
    fn look_at_the_clock(&self, deferred: &mut Deferred) {
        let mut output = lock(&self.output);
        let limit = output.delivery.as_ref().and(output.limit.time_is_up());
        if let Some(limit) = limit {
            self.switch_off(&mut output, limit, deferred);
        }
    }

    pub(in crate::keylog) fn set_path(&self, path: &Path) -> Result<(), KeyLogError> {
        let target = Target::file(path)?;
        self.operation_and_wait(|control, deferred| {
            self.look_at_the_clock(deferred);
            // What becomes of the new path's files is nothing to those of the old one.
            control.options = Arc::new((*control.options).clone());
            // Under the lock of `control` nobody else switches on.
            let delivery = if self.is_on() {
                Some(self.open(control, &target)?)
            } else {
                target.check(&control.options)?;
                None
            };
            if let Some(Target::Function(old)) = control.target.replace(target) {
                deferred.closing.push(Delivery::Direct(Sink::Function(old)));
            }
            control.source = Source::Api;
            control.refused = None;
            if let Some(delivery) = delivery {
                self.start(control, delivery, false, deferred);
            }
            Ok(())
        })
    }

    pub(in crate::keylog) fn rotate(&self) -> Result<(), KeyLogError> {
        let mut deferred = Deferred::default();
        self.write_out(&mut lock(&self.output), &mut deferred);
        let result = match self.with_sink(Sink::rotate) {
            None => Ok(()),
            Some((result, side_effects)) => {
                self.count_side_effects(&mut lock(&self.output), &mut deferred, side_effects);
                result
            }
        };
        deferred.run();
        result
    }

    /// The context is about to be destroyed: the records of handshakes that were under way
    /// are kept until [`context_gone`](Self::context_gone), for nothing of the application's
    /// may run under the locks that are held meanwhile.
    pub(crate) fn context_goes(&self) {
        lock(&self.output).late = Some(Vec::new());
    }

    /// The context is gone: what is queued is written, and the files removed if
    /// that was asked for.
    pub(crate) fn context_gone(&self) {
        let deadline = Instant::now() + FLUSH;
        let late = lock(&self.output).late.take();
        // A panic of the application's code loses what it was given, and no more.
        for group in late.into_iter().flatten() {
            self.guard(|| self.write(group));
        }
        self.guard(|| self.end_turn());
        if self.remove {
            self.remove(deadline);
        } else {
            let writer = lock(&self.output).writer();
            if writer.is_some_and(|writer| !writer.flush(deadline)) {
                self.stuck.store(true, Relaxed);
            }
            self.wait_for_past(Some(deadline));
        }
    }

    /// Switches off, and removes the files; those of a queue its thread removes.
    fn remove(&self, deadline: Instant) {
        // They may have the same file, and would make it anew.
        self.wait_for_past(Some(deadline));
        let mut deferred = Deferred::default();
        let (files, writer, past) = {
            let output = &mut *lock(&self.output);
            let writer = output.writer();
            let past = output.past.clone();
            (self.close(output, true, &mut deferred), writer, past)
        };
        if let Some(writer) = writer {
            // Those of the past are stuck, and may have the same file.
            let same = past.into_iter().filter(|old| old.path() == writer.path());
            for old in same.chain([writer.clone()]) {
                if !old.wait(Some(deadline)) {
                    // It removes the file after the write that it is stuck in.
                    self.counters.dropped.fetch_add(old.abandon(), Relaxed);
                    old.end(true);
                }
            }
        }
        self.wait_for_past(Some(deadline));
        let (mut files, ended_by) = {
            let mut output = lock(&self.output);
            output.ended.extend(files);
            let files = std::mem::take(&mut output.ended);
            (files, std::mem::take(&mut output.ended_by))
        };
        files.extend(ended_by.iter().flat_map(Writer::take_left));
        for error in sink::remove_all(files) {
            self.guard(|| log::error!(target: TARGET, "{error}"));
        }
        self.guard(|| deferred.run());
    }

    pub(in crate::keylog) fn path(&self) -> Option<PathBuf> {
        let control = lock(&self.control);
        let open = lock(&self.output)
            .delivery
            .as_ref()
            .and_then(Delivery::path);
        open.or_else(|| Some(control.target.as_ref()?.template()?.given().to_owned()))
    }

    pub(in crate::keylog) fn stats(&self) -> Stats {
        self.operation(|control, deferred| {
            self.look_at_the_clock(deferred);
            let mut output = lock(&self.output);
            self.write_out(&mut output, deferred);
            let counters = &self.counters;
            Stats {
                written: counters.written.load(Relaxed),
                dropped: counters.dropped.load(Relaxed),
                failed: counters.failed.load(Relaxed),
                connections: counters.connections.load(Relaxed),
                filtered_connections: counters.filtered.load(Relaxed),
                unhooked_connections: counters.unhooked.load(Relaxed),
                rotations: counters.rotations.load(Relaxed),
                last_error: output.last_error.clone(),
                requested_by: control.source,
                problem: self.problem(control, &output),
            }
        })
    }

    /// The counters as they are, whatever waits to be written.
    pub(in crate::keylog) fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `None` also while an operation is running.
        let control = match self.control.try_lock() {
            Ok(control) => Some(control),
            Err(TryLockError::Poisoned(control)) => Some(control.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let given =
            |control: &Control| Some(control.target.as_ref()?.template()?.given().to_owned());
        let path = control.as_deref().and_then(given);
        // A formatter is foreign code.
        drop(control);
        let counters = &self.counters;
        f.debug_struct("KeyLogHandle")
            .field("enabled", &self.is_on())
            .field("path", &path)
            .field("written", &counters.written.load(Relaxed))
            .field("dropped", &counters.dropped.load(Relaxed))
            .field("failed", &counters.failed.load(Relaxed))
            .field("connections", &counters.connections.load(Relaxed))
            .finish_non_exhaustive()
    }

    fn problem(&self, control: &Control, output: &Output) -> Option<Problem> {
        if self.hookless.load(Relaxed) {
            return Some(Problem::NoHook);
        }
        if !ffi::keeps_callback() {
            return Some(Problem::NoCallback);
        }
        if output.delivery.is_some() {
            if output.failing {
                let reason = output.last_error.clone().unwrap_or_default();
                return Some(Problem::Failing { reason });
            }
            let unhooked = self.counters.unhooked.load(Relaxed);
            return (unhooked > 0).then_some(Problem::HookNotCalled {
                connections: unhooked,
            });
        }
        if let Some(limit) = output.reached {
            return Some(Problem::LimitReached { limit });
        }
        let idle = match control.target {
            Some(_) => Problem::Disabled,
            None => Problem::NoPath,
        };
        Some(control.refused.clone().unwrap_or(idle))
    }

    /// Begins to deliver to a sink, which is to be said (RFC 9850, section 1.1); with
    /// limits that start anew, or go on.
    fn start(
        &self,
        control: &mut Control,
        delivery: Delivery,
        anew: bool,
        deferred: &mut Deferred,
    ) {
        control.refused = None;
        let limit = Limit::new(&control.auto_off);
        let output = &mut *lock(&self.output);
        self.write_out(output, deferred);
        if !anew && output.delivery.is_none() {
            // It was to go on, and a limit has just ended it.
            output.close(delivery, false, deferred);
            return;
        }
        deferred.on = Some((delivery.describe(), control.source));
        output.generation += 1;
        output.failing = false;
        output.reached = None;
        output.logged.clear();
        if anew {
            output.limit = limit;
        }
        if let Some(old) = output.delivery.replace(delivery) {
            output.close(old, false, deferred);
        }
        self.on.store(true, Relaxed);
    }
}
