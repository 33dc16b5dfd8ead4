//! What the end of a log tells the threads that are at its files.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether a log's files are removed, or are about to be. A copy is another log's.
#[derive(Debug, Default)]
pub(in crate::keylog) struct Removed(AtomicBool);

impl Removed {
    pub fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Clone for Removed {
    fn clone(&self) -> Self {
        Self::default()
    }
}
