//! A child of this process, for tests: those in `tests/` use this file too.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

/// The longest that a child lives.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs this in a child, and waits until it ends well; the child's process id.
///
/// No other thread of this process may hold a lock that `f` takes.
#[track_caller]
pub fn in_a_child(f: impl FnOnce()) -> u32 {
    // SAFETY: the child calls nothing that another thread of this process can have
    // locked but the allocator, which glibc and musl make fit for a child; it ends by
    // _exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: alarm() has no precondition; its signal ends the child.
        unsafe { libc::alarm(PATIENCE.as_secs() as u32) };
        // The harness takes a panic for the end of a test, which has another process.
        let done = catch_unwind(AssertUnwindSafe(f)).is_ok();
        // SAFETY: ends the child without running what is the parent's.
        unsafe { libc::_exit(if done { 0 } else { 101 }) };
    }
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: `status` is valid for the write.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    child.unsigned_abs()
}
