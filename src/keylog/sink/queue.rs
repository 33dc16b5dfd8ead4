//! A bounded queue before a sink, with a thread that writes, so that a slow disk
//! holds no handshake up.

use super::{Aside, Failure, FileOptions, Sink, Target};
use crate::keylog::batch::Batch;
use crate::keylog::group::Group;
use crate::keylog::{forks, KeyLogError};
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What came of records, told by the writing thread.
pub(in crate::keylog) enum Outcome {
    Written(Result<Aside, (Failure, Aside)>),
    Panicked(Box<dyn std::any::Any + Send>),
}

/// Tells it.
pub(in crate::keylog) type Report = Arc<dyn Fn(&Group, Outcome) + Send + Sync>;

/// A sink that another thread writes to.
pub(in crate::keylog) struct Queue {
    target: Target,
    options: Arc<FileOptions>,
    report: Report,
    description: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    forks: u32,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Taken by the writing thread for a group, and by who ends the queue.
    sink: Option<Sink>,
    waiting: VecDeque<Group>,
    bytes: usize,
    most: usize,
    /// Records that found no room since the last that did.
    lost: u64,
    /// The vhost of the last of them.
    lost_of: Option<Arc<str>>,
    ending: bool,
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                sink: Some(sink),
                waiting: VecDeque::new(),
                bytes: 0,
                most,
                lost: 0,
                lost_of: None,
                ending: false,
            }),
            changed: Condvar::new(),
        });
        let (own, tell) = (Arc::clone(&shared), Arc::clone(&report));
        let thread = thread::Builder::new()
            .name("lws-keylog".into())
            .spawn(move || own.work(&tell))
            .map_err(|source| KeyLogError::Thread { source })?;
        Ok(Queue {
            target: target.clone(),
            options: Arc::clone(options),
            report,
            description,
            shared,
            thread: Some(thread),
            forks: forks(),
        })
    }

    pub fn describe(&self) -> String {
        self.description.clone()
    }

    /// Queues records; `false` if there is no room for them.
    pub fn push(&mut self, group: Group) -> Result<bool, KeyLogError> {
        if self.forks != forks() {
            self.start_anew()?;
        }
        let mut state = self.shared.lock();
        let len = group.len();
        if state.bytes + len > state.most {
            state.lost += group.records();
            state.lost_of = Some(Arc::clone(group.vhost()));
            return Ok(false);
        }
        state.bytes += len;
        state.waiting.push_back(group);
        self.shared.changed.notify_all();
        Ok(true)
    }

    /// What waits until everything is written, at most for a time; with no lock held that
    /// who writes may want. `None`: there is nobody to wait for.
    pub fn flush(&self) -> Option<impl FnOnce(Duration)> {
        if self.forks != forks() {
            return None;
        }
        let shared = Arc::clone(&self.shared);
        Some(move |patience| shared.flush(patience))
    }

    /// Whether everything that was opened still is.
    pub fn is_open(&self) -> bool {
        let is_ours = self.forks == forks();
        self.with(|sink| sink.is_open())
            .unwrap_or(is_ours && self.target.template().is_none())
    }

    /// Does something with a sink of files, between two writes. Others have nothing to
    /// ask for, and a function, while it is called, may ask the log for something itself.
    pub fn with<R>(&self, f: impl FnOnce(&mut Sink) -> R) -> Option<R> {
        self.target.template()?;
        if self.forks != forks() {
            return None; // the sink is the parent's; its thread isn't here to give it back
        }
        let mut state = self.shared.lock();
        while state.sink.is_none() {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.sink.as_mut().map(f)
    }

    /// Writes what waits, and ends the thread.
    pub fn finish(mut self) -> Option<Sink> {
        if self.forks != forks() {
            return None;
        }
        self.end();
        self.shared.lock().sink.take()
    }

    fn end(&mut self) {
        if self.forks != forks() {
            // The thread is the parent's; its lock may have been held at the fork.
            self.thread = None;
            return;
        }
        self.shared.lock().ending = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread itself may let go of the log last.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }

    /// In the child of a fork, which has no thread, and the parent's files.
    fn start_anew(&mut self) -> Result<(), KeyLogError> {
        let most = match self.shared.state.try_lock() {
            Ok(state) => state.most,
            Err(_) => usize::MAX >> 1,
        };
        let report = Arc::clone(&self.report);
        let anew = Queue::start(&self.target, &self.options, most, report)?;
        // The old one's records are the parent's, which writes them.
        std::mem::forget(std::mem::replace(self, anew));
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while state.bytes > 0 {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What the thread does.
    fn work(&self, report: &Report) {
        let mut state = self.lock();
        loop {
            let Some(mut group) = state.waiting.pop_front() else {
                if state.ending && state.waiting.is_empty() {
                    let Some(vhost) = state.lost_of.take() else {
                        return;
                    };
                    // No record comes after them that could tell.
                    let lost = std::mem::take(&mut state.lost);
                    let comment = Batch::comment(&missing(lost));
                    state.waiting.push_back(Group::new(comment, &vhost, false));
                    continue;
                }
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let len = group.len();
            let lost = std::mem::take(&mut state.lost);
            state.lost_of = None;
            let mut sink = state.sink.take();
            drop(state);
            if lost > 0 {
                group.comment(&missing(lost));
            }
            let outcome = sink.as_mut().map(|sink| {
                let append = AssertUnwindSafe(|| sink.append(group.batch(), group.vhost()));
                match catch_unwind(append) {
                    Ok(result) => Outcome::Written(result),
                    Err(panic) => Outcome::Panicked(panic),
                }
            });
            state = self.lock();
            state.sink = sink;
            state.bytes = state.bytes.saturating_sub(len);
            self.changed.notify_all();
            if let Some(outcome) = outcome {
                drop(state);
                report(&group, outcome);
                state = self.lock();
            }
        }
    }
}

/// What stands in the file in place of records.
fn missing(lost: u64) -> String {
    format!("# {lost} records are missing here: they came faster than they were written")
}
