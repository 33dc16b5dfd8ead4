//! Forks, of which the log is told.

use crate::ffi::sys;
use crate::keylog::forks;
use std::sync::OnceLock;

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
