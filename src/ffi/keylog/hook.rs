//! What the TLS library calls with the secrets of each handshake.

use crate::ffi::ssl::Ssl;
use crate::ffi::sys;
use crate::ffi::wsi::Wsi;
use crate::keylog::{Facts, KeyLogHandle, Log, Session};
use std::ffi::{c_char, c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// The longest line that is believed: beyond it a length is garbage. The log
/// itself takes less.
const LONGEST: usize = 1 << 20;

impl Wsi<'_> {
    /// Whether this connection's secrets come to a hook; `None` on a plain one.
    pub fn keylog_is_hooked(&self) -> Option<bool> {
        let ssl = self.ssl()?;
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        let hooked = unsafe { sys::lwsrs_keylog_hooked(ssl.as_ptr()) };
        Some(hooked != 0)
    }

    /// Sees to it that the records of this connection's handshake are written, or have
    /// failed to be: it is about to tell what its peer sent.
    pub fn commit_keylog(&self, log: &Log) {
        if !log.waits() {
            return;
        }
        let Some(ssl) = self.ssl() else {
            return;
        };
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        let records = unsafe { sys::lwsrs_keylog_records(ssl.as_ptr()) };
        // SAFETY: it is null or the connection's Session. Callbacks of the TLS library use
        // it alone, and none of this connection runs as long as this borrow lasts.
        if let Some(session) = unsafe { records.cast::<Session>().as_mut() } {
            log.guard(|| session.commit());
        }
    }
}

/// What an SSL_CTX knows of the key log; it is freed with it.
pub(super) struct Hook {
    pub(super) log: Arc<Log>,
    pub(super) vhost: Arc<str>,
}

/// Sends the secrets of every connection of `ctx` to the log, while it is on.
///
/// It has to be done whether the log is on or not, before the first connection. What
/// is installed looks at the log's switch, which is atomic, with each step of a
/// handshake, and has OpenSSL format lines only while it is on. OpenSSL stores that
/// without a lock, so it is done by the thread of the handshake. Doing it again for
/// the same `ctx` changes nothing. A TLS library that refuses is a
/// [`Problem::NoHook`](crate::keylog::Problem::NoHook) of the log.
///
/// A connection that `ctx` has made before isn't logged, which is all that happens to it.
///
/// # Safety
/// `ctx` is a live SSL_CTX of this process's TLS library, and this thread alone uses it and its
/// connections.
#[doc(alias = "SSL_CTX_set_keylog_callback")]
pub(crate) unsafe fn attach(handle: &KeyLogHandle, vhost: &str, ctx: NonNull<sys::SSL_CTX>) {
    let log = handle.log();
    #[cfg(test)]
    if super::tests::FORGET.get() {
        return;
    }
    if hook_ready() {
        // SAFETY: the caller vouches for `ctx`; the index was made by `hook_ready`.
        let before = unsafe { sys::lwsrs_keylog_installed(ctx.as_ptr()) };
        if !before.is_null() {
            return;
        }
        let hook = Box::into_raw(Box::new(Hook {
            log: Arc::clone(log),
            vhost: vhost.into(),
        }));
        // SAFETY: as above; `hook` is a Hook that nobody else owns.
        let result = unsafe { sys::lwsrs_keylog_install(ctx.as_ptr(), hook.cast()) };
        if result == 0 {
            return;
        }
        // SAFETY: C didn't take it; it is what Box::into_raw gave.
        drop(unsafe { Box::from_raw(hook) });
    }
    if log.hook_refused() {
        // Vhosts are made under a lock, where no logger may run.
        crate::ffi::log::send(
            crate::keylog::TARGET,
            ::log::Level::Error,
            &crate::keylog::Problem::NoHook.to_string(),
        );
    }
}

/// Initialises the C side, once in a process.
fn hook_ready() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| {
        let calls = sys::lwsrs_keylog_calls {
            wants_lines: Some(wants_lines),
            line: Some(on_line),
            finished: Some(on_finished),
            free_records: Some(free_records),
            free_hook: Some(free_hook),
        };
        // SAFETY: `calls` is copied; the OnceLock lets one thread in, once, and `attach`
        // installs nothing before it returns.
        let result = unsafe { sys::lwsrs_keylog_init(&calls) };
        result == 0 && crate::ffi::forks::watch()
    })
}

