//! The thread behind a queue, and what others can ask of it.

use super::{Outcome, Report};
use crate::keylog::batch::Batch;
use crate::keylog::group::Group;
use crate::keylog::sink::{remove_all, Sink};
use crate::keylog::{forks, KeyLogError, TARGET};
use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

thread_local! {
    /// Whether this thread is one that writes. It waits for none: two that call functions
    /// of an application might wait for each other.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// A thread that writes to a sink, as others see it.
#[derive(Clone)]
pub(in crate::keylog) struct Writer {
    shared: Arc<Shared>,
    /// Whether the sink has files, which can be asked for something.
    has_files: bool,
    /// The process that has the thread.
    forks: u32,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    most: usize,
    per_vhost: bool,
}

struct State {
    /// Taken for the length of a write, or of a question; without the lock, so that records
    /// can be queued meanwhile.
    sink: Option<Sink>,
    /// How many wait for the sink, to ask it for something. They go first, for there is
    /// always something to write where much comes.
    asking: usize,
    waiting: VecDeque<Group>,
    /// The length of those, and of the one that is being written.
    bytes: usize,
    /// A group is being written, or told of.
    writing: bool,
    /// How many records found no room since the last that did, for each file.
    lost: Vec<(Arc<str>, u64)>,
    ending: bool,
    remove: bool,
    /// The sink was taken for good.
    closed: bool,
    /// The thread is at its end, and the files are closed.
    done: bool,
}

impl Writer {
    pub fn start(sink: Sink, most: usize, report: &Report) -> Result<Self, KeyLogError> {
        let (has_files, per_vhost) = (sink.path().is_some(), sink.is_per_vhost());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                sink: Some(sink),
                asking: 0,
                waiting: VecDeque::new(),
                bytes: 0,
                writing: false,
                lost: Vec::new(),
                ending: false,
                remove: false,
                closed: false,
                done: false,
            }),
            changed: Condvar::new(),
            most,
            per_vhost,
        });
        let (own, report) = (Arc::clone(&shared), Arc::clone(report));
        thread::Builder::new()
            .name("lws-keylog".into())
            .spawn(move || own.work(&report))
            .map_err(|source| KeyLogError::Thread { source })?;
        Ok(Writer {
            shared,
            has_files,
            forks: forks(),
        })
    }

    /// Whether the thread is one of this process. In the child of a fork it isn't, and its
    /// lock may be held for ever.
    pub fn is_here(&self) -> bool {
        self.forks == forks()
    }

    /// Queues records; `false` if there is no room for them.
    pub(super) fn push(&self, mut group: Group) -> bool {
        let mut state = self.shared.lock();
        if state.bytes + group.len() > self.shared.most {
            let (vhost, records) = (group.vhost(), group.records());
            match state.lost_of(self.shared.per_vhost, vhost) {
                Some(at) => state.lost[at].1 += records,
                None => state.lost.push((Arc::clone(vhost), records)),
            }
            return false;
        }
        if let Some(at) = state.lost_of(self.shared.per_vhost, group.vhost()) {
            let (_, lost) = state.lost.swap_remove(at);
            group.comment(&missing(lost));
        }
        state.bytes += group.len();
        state.waiting.push_back(group);
        self.shared.changed.notify_all();
        true
    }

    /// Does something with a sink of files, between two writes. Others have nothing to ask
    /// for. No lock may be held that a write wants.
    pub fn with<R>(&self, f: impl FnOnce(&mut Sink) -> R) -> Option<R> {
        if !self.has_files || !self.is_here() {
            return None;
        }
        let mut state = self.shared.lock();
        state.asking += 1;
        while state.sink.is_none() && !state.closed {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.asking -= 1;
        let sink = state.sink.take()?;
        drop(state);
        let mut lent = Lent {
            shared: &self.shared,
            sink: Some(sink),
        };
        lent.sink.as_mut().map(f)
    }

    /// Whether everything that was opened still is. No lock may be held that a write wants.
    pub fn is_open(&self) -> bool {
        match self.has_files {
            true => self.with(|sink| sink.is_open()).unwrap_or(false),
            false => self.is_here(),
        }
    }

    /// Ends the thread once it has written what waits.
    pub(super) fn end(&self, remove: bool) {
        if self.is_here() {
            let mut state = self.shared.lock();
            state.ending = true;
            state.remove |= remove;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until everything is written and told of; `false`: it is so late before. No lock
    /// may be held that a write wants.
    pub fn flush(&self, deadline: Instant) -> bool {
        self.wait_until(Some(deadline), |state| {
            state.waiting.is_empty() && state.lost.is_empty() && !state.writing
        })
    }

    /// Waits for the end of the thread, once it was told to end; or it is so late. No lock
    /// may be held that a write wants.
    pub fn wait(&self, deadline: Option<Instant>) {
        self.wait_until(deadline, |_| false);
    }

    fn wait_until(&self, deadline: Option<Instant>, is: impl Fn(&State) -> bool) -> bool {
        if !self.is_here() || WRITES.get() {
            return true;
        }
        let mut state = self.shared.lock();
        while !state.done && !is(&state) {
            match self.shared.wait(state, deadline) {
                Some(again) => state = again,
                None => return false,
            }
        }
        true
    }

    /// Whether there is nothing to wait for.
    pub fn is_done(&self) -> bool {
        !self.is_here() || self.shared.lock().done
    }

    /// Forgets what waits; how many records that were.
    pub fn abandon(&self) -> u64 {
        if !self.is_here() {
            return 0;
        }
        let mut state = self.shared.lock();
        let waiting = std::mem::take(&mut state.waiting);
        state.lost.clear();
        state.bytes -= waiting.iter().map(Group::len).sum::<usize>();
        waiting.iter().map(Group::records).sum()
    }
}

impl State {
    /// Where records of this vhost are counted that were lost.
    fn lost_of(&self, per_vhost: bool, vhost: &str) -> Option<usize> {
        let is = |(name, _): &(Arc<str>, u64)| !per_vhost || **name == *vhost;
        self.lost.iter().position(is)
    }

    /// What is to be written next. Of what was lost last no record tells.
    fn next(&mut self) -> Option<Group> {
        let next = self.waiting.pop_front();
        next.or_else(|| {
            let (vhost, lost) = self.lost.pop()?;
            Some(Group::new(Batch::comment(&missing(lost)), &vhost, false))
        })
    }
}

/// A sink that is given back, come what may.
struct Lent<'a> {
    shared: &'a Shared,
    sink: Option<Sink>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.shared.lock().sink = self.sink.take();
        self.shared.changed.notify_all();
    }
}

