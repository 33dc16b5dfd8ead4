//! Reads key logs, whoever wrote them.

mod connections;
mod input;
mod record;

use crate::ffi::wipe::wipe;
use std::fmt;
use std::io::{self, BufRead};

pub use connections::{ConnectionSecrets, Connections};
pub use input::Input;
pub(super) use record::is_label;
pub use record::Record;

/// The longest line that is read. The longest that TLS libraries emit, an
/// ECHConfig in hexadecimal, has a few thousand bytes.
const LONGEST: usize = 64 * 1024;

/// Reads the records of a key log, one by one, in any amount of data: of text, or of what an
/// [`Input`] makes text of.
///
/// As tolerant as RFC 9850, section 2, asks readers to be: lines end with LF, CRLF
/// or CR; empty lines and comments (`#`) are passed over; unknown labels are taken.
/// A byte order mark, as editors put it, is no error either. A line that isn't a
/// record is an error, and reading goes on behind it.
///
/// Whether a secret has the length that its label asks for is checked, because a
/// line that was cut off in the midst looks like one with a shorter secret. For
/// the same reason a last line without an end is an error, unless its secret is
/// as long as any.
///
/// ```
/// use libwebsockets::keylog;
///
/// let log = format!("# a comment\nCLIENT_RANDOM {} {}\n", "00".repeat(32), "11".repeat(48));
/// for record in keylog::parse(log.as_bytes()) {
///     let record = record?;
///     assert_eq!(record.label(), "CLIENT_RANDOM");
///     assert_eq!(record.client_random(), [0; 32]);
/// }
/// # Ok::<(), keylog::ParseError>(())
/// ```
///
/// # Errors
/// Of reading: [`ParseError::Io`], once, and then nothing. Of a line:
/// [`ParseError::Line`], and the next one follows.
pub fn parse<R: BufRead>(reader: R) -> Records<R> {
    Records {
        reader,
        line: Vec::new(),
        number: 0,
        after_cr: false,
        done: false,
    }
}

/// The records of a key log: what [`parse`] returns.
pub struct Records<R> {
    reader: R,
    /// The line that is being read; it may hold a secret.
    line: Vec<u8>,
    number: u64,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    done: bool,
}

/// Why a key log, or a line of it, can't be read. No secret is in it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ParseError {
    /// Reading failed.
    Io(io::Error),
    /// A line is no record.
    #[non_exhaustive]
    Line {
        /// Which, from 1.
        number: u64,
        /// What is wrong with it.
        reason: LineError,
    },
}

/// Why a line is no record of RFC 9850.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// It has more or fewer than three fields.
    Fields,
    /// Its label has other characters than a label may have.
    Label,
    /// Its second field isn't hexadecimal, or has an odd number of digits.
    Random,
    /// Its second field has another length than its label asks for.
    #[non_exhaustive]
    RandomLength {
        /// How many bytes it stands for.
        found: usize,
    },
    /// Its third field isn't hexadecimal, or has an odd number of digits, as that
    /// of a line that was cut off or that another was written into.
    Secret,
    /// Its third field has another length than its label asks for, as that of a
    /// line that was cut off.
    #[non_exhaustive]
    SecretLength {
        /// How many bytes it stands for.
        found: usize,
    },
    /// It is the last, and has no end: it may have been cut off.
    Unfinished,
    /// It has more than 64 KiB.
    TooLong,
}

impl<R: BufRead> Iterator for Records<R> {
    type Item = Result<Record, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.done {
            let ended = match self.read_line() {
                Ok(ended) => ended,
                Err(error) => {
                    self.done = true;
                    return Some(Err(ParseError::Io(error)));
                }
            };
            self.done = !ended;
            let result = self.look(ended);
            wipe(&mut self.line);
            self.line.clear();
            if let Some(result) = result {
                let number = self.number;
                return Some(result.map_err(|reason| ParseError::Line { number, reason }));
            }
        }
        None
    }
}

