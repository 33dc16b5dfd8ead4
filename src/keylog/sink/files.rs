//! The open files of a log: whole lines, or blocks, to the end of them, and to
//! the right ones.

#[cfg(feature = "keylog-gzip")]
use super::removed::Removed;
use super::write::{write, write_blocks};
use super::{Aside, Failure};
use crate::ffi::wipe::wipe;
use crate::keylog::batch::Batch;
use crate::keylog::file::lock::{Held, Lock};
use crate::keylog::file::{self, archive, Format, Identity, Opened, Rules};
use crate::keylog::rotation::{Retention, Rotation};
use crate::keylog::template::{Now, Template};
use crate::keylog::{forks, pcapng, KeyLogError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long another file may stand at our path unnoticed, where nothing rotates.
/// What is written meanwhile goes to the file that was renamed, and isn't lost.
pub(in crate::keylog) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What happens to files, beyond being written.
#[derive(Clone, Debug, Default)]
pub(in crate::keylog) struct FileOptions {
    pub rules: Rules,
    pub format: Format,
    pub rotation: Option<Rotation>,
    pub retention: Option<Retention>,
    #[cfg(feature = "keylog-gzip")]
    pub compress: bool,
    pub remove: bool,
    /// What threads that are at the log's files look at.
    #[cfg(feature = "keylog-gzip")]
    pub removed: Removed,
}

impl FileOptions {
    fn is_pcapng(&self) -> bool {
        self.format == Format::Pcapng
    }
}

/// The files of a log that is switched on: one, or one for each vhost.
pub(in crate::keylog) struct Files {
    template: Template,
    options: Arc<FileOptions>,
    now: Now,
    /// The process that opened them.
    forks: u32,
    files: Vec<(Arc<str>, LogFile)>,
    aside: Aside,
}

impl Files {
    /// Opens the file. Those of vhosts are opened when they are needed; their
    /// directory is looked at now.
    pub fn open(template: &Template, options: &Arc<FileOptions>) -> Result<Self, KeyLogError> {
        let mut files = Files {
            template: template.clone(),
            options: Arc::clone(options),
            now: Now::new(),
            forks: forks(),
            files: Vec::new(),
            aside: Aside::default(),
        };
        if template.is_per_vhost() {
            check(template, options)?;
        } else {
            files.file("")?;
        }
        Ok(files)
    }

    /// The path of the one file; with one for each vhost, the template.
    pub fn path(&self) -> PathBuf {
        match &self.files[..] {
            [(_, only)] if !self.template.is_per_vhost() => only.path.clone(),
            _ => self.template.given().to_owned(),
        }
    }

    pub fn is_per_vhost(&self) -> bool {
        self.template.is_per_vhost()
    }

    /// Whether every file that was opened still is.
    pub fn is_open(&self) -> bool {
        self.files.iter().all(|(_, file)| file.opened.is_some())
    }

    pub fn append(&mut self, batch: &Batch, vhost: &str) -> Result<(), Failure> {
        let file = match self.file(vhost) {
            Ok(file) => file,
            Err(error) => return Err(Failure { error, written: 0 }),
        };
        let result = file.append(batch);
        let aside = file.take_aside();
        self.aside.add(aside);
        result
    }

    /// Begins new files now; the first error, if some can't be.
    pub fn rotate(&mut self) -> Result<(), KeyLogError> {
        self.leave_parents();
        let mut result = Ok(());
        for (_, file) in &mut self.files {
            result = result.and(file.rotate_now());
            self.aside.add(file.take_aside());
        }
        result
    }

    /// How many bytes of records may be written together, of so many: a file stays within
    /// its size, and a new one has room beside its overlap.
    pub fn most_together(&self, most: usize) -> usize {
        let size = self.options.rotation.as_ref().and_then(|r| r.max_size);
        let part = size.map_or(u64::MAX, |size| size / 4);
        most.min(usize::try_from(part).unwrap_or(usize::MAX))
    }

    /// What happened since this was last asked.
    pub fn take_aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }

    /// Closes them.
    pub fn close(self) -> Vec<Closed> {
        if self.forks != forks() {
            return Vec::new(); // they are our parent's
        }
        let close = |(_, file): (_, LogFile)| Closed {
            path: file.path,
            options: file.options,
            lock: file.lock,
        };
        self.files.into_iter().map(close).collect()
    }

    /// After a fork, forgets the files of our parent; with {pid} ours have other names.
    fn leave_parents(&mut self) {
        if self.forks != forks() {
            self.files.clear();
            self.now = Now::new();
            self.forks = forks();
        }
    }

    fn file(&mut self, vhost: &str) -> Result<&mut LogFile, KeyLogError> {
        self.leave_parents();
        let vhost = if self.template.is_per_vhost() {
            vhost
        } else {
            ""
        };
        let at = match self.files.iter().position(|(name, _)| &**name == vhost) {
            Some(at) => at,
            None => {
                let path = self.template.expand(&self.now, vhost);
                let file = LogFile::open(path, Arc::clone(&self.options))?;
                self.files.push((vhost.into(), file));
                self.files.len() - 1
            }
        };
        Ok(&mut self.files[at].1)
    }

    /// Makes the next record look at the path.
    #[cfg(test)]
    pub fn look_now(&mut self) {
        for (_, file) in &mut self.files {
            file.looked = Instant::now() - LOOK_EVERY;
        }
    }
}

