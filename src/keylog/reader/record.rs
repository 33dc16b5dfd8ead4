//! One record.

use super::LineError;
use crate::ffi::wipe::wipe;
use std::fmt;
use std::io::{self, Write};

/// One record of a key log: a secret, and the connection that it is of. The secret
/// is zeroed when this is dropped, and isn't in the `Debug` output.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Record {
    label: Box<str>,
    random: Box<[u8]>,
    secret: Box<[u8]>,
}

/// What is known of a label.
enum Kind {
    /// The master secret of TLS 1.2 and before.
    Tls12,
    /// A secret of TLS 1.3, as long as the hash of the cipher suite.
    Tls13,
    /// A premaster secret, in the format's oldest form.
    Rsa,
    Other,
}

impl Record {
    /// What kind of secret it is, such as `CLIENT_RANDOM` (RFC 9850, section 2).
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The random of the connection's first ClientHello, 32 bytes, which Wireshark
    /// finds the connection by. With the label `RSA` it is the beginning of the
    /// encrypted premaster secret, 8 bytes.
    pub fn client_random(&self) -> &[u8] {
        &self.random
    }

    /// The secret.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Writes the record as a line, with its end, in one write.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        let mut line = self.line();
        let result = writer.write_all(&line);
        wipe(&mut line);
        result
    }

    /// The line, with its end; the caller wipes it.
    pub(in crate::keylog) fn line(&self) -> Vec<u8> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hex = |byte: &u8| {
            [
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]
        };
        let len = self.label.len() + 2 * (self.random.len() + self.secret.len()) + 3;
        let mut line = Vec::with_capacity(len);
        line.extend_from_slice(self.label.as_bytes());
        for field in [&self.random, &self.secret] {
            line.push(b' ');
            line.extend(field.iter().flat_map(hex));
        }
        line.push(b'\n');
        line
    }

    pub(super) fn from_line(line: &[u8]) -> Result<Self, LineError> {
        let mut fields = line
            .split(|b| matches!(b, b' ' | b'\t'))
            .filter(|field| !field.is_empty());
        let (Some(label), Some(random), Some(secret), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(LineError::Fields);
        };
        if !is_label(label) {
            return Err(LineError::Label);
        }
        let label = std::str::from_utf8(label).map_err(|_| LineError::Label)?;
        let random = unhex(random).ok_or(LineError::Random)?;
        let record = Record {
            label: label.into(),
            random,
            secret: unhex(secret).ok_or(LineError::Secret)?,
        };
        record.check_lengths()?;
        Ok(record)
    }

    fn kind(&self) -> Kind {
        match &*self.label {
            "CLIENT_RANDOM" => Kind::Tls12,
            "RSA" => Kind::Rsa,
            "EXPORTER_SECRET" | "EARLY_EXPORTER_SECRET" => Kind::Tls13,
            label if label.contains("_TRAFFIC_SECRET") => Kind::Tls13,
            _ => Kind::Other,
        }
    }

    fn check_lengths(&self) -> Result<(), LineError> {
        let random = match self.kind() {
            Kind::Rsa => 8,
            Kind::Tls12 | Kind::Tls13 => 32,
            Kind::Other => self.random.len(),
        };
        let found = self.random.len();
        if found != random {
            return Err(LineError::RandomLength { found });
        }
        let found = self.secret.len();
        let fits = match self.kind() {
            Kind::Rsa | Kind::Tls12 => found == 48,
            Kind::Tls13 => matches!(found, 32 | 48 | 64),
            Kind::Other => true,
        };
        match fits {
            true => Ok(()),
            false => Err(LineError::SecretLength { found }),
        }
    }

    /// Whether its line can't have been cut off, even if it has no end.
    pub(super) fn is_surely_whole(&self) -> bool {
        match self.kind() {
            Kind::Rsa | Kind::Tls12 => true,
            // 32 may be the half of 64, and the beginning of 48.
            Kind::Tls13 => self.secret.len() == 64,
            Kind::Other => false,
        }
    }
}

/// Whether these bytes can be a label: capital letters, digits and underscores.
pub(in crate::keylog) fn is_label(bytes: &[u8]) -> bool {
    let fits = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    !bytes.is_empty() && bytes.iter().all(fits)
}

/// The bytes that hexadecimal digits stand for.
fn unhex(digits: &[u8]) -> Option<Box<[u8]>> {
    let pairs = digits.chunks_exact(2);
    if digits.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    let digit = |b: u8| char::from(b).to_digit(16);
    // Exactly as long as needed: growing would leave a copy behind.
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in pairs {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
            wipe(&mut bytes);
            return None;
        };
        bytes.push((high << 4 | low) as u8);
    }
    Some(bytes.into_boxed_slice())
}

impl Drop for Record {
    fn drop(&mut self) {
        wipe(&mut self.secret);
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("label", &self.label)
            .field("client_random", &self.random)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost: a merged log that isn't the same as its parts.
    #[test]
    fn a_record_is_written_as_it_was_read() {
        let random: String = (0..32).map(|n| format!("{n:02x}")).collect();
        let secret: String = (200..248).map(|n| format!("{n:02x}")).collect();
        let text = format!("CLIENT_RANDOM {random} {secret}");
        let record = Record::from_line(text.as_bytes()).unwrap();
        assert_eq!(record.client_random()[31], 31);
        assert_eq!(record.secret()[47], 247);
        let mut written = Vec::new();
        record.write_to(&mut written).unwrap();
        assert_eq!(written, format!("{text}\n").as_bytes());
        assert_eq!(record.line().capacity(), written.len());
    }

    #[test]
    fn debug_output_has_no_secret() {
        let text = format!("CLIENT_RANDOM {} {}", "00".repeat(32), "5ec2e7".repeat(16));
        let shown = format!("{:?}", Record::from_line(text.as_bytes()).unwrap());
        assert!(shown.contains("CLIENT_RANDOM"));
        for secret in ["5ec2e7", "94, 194", "231"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
