//! Where records go while a log is on.

mod files;
mod log_file;
mod memory;
mod queue;
#[cfg(feature = "keylog-gzip")]
mod removed;
mod write;

use super::batch::Batch;
use super::template::Template;
use super::{file, KeyLogError};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;

#[cfg(feature = "keylog-gzip")]
pub(super) use files::LOOK_EVERY;
pub(super) use files::{FileOptions, Files};
pub(super) use log_file::Closed;
pub use memory::MemoryLog;
pub(super) use queue::{Outcome, Queue, Writer};
pub(super) use write::write;
#[cfg(test)]
pub(super) use write::write_lines;

/// At most so much is written together, and waits until then.
const MOST_TOGETHER: usize = 32 * 1024;

/// What an application gives for records to go to.
#[derive(Clone)]
pub(super) enum Target {
    File(Template),
    Descriptor(Arc<Descriptor>),
    Memory(MemoryLog),
    Function(Function),
}

/// An open file of the application's.
pub(super) struct Descriptor {
    file: File,
    /// Whether its last line has no end: it isn't read, and the log may be switched off and on.
    torn: AtomicBool,
}

impl From<File> for Descriptor {
    fn from(file: File) -> Self {
        Descriptor {
            file,
            torn: AtomicBool::new(false),
        }
    }
}

pub(super) type Function = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Where records go.
pub(super) enum Sink {
    Files(Files),
    Descriptor {
        descriptor: Arc<Descriptor>,
        /// It is a file, of which nobody is told when it is written to.
        regular: bool,
    },
    Memory(MemoryLog),
    /// Called by whoever has a batch, and without a lock.
    Function(Function),
}

/// How an append failed, and how much of it got through.
pub(super) struct Failure {
    pub error: KeyLogError,
    pub written: u64,
}

/// What an append has done beside writing.
#[derive(Default)]
pub(super) struct SideEffects {
    pub trouble: Option<KeyLogError>,
    pub rotations: u64,
}

impl SideEffects {
    fn add(&mut self, later: SideEffects) {
        self.trouble = later.trouble.or(self.trouble.take());
        self.rotations += later.rotations;
    }
}

impl Target {
    /// The file at this path, which may have placeholders.
    pub fn file(path: &Path) -> Result<Self, KeyLogError> {
        Ok(Target::File(Template::parse(&file::resolve(path)?)?))
    }

    /// The path, if it is a file's.
    pub fn template(&self) -> Option<&Template> {
        match self {
            Target::File(template) => Some(template),
            _ => None,
        }
    }

    /// Whether it can be used, as far as can be told without opening it.
    pub fn check(&self, options: &FileOptions) -> Result<(), KeyLogError> {
        match self {
            Target::File(template) => files::check(template, options),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::File(template) => template.given().fmt(f),
            Target::Descriptor(descriptor) => descriptor.file.fmt(f),
            Target::Memory(memory) => memory.fmt(f),
            Target::Function(_) => f.write_str("a function"),
        }
    }
}

impl Sink {
    pub fn open(target: &Target, options: &Arc<FileOptions>) -> Result<Self, KeyLogError> {
        Ok(match target {
            Target::File(template) => Sink::Files(Files::open(template, options)?),
            Target::Descriptor(descriptor) => Sink::Descriptor {
                descriptor: Arc::clone(descriptor),
                regular: (descriptor.file.metadata()).is_ok_and(|found| found.is_file()),
            },
            Target::Memory(memory) => Sink::Memory(memory.clone()),
            Target::Function(function) => Sink::Function(Arc::clone(function)),
        })
    }

    /// What it is called in messages.
    pub fn describe(&self) -> String {
        match self {
            Sink::Files(files) => format!("{:?}", files.path()),
            Sink::Descriptor { .. } => "a descriptor".into(),
            Sink::Memory(_) => "memory".into(),
            Sink::Function(_) => "a function of the application".into(),
        }
    }

