//! One old file: a compressed one takes its place when it is whole.

use super::super::lock::Lock;
use super::super::{archive, lock, open_by, platform, to_read, Format, Identity, Opened};
use super::{born, CompressorSlot, Found};
use crate::ffi::sigxfsz;
use crate::ffi::wipe::wipe;
use crate::keylog::sink::FileOptions;
use flate2::write::GzEncoder;
use flate2::Compression;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long another process is waited for that compresses a file of the same log.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });

/// How often is looked whether it is done.
const PAUSE: Duration = Duration::from_millis(20);

/// How long is waited for who rotates: a handshake isn't held up by it.
const ROTATED: Duration = Duration::from_secs(5);

/// Compresses the file that is, or was a moment ago, at its path; `NotFound` if it has moved.
pub(super) fn compress(log: &Path, old: &Found, options: &FileOptions) -> io::Result<()> {
    let Some(claim) = Claim::of(log, options)? else {
        return Ok(());
    };
    let _slot = CompressorSlot::take();
    // Others take the claim of one who does nothing.
    let _ = claim.opened.file.set_modified(SystemTime::now());
    if !claim.holds() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let replaced = to_read(&old.path, old.identity)
        .and_then(|from| match born(&from.metadata()?) == old.born {
            true => Ok(from),
            // The one that was found is gone, and the system has used its number again.
            false => Err(io::ErrorKind::NotFound.into()),
        })
        .and_then(|mut from| replace(log, &mut from, old.identity, options, &claim));
    // Where it was renamed, it isn't there any more.
    if claim.holds() {
        archive::remove(&claim.path)?;
    }
    replaced
}

fn replace(
    log: &Path,
    from: &mut File,
    identity: Identity,
    options: &FileOptions,
    claim: &Claim,
) -> io::Result<()> {
    let mut to = GzEncoder::new(Quiet(&claim.opened.file), Compression::default());
    let copied = copy(from, &mut to)?;
    to.finish()?.flush()?;
    if options.removed.get() {
        return Ok(());
    }
    locked(log, options, || {
        place(log, from, copied, identity, options, claim)
    })
}

/// Puts what was compressed in the place of what it was made from.
fn place(
    log: &Path,
    from: &File,
    copied: u64,
    identity: Identity,
    options: &FileOptions,
    claim: &Claim,
) -> io::Result<()> {
    // A rotation may have given the old file another number meanwhile, or removed it.
    let is_it = |now: &PathBuf| Identity::at(now).is_ok_and(|found| found == identity);
    let Some(now) = archive::paths(log)?.into_iter().find(is_it) else {
        return Ok(());
    };
    if from.metadata()?.len() != copied {
        return Err(io::Error::other("something still writes to them"));
    }
    if !claim.holds() {
        return Err(io::Error::other("somebody has removed what was compressed"));
    }
    // Retention goes by it. Where it can't be set, the file counts as younger than it is.
    if let Ok(time) = from.metadata().and_then(|found| found.modified()) {
        let _ = claim.opened.file.set_modified(time);
    }
    let mut name = OsString::from(&now);
    name.push(archive::COMPRESSED);
    fs::rename(&claim.path, &name)?;
    archive::remove(&now)?;
    match options.removed.get() {
        // It may have come when the rest was removed already.
        true => archive::remove(Path::new(&name)),
        false => Ok(()),
    }
}

/// Does something while nobody rotates the log; not if it is removed. Of that, no lock is left.
fn locked(log: &Path, options: &FileOptions, f: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let mut lock = Lock::open(log, &options.rules).map_err(io::Error::other)?;
    let held = lock.hold_within(ROTATED);
    if options.removed.get() {
        // Who removes the log may have removed this before it was opened.
        return archive::remove(&lock::path(log));
    }
    held.and_then(|_held| f())
}

/// The file that is written to before it is whole. Of all processes that compress files of
/// this log, one has it, by a lock.
struct Claim {
    path: PathBuf,
    opened: Opened,
}

impl Claim {
    /// `None`: the log is gone.
    fn of(log: &Path, options: &FileOptions) -> io::Result<Option<Claim>> {
        let path = part(log);
        let mut deadline = Instant::now() + PATIENCE;
        while !options.removed.get() {
            let opened = open_by(platform::open_lock, &path, &options.rules, Format::Lines);
            let opened = opened.map_err(io::Error::other)?;
            let locked = opened.file.try_lock();
            let path = path.clone();
            let claim = Claim { path, opened };
            match locked {
                // Whoever had it has renamed or removed it, if it isn't there.
                Ok(()) if claim.holds() => {
                    let is_new = claim.opened.file.metadata()?.len() == 0;
                    if is_new && !options.removed.get() {
                        return Ok(Some(claim));
                    }
                    // A process has died over it.
                    archive::remove(&claim.path)?;
                }
                Ok(()) | Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    drop(claim);
                    thread::sleep(PAUSE);
                }
                Ok(()) | Err(TryLockError::WouldBlock) => {
                    claim.take_from_the_idle(log, options)?;
                    deadline = Instant::now() + PATIENCE;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Removes the file of one who does nothing: it was stopped, or has died and left a child
    /// that has the file open. It looks under the log's lock whether the file is still its own.
    fn take_from_the_idle(&self, log: &Path, options: &FileOptions) -> io::Result<()> {
        locked(log, options, || {
            let idle = archive::age(self.opened.file.metadata()?.modified());
            if idle < PATIENCE {
                let why = "another process compresses one, and doesn't end";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            match self.holds() {
                true => archive::remove(&self.path),
                false => Ok(()),
            }
        })
    }

    /// Whether it is still the file at its path.
    fn holds(&self) -> bool {
        Identity::at(&self.path).is_ok_and(|found| found == self.opened.identity)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A child that was forked has the file open, too: closing it would not do.
        let _ = self.opened.file.unlock();
    }
}

/// A file that may have reached the limit of its size.
struct Quiet<'a>(&'a File);

impl Write for Quiet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        sigxfsz::write(&mut self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Copies all, and leaves no secret in the buffer; the number of bytes.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; 16 << 10];
    let mut copied = 0;
    let result = loop {
        match from.read(&mut buffer) {
            Ok(0) => break Ok(copied),
            Ok(n) => {
                if let Err(error) = to.write_all(&buffer[..n]) {
                    break Err(error);
                }
                copied += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    wipe(&mut buffer);
    result
}

/// Where a compressed file is written before it is whole.
pub(in crate::keylog) fn part(log: &Path) -> PathBuf {
    let mut name = OsString::from(log);
    name.push(archive::PARTIAL);
    name.into()
}
