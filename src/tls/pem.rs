//! Certificates and keys, from files or memory.

use super::secret::Secret;
use crate::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

/// Certificates or a key: a file's path, or PEM or DER bytes.
///
/// Bytes are zeroed when they are dropped, and never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct Pem(Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Kind {
    File(PathBuf),
    Memory(Secret),
}

impl Pem {
    /// The contents of a file: a server's is read when the context is built, a client's when
    /// it connects, anew after the file was changed.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Pem(Kind::File(path.into()))
    }

    /// PEM text or DER bytes.
    pub fn memory(bytes: impl Into<Vec<u8>>) -> Self {
        Pem(Kind::Memory(Secret::new(bytes.into())))
    }

    /// What shows that a file was changed; `None` of bytes, and where there is no file.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        let Kind::File(path) = &self.0 else {
            return None;
        };
        let found = std::fs::metadata(path).ok()?;
        Some(Stamp {
            changed: found.modified().ok(),
            len: found.len(),
        })
    }

    /// The bytes, read from the file if need be.
    pub(crate) fn load(&self, purpose: &'static str) -> Result<Loaded, Error> {
        let (bytes, path) = match &self.0 {
            Kind::Memory(bytes) => (bytes.clone(), None),
            Kind::File(path) => match Secret::read(path) {
                Ok(bytes) => (bytes, Some(path.clone())),
                Err(source) => {
                    return Err(Error::File {
                        purpose,
                        path: path.clone(),
                        source,
                    })
                }
            },
        };
        Ok(Loaded {
            purpose,
            path,
            bytes,
        })
    }
}

/// A file as it is at one time.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    changed: Option<SystemTime>,
    len: u64,
}

/// Certificates or a key that were read, and what they are for.
pub(crate) struct Loaded {
    purpose: &'static str,
    path: Option<PathBuf>,
    bytes: Secret,
}

impl Loaded {
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_bytes()
    }

    /// For messages.
    pub fn name(&self) -> String {
        match &self.path {
            Some(path) => format!("{} {}", self.purpose, path.display()),
            None => format!("{} in memory", self.purpose),
        }
    }
}

/// The path, or the number of bytes in memory.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::File(path) => write!(f, "Pem({})", path.display()),
            Kind::Memory(bytes) => write!(f, "Pem({} bytes)", bytes.as_bytes().len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_key() {
        let shown = format!("{:?}", Pem::memory("-----BEGIN PRIVATE KEY-----"));
        assert_eq!(shown, "Pem(27 bytes)");
    }

    #[test]
    fn a_missing_file_is_named_with_its_purpose() {
        let error = Pem::file("/no/such/key.pem").load("private key").err();
        let text = error.expect("an error").to_string();
        assert!(text.contains("private key /no/such/key.pem"), "{text}");
    }
}
