//! Panics of an application's code that nobody resumes.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// How many payloads are dropped of which each panics as it goes.
const PATIENCE: usize = 8;

/// Drops a panic's payload where nothing may unwind. The panic hook has reported it; its
/// drop is the application's code as well, and may panic itself.
pub(crate) fn discard(mut panic: Box<dyn Any + Send>) {
    for _ in 0..PATIENCE {
        match catch_unwind(AssertUnwindSafe(move || drop(panic))) {
            Ok(()) => return,
            Err(again) => panic = again,
        }
    }
    // It would go on for ever.
    std::mem::forget(panic);
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
