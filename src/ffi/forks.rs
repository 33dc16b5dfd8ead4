//! Forks, of which the system tells.

#[cfg(unix)]
use crate::forks;
#[cfg(unix)]
use std::sync::OnceLock;

/// Has each fork told of, from now on; once in a process. `false`: no memory.
///
/// Before any context is made, any file opened and any thread started, for a child has to
/// know that they are its parent's.
#[cfg(unix)]
#[doc(alias = "pthread_atfork")]
pub(crate) fn watch() -> bool {
    static WATCHED: OnceLock<bool> = OnceLock::new();
    *WATCHED.get_or_init(|| {
        let [before, parent, child] =
            [before_fork as unsafe extern "C" fn(), after_fork, on_fork].map(Some);
        // SAFETY: the three stay valid for the process' life, and take nothing.
        let result = unsafe { libc::pthread_atfork(before, parent, child) };
        result == 0
    })
}

/// There are no forks.
#[cfg(not(unix))]
pub(crate) fn watch() -> bool {
    true
}

/// What the system calls before a fork: it takes a lock that is held for moments.
#[cfg(unix)]
unsafe extern "C" fn before_fork() {
    forks::about_to_fork();
}

/// What it calls in the parent, afterwards.
#[cfg(unix)]
unsafe extern "C" fn after_fork() {
    forks::has_forked();
}

/// What it calls in the child.
#[cfg(unix)]
unsafe extern "C" fn on_fork() {
    forks::forked();
}
