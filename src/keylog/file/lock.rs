//! The lock that processes hold while they rotate or write a rotated log.

use super::{platform, Rules};
use crate::keylog::KeyLogError;
use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another process is waited for. One that was stopped in the midst of
/// a rotation must not hold TLS up.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long nobody is waited for after that.
const PAUSE: Duration = Duration::from_secs(2);

/// The open lock file of a log.
pub(in crate::keylog) struct Lock {
    file: File,
    /// Somebody was waited for in vain: until then nobody is, or each handshake would
    /// take that long.
    in_vain: Cell<Option<Instant>>,
}

/// The lock is held until this is dropped.
pub(in crate::keylog) struct Held<'a>(&'a File);

impl Lock {
    pub fn open(log: &Path, rules: &Rules) -> Result<Self, KeyLogError> {
        let file = super::open_by(platform::open_lock, &path(log), rules)?.file;
        Ok(Lock {
            file,
            in_vain: Cell::new(None),
        })
    }

    /// `None`: somebody else has it, and doesn't let go.
    pub fn hold(&self) -> Option<Held<'_>> {
        let now = Instant::now();
        let deadline = match self.in_vain.get() {
            Some(until) if now < until => now,
            _ => now + PATIENCE,
        };
        let mut pause = Duration::from_micros(20);
        loop {
            match self.file.try_lock() {
                Ok(()) => return Some(Held(&self.file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_millis(1));
                }
                Err(_) => {
                    if deadline > now {
                        self.in_vain.set(Some(Instant::now() + PAUSE));
                    }
                    return None;
                }
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Closing the file releases it as well.
        let _ = self.0.unlock();
    }
}

/// What a lock file is called behind its log's name.
const SUFFIX: &str = ".lock";

/// Whether a log's name with this behind it is that of its lock.
pub(in crate::keylog) fn is_suffix(rest: &[u8]) -> bool {
    rest == SUFFIX.as_bytes()
}

/// The lock file of the log at `log`.
pub(in crate::keylog) fn path(log: &Path) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(SUFFIX);
    name.into()
}
