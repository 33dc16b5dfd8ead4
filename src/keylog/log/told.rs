//! What a log has to say, and to close, once it holds no lock.

use crate::keylog::sink::Function;
use crate::keylog::{Problem, Source, TARGET};

/// What to drop, and to tell the application's logger, once no lock is held.
#[derive(Default)]
pub(super) struct Told {
    pub closing: Vec<Function>,
    pub errors: Vec<String>,
    pub off: Option<&'static str>,
    /// Where a log begins, and who asked for it.
    pub on: Option<(String, Source)>,
}

impl Told {
    /// Without a lock: the application's logger may come back to the log.
    pub fn tell(self) {
        drop(self.closing);
        for message in self.errors {
            log::error!(target: TARGET, "{message}");
        }
        if let Some(limit) = self.off {
            let problem = Problem::LimitReached { limit };
            log::warn!(target: TARGET, "{problem}");
        }
        if let Some((place, source)) = self.on {
            log::warn!(
                target: TARGET,
                "TLS secrets are being written to {place}, as {source} asked: whoever reads them \
                 can decrypt this context's connections; not for production (RFC 9850, section 1.1)"
            );
        }
    }
}
