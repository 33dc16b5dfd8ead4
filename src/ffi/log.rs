//! The C library's messages, sent on to the `log` crate.

use super::sys;
use log::Level;
use std::ffi::{c_char, c_int, CStr};
use std::panic::catch_unwind;
use std::sync::Once;

/// The target of the C library's messages.
const TARGET: &str = "libwebsockets::lws";

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
    // A logger that panics must not unwind into C. There is no context here to hand the
    // panic to; the panic hook has reported it already.
    let _ = catch_unwind(|| {
        log::log!(target: TARGET, level, "{}", line.to_string_lossy().trim_end());
    });
}
