//! Recognising the archive: size and SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::manifest::Archive;
use crate::error::{Error, IoContext, Result};

/// SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file, in hexadecimal.
fn sha256_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Checks that a file is the archive the manifest describes.
pub fn verify(path: &Path, expected: &Archive) -> Result<()> {
    let meta = path.metadata().doing("open", path)?;
    if !meta.is_file() {
        return Err(Error::new(format!("{} is not a file", path.display())));
    }
    if meta.len() < expected.size {
        return Err(Error::new(format!(
            "{} is truncated: it has {} of {} bytes",
            path.display(),
            meta.len(),
            expected.size
        )));
    }
    let got = sha256_file(path).doing("read", path)?;
    if got != expected.sha256 || meta.len() != expected.size {
        return Err(Error::new(format!(
            "{} is not the archive named in vendor/manifest.toml\n  \
             expected: {} bytes, sha256 {}\n  \
             got:      {} bytes, sha256 {got}",
            path.display(),
            expected.size,
            expected.sha256,
            meta.len(),
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn check(content: &[u8]) -> Result<()> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, content).unwrap();
        let archive = Archive {
            file: "abc".into(),
            size: 3,
            sha256: ABC.into(),
        };
        verify(file.path(), &archive)
    }

    #[test]
    fn known_hash() {
        assert_eq!(sha256(b"abc"), ABC);
        check(b"abc").unwrap();
    }

    #[test]
    fn wrong_files_are_told_apart() {
        let short = check(b"ab").unwrap_err().to_string();
        assert!(short.contains("truncated: it has 2 of 3 bytes"), "{short}");
        for content in [&b"abd"[..], b"abcd"] {
            let wrong = check(content).unwrap_err().to_string();
            assert!(wrong.contains(ABC) && wrong.contains("got:"), "{wrong}");
        }
    }
}
