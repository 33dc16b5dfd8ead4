//! The application's hold on a context's key log.

use super::{KeyLogError, Log, Stats};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Switches a context's key log, moves it, and tells what it did.
///
/// Clones are the same log. It works from any thread, at any time, handshakes
/// running or not. A handle that outlives its context does no harm; it keeps the
/// file open until it is dropped or disabled.
///
/// What is logged while a switch is thrown: when [`disable`](Self::disable)
/// returns, no further record is written; when [`enable`](Self::enable)
/// returns, every record from then on is. A record in between is either in the
/// file, whole, or nowhere. A handshake's records are written when it is done:
/// those of one that is under way count as coming then. Records that come while
/// the log is disabled aren't counted.
///
/// The records of handshakes that end in one turn of the loop wait for its end, and go out
/// together, on Linux and Android. [`disable`](Self::disable), [`rotate`](Self::rotate),
/// [`stats`](Self::stats), and a [`set_path`](Self::set_path) that moves the log write what
/// waits first.
///
/// Each method may wait for another one, and for a write that is under way; what some wait for
/// beside that is told with them. On the thread that writes what a
/// [`queue`](super::KeyLog::queue) has, none waits for the queue.
///
/// # Panics
///
/// All but [`path`](Self::path) tell the application's logger of what goes wrong, or is to be
/// known. They do what they are for, and then let its panic unwind. So it is with a panic of the
/// drop of a function ([`KeyLog::function`](super::KeyLog::function)) that the log has no more
/// use for.
#[derive(Clone)]
pub struct KeyLogHandle {
    log: Arc<Log>,
}

impl KeyLogHandle {
    /// Switches the log on: opens its file, or creates it. Does nothing if it is
    /// on already and its file is open. A connection whose handshake is over by
    /// then can't be read, for its secrets don't come again. Waits, without a bound, for what a
    /// [`queue`](super::KeyLog::queue) still has since the log was switched off.
    ///
    /// # Errors
    /// [`KeyLogError::NoPath`] while there is no path. Otherwise what is wrong
    /// with the file; the log is then as it was before.
    ///
    /// # Panics
    /// Where the application's logger does: it is warned that secrets are written.
    pub fn enable(&self) -> Result<(), KeyLogError> {
        self.log.enable()
    }

    /// Switches the log off and closes its file, so that it can be removed, on
    /// Windows too. The path stays. Waits, without a bound, for a record that is being written,
    /// and for all that a [`queue`](super::KeyLog::queue) still has, also if another thread, or a
    /// limit, has just switched the log off. A function
    /// ([`KeyLog::function`](super::KeyLog::function)) without a queue isn't waited for if
    /// another thread is just calling it.
    ///
    /// # Panics
    /// Where the application's logger does, or the drop of its function.
    pub fn disable(&self) {
        self.log.disable();
    }

    /// Whether the log is on. It may be on and fail to write; see
    /// [`Stats::problem`]. Switches it off if its [time](super::AutoOff::after) is over.
    ///
    /// # Panics
    /// Where the application's logger does: it is warned of that end.
    pub fn is_enabled(&self) -> bool {
        self.log.is_enabled()
    }

    /// Moves the log to another file. It stays on if it was on, and then the
    /// new file is opened before the old one is closed, and no record is lost.
    /// It stays off if it was off, and then the path is only checked; the file
    /// is created by [`enable`](Self::enable). A limit that ends the log meanwhile
    /// ends it. Waits, without a bound, until what a [`queue`](super::KeyLog::queue) has for the
    /// old file is in it.
    ///
    /// What the configuration allowed ([`KeyLog`](super::KeyLog)) holds for
    /// every path. The log is the application's from now on
    /// ([`Stats::requested_by`]).
    ///
    /// # Errors
    /// What is wrong with the path or the file; the old log then goes on.
    ///
    /// # Panics
    /// As for [`enable`](Self::enable) and [`disable`](Self::disable).
    pub fn set_path(&self, path: impl AsRef<Path>) -> Result<(), KeyLogError> {
        self.log.set_path(path.as_ref())
    }

    /// Begins a new file now, as a [`Rotation`](super::Rotation) does: for an
    /// application that is told to by a signal. Does nothing while the log is off, and in the
    /// child of a fork that has logged nothing yet: its first record opens a file.
    /// Waits up to 200 ms for another process that rotates the same file. What a
    /// [`queue`](super::KeyLog::queue) has goes to the new file.
    ///
    /// # Errors
    /// What kept it; the log then goes on in the old file.
    ///
    /// # Panics
    /// Where the application's logger does: it is told of records that couldn't be written.
    pub fn rotate(&self) -> Result<(), KeyLogError> {
        self.log.rotate()
    }

    /// The log's path, absolute, if it has one: while it is on, the file's; else,
    /// and if each vhost has a file, with placeholders. A path that was refused
    /// at the start is still told: [`enable`](Self::enable) tries it again.
    pub fn path(&self) -> Option<PathBuf> {
        self.log.path()
    }

    /// What the log did, who asked for it, and why it isn't logging. Writes what waits first.
    ///
    /// # Panics
    /// As for [`is_enabled`](Self::is_enabled) and [`rotate`](Self::rotate).
    pub fn stats(&self) -> Stats {
        self.log.stats()
    }

    pub(super) fn new(log: Arc<Log>) -> Self {
        KeyLogHandle { log }
    }

    /// What the C hook gets the address of.
    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }
}

/// What can be told at once: nothing is waited for, written, or logged, as
/// [`stats`](KeyLogHandle::stats) may do, so that it can be printed anywhere.
impl fmt::Debug for KeyLogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.show(f)
    }
}
