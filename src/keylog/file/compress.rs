//! Old files, compressed by a thread of its own.

use super::{archive, lock::Lock, open, platform, Identity};
use crate::ffi::sigxfsz;
use crate::ffi::wipe::wipe;
use crate::keylog::sink::FileOptions;
use crate::keylog::{KeyLogError, TARGET};
use flate2::write::GzEncoder;
use flate2::Compression;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A process that has no rotation of its own takes a second to notice another's, and goes on
/// in the old file until then.
const SETTLED: Duration = Duration::from_secs(2);

/// One file at a time in this process.
static ONE: Mutex<()> = Mutex::new(());

/// Compresses the old files of the log at `path`. What goes wrong then is logged by the
/// thread that does it; a file that wasn't compressed stays as it is.
pub(in crate::keylog) fn in_the_background(
    path: &Path,
    options: &Arc<FileOptions>,
) -> Result<(), KeyLogError> {
    let (own, options) = (path.to_owned(), Arc::clone(options));
    let compress = move || {
        thread::sleep(SETTLED);
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let result = all(&own, &options);
        drop(one);
        if let Err(error) = result {
            log::warn!(target: TARGET, "old files of the key log {own:?} stay uncompressed: {error}");
        }
    };
    thread::Builder::new()
        .name("lws-keylog-gzip".into())
        .spawn(compress)
        .map(drop)
        .map_err(|source| KeyLogError::Compress {
            path: path.to_owned(),
            source,
        })
}

fn all(path: &Path, options: &FileOptions) -> io::Result<()> {
    for old in archive::paths(path)? {
        if !old
            .as_os_str()
            .as_encoded_bytes()
            .ends_with(archive::COMPRESSED.as_bytes())
        {
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
