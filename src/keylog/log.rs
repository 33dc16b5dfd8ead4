//! One context's log: the switch, the counters, and the way of a record.

use super::batch::Batch;
use super::filter::Filter;
use super::rotation::AutoOff;
use super::sink::{self, Aside, Failure, FileOptions, Outcome, Queue, Sink, Target};
use super::{KeyLogError, Problem, Source, Stats, TARGET};
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How many different errors are logged; a guard against a cause whose message
/// never repeats.
const MOST_CAUSES: usize = 16;

/// How long a context that ends waits for a queue to be written.
const FLUSH: Duration = Duration::from_secs(5);

/// What the C hook finds behind its pointer.
///
/// Two locks, taken in the order of the fields: `control` for the length of a
/// verb of the handle, so that verbs don't mix; `output` for one write, or for
/// a verb to swap the files. A slow open holds no record up. Nothing is logged
/// under a lock: the application's logger may come back to us, for statistics
/// or with a TLS connection of its own.
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

/// Where records go now.
#[derive(Default)]
struct Output {
    /// `Some` while the log is on.
    way: Option<Way>,
    /// Whether the last record failed.
    failing: bool,
    last_error: Option<String>,
    /// The messages that were logged.
    logged: Vec<String>,
    limit: Limit,
    /// The limit that switched the log off.
    reached: Option<&'static str>,
}

/// The way to a sink: at once, or through a queue.
enum Way {
    Direct(Sink),
    Queued(Queue),
}

/// How far the log is from switching itself off.
#[derive(Default)]
struct Limit {
    until: Option<Instant>,
    bytes: Option<u64>,
    connections: Option<u64>,
}

/// What to tell the application's logger, and to close, once no lock is held.
#[derive(Default)]
struct Told {
    closing: Option<Way>,
    errors: Vec<String>,
    off: Option<&'static str>,
}

