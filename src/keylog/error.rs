//! Why a file can't be the key log, and what to do about it.

use super::template::PLACEHOLDERS;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no key log, or why a record didn't reach it.
///
/// Every message names the path, the reason, and what to change. None contains
/// a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyLogError {
    /// The log was enabled, but there is no path.
    NoPath,
    /// The path is empty.
    EmptyPath,
    /// The path contains a NUL, which no file name can.
    #[non_exhaustive]
    NulInPath {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path has a brace that begins or ends no known placeholder.
    #[non_exhaustive]
    Placeholder {
        /// The path as it was given.
        path: PathBuf,
        /// The part that isn't understood.
        found: String,
    },
    /// Names of files to be removed don't tell processes apart, or have a
    /// directory in them.
    #[non_exhaustive]
    NoProcess {
        /// The names' template as it was given.
        path: PathBuf,
    },
    /// A file that was to be removed doesn't look like a key log.
    #[non_exhaustive]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The file would lie on another machine, or it can't be told that it
    /// doesn't (Windows).
    #[non_exhaustive]
    NetworkPath {
        /// The log's path.
        path: PathBuf,
    },
    /// The directory that the file should lie in doesn't exist.
    #[non_exhaustive]
    ParentMissing {
        /// The log's path.
        path: PathBuf,
    },
    /// The path is a symbolic link, which is never followed.
    #[non_exhaustive]
    Symlink {
        /// The log's path.
        path: PathBuf,
    },
    /// The path is something else than a regular file.
    #[non_exhaustive]
    NotRegular {
        /// The log's path.
        path: PathBuf,
        /// What it is, with an article.
        kind: &'static str,
    },
    /// The file belongs to another user (Unix).
    #[non_exhaustive]
    NotOwner {
        /// The log's path.
        path: PathBuf,
        /// The user that the file belongs to.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// The file's mode lets its group or others read or write it (Unix).
    #[non_exhaustive]
    OpenToOthers {
        /// The log's path.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else, who may read it (Windows).
    #[non_exhaustive]
    AnothersFile {
        /// The log's path.
        path: PathBuf,
        /// The identifier (SID) of the user or group that the file belongs to.
        owner: Box<str>,
    },
    /// The file system keeps no access lists, so that everybody can read the file
    /// (Windows, on FAT).
    #[non_exhaustive]
    NoAccessLists {
        /// The log's path.
        path: PathBuf,
    },
    /// The file holds something of the other format: lines, or pcapng.
    #[non_exhaustive]
    OtherFormat {
        /// The log's path.
        path: PathBuf,
        /// Whether the file is pcapng.
        pcapng: bool,
    },
    /// Old files couldn't begin to be compressed; they stay as they are.
    #[non_exhaustive]
    Compress {
        /// The log's path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The thread that writes couldn't be started.
    #[non_exhaustive]
    Thread {
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused to write to a descriptor.
    #[non_exhaustive]
    Descriptor {
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused to open or examine the file.
    #[non_exhaustive]
    Open {
        /// The log's path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A new file couldn't be begun, or what belongs to that couldn't be done;
    /// records go on to be written.
    #[non_exhaustive]
    Rotate {
        /// The log's path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A log that was to be removed with its context couldn't be.
    #[non_exhaustive]
    Remove {
        /// The log's path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The system refused to append a record.
    #[non_exhaustive]
    Write {
        /// The log's path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl fmt::Display for KeyLogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Paths are quoted as Debug does it: one with a line break in it must
        // not forge a line of the application's log.
        match self {
            Self::NoPath => f.write_str(
                "the key log cannot be enabled: no path is set: call set_path() first, or build \
                 the context with KeyLog::file()",
            ),
            Self::EmptyPath => f.write_str(
                "the key log's path is empty: give the path of a file, or KeyLog::off()",
            ),
            Self::NulInPath { path } => {
                write!(f, "the key log's path {path:?} contains a NUL: remove it")
            }
            Self::Placeholder { path, found } => write!(
                f,
                "the key log's path {path:?} has {found:?}, which is no placeholder: use \
                 {PLACEHOLDERS}, or write {{{{ and }}}} for braces"
            ),
            Self::NoProcess { path } => write!(
                f,
                "{path:?} names no files of single processes: give a file name without a \
                 directory, with {{pid}} where the process's id is"
            ),
            Self::NotALog { path } => write!(
                f,
                "{path:?} does not begin as a key log does, and was left: remove it by hand, \
                 or choose other names"
            ),
            Self::NetworkPath { path } => write!(
                f,
                "the key log {path:?} is not known to lie on this machine: choose a local path, \
                 or allow it with KeyLog::allow_network_path(true)"
            ),
            Self::ParentMissing { path } => match path.parent() {
                Some(parent) => write!(
                    f,
                    "the key log {path:?} cannot be created: its directory {parent:?} does not \
                     exist: create it"
                ),
                None => write!(
                    f,
                    "the key log {path:?} has no directory: give a file's path"
                ),
            },
            Self::Symlink { path } => write!(
                f,
                "the key log {path:?} is a symbolic link, which is not followed: give the path \
                 of the file itself"
            ),
            Self::NotRegular { path, kind } => write!(
                f,
                "the key log {path:?} is {kind}, not a regular file: give the path of a file"
            ),
            Self::NotOwner { path, owner, user } => write!(
                f,
                "the key log {path:?} belongs to user {owner}, but this process runs as user \
                 {user}: remove it or choose another path"
            ),
            Self::OpenToOthers { path, mode } => write!(
                f,
                "the key log {path:?} has mode {mode:04o}, so other users have access to the \
                 secrets: `chmod 600` or remove it, or allow it with \
                 KeyLog::allow_access_by_others(true)"
            ),
            Self::AnothersFile { path, owner } => write!(
                f,
                "the key log {path:?} belongs to {owner}, not to the user of this process: \
                 remove it or choose another path"
            ),
            Self::NoAccessLists { path } => write!(
                f,
                "the key log {path:?} lies on a file system without access lists, so everybody \
                 on this machine can read the secrets: choose a path on NTFS, or allow it with \
                 KeyLog::allow_access_by_others(true)"
            ),
            Self::OtherFormat { path, pcapng } => write!(
                f,
                "the key log {path:?} {}: choose another path, or remove it",
                match pcapng {
                    true => "is a pcapng file, and lines were asked for",
                    false => "is no pcapng file, and KeyLog::pcapng(true) asks for one",
                }
            ),
            Self::Compress { path, source } => write!(
                f,
                "old files of the key log {path:?} cannot be compressed: {source}: raise the \
                 limit of threads, or compress them yourself"
            ),
            Self::Thread { source } => write!(
                f,
                "the key log's thread cannot be started: {source}: raise the limit of threads, \
                 or build the context without KeyLog::queue()"
            ),
            Self::Descriptor { source } => write!(
                f,
                "the key log's descriptor cannot be written: {source}: check what it leads to"
            ),
            Self::Open { path, source } => write!(
                f,
                "the key log {path:?} cannot be opened: {source}: check the path and the rights \
                 of its directories"
            ),
            Self::Rotate { path, source } => write!(
                f,
                "the key log {path:?} cannot be rotated: {source}: check the rights and the \
                 space of its directory"
            ),
            Self::Remove { path, source } => write!(
                f,
                "the key log {path:?} cannot be removed: {source}: remove it and its old files"
            ),
            Self::Write { path, source } => write!(
                f,
                "the key log {path:?} cannot be written: {source}: check the space and the state \
                 of its file system"
            ),
        }
    }
}

impl Error for KeyLogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Thread { source }
            | Self::Descriptor { source }
            | Self::Compress { source, .. }
            | Self::Open { source, .. }
            | Self::Rotate { source, .. }
            | Self::Remove { source, .. }
            | Self::Write { source, .. } => source.source(),
            _ => None,
        }
    }
}
