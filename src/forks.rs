//! Which process this is: a fork makes another one, with copies of everything but threads.
//!
//! What makes a process otherwise (`vfork`, `posix_spawn`, `_Fork`, a bare `clone`) tells
//! nobody; what it runs next is another program, or has no use for a context or a log.

#![cfg_attr(
    not(unix),
    allow(dead_code, reason = "nothing forks, and the key log alone asks")
)]

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often this process, or an ancestor that had this code, was forked.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Held by whoever forks, so that a child finds no lock that one of our own threads had: such
/// a thread has this first.
static FORKING: Mutex<()> = Mutex::new(());

type Held = RefCell<Option<MutexGuard<'static, ()>>>;

thread_local! {
    /// The lock above, while this thread forks.
    static HELD: Held = const { RefCell::new(None) };
}

/// Changes in the child of a fork: what was made before is the parent's.
pub(crate) fn forks() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// No other thread forks until this is dropped. No application's code may run meanwhile.
pub(crate) fn hold() -> MutexGuard<'static, ()> {
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread is about to fork.
pub(crate) fn about_to_fork() {
    // Without the variable the thread is at its end, and forks unprotected.
    let _ = HELD.try_with(|held| held.replace(Some(hold())));
}

/// It has forked, and this is the parent.
pub(crate) fn has_forked() {
    let _ = HELD.try_with(|held| held.take());
}

/// It has forked, and this is the child.
pub(crate) fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    has_forked();
}
