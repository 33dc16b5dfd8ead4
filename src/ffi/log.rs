//! The C library's messages, sent on to the `log` crate.

use super::sys;
use log::Level;
use std::cell::RefCell;
use std::ffi::{c_char, c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

/// The target of the C library's messages.
pub(super) const TARGET: &str = "libwebsockets::lws";

thread_local! {
    /// Lines of this thread that wait until a lock is released; `None`: none do.
    static HELD: Held = const { RefCell::new(None) };
}

type Held = RefCell<Option<Vec<Line>>>;

/// Where a line goes, its level, and the line.
type Line = (&'static str, Level, String);

/// Sets the process-wide log function, once.
#[doc(alias = "lws_set_log_level")]
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // All levels that release builds have; the `log` crate filters. `info` and below
        // are compiled out of lws unless it is a debug build.
        let levels = sys::LLL_ERR | sys::LLL_WARN | sys::LLL_NOTICE | sys::LLL_USER;
        // SAFETY: the function stays valid for the process' life.
        unsafe { sys::lws_set_log_level(levels as c_int, Some(emit)) };
    });
}

/// Holds this thread's lines back until it is dropped: a logger is foreign code,
/// which must not run under a lock of ours.
pub(super) struct Hold(());

impl Hold {
    pub fn begin() -> Self {
        let begin = |held: &Held| held.borrow_mut().get_or_insert_default().reserve(0);
        // Without the variable no line is sent at all.
        let _ = HELD.try_with(begin);
        Hold(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let lines = HELD.try_with(|held| held.borrow_mut().take());
        for (target, level, line) in lines.ok().flatten().unwrap_or_default() {
            log(target, level, &line);
        }
    }
}

unsafe extern "C" fn emit(level: c_int, line: *const c_char) {
    if line.is_null() {
        return;
    }
    // lws' notices are chatty (each vhost, each extension): they are our debug level.
    let level = match level as u32 {
        sys::LLL_ERR => Level::Error,
        sys::LLL_WARN => Level::Warn,
        sys::LLL_USER => Level::Info,
        _ => Level::Debug,
    };
    if level > log::max_level() {
        return;
    }
    // SAFETY: lws passes a NUL-terminated line that lives during the call.
    let line = unsafe { CStr::from_ptr(line) };
    let line = line.to_string_lossy();
    let line = line.trim_end();
    send(TARGET, level, line);
}

/// Logs a line, now or when this thread releases the lock that it holds. A panic of the
/// logger is logged, too.
pub(super) fn send(target: &'static str, level: Level, line: &str) {
    send_by(log, target, level, line);
}

/// The same of a line about a panic: one of the logger is dropped.
pub(crate) fn send_once(target: &'static str, level: Level, line: &str) {
    let once = |target, level, line: &str| {
        if let Err(panic) = try_log(target, level, line) {
            crate::panic::discard(panic);
        }
    };
    send_by(once, target, level, line);
}

fn send_by(
    log: impl FnOnce(&'static str, Level, &str),
    target: &'static str,
    level: Level,
    line: &str,
) {
    let held = HELD.try_with(|held| match &mut *held.borrow_mut() {
        Some(lines) => {
            lines.push((target, level, line.to_owned()));
            true
        }
        None => false,
    });
    // `Err`: the thread ends, and one of its variables holds a context. Whether a lock is
    // held isn't known any more.
    if held == Ok(false) {
        log(target, level, line);
    }
}

/// A logger that panics must not unwind into C. There is no context here to hand the panic to.
fn log(target: &'static str, level: Level, line: &str) {
    if let Err(panic) = try_log(target, level, line) {
        crate::panic::report_logger(panic);
    }
}

fn try_log(target: &'static str, level: Level, line: &str) -> std::thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| {
        log::log!(target: target, level, "{line}");
    }))
}
