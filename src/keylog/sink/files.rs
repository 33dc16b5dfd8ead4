//! The open files of a log: one, or one for each vhost.

use super::log_file::{Closed, LogFile};
#[cfg(feature = "keylog-gzip")]
use super::removed::Removed;
use super::{Failure, SideEffects};
use crate::keylog::batch::Batch;
use crate::keylog::file::{self, Format, Rules};
use crate::keylog::rotation::{Retention, Rotation};
use crate::keylog::template::{Now, Template};
use crate::keylog::{forks, KeyLogError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    pub(super) fn is_pcapng(&self) -> bool {
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
    side_effects: SideEffects,
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
            side_effects: SideEffects::default(),
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
            [(_, only)] if !self.template.is_per_vhost() => only.path().to_owned(),
            _ => self.template.given().to_owned(),
        }
    }

    pub fn is_per_vhost(&self) -> bool {
        self.template.is_per_vhost()
    }

    /// Whether every file that was opened still is.
    pub fn is_open(&self) -> bool {
        self.files.iter().all(|(_, file)| file.is_open())
    }

    pub fn append(&mut self, batch: &Batch, vhost: &str) -> Result<(), Failure> {
        let file = match self.file(vhost) {
            Ok(file) => file,
            Err(error) => return Err(Failure { error, written: 0 }),
        };
        let result = file.append(batch);
        let side_effects = file.take_side_effects();
        self.side_effects.add(side_effects);
        result
    }

    /// Begins new files now; the first error, if some can't be.
    pub fn rotate(&mut self) -> Result<(), KeyLogError> {
        self.leave_parents();
        let mut result = Ok(());
        for (_, file) in &mut self.files {
            result = result.and(file.rotate_now());
            self.side_effects.add(file.take_side_effects());
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
    pub fn take_side_effects(&mut self) -> SideEffects {
        std::mem::take(&mut self.side_effects)
    }

    /// Closes them.
    pub fn close(self) -> Vec<Closed> {
        if self.forks != forks() {
            return Vec::new(); // they are our parent's
        }
        self.files
            .into_iter()
            .map(|(_, file)| file.close())
            .collect()
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
            file.look_at_once();
        }
    }
}

/// Looks at the path that a log would have; where each vhost has its own, at their folder.
pub(super) fn check(template: &Template, options: &FileOptions) -> Result<(), KeyLogError> {
    let now = Now::new();
    match template.is_per_vhost() {
        true => file::check_folder(&template.folder(&now).join("{vhost}"), &options.rules),
        false => file::check(&template.expand(&now, ""), &options.rules),
    }
}