/// Looks at the path that a log would have.
pub(super) fn check(template: &Template, options: &FileOptions) -> Result<(), KeyLogError> {
    file::check(&template.expand(&Now::new(), "vhost"), &options.rules)
}

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
struct LogFile {
    path: PathBuf,
    options: Arc<FileOptions>,
    /// `None` after the file vanished and none could be opened in its place.
    opened: Option<Opened>,
    /// With a rotation: what processes agree by.
    lock: Option<Lock>,
    looked: Instant,
    trouble: Option<KeyLogError>,
    rotated: bool,
    #[cfg(feature = "keylog-gzip")]
    compressor: file::compress::Compressor,
    /// A rotation that failed is tried again after this.
    rotate_after: Option<Instant>,
    /// The directory that paths begin in.
    root: Option<Identity>,
    /// The last write failed: others may have left, or ended, a torn line since.
    unsure: bool,
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
    fn open(path: PathBuf, options: Arc<FileOptions>) -> Result<Self, KeyLogError> {
        let lock = match &options.rotation {
            Some(_) => Some(Lock::open(&path, &options.rules)?),
            None => None,
        };
        let opened = Some(open(&path, &options)?);
        Ok(LogFile {
            path,
            options,
            opened,
            lock,
            looked: Instant::now(),
            trouble: None,
            rotated: false,
            #[cfg(feature = "keylog-gzip")]
            compressor: file::compress::Compressor::new(),
            rotate_after: None,
            root: file::root(),
            unsure: false,
        })
    }

    /// Appends records, to a new file if ours was removed or replaced, or if it
    /// is time for one.
    fn append(&mut self, batch: &Batch) -> Result<(), Failure> {
        let whole = |error| Failure { error, written: 0 };
        if self.is_spoiled() {
            self.leave_spoiled().map_err(whole)?;
        }
        let mut lock = self.lock.take();
        let held = lock.as_mut().map(Lock::hold);
        let mut result = self.reopen().map_err(whole);
        if result.is_ok() {
            match &held {
                Some(Ok(held)) => self.rotate_if_due(batch, held),
                // Somebody else may be rotating; the next time will do.
                Some(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {}
                Some(Err(error)) => {
                    let source = io::Error::new(error.kind(), error.to_string());
                    self.trouble = Some(self.cannot_rotate(source));
                }
                None => {}
            }
            result = match self.opened {
                Some(_) => self.write(batch),
                None => self
                    .reopen()
                    .map_err(whole)
                    .and_then(|()| self.write(batch)),
            };
        }
        drop(held);
        self.lock = lock;
        result
    }

    /// What happened since this was last asked.
    fn take_aside(&mut self) -> Aside {
        Aside {
            trouble: self.trouble.take(),
            rotations: u64::from(std::mem::take(&mut self.rotated)),
        }
    }

    /// Whether nothing can follow what is in the file, so that a new one is needed.
    fn is_spoiled(&self) -> bool {
        self.options.is_pcapng() && self.opened.as_ref().is_some_and(|opened| opened.torn)
    }

    fn leave_spoiled(&mut self) -> Result<(), KeyLogError> {
        self.reopen()?;
        match self.is_spoiled() {
            true => self.rotate_now(),
            false => Ok(()), // another process has begun a new one
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        let Some(opened) = &mut self.opened else {
            return Ok(()); // reopen() has seen to it
        };
        let result = match self.options.format {
            Format::Lines => {
                if self.unsure {
                    opened.torn = file::is_torn(&self.path, opened);
                }
                let lines = batch.after(opened.torn);
                write(&mut opened.file, &mut opened.torn, lines)
            }
            Format::Pcapng => write_blocks(opened, batch).map_err(|source| (source, 0)),
        };
        self.unsure = result.is_err();
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
        if self.options.rotation.is_none() && self.looked.elapsed() < LOOK_EVERY {
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

    fn rotate_now(&mut self) -> Result<(), KeyLogError> {
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
    fn rotate(&mut self, _: &Held<'_>) -> Result<(), KeyLogError> {
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
        let retention = self.options.retention.clone().unwrap_or_default();
        let retained = archive::retain(&self.path, &retention);
        copied
            .and(retained)
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
