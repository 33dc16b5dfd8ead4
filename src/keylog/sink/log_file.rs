//! One file of a log: the right one, open, with whole lines or blocks to its end.

use super::files::{FileOptions, LOOK_EVERY};
use super::write::{write, write_blocks, write_lines};
use super::{Failure, SideEffects};
use crate::ffi::wipe::wipe;
use crate::keylog::batch::Batch;
use crate::keylog::file::lock::{Held, Lock};
use crate::keylog::file::{self, archive, Format, Identity, Opened};
use crate::keylog::{pcapng, KeyLogError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Opens a file of the format that is wanted.
fn open(path: &Path, options: &FileOptions) -> Result<Opened, KeyLogError> {
    let opened = file::open(path, &options.rules, options.format)?;
    // Before what it begins with: another process may write the first of it now.
    if opened.look().is_ok_and(|look| look.len == 0) {
        return Ok(opened);
    }
    match file::begins_with(path, &opened).map(|bytes| pcapng::is_header(&bytes)) {
        Ok(pcapng) if pcapng != options.is_pcapng() => Err(KeyLogError::OtherFormat {
            path: path.to_owned(),
            pcapng,
        }),
        // One that others rename in this moment is what they made it.
        _ => Ok(opened),
    }
}

/// One file.
pub(super) struct LogFile {
    path: PathBuf,
    options: Arc<FileOptions>,
    /// `None` after the file vanished and none could be opened in its place.
    opened: Option<Opened>,
    /// With a rotation: what processes agree by.
    lock: Option<Lock>,
    looked: Instant,
    /// The next look at the path isn't to wait.
    look_at_once: bool,
    trouble: Option<KeyLogError>,
    rotated: bool,
    #[cfg(feature = "keylog-gzip")]
    compressor: file::compress::Compressor,
    /// A rotation that failed is tried again after this.
    rotate_after: Option<Instant>,
    /// The directory that paths begin in.
    root: Option<Identity>,
}

/// Where the open file is.
enum Place {
    /// At our path.
    Ours,
    /// Nowhere: what is written to it is lost.
    Nowhere,
    /// Somewhere else, under another name.
    Elsewhere,
}

impl LogFile {
    pub fn open(path: PathBuf, options: Arc<FileOptions>) -> Result<Self, KeyLogError> {
        let lock = match &options.rotation {
            Some(_) => Some(Lock::open(&path, &options.rules)?),
            None => None,
        };
        let opened = Some(open(&path, &options)?);
        let mut log = LogFile {
            path,
            options,
            opened,
            lock,
            looked: Instant::now(),
            look_at_once: false,
            trouble: None,
            rotated: false,
            #[cfg(feature = "keylog-gzip")]
            compressor: file::compress::Compressor::new(),
            rotate_after: None,
            root: file::root(),
        };
        log.retain_at_once();
        Ok(log)
    }

    /// Removes what a rotation would: the next may be far.
    fn retain_at_once(&mut self) {
        const MOMENT: Duration = Duration::from_millis(20);

        let Some(mut lock) = self.lock.take() else {
            return; // only a rotation would
        };
        // Whoever has the lock is rotating, and does it.
        if let Ok(held) = lock.hold_within(MOMENT) {
            let retained = self.retain(&held);
            self.trouble = retained.err().map(|source| self.cannot_rotate(source));
        }
        self.lock = Some(lock);
    }

    /// Removes the old files that aren't to be kept.
    fn retain(&self, _: &Held<'_>) -> io::Result<()> {
        let retention = self.options.retention.clone().unwrap_or_default();
        archive::retain(&self.path, &retention)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    pub fn close(self) -> Closed {
        Closed {
            path: self.path,
            options: self.options,
            lock: self.lock,
        }
    }

    /// Makes the next record look at the path.
    #[cfg(test)]
    pub fn look_at_once(&mut self) {
        self.look_at_once = true;
    }

    /// Appends records, to a new file if ours was removed or replaced, or if it
    /// is time for one.
    pub fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut lock = self.lock.take();
        let held = lock.as_mut().map(Lock::hold);
        let result = match self.prepare(batch, held.as_ref()) {
            Ok(()) => self.write(batch),
            Err(error) => Err(Failure { error, written: 0 }),
        };
        // Not before: what comes behind a rotation's end is missing in the new file's beginning.
        drop(held);
        self.lock = lock;
        result
    }

    /// Sees to it that a file is open that the records can go to.
    fn prepare(
        &mut self,
        batch: &Batch,
        held: Option<&io::Result<Held<'_>>>,
    ) -> Result<(), KeyLogError> {
        self.reopen()?;
        match held {
            Some(Ok(held)) => self.rotate_if_due(batch, held),
            // Somebody else may be rotating; the next time will do.
            Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {}
            Some(Err(error)) => self.trouble = Some(self.cannot_rotate(again(error))),
            None => {}
        }
        if self.opened.is_none() {
            self.reopen()?;
        }
        match self.is_spoiled() {
            true => self.leave_spoiled(held),
            false => Ok(()),
        }
    }

    /// What happened since this was last asked.
    pub fn take_side_effects(&mut self) -> SideEffects {
        SideEffects {
            trouble: self.trouble.take(),
            rotations: u64::from(std::mem::take(&mut self.rotated)),
        }
    }

    /// Whether nothing can follow what is in the file, so that a new one is needed.
    fn is_spoiled(&mut self) -> bool {
        match &mut self.opened {
            Some(opened) if self.options.is_pcapng() => {
                opened.check_blocks();
                opened.torn
            }
            _ => false,
        }
    }

    /// Begins a new file, unless another process has.
    fn leave_spoiled(&mut self, held: Option<&io::Result<Held<'_>>>) -> Result<(), KeyLogError> {
        if self.rotate_after.is_some_and(|time| Instant::now() < time) {
            let why = "its last block was cut off, and a moment ago no other file could be begun";
            return Err(self.cannot_rotate(io::Error::other(why)));
        }
        let result = match held {
            Some(Ok(held)) => self.replace_spoiled(held),
            Some(Err(error)) => Err(self.cannot_rotate(again(error))),
            None => {
                let mut lock = Lock::open(&self.path, &self.options.rules)?;
                let held = lock.hold().map_err(|source| self.cannot_rotate(source))?;
                self.replace_spoiled(&held)
            }
        };
        self.rotate_after = result.is_err().then(|| Instant::now() + LOOK_EVERY);
        result
    }

    fn replace_spoiled(&mut self, held: &Held<'_>) -> Result<(), KeyLogError> {
        self.look_at_once = true;
        self.reopen()?;
        if self.is_spoiled() {
            self.rotate(held)?;
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let Some(opened) = &mut self.opened else {
            return Ok(()); // reopen() has seen to it
        };
        let result = match self.options.format {
            Format::Lines => {
                opened.check_lines(&self.path);
                write_lines(opened, &self.path, batch.after(opened.torn))
            }
            Format::Pcapng => write_blocks(opened, batch).map_err(|source| (source, 0)),
        };
        result.map_err(|(source, written)| Failure {
            error: KeyLogError::Write {
                path: self.path.clone(),
                source,
            },
            written,
        })
    }

    /// Sees to it that the file at our path is open; or, as long as there can be
    /// none, the one that was there.
    fn reopen(&mut self) -> Result<(), KeyLogError> {
        match self.place() {
            Place::Ours => return Ok(()),
            // Closed first: on Windows a removed file keeps its name until then.
            Place::Nowhere => self.opened = None,
            Place::Elsewhere => {}
        }
        self.looked = Instant::now();
        match open(&self.path, &self.options) {
            Ok(opened) => self.opened = Some(opened),
            Err(error) if self.opened.is_none() => return Err(error),
            Err(error) => self.trouble = Some(error),
        }
        Ok(())
    }

    /// Where the open file is. That it was removed is noticed at once, because
    /// what is written to it is lost; that it was renamed at the next look at the
    /// path, which is now if processes rotate it.
    fn place(&mut self) -> Place {
        let Some(opened) = &self.opened else {
            return Place::Nowhere;
        };
        if opened.look().is_ok_and(|look| look.removed) {
            return Place::Nowhere;
        }
        let looks = std::mem::take(&mut self.look_at_once) || self.options.rotation.is_some();
        if !looks && self.looked.elapsed() < LOOK_EVERY {
            return Place::Ours;
        }
        self.looked = Instant::now();
        let is_ours = match Identity::at(&self.path) {
            Ok(identity) => identity == opened.identity,
            // Other errors say nothing about the file; a process that gave up
            // its rights may still append to what it opened with them.
            Err(e) => !matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ),
        };
        // In another root the path means another file, which nobody asked for.
        match is_ours || self.root != file::root() {
            true => Place::Ours,
            false => Place::Elsewhere,
        }
    }

    fn rotate_if_due(&mut self, batch: &Batch, held: &Held<'_>) {
        let (Some(rotation), Some(opened)) = (&self.options.rotation, &self.opened) else {
            return;
        };
        let len = opened.look().map_or(0, |look| look.len);
        let next = len.saturating_add(batch.lines().len() as u64);
        let too_big = rotation.max_size.is_some_and(|most| next > most);
        let too_old = rotation.max_age.is_some_and(|most| opened.age() > most);
        let waits = self.rotate_after.is_some_and(|time| Instant::now() < time);
        if len == 0 || waits || !(too_big || too_old) {
            return;
        }
        self.rotate_after = None;
        if let Err(error) = self.rotate(held) {
            // The old file goes on.
            self.trouble = Some(error);
            self.rotate_after = Some(Instant::now() + LOOK_EVERY);
        }
    }

    pub fn rotate_now(&mut self) -> Result<(), KeyLogError> {
        let mut lock = match self.lock.take() {
            Some(lock) => lock,
            None => Lock::open(&self.path, &self.options.rules)?,
        };
        let result = match lock.hold() {
            Ok(held) => self.reopen().and_then(|()| self.rotate(&held)),
            Err(source) => Err(self.cannot_rotate(source)),
        };
        if self.options.rotation.is_some() {
            self.lock = Some(lock);
        }
        result
    }

    /// Begins a new file. Others wait for the lock meanwhile.
    fn rotate(&mut self, held: &Held<'_>) -> Result<(), KeyLogError> {
        let rotation = self.options.rotation.clone().unwrap_or_default();
        if self.root != file::root() {
            let why = "this process has changed its root directory since it opened the file";
            return Err(self.cannot_rotate(io::Error::other(why)));
        }
        if cfg!(windows) {
            // So that it can be renamed. Elsewhere it is kept until there is another.
            self.opened = None;
        }
        let old = archive::shift(&self.path).map_err(|source| self.cannot_rotate(source))?;
        self.looked = Instant::now();
        let opened = self.opened.insert(file::open(
            &self.path,
            &self.options.rules,
            self.options.format,
        )?);
        self.rotated = true;
        // Read when there is a place for it: nothing may end here with secrets in hand.
        let tail = match self.options.format {
            Format::Lines => archive::tail(&old, rotation.sane_overlap()),
            Format::Pcapng => Ok(Vec::new()),
        };
        let copied = tail.and_then(|mut tail| {
            let copied = write(&mut opened.file, &mut opened.torn, &tail);
            wipe(&mut tail);
            copied.map_err(|(source, _)| source)
        });
        copied
            .and(self.retain(held))
            .map_err(|source| self.cannot_rotate(source))?;
        #[cfg(feature = "keylog-gzip")]
        if self.options.compress {
            let started = self.compressor.start(&self.path, &self.options);
            // The rotation is done; the next one tries it again.
            self.trouble = started.err().or(self.trouble.take());
        }
        Ok(())
    }

    fn cannot_rotate(&self, source: io::Error) -> KeyLogError {
        KeyLogError::Rotate {
            path: self.path.clone(),
            source,
        }
    }
}

/// An error that others have to look at as well.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// A file that was open.
pub(in crate::keylog) struct Closed {
    path: PathBuf,
    #[cfg_attr(not(feature = "keylog-gzip"), allow(dead_code))]
    options: Arc<FileOptions>,
    lock: Option<Lock>,
}

impl Closed {
    /// Removes it, with its old files and its lock.
    pub fn remove(mut self) -> Result<(), KeyLogError> {
        #[cfg(feature = "keylog-gzip")]
        self.options.removed.set();
        // Another process that rotates gives old files other names. One that doesn't let go
        // isn't waited for.
        let _held = self.lock.as_mut().map(Lock::hold);
        let path = &self.path;
        let mut result = archive::remove(path);
        for old in archive::paths(path).unwrap_or_default() {
            result = result.and(archive::remove(&old));
        }
        #[cfg(feature = "keylog-gzip")]
        {
            result = result.and(archive::remove(&file::compress::part(path)));
        }
        result
            .and(archive::remove(&file::lock::path(path)))
            .map_err(|source| KeyLogError::Remove {
                path: path.clone(),
                source,
            })
    }
}
