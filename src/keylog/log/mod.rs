//! One context's log: the switch, the counters, and the way of a record.

mod told;
mod verbs;

use super::filter::Filter;
use super::group::Group;
use super::limit::Limit;
use super::rotation::AutoOff;
use super::sink::{Aside, Failure, FileOptions, Outcome, Queue, Sink, Target};
use super::way::Way;
use super::{KeyLogError, Problem, Source};
use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use told::Told;

/// How many different errors are logged; a guard against a cause whose message
/// never repeats.
const MOST_CAUSES: usize = 16;

/// Once so much waits, it goes out before the turn of the loop ends.
const MOST: usize = 32 * 1024;

/// What the C hook finds behind its pointer.
///
/// Two locks, taken in the order of the fields: `control` for the length of a
/// verb of the handle, so that verbs don't mix; `output` for one write, or for
/// a verb to swap the files. A slow open holds no record up. Nothing is logged
/// under a lock: the application's logger may come back to us, for statistics
/// or with a TLS connection of its own.
///
/// The records of handshakes that end in one turn of the context's loop go to a file in
/// one write: at the latest when the turn ends ([`end_turn`](Log::end_turn)), before that
/// when data of one of them is about to be delivered ([`commit`](Log::commit)), and before
/// a verb changes where records go or tells how many there were. What waits is in `output`,
/// so that every thread can write it.
pub(crate) struct Log {
    me: Weak<Log>,
    /// Whether `output` has a sink; changed only under its lock. A hint without.
    on: AtomicBool,
    filter: Filter,
    /// The TLS library refused the hook.
    hookless: AtomicBool,
    counters: Counters,
    control: Mutex<Control>,
    output: Mutex<Output>,
    /// Whether the context is in a turn of its loop, which will end.
    in_turn: AtomicBool,
    /// The ticket of the last group that was written, or failed to be.
    committed: AtomicU64,
    /// Whether records wait; changed only under the lock of `output`. A hint without.
    waits: AtomicBool,
    /// The first panic of the application's code that the hook ran.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    panicked: AtomicBool,
}

#[derive(Default)]
struct Counters {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    connections: AtomicU64,
    filtered: AtomicU64,
    unhooked: AtomicU64,
    rotations: AtomicU64,
}

/// Where the log goes when it is on, and who said so.
pub(super) struct Control {
    pub source: Source,
    pub target: Option<Target>,
    pub options: Arc<FileOptions>,
    /// The size of the queue, if there is one.
    pub queue: Option<usize>,
    pub auto_off: AutoOff,
    /// Why what was asked at the start, or the last `enable()`, came to nothing.
    pub refused: Option<Problem>,
}

/// What records that wait are written with; grows with each such group.
pub(in crate::keylog) struct Ticket(u64);

/// Where records go now.
#[derive(Default)]
struct Output {
    /// `Some` while the log is on.
    way: Option<Way>,
    /// Records that are to be written in this turn of the loop, while the log is on.
    waiting: Option<Group>,
    /// Whether the last record failed.
    failing: bool,
    last_error: Option<String>,
    /// The messages that were logged.
    logged: Vec<String>,
    limit: Limit,
    /// The limit that switched the log off.
    reached: Option<&'static str>,
}

impl Log {
    pub(in crate::keylog) fn new(control: Control, filter: Filter) -> Arc<Self> {
        Arc::new_cyclic(|me| Log {
            me: Weak::clone(me),
            on: AtomicBool::new(false),
            filter,
            hookless: AtomicBool::new(false),
            counters: Counters::default(),
            control: Mutex::new(control),
            output: Mutex::default(),
            in_turn: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            panic: Mutex::default(),
            panicked: AtomicBool::new(false),
        })
    }

