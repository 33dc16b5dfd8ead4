//! Old files, compressed by a thread of its own.

mod one;
mod state;

use super::{archive, Identity};
use crate::forks::forks;
use crate::keylog::sink::{FileOptions, LOOK_EVERY};
use crate::keylog::{KeyLogError, TARGET};
use state::State;
use std::fs::{self, Metadata};
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

pub(in crate::keylog) use one::part;

/// After it hardly anybody writes to an old file any more: who has no rotation of its own may
/// take half of it to notice that the path means another.
const SETTLED: Duration = LOOK_EVERY.saturating_mul(2);

/// How often a file is looked for that others rename in the same moment.
const TRIES: u32 = 5;

/// Compresses the old files of one log, by a thread that is there while there is something
/// to do: however often the log is rotated, it is one.
pub(in crate::keylog) struct Compressor(Arc<State>);

impl Compressor {
    pub fn new() -> Self {
        Compressor(Arc::new(State::new()))
    }

    /// Sees to it that what has been rotated is compressed. What goes wrong then is logged by
    /// the thread that does it; a file that wasn't compressed stays as it is.
    pub fn start(&self, path: &Path, options: &Arc<FileOptions>) -> Result<(), KeyLogError> {
        if self.0.more(forks()) {
            return Ok(());
        }
        let (own, options) = (path.to_owned(), Arc::clone(options));
        let state = Arc::clone(&self.0);
        thread::Builder::new()
            .name("lws-keylog-gzip".into())
            .spawn(move || work(&state, &own, &options))
            .map(drop)
            .map_err(|source| {
                self.0.reset(forks());
                KeyLogError::Compress {
                    path: path.to_owned(),
                    source,
                }
            })
    }
}

/// If the thread panics, the next rotation needs another one.
struct Panics<'a>(&'a State);

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.reset(forks());
        }
    }
}

fn work(state: &State, path: &Path, options: &FileOptions) {
    let _panics = Panics(state);
    while state.begin(forks()) {
        let found = uncompressed(path);
        thread::sleep(SETTLED);
        let result = found.and_then(|found| all(path, &found, options));
        if let Some(error) = result.err().filter(|_| !options.removed.get()) {
            let tell = AssertUnwindSafe(
                || log::warn!(target: TARGET, "old files of the key log {path:?} stay uncompressed: {error}"),
            );
            if let Err(panic) = catch_unwind(tell) {
                crate::panic::report_logger(panic);
            }
        }
        if state.end(forks()) {
            return;
        }
    }
}

/// An old file, and where it was.
struct Found {
    path: PathBuf,
    identity: Identity,
    born: Option<SystemTime>,
}

impl Found {
    fn is(&self, other: &Found) -> bool {
        self.identity == other.identity && self.born == other.born
    }
}

/// When a file was made, where the system knows that, and may use its number again.
fn born(found: &Metadata) -> Option<SystemTime> {
    // Windows counts how often it has used one, and that is part of it.
    found.created().ok().filter(|_| cfg!(unix))
}

/// The old files that aren't compressed: their names change with each rotation.
fn uncompressed(path: &Path) -> io::Result<Vec<Found>> {
    let plain = |old: &PathBuf| {
        let name = old.as_os_str().as_encoded_bytes();
        !name.ends_with(archive::COMPRESSED.as_bytes())
    };
    let old = archive::paths(path)?.into_iter().filter(plain);
    // One may have moved on, or gone, since it was listed.
    let found = old.filter_map(|path| {
        let born = born(&fs::symlink_metadata(&path).ok()?);
        let identity = Identity::at(&path).ok()?;
        Some(Found {
            path,
            identity,
            born,
        })
    });
    Ok(found.collect())
}

/// Compresses those that were found when there was time for them to settle; the first error,
/// if one can't be.
fn all(path: &Path, settled: &[Found], options: &FileOptions) -> io::Result<()> {
    let mut result = Ok(());
    for found in settled {
        result = result.and(wherever(path, found, options));
    }
    result
}

/// Compresses a file, whatever number it has by now.
fn wherever(path: &Path, settled: &Found, options: &FileOptions) -> io::Result<()> {
    let mut result = Ok(());
    for _ in 0..TRIES {
        let mut now = uncompressed(path)?.into_iter();
        let Some(old) = now.find(|found| found.is(settled)) else {
            return Ok(()); // It was removed, or another process has compressed it.
        };
        result = one::compress(path, &old, options);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // It has moved on.
            _ => break,
        }
    }
    result
}

/// One file at a time in this process, whichever log's it is. (No Mutex, which the child of a
/// fork might find locked for ever.)
struct CompressorSlot;

static SLOT: AtomicU32 = AtomicU32::new(0);

/// How often is looked whether another thread is done.
const PAUSE: Duration = Duration::from_millis(20);

impl CompressorSlot {
    fn own() -> u32 {
        forks().wrapping_add(1).max(1)
    }

    fn take() -> CompressorSlot {
        let own = CompressorSlot::own();
        let free = |now| (now != own).then_some(own);
        while SLOT.fetch_update(SeqCst, SeqCst, free).is_err() {
            thread::sleep(PAUSE);
        }
        CompressorSlot
    }
}

impl Drop for CompressorSlot {
    fn drop(&mut self) {
        SLOT.store(0, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_leaves_room_for_another_thread() {
        let state = State::new();
        assert!(!state.more(forks()) && state.begin(forks()));
        let panicked = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _panics = Panics(&state);
                panic!("this panic is part of a test");
            });
            thread.join().is_err()
        });
        assert!(panicked && !state.more(forks()));
        drop(Panics(&state));
        assert!(state.more(forks()), "without a panic it changes nothing");
    }
}