impl<R: BufRead> Records<R> {
    /// Reads up to the end of a line, which isn't kept; `false` at the end of all.
    /// Of a line that is too long the beginning is kept.
    fn read_line(&mut self) -> io::Result<bool> {
        self.number += 1;
        // Never grows, so that no copy is left behind.
        self.line.reserve_exact(LONGEST + 1);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                return Ok(false);
            }
            if self.after_cr && bytes[0] == b'\n' {
                self.after_cr = false;
                self.reader.consume(1);
                continue;
            }
            self.after_cr = false;
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let text = &bytes[..end.unwrap_or(bytes.len())];
            let room = LONGEST + 1 - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let consumed = text.len() + usize::from(end.is_some());
            self.after_cr = end.is_some_and(|end| bytes[end] == b'\r');
            self.reader.consume(consumed);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// What the line says; `None` if it is empty or a comment.
    fn look(&self, ended: bool) -> Option<Result<Record, LineError>> {
        let mut line = &self.line[..];
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = line.trim_ascii();
        if line.is_empty() || line[0] == b'#' {
            return None;
        }
        if self.line.len() > LONGEST {
            return Some(Err(LineError::TooLong));
        }
        let record = Record::from_line(line);
        Some(match record {
            Ok(record) if !ended && !record.is_surely_whole() => Err(LineError::Unfinished),
            Err(_) if !ended => Err(LineError::Unfinished),
            other => other,
        })
    }
}

impl<R> Drop for Records<R> {
    fn drop(&mut self) {
        wipe(&mut self.line);
    }
}

impl<R> fmt::Debug for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("line", &self.number)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Io(error) => write!(f, "the key log cannot be read: {error}"),
            ParseError::Line { number, reason } => write!(f, "line {number} {reason}"),
        }
    }
}

impl std::error::Error for ParseError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ParseError::Io(error) => error.source(),
            ParseError::Line { .. } => None,
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields => f.write_str(
                "is no record: it must have a label, the client's random and a secret: \
                 make comments of other lines with `#`",
            ),
            Self::Label => f.write_str(
                "is no record: its label must have capital letters, digits and underscores: \
                 remove it",
            ),
            Self::Random => f.write_str(
                "is torn: its second field must have pairs of hexadecimal digits: remove it",
            ),
            Self::RandomLength { found } => write!(
                f,
                "is torn: its second field has {found} bytes instead of 32: remove it"
            ),
            Self::Secret => {
                f.write_str("is torn: its secret must have pairs of hexadecimal digits: remove it")
            }
            Self::SecretLength { found } => write!(
                f,
                "is torn: its secret has {found} bytes, which is not what its label asks for: \
                 remove it"
            ),
            Self::Unfinished => f.write_str(
                "is the last and has no line end, so that it may have been cut off: \
                 add one if it is whole",
            ),
            Self::TooLong => write!(
                f,
                "is longer than {LONGEST} bytes: check that the file is a key log"
            ),
        }
    }
}

