//! Panics of an application's code that nobody resumes.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Drops a panic's payload where nothing may unwind. The panic hook has reported it; its
/// drop is the application's code as well, and may panic itself.
pub(crate) fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(panic))) {
        // This one's might do so for ever.
        std::mem::forget(again);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any("this panic is part of a test");
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_does_not_unwind() {
        discard(Box::new("harmless"));
        discard(Box::new(Bomb));
    }
}
