//! One context's log: the switch, the counters, and the way of a record.

mod deferred;
mod operations;
mod output;
mod records;

use super::delivery::Delivery;
use super::filter::Filter;
use super::rotation::AutoOff;
use super::sink::{remove_all, FileOptions, Target};
use super::{Problem, Source};
use crate::ffi::context::Waker;
use crate::forks;
use output::Output;
use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long the end of a context, or of its log, waits for a queue to be written.
const FLUSH: Duration = if cfg!(test) {
    Duration::from_secs(1)
} else {
    Duration::from_secs(5)
};

/// What the C hook finds behind its pointer.
///
/// Two locks, taken in the order of the fields: `control` for the length of a
/// operation of the handle, so that operations don't mix; `output` for one write, or for
/// an operation to swap the files. A slow open holds no record up. Nothing of the application's
/// runs under a lock: its logger, or the function that gets the records, may come back to
/// us, for statistics or with a TLS connection of its own. And none is held while a queue's
/// thread is waited for, which may want one.
///
/// The records of handshakes that end in one turn of the context's loop go to a file in
/// one write: at the latest when the turn ends ([`end_turn`](Log::end_turn)), before that
/// when data of one of them is about to be delivered ([`commit`](Log::commit)), and before
/// an operation changes where records go or tells how many there were. What waits is in `output`,
/// so that every thread can write it.
pub(crate) struct Log {
    me: Weak<Log>,
    /// Whether `output` has a sink; changed only under its lock. A hint without.
    on: AtomicBool,
    filter: Filter,
    /// The TLS library refused the hook.
    hookless: AtomicBool,
    /// The files go with the context.
    remove: bool,
    /// The end of the context waited for a queue in vain; nobody need do so again.
    stuck: AtomicBool,
    counters: Counters,
    control: Mutex<Control>,
    output: Mutex<Output>,
    /// Whether the context is in a turn of its loop, which will end.
    in_turn: AtomicBool,
    /// The ticket of the last group that was written, or failed to be; changed only under
    /// the lock of `output`, and after the write.
    committed: AtomicU64,
    /// Whether records wait, or are being written; likewise.
    waits: AtomicBool,
    /// The first panic of the application's code that the hook ran, or a queue's thread.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    panicked: AtomicBool,
    /// Wakes the context's loop, which resumes it.
    waker: OnceLock<Waker>,
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

impl Log {
    pub(in crate::keylog) fn new(control: Control, filter: Filter) -> Arc<Self> {
        Arc::new_cyclic(|me| Log {
            me: Weak::clone(me),
            on: AtomicBool::new(false),
            filter,
            hookless: AtomicBool::new(false),
            remove: control.options.remove,
            stuck: AtomicBool::new(false),
            counters: Counters::default(),
            control: Mutex::new(control),
            output: Mutex::default(),
            in_turn: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            panic: Mutex::default(),
            panicked: AtomicBool::new(false),
            waker: OnceLock::new(),
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

    /// Counts a record that is no line of the format.
    pub(in crate::keylog) fn count_dropped(&self) {
        self.counters.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_filtered_connection(&self) {
        self.counters.filtered.fetch_add(1, Relaxed);
    }

    /// Counts a connection that is open, and whose secrets never come here.
    pub(crate) fn count_unhooked_connection(&self) {
        self.counters.unhooked.fetch_add(1, Relaxed);
    }

    /// Tells who is to be woken when there is a panic to resume.
    pub(crate) fn set_waker(&self, waker: Waker) {
        // Set once, when the context is built.
        let _ = self.waker.set(waker);
    }

    /// Keeps a panic of the application's code, of its filter or its logger, for
    /// its context to resume. Those that follow the first are logged.
    pub(crate) fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        let again = {
            let _no_fork = forks::hold();
            let mut first = lock(&self.panic);
            match *first {
                Some(_) => Some(panic),
                None => {
                    *first = Some(panic);
                    self.panicked.store(true, Relaxed);
                    None
                }
            }
        };
        if let Some(panic) = again {
            crate::panic::report(panic);
        } else if let Some(waker) = self.waker.get() {
            waker.wake();
        }
    }

    /// Runs what may run the application's code, where a panic must not unwind: into C, say.
    /// It is kept.
    pub(crate) fn guard(&self, f: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
            self.keep_panic(panic);
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

impl Drop for Log {
    fn drop(&mut self) {
        let output = self.output.get_mut();
        let output = output.unwrap_or_else(PoisonError::into_inner);
        let mut delivery = output.delivery.take();
        let queue = match &delivery {
            Some(Delivery::Queued(queue)) => Some(queue.end(self.remove)),
            _ => None,
        };
        let removed =
            delivery.take_if(|delivery| self.remove && matches!(delivery, Delivery::Direct(_)));
        if let Some(Delivery::Direct(sink)) = removed {
            // It was switched on when its context was gone.
            remove_all(sink.close());
        }
        // So that its files can be removed then, on Windows too.
        let deadline = Instant::now() + FLUSH;
        for writer in output.past.iter().chain(&queue) {
            if !*self.stuck.get_mut() {
                writer.wait(Some(deadline));
            }
        }
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
        let group = super::group::Group::new(batch, &"vhost".into(), true);
        self.append(group, true).0.errors.pop()
    }

    /// Makes the next record look at the path.
    pub(in crate::keylog) fn look_now(&self) {
        if let Some(Delivery::Direct(sink)) = &mut lock(&self.output).delivery {
            sink.look_now();
        }
    }

    /// Whether somebody is at the open files.
    pub(in crate::keylog) fn is_writing(&self) -> bool {
        matches!(
            self.output.try_lock(),
            Err(std::sync::TryLockError::WouldBlock)
        )
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