impl std::error::Error for LineError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, random: u8, secret: usize) -> String {
        let (random, secret) = (format!("{random:02x}").repeat(32), "5a".repeat(secret));
        format!("{label} {random} {secret}")
    }

    fn read(text: &[u8]) -> Vec<Result<String, LineError>> {
        let outcome = |result| match result {
            Ok(record) => Ok(Record::label(&record).to_owned()),
            Err(ParseError::Line { reason, .. }) => Err(reason),
            Err(ParseError::Io(error)) => panic!("{error}"),
        };
        let whole: Vec<_> = parse(text).map(outcome).collect();
        // In pieces of one byte, what ends a line is seen just as well.
        let pieces = io::BufReader::with_capacity(1, text);
        assert_eq!(parse(pieces).map(outcome).collect::<Vec<_>>(), whole);
        whole
    }

    /// Lost: key logs of other systems and other libraries.
    #[test]
    fn all_line_ends_comments_and_unknown_labels_are_taken() {
        let a = line("CLIENT_RANDOM", 1, 48);
        let b = line("SERVER_TRAFFIC_SECRET_0", 2, 32);
        let c = line("SOMETHING_NEW_7", 3, 5);
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("\u{feff}# comment{end}{end}{a}{end}{b}{end} {end}{c}{end}");
            let expected = [
                "CLIENT_RANDOM",
                "SERVER_TRAFFIC_SECRET_0",
                "SOMETHING_NEW_7",
            ];
            assert_eq!(read(text.as_bytes()), expected.map(|s| Ok(s.to_owned())));
        }
        assert!(read(b"").is_empty());
        assert_eq!(
            read(a.to_ascii_lowercase().as_bytes()),
            [Err(LineError::Unfinished)]
        );
        let upper = format!("RSA {} {}\n", "AB".repeat(8), "Cd".repeat(48));
        assert_eq!(read(upper.as_bytes()), [Ok("RSA".to_owned())]);
    }

    /// Lost: a torn line that is taken for a secret, and a hunt for why nothing
    /// decrypts.
    #[test]
    fn each_torn_line_is_found_and_the_next_is_read() {
        let whole = line("CLIENT_RANDOM", 1, 48);
        for (torn, reason) in [
            ("CLIENT_RANDOM", LineError::Fields),
            ("CLIENT_RANDOM 00", LineError::Fields),
            ("CLIENT_RANDOM 00 11 22", LineError::Fields),
            ("client_random 00 11", LineError::Label),
            ("CLIENT_RANDOM 0g 11", LineError::Random),
            ("CLIENT_RANDOM 000 11", LineError::Random),
            ("CLIENT_RANDOM 00 11", LineError::RandomLength { found: 1 }),
            ("RSA 00 11", LineError::RandomLength { found: 1 }),
            (
                &line("CLIENT_RANDOM", 0, 47),
                LineError::SecretLength { found: 47 },
            ),
            (
                &line("EXPORTER_SECRET", 0, 31),
                LineError::SecretLength { found: 31 },
            ),
            (
                &line("SERVER_TRAFFIC_SECRET_2", 0, 20),
                LineError::SecretLength { found: 20 },
            ),
            (&(line("CLIENT_RANDOM", 0, 48) + "0"), LineError::Secret),
            (
                &(line("CLIENT_RANDOM", 0, 40) + "CLIENT_RANDOM"),
                LineError::Secret,
            ),
            (&"A".repeat(LONGEST + 1), LineError::TooLong),
            (&"A".repeat(LONGEST * 3), LineError::TooLong),
        ] {
            let found = read(format!("{torn}\n{whole}\n").as_bytes());
            assert_eq!(
                found,
                [Err(reason), Ok("CLIENT_RANDOM".to_owned())],
                "{torn:.80}"
            );
        }
    }

    /// Lost: the difference between a line that is whole and one that a process left
    /// when it died.
    #[test]
    fn the_last_line_needs_an_end_unless_its_secret_can_be_no_longer() {
        let random = line("CLIENT_RANDOM", 1, 48);
        assert_eq!(read(random.as_bytes()), [Ok("CLIENT_RANDOM".to_owned())]);
        for unsure in [
            line("CLIENT_RANDOM", 1, 47),
            line("EXPORTER_SECRET", 1, 32),
            line("NEW", 1, 48),
            "CLIENT_RAN".to_owned(),
        ] {
            assert_eq!(read(unsure.as_bytes()), [Err(LineError::Unfinished)]);
        }
    }

    #[test]
    fn an_error_names_the_line_and_no_secret() {
        let text = format!("#\r\n\r\n{}zz\r\n", line("CLIENT_RANDOM", 1, 48));
        let error = parse(text.as_bytes()).next().unwrap().unwrap_err();
        assert!(error.to_string().starts_with("line 3 is torn"), "{error}");
        assert!(!format!("{error} {error:?}").contains("5a5a"));
    }

    /// Lost: a loop without an end over a disk that fails.
    #[test]
    fn a_read_error_is_told_once() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let mut records = parse(io::BufReader::new(Broken));
        assert!(matches!(records.next(), Some(Err(ParseError::Io(_)))));
        assert!(records.next().is_none());
    }
}
