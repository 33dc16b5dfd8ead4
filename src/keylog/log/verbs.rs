//! What the handle does to a log.

use super::told::Told;
use super::{lock, Control, Log, Output};
use crate::keylog::limit::Limit;
use crate::keylog::sink::{self, Sink, Target};
use crate::keylog::way::Way;
use crate::keylog::{KeyLogError, Problem, Source, Stats, TARGET};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How long a context that ends waits for a queue to be written.
const FLUSH: Duration = Duration::from_secs(5);

impl Log {
    /// Does what a verb of the handle is for, and tells of it afterwards.
    fn verb<R>(&self, f: impl FnOnce(&mut Control, &mut Told) -> R) -> R {
        let mut told = Told::default();
        let result = f(&mut lock(&self.control), &mut told);
        told.tell();
        result
    }

    pub(in crate::keylog) fn enable(&self) -> Result<(), KeyLogError> {
        self.verb(|control, told| {
            let target = control.target.clone().ok_or(KeyLogError::NoPath)?;
            self.look_at_the_clock(told);
            if lock(&self.output).way.as_ref().is_some_and(Way::is_open) {
                return Ok(());
            }
            match self.open(control, &target) {
                Ok(way) => self.start(control, way, true, told),
                Err(e) => {
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
        // A queue is written out once no lock is held, before this returns.
        self.verb(|_, told| self.close(&mut lock(&self.output), told));
    }

    pub(in crate::keylog) fn is_enabled(&self) -> bool {
        let mut told = Told::default();
        self.look_at_the_clock(&mut told);
        told.tell();
        self.is_on()
    }

    /// Switches off what has been on for long enough, though nothing was
    /// written since.
    fn look_at_the_clock(&self, told: &mut Told) {
        let mut output = lock(&self.output);
        let limit = output.way.as_ref().and(output.limit.time_is_up());
        if let Some(limit) = limit {
            self.switch_off(&mut output, limit, told);
        }
    }

    pub(in crate::keylog) fn set_path(&self, path: &Path) -> Result<(), KeyLogError> {
        let target = Target::file(path)?;
        self.verb(|control, told| {
            self.look_at_the_clock(told);
            // Under the lock of `control` nobody else switches on.
            let way = if self.is_on() {
                Some(self.open(control, &target)?)
            } else {
                target.check(&control.options)?;
                None
            };
            control.target = Some(target);
            control.source = Source::Api;
            control.refused = None;
            if let Some(way) = way {
                self.start(control, way, false, told);
            }
            Ok(())
        })
    }

    pub(in crate::keylog) fn rotate(&self) -> Result<(), KeyLogError> {
        self.verb(|_, told| {
            let mut output = lock(&self.output);
            self.write_out(&mut output, told);
            let (result, aside) = match &mut output.way {
                None => return Ok(()),
                Some(Way::Direct(sink)) => sink.rotate(),
                Some(Way::Queued(queue)) => match queue.with(Sink::rotate) {
                    Some(done) => done,
                    None => return Ok(()),
                },
            };
            self.counters.rotations.fetch_add(aside.rotations, Relaxed);
            result
        })
    }

    /// The context is gone: what is queued is written, and the files removed if
    /// that was asked for.
    pub(crate) fn context_gone(&self) {
        self.end_turn();
        // No lock is held while others write, who may want one.
        let flush = match &lock(&self.output).way {
            Some(Way::Queued(queue)) => queue.flush(),
            _ => None,
        };
        if let Some(flush) = flush {
            flush(FLUSH);
        }
        let way = self.verb(|control, told| {
            if !control.options.remove {
                return None;
            }
            self.close(&mut lock(&self.output), told);
            told.closing.pop()
        });
        let sink = match way {
            Some(Way::Direct(sink)) => Some(sink),
            Some(Way::Queued(queue)) => queue.finish(),
            None => None,
        };
        let paths = sink.map(Sink::into_paths).unwrap_or_default();
        for error in sink::remove_all(&paths) {
            log::error!(target: TARGET, "{error}");
        }
    }

    pub(in crate::keylog) fn path(&self) -> Option<PathBuf> {
        let control = lock(&self.control);
        let open = lock(&self.output).way.as_ref().and_then(Way::path);
        open.or_else(|| Some(control.target.as_ref()?.template()?.given().to_owned()))
    }

    pub(in crate::keylog) fn stats(&self) -> Stats {
        self.verb(|control, told| {
            self.look_at_the_clock(told);
            let mut output = lock(&self.output);
            self.write_out(&mut output, told);
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

    fn problem(&self, control: &Control, output: &Output) -> Option<Problem> {
        if self.hookless.load(Relaxed) {
            return Some(Problem::NoHook);
        }
        if output.way.is_some() {
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

    /// Puts the way to a sink in place, which is to be said (RFC 9850, section 1.1); with
    /// limits that start anew, or go on.
    fn start(&self, control: &mut Control, way: Way, anew: bool, told: &mut Told) {
        control.refused = None;
        told.on = Some((way.describe(), control.source));
        let limit = Limit::new(&control.auto_off);
        let mut output = lock(&self.output);
        self.write_out(&mut output, told);
        output.failing = false;
        output.reached = None;
        output.logged.clear();
        if anew {
            output.limit = limit;
        }
        told.closing.extend(output.way.replace(way));
        self.on.store(true, Relaxed);
    }
}