/// What C asks with each step of a handshake: one relaxed atomic load.
///
/// # Safety
/// `hook` is a live [`Hook`].
unsafe extern "C" fn wants_lines(hook: *const c_void) -> c_int {
    // SAFETY: the contract of this function; a Hook is only ever shared.
    let hook = unsafe { &*hook.cast::<Hook>() };
    hook.log.is_on().into()
}

/// What C calls with each line, in the thread of the handshake. Returns what the
/// connection has from now on.
///
/// # Safety
/// `hook` is a live [`Hook`]; `records` is null or the connection's [`Session`],
/// which nobody else uses now; `ssl` is the live connection, and `line` valid for
/// `len` bytes; all until this returns.
pub(super) unsafe extern "C" fn on_line(
    hook: *mut c_void,
    records: *mut c_void,
    ssl: *const sys::SSL,
    line: *const c_char,
    len: usize,
) -> *mut c_void {
    let Some(ssl) = NonNull::new(ssl.cast_mut()) else {
        return records;
    };
    if hook.is_null() || line.is_null() {
        return records;
    }
    // SAFETY: the contract of this function; a Hook is only ever shared.
    let hook = unsafe { &*hook.cast::<Hook>() };
    if !hook.log.is_on() {
        return records;
    }
    // SAFETY: OpenSSL's buffer holds `len` bytes until its callback returns; C
    // measured them with strlen().
    let line = unsafe { std::slice::from_raw_parts(line.cast::<u8>(), len.min(LONGEST)) };
    let records = match NonNull::new(records.cast::<Session>()) {
        Some(records) => records,
        None => {
            // SAFETY: `ssl` is live until this function returns.
            let ssl = unsafe { Ssl::new(ssl) };
            let session = Box::new(hook.session(&ssl));
            // Freed by `free_records`, with the connection.
            NonNull::from(Box::leak(session))
        }
    };
    // SAFETY: the contract of this function, or it was made just now.
    let session = unsafe { &mut *records.as_ptr() };
    hook.log.guard(|| session.line(line));
    records.as_ptr().cast()
}

/// What C calls when a handshake is done.
///
/// # Safety
/// `records` is a live [`Session`] that nobody else uses now.
unsafe extern "C" fn on_finished(records: *mut c_void) {
    // SAFETY: the contract of this function.
    let session = unsafe { &mut *records.cast::<Session>() };
    let log = session.log();
    log.guard(|| session.finish());
}

/// What C calls when a connection is freed.
///
/// # Safety
/// `records` is a [`Session`] that [`on_line`] made, and is used no more.
pub(super) unsafe extern "C" fn free_records(records: *mut c_void) {
    // SAFETY: the contract of this function; on_line took it from a Box.
    let session = unsafe { Box::from_raw(records.cast::<Session>()) };
    let log = session.log();
    log.guard(move || drop(session));
}

/// What C calls when an SSL_CTX is freed.
///
/// The context has a handle of the log, and goes after its SSL_CTXs: a log never ends here,
/// or in what else C calls, where it could wait, and run what is the application's.
///
/// # Safety
/// `hook` is a [`Hook`] that [`attach`] installed, and is used no more.
unsafe extern "C" fn free_hook(hook: *mut c_void) {
    // SAFETY: the contract of this function; `attach` took it from a Box.
    let hook = unsafe { Box::from_raw(hook.cast::<Hook>()) };
    let log = Arc::clone(&hook.log);
    log.guard(move || drop(hook));
}

impl Hook {
    /// A connection's session; one that isn't logged if the filter panics.
    fn session(&self, ssl: &Ssl<'_>) -> Session {
        let made = catch_unwind(AssertUnwindSafe(|| {
            // Asked for only where it matters.
            let looks = self.log.filter().looks_at_connections();
            let name = looks.then(|| ssl.server_name()).flatten();
            Session::new(Arc::clone(&self.log), Arc::clone(&self.vhost), || Facts {
                role: ssl.role(),
                vhost: &self.vhost,
                server_name: name.as_deref(),
                peer: ssl.peer_addr(),
            })
        }));
        made.unwrap_or_else(|panic| {
            self.log.keep_panic(panic);
            self.log.count_filtered_connection();
            Session::ignored(Arc::clone(&self.log), Arc::clone(&self.vhost))
        })
    }
}