impl Log {
    pub(super) fn new(control: Control, filter: Filter) -> Arc<Self> {
        Arc::new_cyclic(|me| Log {
            me: Weak::clone(me),
            on: AtomicBool::new(false),
            filter,
            hookless: AtomicBool::new(false),
            counters: Counters::default(),
            control: Mutex::new(control),
            output: Mutex::default(),
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

    /// Takes records of one connection; `first` if they are its first.
    pub(super) fn write(&self, batch: Batch, vhost: &Arc<str>, first: bool) {
        self.append(batch, vhost, first).tell();
    }

    /// The way of records while the log is on; what to tell the application
    /// about it, which mustn't happen under the lock.
    fn append(&self, batch: Batch, vhost: &Arc<str>, first: bool) -> Told {
        let mut told = Told::default();
        let len = batch.lines().len() as u64;
        let mut guard = lock(&self.output);
        let output = &mut *guard;
        if output.way.is_none() {
            // Switched off since they were taken. Nothing is written any more.
            self.counters.dropped.fetch_add(batch.records(), Relaxed);
            return told;
        }
        if let Some(limit) = output.limit.forbids(len, first) {
            self.counters.dropped.fetch_add(batch.records(), Relaxed);
            told.closing = self.switch_off(output, limit);
            told.off = Some(limit);
            return told;
        }
        let reached = output.limit.count(len, first);
        match &mut output.way {
            Some(Way::Direct(Sink::Function(function))) => {
                // The application's code, which may come back to this log.
                let function = Arc::clone(function);
                drop(guard);
                function(batch.lines());
                guard = lock(&self.output);
                self.settle(&mut guard, &mut told, &batch, first, Ok(Aside::default()));
            }
            Some(Way::Direct(sink)) => {
                let result = sink.append(&batch, vhost);
                self.settle(output, &mut told, &batch, first, result);
            }
            Some(Way::Queued(queue)) => {
                let records = batch.records();
                match queue.push(batch, Arc::clone(vhost), first) {
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
            None => {}
        }
        if let Some(limit) = reached {
            told.closing = self.switch_off(&mut guard, limit);
            told.off = Some(limit);
        }
        told
    }

    /// Counts what came of records.
    fn settle(
        &self,
        output: &mut Output,
        told: &mut Told,
        batch: &Batch,
        first: bool,
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
            None => batch.records(),
            Some(failure) => {
                let message = failure.error.to_string();
                told.errors.extend(output.complain(message));
                failure.written
            }
        };
        self.counters.written.fetch_add(written, Relaxed);
        let failed = batch.records().saturating_sub(written);
        self.counters.failed.fetch_add(failed, Relaxed);
        if first && written > 0 {
            self.counters.connections.fetch_add(1, Relaxed);
        }
    }

    /// What the writing thread of a queue tells.
    fn written(&self, batch: &Batch, first: bool, outcome: Outcome) {
        match outcome {
            Outcome::Written(result) => {
                let mut told = Told::default();
                self.settle(&mut lock(&self.output), &mut told, batch, first, result);
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
        let report = move |batch: &Batch, first: bool, outcome| {
            if let Some(log) = log.upgrade() {
                log.written(batch, first, outcome);
            }
        };
        Queue::start(target, &control.options, most, Arc::new(report)).map(Way::Queued)
    }

    /// Switches off; what was open is closed by the caller, without the lock.
    fn switch_off(&self, output: &mut Output, limit: &'static str) -> Option<Way> {
        self.on.store(false, Relaxed);
        output.failing = false;
        output.reached = Some(limit);
        output.way.take()
    }

    /// Counts a record that is no line of the format.
    pub(super) fn count_dropped(&self) {
        self.counters.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn count_filtered_connection(&self) {
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

    pub(super) fn enable(&self) -> Result<(), KeyLogError> {
        let mut control = lock(&self.control);
        let target = control.target.clone().ok_or(KeyLogError::NoPath)?;
        self.look_at_the_clock();
        if lock(&self.output).way.as_ref().is_some_and(Way::is_open) {
            return Ok(());
        }
        match self.open(&control, &target) {
            Ok(way) => self.start(control, way, true),
            Err(e) => {
                control.refused = Some(Problem::PathRefused {
                    reason: e.to_string(),
                });
                return Err(e);
            }
        }
        Ok(())
    }

    /// Whether the path can be used, as far as can be told without a file.
    pub(super) fn check(&self) -> Result<(), KeyLogError> {
        let control = lock(&self.control);
        match &control.target {
            Some(target) => target.check(&control.options),
            None => Ok(()),
        }
    }

    pub(super) fn disable(&self) {
        let _control = lock(&self.control);
        // A queue is written out now.
        drop(self.stop());
    }

    /// Switches off; what was open is closed by the caller, which can take its
    /// time: records need not wait for it.
    fn stop(&self) -> Option<Way> {
        let mut output = lock(&self.output);
        self.on.store(false, Relaxed);
        output.failing = false;
        output.reached = None;
        output.way.take()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.look_at_the_clock();
        self.is_on()
    }

    /// Switches off what has been on for long enough, though nothing was
    /// written since.
    fn look_at_the_clock(&self) {
        let mut output = lock(&self.output);
        let limit = output.way.as_ref().and(output.limit.time_is_up());
        let closing = limit.map(|limit| self.switch_off(&mut output, limit));
        drop(output);
        drop(closing);
    }

    pub(super) fn set_path(&self, path: &Path) -> Result<(), KeyLogError> {
        let target = Target::file(path)?;
        let mut control = lock(&self.control);
        // Under the lock of `control` nobody else switches on.
        let way = if self.is_enabled() {
            Some(self.open(&control, &target)?)
        } else {
            target.check(&control.options)?;
            None
        };
        control.target = Some(target);
        control.source = Source::Api;
        control.refused = None;
        if let Some(way) = way {
            self.start(control, way, false);
        }
        Ok(())
    }

    pub(super) fn rotate(&self) -> Result<(), KeyLogError> {
        let _control = lock(&self.control);
        let mut output = lock(&self.output);
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
    }

    /// The context is gone: what is queued is written, and the files removed if
    /// that was asked for.
    pub(crate) fn context_gone(&self) {
        let control = lock(&self.control);
        if let Some(Way::Queued(queue)) = &lock(&self.output).way {
            queue.flush(FLUSH);
        }
        if !control.options.remove {
            return;
        }
        let sink = match self.stop() {
            Some(Way::Direct(sink)) => Some(sink),
            Some(Way::Queued(queue)) => queue.finish(),
            None => None,
        };
        drop(control);
        let paths = sink.map(Sink::into_paths).unwrap_or_default();
        for error in sink::remove_all(&paths) {
            log::error!(target: TARGET, "{error}");
        }
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        let control = lock(&self.control);
        let open = lock(&self.output).way.as_ref().and_then(Way::path);
        open.or_else(|| Some(control.target.as_ref()?.template()?.given().to_owned()))
    }

    pub(super) fn stats(&self) -> Stats {
        self.look_at_the_clock();
        let control = lock(&self.control);
        let output = lock(&self.output);
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
            problem: self.problem(&control, &output),
        }
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

    /// Puts the way to a sink in place and says so (RFC 9850, section 1.1); with
    /// limits that start anew, or go on.
    fn start(&self, mut control: MutexGuard<'_, Control>, way: Way, anew: bool) {
        control.refused = None;
        let source = control.source;
        let place = way.describe();
        let limit = Limit::new(&control.auto_off);
        let mut output = lock(&self.output);
        output.failing = false;
        output.reached = None;
        output.logged.clear();
        if anew {
            output.limit = limit;
        }
        let closing = output.way.replace(way);
        self.on.store(true, Relaxed);
        drop(output);
        drop(control);
        drop(closing);
        log::warn!(
            target: TARGET,
            "TLS secrets are being written to {place}, as {source} asked: whoever reads them can \
             decrypt this context's connections; not for production (RFC 9850, section 1.1)"
        );
    }
}

impl Way {
    fn is_open(&self) -> bool {
        match self {
            Way::Direct(sink) => sink.is_open(),
            Way::Queued(queue) => queue.with(|sink| sink.is_open()).unwrap_or(false),
        }
    }

    fn path(&self) -> Option<PathBuf> {
        match self {
            Way::Direct(sink) => sink.path(),
            Way::Queued(queue) => queue.with(|sink| sink.path()).flatten(),
        }
    }

    fn describe(&self) -> String {
        match self {
            Way::Direct(sink) => sink.describe(),
            Way::Queued(queue) => queue.describe(),
        }
    }
}

impl Told {
    /// Without a lock: the application's logger may come back to the log.
    fn tell(self) {
        drop(self.closing);
        for message in self.errors {
            log::error!(target: TARGET, "{message}");
        }
        if let Some(limit) = self.off {
            let problem = Problem::LimitReached { limit };
            log::warn!(target: TARGET, "{problem}");
        }
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

impl Limit {
    fn new(auto_off: &AutoOff) -> Self {
        Limit {
            until: auto_off
                .time
                .and_then(|time| Instant::now().checked_add(time)),
            bytes: auto_off.bytes,
            connections: auto_off.connections,
        }
    }

    /// Whether these records come too late.
    fn forbids(&self, len: u64, first: bool) -> Option<&'static str> {
        let full = self.bytes.is_some_and(|left| len > left);
        let enough = first && self.connections == Some(0);
        let bytes = full.then_some("number of bytes");
        let connections = enough.then_some("number of connections");
        self.time_is_up().or(bytes).or(connections)
    }

    fn time_is_up(&self) -> Option<&'static str> {
        let over = self.until.is_some_and(|until| Instant::now() >= until);
        over.then_some("time")
    }

    /// Counts records that were written; whether they were the last.
    fn count(&mut self, len: u64, first: bool) -> Option<&'static str> {
        if let Some(left) = &mut self.bytes {
            *left = left.saturating_sub(len);
        }
        match &mut self.connections {
            Some(left) if first => {
                *left = left.saturating_sub(1);
                (*left == 0).then_some("number of connections")
            }
            _ => None,
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
    pub(super) fn told_of(&self, line: &[u8]) -> Option<String> {
        let mut batch = Batch::default();
        assert!(batch.push(line));
        self.append(batch, &"vhost".into(), true).errors.pop()
    }

    /// Makes the next record look at the path.
    pub(super) fn look_now(&self) {
        if let Some(Way::Direct(sink)) = &mut lock(&self.output).way {
            sink.look_now();
        }
    }

    /// Leaves both locks as a panicking thread would.
    pub(super) fn poison(&self) {
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
