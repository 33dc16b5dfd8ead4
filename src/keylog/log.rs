//! One context's log: the switch, the counters, and the way of a record.

use super::file::{self, Rules};
use super::record::Record;
use super::sink::Sink;
use super::{KeyLogError, Problem, Source, Stats, TARGET};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many different errors are logged; a guard against a cause whose message
/// never repeats.
const MOST_CAUSES: usize = 16;

/// What the C hook finds behind its pointer.
///
/// Two locks, taken in the order of the fields: `control` for the length of a
/// verb of the handle, so that verbs don't mix; `output` for one record, or for
/// a verb to swap the file. A slow open holds no record up. Nothing is logged
/// under a lock: the application's logger may come back to us, for statistics
/// or with a TLS connection of its own.
pub(crate) struct Log {
    /// Whether `output` has a sink; changed only under its lock. A hint without.
    on: AtomicBool,
    /// The TLS library refused the hook.
    hookless: AtomicBool,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    control: Mutex<Control>,
    output: Mutex<Output>,
}

/// Where the log goes when it is on, and who said so.
pub(super) struct Control {
    pub source: Source,
    pub path: Option<PathBuf>,
    pub rules: Rules,
    /// Why what was asked at the start, or the last `enable()`, came to nothing.
    pub refused: Option<Problem>,
}

/// Where records go now.
#[derive(Default)]
struct Output {
    /// `Some` while the log is on.
    sink: Option<Sink>,
    /// Whether the last record failed.
    failing: bool,
    last_error: Option<String>,
    /// The messages that were logged.
    logged: Vec<String>,
}

impl Log {
    pub(super) fn new(control: Control) -> Self {
        Log {
            on: AtomicBool::new(false),
            hookless: AtomicBool::new(false),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            control: Mutex::new(control),
            output: Mutex::default(),
        }
    }

    /// Takes one line of the TLS library, without its end.
    pub(crate) fn record(&self, line: &[u8]) {
        // Relaxed: it decides only whether to look closer. The lock of `output`
        // orders the rest.
        if !self.on.load(Relaxed) {
            return;
        }
        if let Some(message) = self.write(line) {
            log::error!(target: TARGET, "{message}");
        }
    }

    /// The way of a record while the log is on; what to tell the application
    /// about it, which mustn't happen under the lock.
    pub(super) fn write(&self, line: &[u8]) -> Option<String> {
        let record = Record::new(line);
        let mut output = lock(&self.output);
        let output = &mut *output;
        // Switched off since `on` was read: nothing happened.
        let sink = output.sink.as_mut()?;
        let Some(record) = record else {
            self.dropped.fetch_add(1, Relaxed);
            return None;
        };
        let result = sink.append(&record);
        output.failing = result.is_err();
        match result {
            Ok(()) => {
                self.written.fetch_add(1, Relaxed);
                None
            }
            Err(e) => {
                self.failed.fetch_add(1, Relaxed);
                output.complain(e.to_string())
            }
        }
    }

    /// Counts a record that was lost to a panic on its way.
    pub(crate) fn count_panic(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// Remembers that the TLS library refused the hook; whether that is news.
    pub(crate) fn hook_refused(&self) -> bool {
        !self.hookless.swap(true, Relaxed)
    }

    pub(super) fn enable(&self) -> Result<(), KeyLogError> {
        let mut control = lock(&self.control);
        let path = control.path.clone().ok_or(KeyLogError::NoPath)?;
        if lock(&self.output).sink.as_ref().is_some_and(Sink::is_open) {
            return Ok(());
        }
        match Sink::open(&path, &control.rules) {
            Ok(sink) => self.start(control, sink),
            Err(e) => {
                control.refused = Some(Problem::PathRefused {
                    reason: e.to_string(),
                });
                return Err(e);
            }
        }
        Ok(())
    }

    pub(super) fn disable(&self) {
        let _control = lock(&self.control);
        let mut output = lock(&self.output);
        self.on.store(false, Relaxed);
        output.failing = false;
        let closing = output.sink.take();
        drop(output);
        // Closing can take its time; records need not wait for it.
        drop(closing);
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.on.load(Relaxed)
    }

    pub(super) fn set_path(&self, path: &Path) -> Result<(), KeyLogError> {
        let path = file::resolve(path)?;
        let mut control = lock(&self.control);
        // Under the lock of `control` nobody else switches.
        let sink = if self.is_enabled() {
            Some(Sink::open(&path, &control.rules)?)
        } else {
            file::check(&path, &control.rules)?;
            None
        };
        control.path = Some(path);
        control.source = Source::Api;
        control.refused = None;
        if let Some(sink) = sink {
            self.start(control, sink);
        }
        Ok(())
    }

    pub(super) fn path(&self) -> Option<PathBuf> {
        lock(&self.control).path.clone()
    }

    pub(super) fn stats(&self) -> Stats {
        let control = lock(&self.control);
        let output = lock(&self.output);
        Stats {
            written: self.written.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            failed: self.failed.load(Relaxed),
            last_error: output.last_error.clone(),
            requested_by: control.source,
            problem: self.problem(&control, &output),
        }
    }

    fn problem(&self, control: &Control, output: &Output) -> Option<Problem> {
        if self.hookless.load(Relaxed) {
            return Some(Problem::NoHook);
        }
        if output.sink.is_some() {
            return output.failing.then(|| Problem::Failing {
                reason: output.last_error.clone().unwrap_or_default(),
            });
        }
        let idle = match control.path {
            Some(_) => Problem::Disabled,
            None => Problem::NoPath,
        };
        Some(control.refused.clone().unwrap_or(idle))
    }

    /// Puts a sink in place and says so (RFC 9850, section 1.1).
    fn start(&self, mut control: MutexGuard<'_, Control>, sink: Sink) {
        control.refused = None;
        let source = control.source;
        let path = sink.path().to_owned();
        let mut output = lock(&self.output);
        output.failing = false;
        output.logged.clear();
        let closing = output.sink.replace(sink);
        self.on.store(true, Relaxed);
        drop(output);
        drop(control);
        drop(closing);
        log::warn!(
            target: TARGET,
            "TLS secrets are being written to {path:?}, as {source} asked: whoever reads the file \
             can decrypt this context's connections; not for production (RFC 9850, section 1.1)"
        );
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
    /// Makes the next record look at the path.
    pub(super) fn look_now(&self) {
        if let Some(sink) = &mut lock(&self.output).sink {
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
