//! The lock that processes hold while they rotate or write a rotated log.

use super::{platform, Format, Rules};
use crate::keylog::KeyLogError;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another process is waited for. One that was stopped in the midst of
/// a rotation must not hold TLS up.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long it is waited for after it was waited for in vain [`OFTEN`].
const IMPATIENCE: Duration = Duration::from_millis(10);

/// Among many that rotate one file, it may happen now and then that none of them was
/// stopped, and one waits in vain.
const OFTEN: u32 = 3;

/// The open lock file of a log.
pub(in crate::keylog) struct Lock {
    path: PathBuf,
    rules: Rules,
    file: File,
    /// How often in succession somebody was waited for in vain.
    in_vain: u32,
}

/// The lock is held until this is dropped.
pub(in crate::keylog) struct Held<'a>(&'a File);

impl Lock {
    pub fn open(log: &Path, rules: &Rules) -> Result<Self, KeyLogError> {
        let path = path(log);
        let file = super::open_by(platform::open_lock, &path, rules, Format::Lines)?.file;
        Ok(Lock {
            path,
            rules: *rules,
            file,
            in_vain: 0,
        })
    }

    /// Opens the file that is at the path now, where somebody has removed ours: others would
    /// lock another one. `false`: ours is still it, or none can be opened.
    fn renew(&mut self) -> bool {
        if !platform::look(&self.file).is_ok_and(|look| look.removed) {
            return false;
        }
        let opened = super::open_by(platform::open_lock, &self.path, &self.rules, Format::Lines);
        match opened {
            Ok(opened) => {
                // A child that was forked has it open, too: closing it would not do.
                let _ = self.file.unlock();
                self.file = opened.file;
                true
            }
            Err(_) => false,
        }
    }

    /// `TimedOut`: somebody else has it, and doesn't let go.
    pub fn hold(&mut self) -> io::Result<Held<'_>> {
        let patience = match self.in_vain {
            OFTEN.. => IMPATIENCE,
            _ => PATIENCE,
        };
        self.hold_within(patience)
    }

    /// As [`hold`](Lock::hold), with another patience.
    pub fn hold_within(&mut self, patience: Duration) -> io::Result<Held<'_>> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(20);
        loop {
            match self.file.try_lock() {
                Ok(()) => {
                    if self.renew() {
                        continue;
                    }
                    self.in_vain = 0;
                    return Ok(Held(&self.file));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    self.in_vain = self.in_vain.saturating_add(1);
                    let why = "another process holds the log's lock, and doesn't let go";
                    return Err(io::Error::new(io::ErrorKind::TimedOut, why));
                }
                Err(TryLockError::Error(error)) => return Err(error),
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::keylog::tests::Dir;
    use std::os::unix::fs::OpenOptionsExt;

    /// Lost: why nothing is rotated, where files can't be locked.
    #[test]
    fn what_cannot_be_locked_is_told_from_what_another_has_locked() {
        let dir = Dir::new("lock-error");
        let mut lock = Lock::open(&dir.path("k"), &Rules::default()).unwrap();
        let other = File::open(&lock.path).unwrap();
        other.lock().unwrap();
        let held = lock.hold().map(drop).map_err(|error| error.kind());
        assert_eq!(held, Err(io::ErrorKind::TimedOut));
        drop(other);
        assert!(lock.hold().is_ok());
        // A descriptor that is good for its path alone.
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_PATH);
        lock.file = options.open(&lock.path).unwrap();
        let held = lock.hold().map(drop).map_err(|error| error.kind());
        assert!(held.is_err_and(|kind| kind != io::ErrorKind::TimedOut));
    }
}
