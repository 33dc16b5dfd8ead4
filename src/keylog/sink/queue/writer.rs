//! The thread behind a queue, and what others can ask of it.

use super::{Outcome, Report};
use crate::forks::{self, forks};
use crate::keylog::batch::Batch;
use crate::keylog::group::Group;
use crate::keylog::sink::{remove_all, Closed, Sink};
use crate::keylog::{KeyLogError, TARGET};
use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

thread_local! {
    /// Whether this thread is one that writes, and of which process. It waits for none: two
    /// that call functions of an application might wait for each other.
    static WRITES: Cell<Option<u32>> = const { Cell::new(None) };
}

/// A thread that writes to a sink, as others see it.
#[derive(Clone)]
pub(in crate::keylog) struct Writer {
    shared: Arc<Shared>,
    /// The path of its file, or with placeholders. Without one it can't be asked for anything.
    path: Option<PathBuf>,
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
    /// Each with how many records are missing before it.
    waiting: VecDeque<(Group, u64)>,
    /// The length of those, and of the one that is being written.
    bytes: usize,
    /// A group is being written, or told of.
    writing: bool,
    /// How many records found no room since the last that did, for each file.
    lost: Vec<(Arc<str>, u64)>,
    /// What tells of them couldn't be written alone; the next record takes it along.
    mute: bool,
    ending: bool,
    remove: bool,
    /// What was closed, and not removed.
    left: Vec<Closed>,
    /// The sink was taken for good.
    closed: bool,
    /// The thread is at its end, and the files are closed.
    done: bool,
}

impl Writer {
    pub fn start(sink: Sink, most: usize, report: &Report) -> Result<Self, KeyLogError> {
        let (path, per_vhost) = (sink.path(), sink.is_per_vhost());
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                sink: Some(sink),
                asking: 0,
                waiting: VecDeque::new(),
                bytes: 0,
                writing: false,
                lost: Vec::new(),
                mute: false,
                ending: false,
                remove: false,
                left: Vec::new(),
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
            path,
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
        group.shrink();
        let mut state = self.shared.lock();
        if state.bytes + group.len() > self.shared.most {
            state.lose(self.shared.per_vhost, group.vhost(), group.records());
            // The thread may have nothing else to write than that they are missing.
            self.shared.changed.notify_all();
            return false;
        }
        let lost = match state.lost_of(self.shared.per_vhost, group.vhost()) {
            Some(at) => state.lost.swap_remove(at).1,
            None => 0,
        };
        state.mute = false;
        state.bytes += group.len();
        state.waiting.push_back((group, lost));
        self.shared.changed.notify_all();
        true
    }

    /// Does something with a sink of files, between two writes. Others have nothing to ask
    /// for. No lock may be held that a write wants.
    pub fn with<R>(&self, f: impl FnOnce(&mut Sink) -> R) -> Option<R> {
        if self.path.is_none() || !self.is_here() {
            return None;
        }
        let mut state = self.shared.lock();
        state.asking += 1;
        while state.sink.is_none() && !state.closed {
            state = self.shared.wait(state);
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
        match self.path {
            Some(_) => self.with(|sink| sink.is_open()).unwrap_or(false),
            None => self.is_here(),
        }
    }

    /// The path of its file, or with placeholders. A child after a fork has another one.
    pub fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref().filter(|_| self.is_here())
    }

    /// Ends the thread once it has written what waits; it then removes the files, if that
    /// is wanted.
    pub fn end(&self, remove: bool) {
        if self.is_here() {
            let mut state = self.shared.lock();
            state.ending = true;
            state.mute = false;
            state.remove |= remove;
            self.shared.changed.notify_all();
        }
    }

    /// The files that a thread which has ended left where they are.
    pub fn take_left(&self) -> Vec<Closed> {
        match self.is_here() {
            true => std::mem::take(&mut self.shared.lock().left),
            false => Vec::new(),
        }
    }

    /// Waits until everything is written and told of; `false`: it is so late before. No lock
    /// may be held that a write wants.
    pub fn flush(&self, deadline: Instant) -> bool {
        self.wait_until(Some(deadline), |state| {
            let told = state.lost.is_empty() || state.mute;
            state.waiting.is_empty() && told && !state.writing
        })
    }

