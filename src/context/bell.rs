//! A bell: many ring it, one answers.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Says who of those that leave work has to call the one that does it: the first since
/// that one last looked.
///
/// Work is left before [`ring`](Bell::ring), and looked for after
/// [`answer`](Bell::answer). Then none is overlooked, whether it lies behind a lock or in
/// an atomic that is changed by `swap`.
///
/// No type of the crate's own is used here, so that Loom can try all that two threads may
/// do with this file (member `models`).
#[derive(Debug)]
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub fn new() -> Self {
        Bell(AtomicBool::new(false))
    }

    /// Work was left; `true`: nobody has rung since the last answer, so call.
    #[must_use]
    pub fn ring(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// From here on work is looked for. Acquires what came with each ring that this is
    /// the answer to.
    pub fn answer(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}
