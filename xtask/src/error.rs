//! The one error type of these tasks.

use std::fmt;
use std::path::Path;

/// Why a task stopped.
#[derive(Debug)]
pub enum Error {
    /// Something to tell the user.
    Message(String),
    /// No machine of this kind can do it.
    NotHere(String),
    /// This machine lacks what it takes, and has nothing to bring it. Fetching or unpacking
    /// that goes wrong is an error like others: it may work another time.
    Lacking(String),
    /// A child process failed and has said why itself; exit with its status.
    Exit(u8),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a message.
    pub fn new(text: impl Into<String>) -> Self {
        Self::Message(text.into())
    }

    /// The same kind of error, with another text; a failed child's status becomes part of it.
    pub fn with(self, text: impl FnOnce(&Self) -> String) -> Self {
        let text = text(&self);
        match self {
            Self::NotHere(_) => Self::NotHere(text),
            Self::Lacking(_) => Self::Lacking(text),
            Self::Message(_) | Self::Exit(_) => Self::Message(text),
        }
    }

    /// An input/output error on a path: `cannot read FILE: reason`.
    pub fn io(what: &str, path: &Path, cause: std::io::Error) -> Self {
        Self::Message(format!("cannot {what} {}: {cause}", path.display()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(text) | Self::NotHere(text) | Self::Lacking(text) => f.write_str(text),
            Self::Exit(code) => write!(f, "exit status {code}"),
        }
    }
}

/// Adds what was being done, and on which path, to an I/O error.
pub trait IoContext<T> {
    /// `cannot WHAT PATH: reason`.
    fn doing(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn doing(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|cause| Error::io(what, path, cause))
    }
}
