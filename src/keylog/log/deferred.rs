//! What a log has to say, and to drop, once it holds no lock.

use crate::keylog::delivery::Delivery;
use crate::keylog::{Problem, Source, TARGET};
use std::any::Any;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// What to drop, and to tell the application's logger, once no lock is held.
#[derive(Default)]
pub(super) struct Deferred {
    /// With a function of the application's, whose drop is its own.
    pub closing: Vec<Delivery>,
    pub errors: Vec<String>,
    pub off: Option<&'static str>,
    /// Where a log begins, and who asked for it.
    pub on: Option<(String, Source)>,
    /// A panic of the application's function.
    pub panic: Option<Box<dyn Any + Send>>,
}

impl Deferred {
    /// Without a lock: the application's logger may come back to the log. A panic of the
    /// application's is resumed at the end, when all is told.
    pub fn run(self) {
        if let Some(panic) = self.run_all() {
            resume_unwind(panic);
        }
    }

    /// The same, and returns the first panic of the application's code. The others are logged.
    #[must_use = "a panic is to be resumed"]
    pub fn run_all(self) -> Option<Box<dyn Any + Send>> {
        let mut first = self.panic;
        let mut guarded = |f: &mut dyn FnMut()| {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
                match first {
                    None => first = Some(panic),
                    Some(_) => crate::panic::report(panic),
                }
            }
        };
        for delivery in self.closing {
            let mut delivery = Some(delivery);
            guarded(&mut || drop(delivery.take()));
        }
        for message in self.errors {
            guarded(&mut || log::error!(target: TARGET, "{message}"));
        }
        if let Some(limit) = self.off {
            let problem = Problem::LimitReached { limit };
            guarded(&mut || log::warn!(target: TARGET, "{problem}"));
        }
        if let Some((place, source)) = self.on {
            guarded(&mut || {
                log::warn!(
                    target: TARGET,
                    "TLS secrets are being written to {place}, as {source} asked: whoever reads \
                     them can decrypt this context's connections; not for production (RFC 9850, \
                     section 1.1)"
                );
            });
        }
        first
    }
}
