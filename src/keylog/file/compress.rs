//! Old files, compressed by a thread of its own.

use super::{archive, lock::Lock, open, platform, Identity};
use crate::ffi::sigxfsz;
use crate::ffi::wipe::wipe;
use crate::keylog::sink::{FileOptions, LOOK_EVERY};
use crate::keylog::{KeyLogError, TARGET};
use flate2::write::GzEncoder;
use flate2::Compression;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// After it nobody writes to an old file any more: who has no rotation of its own may take
/// half of it to notice that the path means another.
const SETTLED: Duration = LOOK_EVERY.saturating_mul(2);

/// One file at a time in this process.
static ONE: Mutex<()> = Mutex::new(());

/// No thread is there.
const IDLE: u8 = 0;
/// It has looked which files there are, and sees to them.
const AT_WORK: u8 = 1;
/// There may be more of them since.
const MORE: u8 = 2;

/// Compresses the old files of one log, by a thread that is there while there is something
/// to do: however often the log is rotated, it is one.
#[derive(Default)]
pub(in crate::keylog) struct Compressor(Arc<AtomicU8>);

impl Compressor {
    /// Sees to it that what has been rotated is compressed. What goes wrong then is logged by
    /// the thread that does it; a file that wasn't compressed stays as it is.
    pub fn start(&self, path: &Path, options: &Arc<FileOptions>) -> Result<(), KeyLogError> {
        if self.0.swap(MORE, SeqCst) != IDLE {
            return Ok(());
        }
        let (own, options) = (path.to_owned(), Arc::clone(options));
        let state = Arc::clone(&self.0);
        thread::Builder::new()
            .name("lws-keylog-gzip".into())
            .spawn(move || work(&state, &own, &options))
            .map(drop)
            .map_err(|source| {
                self.0.store(IDLE, SeqCst);
                KeyLogError::Compress {
                    path: path.to_owned(),
                    source,
                }
            })
    }
}

fn work(state: &AtomicU8, path: &Path, options: &FileOptions) {
    loop {
        state.store(AT_WORK, SeqCst);
        let found = uncompressed(path);
        thread::sleep(SETTLED);
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let result = found.and_then(|found| all(path, &found, options));
        drop(one);
        if let Err(error) = result {
            log::warn!(target: TARGET, "old files of the key log {path:?} stay uncompressed: {error}");
        }
        let done = state.compare_exchange(AT_WORK, IDLE, SeqCst, SeqCst);
        if done.is_ok() {
            return;
        }
    }
}

/// The old files that aren't compressed: their names change with each rotation.
fn uncompressed(path: &Path) -> io::Result<Vec<(PathBuf, Identity)>> {
    let plain = |old: &PathBuf| {
        let name = old.as_os_str().as_encoded_bytes();
        !name.ends_with(archive::COMPRESSED.as_bytes())
    };
    let old = archive::paths(path)?.into_iter().filter(plain);
    // One may have moved on, or gone, since it was listed.
    Ok(old
        .filter_map(|old| Identity::at(&old).ok().map(|identity| (old, identity)))
        .collect())
}

/// Compresses those that were found when there was time for them to settle.
fn all(path: &Path, settled: &[(PathBuf, Identity)], options: &FileOptions) -> io::Result<()> {
    for (old, identity) in uncompressed(path)? {
        if settled.iter().any(|(_, found)| *found == identity) {
            one(path, &old, options)?;
        }
    }
    Ok(())
}

fn one(log: &Path, old: &Path, options: &FileOptions) -> io::Result<()> {
    let identity = Identity::at(old)?;
    let mut from = platform::open_to_read(old)?;
    let part = part(log);
    // What another process has begun, or a dead one has left, is in the way once.
    archive::remove(&part)?;
    let to = open(&part, &options.rules).map_err(io::Error::other)?.file;
    let mut to = GzEncoder::new(Quiet(to), Compression::default());
    let copied = copy(&mut from, &mut to)?;
    to.finish()?.flush()?;
    // A rotation may have given it another number meanwhile, or removed it.
    let lock = Lock::open(log, &options.rules).map_err(io::Error::other)?;
    let held = lock.hold();
    if held.is_some() {
        for now in archive::paths(log)? {
            if Identity::at(&now).is_ok_and(|found| found == identity) {
                if from.metadata()?.len() != copied {
                    archive::remove(&part)?;
                    return Err(io::Error::other("something still writes to them"));
                }
                let mut name = OsString::from(&now);
                name.push(archive::COMPRESSED);
                fs::rename(&part, name)?;
                return archive::remove(&now);
            }
        }
    }
    archive::remove(&part)
}

/// A file that may have reached the limit of its size.
struct Quiet(File);

impl Write for Quiet {
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