    /// Appends records, to a vhost's file where vhosts have their own.
    pub fn append(
        &mut self,
        batch: &Batch,
        vhost: &str,
    ) -> Result<SideEffects, (Failure, SideEffects)> {
        match self {
            Sink::Files(files) => {
                let result = files.append(batch, vhost);
                let side_effects = files.take_side_effects();
                match result {
                    Ok(()) => Ok(side_effects),
                    Err(failure) => Err((failure, side_effects)),
                }
            }
            Sink::Descriptor { descriptor, .. } => {
                let mut torn = descriptor.torn.load(Relaxed);
                let lines = batch.after(torn);
                let result = write(&mut &descriptor.file, &mut torn, lines);
                descriptor.torn.store(torn, Relaxed);
                match result {
                    Ok(()) => Ok(SideEffects::default()),
                    Err((source, written)) => {
                        let error = KeyLogError::Descriptor { source };
                        Err((Failure { error, written }, SideEffects::default()))
                    }
                }
            }
            Sink::Memory(memory) => {
                memory.append(batch);
                Ok(SideEffects::default())
            }
            Sink::Function(function) => {
                function(batch.lines());
                Ok(SideEffects::default())
            }
        }
    }

    /// Whether everything that was opened still is.
    pub fn is_open(&self) -> bool {
        match self {
            Sink::Files(files) => files.is_open(),
            _ => true,
        }
    }

    /// The path of the file; with one for each vhost, the template.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Sink::Files(files) => Some(files.path()),
            _ => None,
        }
    }

    /// Whether each vhost has a file of its own.
    pub fn is_per_vhost(&self) -> bool {
        match self {
            Sink::Files(files) => files.is_per_vhost(),
            _ => false,
        }
    }

    /// How many bytes of records of several handshakes are written together, at most; 0:
    /// none are. Who reads from a pipe, or is called, gets each handshake's by itself.
    pub fn most_together(&self) -> usize {
        match self {
            Sink::Files(files) => files.most_together(MOST_TOGETHER),
            Sink::Descriptor { regular: true, .. } => MOST_TOGETHER,
            _ => 0,
        }
    }

    /// Begins new files, if it has files.
    pub fn rotate(&mut self) -> (Result<(), KeyLogError>, SideEffects) {
        match self {
            Sink::Files(files) => {
                let result = files.rotate();
                (result, files.take_side_effects())
            }
            _ => (Ok(()), SideEffects::default()),
        }
    }

    /// Closes what is this process's; its files, if it has any.
    pub fn close(self) -> Vec<Closed> {
        match self {
            Sink::Files(files) => files.close(),
            _ => Vec::new(),
        }
    }

    /// Makes the next record look at the path.
    #[cfg(test)]
    pub fn look_now(&mut self) {
        if let Sink::Files(files) = self {
            files.look_now();
        }
    }
}

/// Removes logs that go with their context; what can't be.
pub(super) fn remove_all(files: Vec<Closed>) -> Vec<KeyLogError> {
    let remove = |file: Closed| file.remove().err();
    files.into_iter().filter_map(remove).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::tests::Dir;

    /// Lost: a record that comes right behind half of another, after the log was switched off
    /// and on.
    #[test]
    fn a_descriptor_remembers_that_a_line_was_cut_off() {
        let dir = Dir::new("descriptor-torn");
        let path = dir.path("keys.log");
        let descriptor = Arc::new(Descriptor::from(File::create(&path).unwrap()));
        descriptor.torn.store(true, Relaxed);
        let target = Target::Descriptor(descriptor);
        let mut batch = Batch::default();
        assert!(batch.push(b"A 00 11"));
        for _ in 0..2 {
            let mut sink = Sink::open(&target, &Arc::default()).unwrap();
            assert!(sink.append(&batch, "").is_ok());
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"\nA 00 11\nA 00 11\n");
    }
}
