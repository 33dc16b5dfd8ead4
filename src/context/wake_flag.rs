//! A flag that many raise, and one lowers: who raises it wakes that one.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

/// Says who of those that leave work has to call the one that does it: the first since
/// that one last looked.
///
/// Work is left before [`raise`](WakeFlag::raise), and looked for after
/// [`lower`](WakeFlag::lower). Then none is overlooked, whether it lies behind a lock or in
/// an atomic that is changed by `swap`.
///
/// No type of the crate's own is used here, so that Loom can try all that two threads may
/// do with this file (member `models`).
#[derive(Debug)]
pub(crate) struct WakeFlag(AtomicBool);

impl WakeFlag {
    pub fn new() -> Self {
        WakeFlag(AtomicBool::new(false))
    }

    /// Work was left; `true`: nobody has raised it since it was lowered, so call.
    #[must_use]
    pub fn raise(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// From here on work is looked for. Acquires what came with each time it
    /// was raised before.
    pub fn lower(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }
}