    /// Waits for the end of the thread, once it was told to end; `false`: it is so late
    /// before. No lock may be held that a write wants.
    pub fn wait(&self, deadline: Option<Instant>) -> bool {
        self.wait_until(deadline, |_| false)
    }

    fn wait_until(&self, deadline: Option<Instant>, is: impl Fn(&State) -> bool) -> bool {
        if !self.is_here() || WRITES.get() == Some(forks()) {
            return true;
        }
        let mut state = self.shared.lock();
        while !state.done && !is(&state) {
            match self.shared.wait_until(state, deadline) {
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
        let groups = waiting.iter().map(|(group, _)| group);
        state.bytes -= groups.clone().map(Group::len).sum::<usize>();
        groups.map(Group::records).sum()
    }
}

impl State {
    /// Where records of this vhost are counted that were lost.
    fn lost_of(&self, per_vhost: bool, vhost: &str) -> Option<usize> {
        let is = |(name, _): &(Arc<str>, u64)| !per_vhost || **name == *vhost;
        self.lost.iter().position(is)
    }

    /// Counts records that are missing.
    fn lose(&mut self, per_vhost: bool, vhost: &Arc<str>, records: u64) {
        match self.lost_of(per_vhost, vhost) {
            Some(at) => self.lost[at].1 += records,
            None => self.lost.push((Arc::clone(vhost), records)),
        }
    }

    /// What is to be written next, and how many records are missing before it. Of what was
    /// lost last no record tells.
    fn next(&mut self) -> Option<(Group, u64)> {
        let next = self.waiting.pop_front();
        next.or_else(|| {
            let last = if self.mute { None } else { self.lost.pop() };
            let (vhost, lost) = last?;
            Some((Group::new(Batch::default(), &vhost, false), lost))
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

    /// Waits for a change.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// The same; `None`: it is too late.
    fn wait_until<'a>(
        &self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> Option<MutexGuard<'a, State>> {
        let Some(deadline) = deadline else {
            return Some(self.wait(state));
        };
        let left = deadline.checked_duration_since(Instant::now())?;
        let waited = self.changed.wait_timeout(state, left);
        Some(waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// What the thread does.
    fn work(&self, report: &Report) {
        WRITES.set(Some(forks()));
        let _done = Done(self);
        let sink = loop {
            match self.next() {
                (sink, Some((group, lost))) => self.write(group, lost, sink, report),
                (sink, None) => break sink,
            }
        };
        // What is dropped here may be the application's, as its logger is.
        guard(report, || {
            let remove = self.lock().remove;
            let files = sink.close();
            if remove {
                for error in remove_all(files) {
                    log::error!(target: TARGET, "{error}");
                }
            } else {
                self.lock().left = files;
            }
        });
    }

    /// Waits for where to write to, and for what, with how many records are missing before
    /// it; `None`: that was all.
    fn next(&self) -> (Sink, Option<(Group, u64)>) {
        let mut state = self.lock();
        loop {
            let sink = match state.asking {
                0 => state.sink.take(),
                _ => None,
            };
            if let Some(sink) = sink {
                if let Some(next) = state.next() {
                    state.writing = true;
                    return (sink, Some(next));
                }
                if state.ending {
                    state.closed = true;
                    return (sink, None);
                }
                state.sink = Some(sink);
            }
            state = self.wait(state);
        }
    }

    fn write(&self, mut group: Group, lost: u64, sink: Sink, report: &Report) {
        let len = group.len();
        if lost > 0 {
            group.comment(&missing(lost));
        }
        // A lock that this takes must not be held at a fork; it isn't the application's.
        let no_fork = matches!(sink, Sink::Memory(_)).then(forks::hold);
        let mut lent = Lent {
            shared: self,
            sink: Some(sink),
        };
        let append = AssertUnwindSafe(|| {
            let sink = lent.sink.as_mut()?;
            Some(sink.append(group.batch(), group.vhost()))
        });
        let appended = catch_unwind(append);
        drop(no_fork);
        drop(lent);
        let told = match &appended {
            Ok(Some(Err((failure, _)))) => failure.written > 0,
            appended => appended.is_ok(),
        };
        {
            let mut state = self.lock();
            state.bytes -= len;
            if lost > 0 && !told {
                state.lose(self.per_vhost, group.vhost(), lost);
                state.mute = true;
            }
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
        crate::panic::report(again);
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