/// Says that the thread is at its end, come what may.
struct Done<'a>(&'a Shared);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            (state.closed, state.done) = (true, true);
        }
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change; `None`: it is too late.
    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        let Some(deadline) = deadline else {
            let waited = self.changed.wait(state);
            return Some(waited.unwrap_or_else(PoisonError::into_inner));
        };
        let left = deadline.checked_duration_since(Instant::now())?;
        let waited = self.changed.wait_timeout(state, left);
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// What the thread does.
    fn work(&self, report: &Report) {
        WRITES.set(true);
        let _done = Done(self);
        let sink = loop {
            match self.next() {
                (sink, Some((group, len))) => self.write(group, len, sink, report),
                (sink, None) => break sink,
            }
        };
        // What is dropped here may be the application's, as its logger is.
        guard(report, || {
            let paths = sink.into_paths();
            if self.lock().remove {
                for error in remove_all(&paths) {
                    log::error!(target: TARGET, "{error}");
                }
            }
        });
    }

    /// Waits for where to write to, and for what, and how much room it takes; `None`:
    /// that was all.
    fn next(&self) -> (Sink, Option<(Group, usize)>) {
        let mut state = self.lock();
        loop {
            let sink = match state.asking {
                0 => state.sink.take(),
                _ => None,
            };
            if let Some(sink) = sink {
                let queued = !state.waiting.is_empty();
                if let Some(group) = state.next() {
                    state.writing = true;
                    let len = if queued { group.len() } else { 0 };
                    return (sink, Some((group, len)));
                }
                if state.ending {
                    state.closed = true;
                    return (sink, None);
                }
                state.sink = Some(sink);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, group: Group, len: usize, sink: Sink, report: &Report) {
        let mut lent = Lent {
            shared: self,
            sink: Some(sink),
        };
        let append = AssertUnwindSafe(|| {
            let sink = lent.sink.as_mut()?;
            Some(sink.append(group.batch(), group.vhost()))
        });
        let appended = catch_unwind(append);
        drop(lent);
        {
            let mut state = self.lock();
            state.bytes = state.bytes.saturating_sub(len);
        }
        match appended {
            Ok(None) => {}
            Ok(Some(result)) => guard(report, || report(Outcome::Written(&group, result))),
            Err(panic) => tell_panic(report, panic, group.records()),
        }
        self.lock().writing = false;
        self.changed.notify_all();
    }
}

/// A panic of the application's code must not end the thread.
fn guard(report: &Report, f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        tell_panic(report, panic, 0);
    }
}

/// Tells of a panic that has lost so many records. What is told may be the last that has the
/// log, and drop what is the application's.
fn tell_panic(report: &Report, panic: Box<dyn Any + Send>, lost: u64) {
    let tell = AssertUnwindSafe(|| report(Outcome::Panicked(panic, lost)));
    if let Err(again) = catch_unwind(tell) {
        crate::panic::discard(again);
    }
}

/// What stands in the file in place of records.
fn missing(lost: u64) -> String {
    let (records, are) = match lost {
        1 => ("record", "is"),
        _ => ("records", "are"),
    };
    format!("# {lost} {records} {are} missing here: they came faster than they were written")
}
