//! The key log's hook in the TLS library, and the few system calls that it
//! needs and the standard library doesn't offer.

use super::ssl::Ssl;
use super::sys;
use crate::keylog::{forks, Facts, KeyLogHandle, Log, Session};
use std::ffi::{c_char, c_int, c_void, CStr, OsString};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::NonNull;
use std::sync::{Arc, OnceLock};

/// The longest line that is believed: beyond it a length is garbage. The log
/// itself takes less.
const LONGEST: usize = 1 << 20;

/// What the environment says.
pub(crate) enum Variable {
    /// Nothing, or this build reads no variable.
    Unset,
    /// A path.
    Set(OsString),
    /// Something, but the process runs with raised privileges.
    #[cfg_attr(windows, allow(dead_code, reason = "there is no setuid"))]
    Ignored,
}

/// The variable's name, as the C code was compiled.
#[doc(alias = "lwsrs_keylog_env_name")]
pub(crate) fn env_name() -> Option<&'static str> {
    // SAFETY: the function has no precondition.
    let name = unsafe { sys::lwsrs_keylog_env_name() };
    // SAFETY: it returns a string literal, never NULL.
    let name = unsafe { CStr::from_ptr::<'static>(name) };
    name.to_str().ok().filter(|name| !name.is_empty())
}

/// Reads the variable, now.
#[cfg(not(windows))]
#[doc(alias = "lwsrs_keylog_env_read")]
pub(crate) fn read_variable() -> Variable {
    let mut value: *const c_char = std::ptr::null();
    // SAFETY: `value` is valid for a write. The environment is read as by any
    // getenv(3): who changes it meanwhile breaks the rules of std::env::set_var.
    let found = unsafe { sys::lwsrs_keylog_env_read(&mut value) };
    match u32::try_from(found) {
        Ok(sys::LWSRS_KEYLOG_ENV_IGNORED) => Variable::Ignored,
        Ok(sys::LWSRS_KEYLOG_ENV_SET) if !value.is_null() => {
            // SAFETY: the C function left a string of the environment, which is
            // copied at once.
            let value = unsafe { CStr::from_ptr(value) };
            path_value(value).map_or(Variable::Unset, Variable::Set)
        }
        _ => Variable::Unset,
    }
}

/// Reads the variable, now. C has a copy of the environment from the program's
/// start here, in the ANSI code page, which can't hold every path.
#[cfg(windows)]
pub(crate) fn read_variable() -> Variable {
    env_name()
        .and_then(std::env::var_os)
        .filter(|value| !value.is_empty())
        .map_or(Variable::Unset, Variable::Set)
}

#[cfg(unix)]
fn path_value(value: &CStr) -> Option<OsString> {
    use std::os::unix::ffi::OsStringExt;
    Some(OsString::from_vec(value.to_bytes().to_vec()))
}

/// The TLS library's name and version, as it tells them at run time.
#[doc(alias = "OpenSSL_version")]
pub(crate) fn tls_library() -> &'static str {
    // SAFETY: the function has no precondition.
    let text = unsafe { sys::lwsrs_tls_version() };
    // SAFETY: it returns a string literal of the library's, never NULL.
    let text = unsafe { CStr::from_ptr::<'static>(text) };
    text.to_str().unwrap_or("of an unknown name")
}

/// What the TLS library does with a key log's callback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// It keeps one that it is given; some have the function, and it does nothing.
    pub keeps_callback: bool,
    /// Somebody else has set one before.
    pub replaces_callback: bool,
    /// Besides, it logs by itself, because the environment asks for that.
    pub logs_by_itself: bool,
}

/// Whether the TLS library itself logs the secrets of all connections.
pub(crate) fn library_logs() -> bool {
    // SAFETY: the function has no precondition.
    let logs = unsafe { sys::lwsrs_keylog_of_library() };
    logs != 0
}

/// Tries the TLS library; `None` if it has no memory.
#[doc(alias = "SSL_CTX_get_keylog_callback")]
pub(crate) fn probe() -> Option<Probe> {
    // SAFETY: the function has no precondition.
    let found = unsafe { sys::lwsrs_keylog_probe() };
    Some(probed(u32::try_from(found).ok()?))
}

fn probed(found: u32) -> Probe {
    Probe {
        keeps_callback: found & sys::LWSRS_KEYLOG_CALLBACK != 0,
        replaces_callback: found & sys::LWSRS_KEYLOG_REPLACED != 0,
        logs_by_itself: found & sys::LWSRS_KEYLOG_OF_LIBRARY != 0,
    }
}

/// Whether the TLS library keeps a callback, as it was found the first time.
pub(crate) fn keeps_callback() -> bool {
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| probe().is_none_or(|found| found.keeps_callback))
}

impl super::wsi::Wsi<'_> {
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
struct Hook {
    log: Arc<Log>,
    vhost: Arc<str>,
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
    if tests::FORGET.get() {
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
        super::log::send(
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
        result == 0 && watch_forks()
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
unsafe extern "C" fn on_line(
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
unsafe extern "C" fn free_records(records: *mut c_void) {
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

/// Has the log told of every fork, from now on; once in a process. `false`: no memory.
///
/// Before any file is opened and any thread started, for a child has to know that they are
/// its parent's.
#[doc(alias = "pthread_atfork")]
pub(crate) fn watch_forks() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        let [before, parent, child] =
            [before_fork as unsafe extern "C" fn(), after_fork, on_fork].map(Some);
        // SAFETY: the three stay valid for the process' life, and take nothing.
        let result = unsafe { sys::lwsrs_keylog_watch_forks(before, parent, child) };
        result == 0
    })
}

/// What the system calls before a fork: it takes a lock that is held for moments.
unsafe extern "C" fn before_fork() {
    forks::about_to_fork();
}

/// What it calls in the parent, afterwards.
unsafe extern "C" fn after_fork() {
    forks::has_forked();
}

/// What it calls in the child.
unsafe extern "C" fn on_fork() {
    forks::forked();
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

/// How a log is opened beyond appending: not through a symbolic link, not
/// inherited by a program that is executed, without waiting for the reader of a
/// FIFO, and without making a terminal ours.
#[cfg(unix)]
pub(crate) const OPEN_FLAGS: i32 =
    libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// The user whose rights this process has.
#[cfg(unix)]
#[doc(alias = "geteuid")]
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid() has no precondition and can't fail.
    unsafe { libc::geteuid() }
}

#[cfg(all(test, unix))]
mod fork_tests;

#[cfg(test)]
pub(crate) mod tests;