    /// Whether a record is worth a closer look.
    pub(crate) fn is_on(&self) -> bool {
        // Relaxed: the lock of `output` orders the rest.
        self.on.load(Relaxed)
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

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

    /// Whether records wait to be written.
    pub(crate) fn waits(&self) -> bool {
        // Relaxed: what waits was put there by this thread, or by one that tells of it.
        self.waits.load(Relaxed)
    }

    /// Writes the records that wait with this ticket, if they still do.
    pub(in crate::keylog) fn commit(&self, ticket: Ticket) {
        if self.committed.load(Relaxed) < ticket.0 {
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
    fn append(&self, group: Group, now: bool) -> (Told, Option<Ticket>) {
        let mut told = Told::default();
        let (len, first) = (group.len() as u64, group.is_first());
        let mut guard = lock(&self.output);
        let output = &mut *guard;
        let Some(way) = &output.way else {
            // Switched off since they were taken. Nothing is written any more.
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            return (told, None);
        };
        if let Some(limit) = output.limit.forbids(len, first) {
            self.counters.dropped.fetch_add(group.records(), Relaxed);
            self.switch_off(output, limit, &mut told);
            return (told, None);
        }
        let reached = output.limit.count(len, first);
        let mut ticket = None;
        if let Way::Direct(Sink::Function(function)) = way {
            // The application's code, which may come back to this log.
            let function = Arc::clone(function);
            drop(guard);
            function(group.batch().lines());
            guard = lock(&self.output);
            self.settle(&mut guard, &mut told, &group, Ok(Aside::default()));
        } else {
            let wait = !now && self.in_turn.load(Relaxed) && way.is_worth_waiting();
            self.join(output, group, &mut told);
            let joined = output.waiting.as_ref().map_or(0, Group::len);
            if wait && reached.is_none() && joined < MOST {
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
    fn join(&self, output: &mut Output, group: Group, told: &mut Told) {
        let separate = match (&output.waiting, &output.way) {
            (Some(waiting), Some(way)) => {
                waiting.is_parents() || way.separates(waiting.vhost(), group.vhost())
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
        self.waits.store(true, Relaxed);
    }

    /// Writes what waits, to where the log goes until now.
    fn write_out(&self, output: &mut Output, told: &mut Told) {
        let Some(group) = output.waiting.take() else {
            return;
        };
        self.waits.store(false, Relaxed);
        self.committed.fetch_add(1, Relaxed);
        if group.is_parents() {
            return; // it writes them itself
        }
        match &mut output.way {
            Some(Way::Direct(sink)) => {
                let result = sink.append(group.batch(), group.vhost());
                self.settle(output, told, &group, result);
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

    /// Counts what came of records.
    fn settle(
        &self,
        output: &mut Output,
        told: &mut Told,
        group: &Group,
        result: Result<Aside, (Failure, Aside)>,
    ) {
        let (aside, failure) = match result {
            Ok(aside) => (aside, None),
            Err((failure, aside)) => (aside, Some(failure)),
        };
        self.counters.rotations.fetch_add(aside.rotations, Relaxed);
        if let Some(error) = aside.trouble {
            told.errors.extend(output.complain(error.to_string()));
        }
        output.failing = failure.is_some();
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

    /// What the writing thread of a queue tells.
    fn written(&self, group: &Group, outcome: Outcome) {
        match outcome {
            Outcome::Written(result) => {
                let mut told = Told::default();
                self.settle(&mut lock(&self.output), &mut told, group, result);
                told.tell();
            }
            Outcome::Panicked(panic) => self.keep_panic(panic),
        }
    }

    /// Opens the way to a target.
    fn open(&self, control: &Control, target: &Target) -> Result<Way, KeyLogError> {
        let Some(most) = control.queue else {
            return Sink::open(target, &control.options).map(Way::Direct);
        };
        let log = Weak::clone(&self.me);
        let report = move |group: &Group, outcome| {
            if let Some(log) = log.upgrade() {
                log.written(group, outcome);
            }
        };
        Queue::start(target, &control.options, most, Arc::new(report)).map(Way::Queued)
    }

    /// Switches off, once what waits is written; what was open is closed without the lock.
    fn switch_off(&self, output: &mut Output, limit: &'static str, told: &mut Told) {
        self.close(output, told);
        output.reached = Some(limit);
        told.off = Some(limit);
    }

    fn close(&self, output: &mut Output, told: &mut Told) {
        self.write_out(output, told);
        self.on.store(false, Relaxed);
        output.failing = false;
        output.reached = None;
        told.closing.extend(output.way.take());
    }

    /// Counts a record that is no line of the format.
    pub(in crate::keylog) fn count_dropped(&self) {
        self.counters.dropped.fetch_add(1, Relaxed);
    }

    pub(in crate::keylog) fn count_filtered_connection(&self) {
        self.counters.filtered.fetch_add(1, Relaxed);
    }

    /// Counts a connection that is open, and whose secrets never come here.
    pub(crate) fn count_unhooked_connection(&self) {
        self.counters.unhooked.fetch_add(1, Relaxed);
    }

    /// Keeps a panic of the application's code, of its filter or its logger, for
    /// its context to resume. The first is enough; the panic hook reported all.
    pub(crate) fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        self.counters.failed.fetch_add(1, Relaxed);
        let mut first = lock(&self.panic);
        if first.is_none() {
            *first = Some(panic);
            self.panicked.store(true, Relaxed);
        } else {
            drop(first);
            // Its drop is foreign code, and this is a callback of C.
            std::mem::forget(panic);
        }
    }

    /// A panic that was kept.
    pub(crate) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        if !self.panicked.swap(false, Relaxed) {
            return None;
        }
        lock(&self.panic).take()
    }

    /// Remembers that the TLS library refused the hook; whether that is news.
    pub(crate) fn hook_refused(&self) -> bool {
        !self.hookless.swap(true, Relaxed)
    }
}

impl Output {
    /// Keeps an error; returns it if its cause is new.
    fn complain(&mut self, message: String) -> Option<String> {
        self.last_error = Some(message.clone());
        if self.logged.len() >= MOST_CAUSES || self.logged.contains(&message) {
            return None;
        }
        self.logged.push(message.clone());
        Some(message)
    }
}

/// A panic elsewhere must not end the log: the state is whole between any two
/// statements that change it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Log {
    /// Appends a line; what there is to tell the application's logger.
    pub(in crate::keylog) fn told_of(&self, line: &[u8]) -> Option<String> {
        let mut batch = crate::keylog::batch::Batch::default();
        assert!(batch.push(line));
        let group = Group::new(batch, &"vhost".into(), true);
        self.append(group, true).0.errors.pop()
    }

    /// Makes the next record look at the path.
    pub(in crate::keylog) fn look_now(&self) {
        if let Some(Way::Direct(sink)) = &mut lock(&self.output).way {
            sink.look_now();
        }
    }

    /// Leaves both locks as a panicking thread would.
    pub(in crate::keylog) fn poison(&self) {
        std::thread::scope(|scope| {
            let _ = scope
                .spawn(|| {
                    let _control = self.control.lock();
                    let _output = self.output.lock();
                    panic!("this panic is part of a test");
                })
                .join();
        });
    }
}
