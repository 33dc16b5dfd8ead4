//! Panics of an application's code that nobody resumes.

use std::any::Any;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// How many payloads are dropped of which each panics as it goes.
const PATIENCE: usize = 8;

/// The target of what is said of panics.
const TARGET: &str = "libwebsockets::panic";

/// Says at the level `error` what panicked beside the panic that is resumed, and drops it. If
/// the logger panics at that, nothing is left to say it with. Any thread may call it, under
/// the process-wide locks as well: there the line waits.
pub(crate) fn report(panic: Box<dyn Any + Send>) {
    say("a further panic", panic);
}

/// The same of a panic of the application's logger, where there is nobody to resume it.
pub(crate) fn report_logger(panic: Box<dyn Any + Send>) {
    say("the logger panicked", panic);
}

fn say(what: &str, panic: Box<dyn Any + Send>) {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "its value is no text",
    };
    crate::ffi::log::send_once(TARGET, log::Level::Error, &format!("{what}: {text}"));
    discard(panic);
}

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
    #[cfg(feature = "keylog")]
    use std::sync::Mutex;

    /// A logger that keeps what is said of panics.
    #[cfg(feature = "keylog")]
    struct Said(Mutex<Vec<String>>);

    #[cfg(feature = "keylog")]
    impl log::Log for Said {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target() == TARGET
        }

        fn log(&self, record: &log::Record<'_>) {
            if self.enabled(record.metadata()) {
                self.0.lock().unwrap().push(record.args().to_string());
            }
        }

        fn flush(&self) {}
    }

    /// Lost: the key log's panic, where a handler has panicked as well.
    #[cfg(feature = "keylog")]
    #[test]
    fn of_two_panics_of_a_context_one_is_resumed_and_one_logged() {
        static SAID: Said = Said(Mutex::new(Vec::new()));
        log::set_logger(&SAID).unwrap();
        log::set_max_level(log::LevelFilter::Error);
        for name in ["drop", "service"] {
            let mut context = crate::Context::builder().build().unwrap();
            let (one, two) = (format!("{name} 1"), format!("{name} 2"));
            context.keylog().log().keep_panic(Box::new(two.clone()));
            context.engine.keep_panic(Box::new(one.clone()));
            let resumed = catch_unwind(AssertUnwindSafe(|| match name {
                "drop" => drop(context),
                _ => drop(context.service(Some(std::time::Duration::ZERO))),
            }));
            let resumed = resumed.unwrap_err();
            assert_eq!(resumed.downcast_ref::<String>(), Some(&one));
            let said = SAID.0.lock().unwrap().clone();
            assert_eq!(said.last().unwrap(), &format!("a further panic: {two}"));
        }
    }

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
