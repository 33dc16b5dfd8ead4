//! What key logs are kept in: text, compressed text, blocks of a pcapng file.

use crate::ffi::wipe::wipe;
use crate::keylog::pcapng::{BYTE_ORDER_MAGIC, DECRYPTION_SECRETS, SECTION_HEADER, TLS_KEY_LOG};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, Cursor, Read};
use std::ops::Range;
use std::path::Path;

/// What gzip's files begin with (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A key log in whatever it is kept in, to be [parsed](super::parse).
///
/// - Text is read as it is.
/// - Of a pcapng file, which may be a whole capture that carries its keys, the Decryption
///   Secrets Blocks for TLS are read, and the rest is passed over
///   (draft-ietf-opsawg-pcapng, section 4.7).
/// - What gzip has compressed, like old files of a [rotated](crate::keylog::Rotation) log, is
///   decompressed where the feature `keylog-gzip` is on.
///
/// ```no_run
/// use libwebsockets::keylog::{self, Connections, Input};
///
/// let mut found = Connections::new();
/// for path in ["keys.log", "keys.log.1.gz", "capture.pcapng"] {
///     for record in keylog::parse(Input::open(path)?) {
///         found.add(record?);
///     }
/// }
/// println!("secrets of {} connections", found.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Input<'a>(Reader<'a>);

impl<'a> Input<'a> {
    /// Opens a file, and looks what is in it.
    ///
    /// # Errors
    /// Those of opening and reading, and those of [`new`](Input::new).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Input::new(File::open(path)?)
    }

    /// Looks what there is to read, in the first four bytes.
    ///
    /// # Errors
    /// Those of reading, and [`Unsupported`](io::ErrorKind::Unsupported) if it is compressed
    /// and the feature `keylog-gzip` is off. Later, [`read`](Read::read) gives
    /// [`InvalidData`](io::ErrorKind::InvalidData) where a pcapng file is none any more, and
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it ends in the midst of a block;
    /// what came before was read, and each later read gives the same error.
    pub fn new(reader: impl Read + Send + 'a) -> io::Result<Self> {
        let reader = Box::new(Buffered::new(reader));
        let (mut start, mut reader) = start(reader)?;
        if start.starts_with(&GZIP) {
            (start, reader) = self::start(decompressed(reader)?)?;
        }
        Ok(Input(match start == SECTION_HEADER.to_le_bytes() {
            true => Box::new(Secrets::new(reader)),
            false => reader,
        }))
    }
}

impl Read for Input<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of what is read: there are secrets in it.
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

type Reader<'a> = Box<dyn BufRead + Send + 'a>;

/// The first four bytes, or all if there are fewer; they can still be read.
fn start(mut reader: Reader<'_>) -> io::Result<(Vec<u8>, Reader<'_>)> {
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let again = Cursor::new(start.clone()).chain(reader);
    Ok((start, Box::new(again)))
}

#[cfg(feature = "keylog-gzip")]
fn decompressed(reader: Reader<'_>) -> io::Result<Reader<'_>> {
    let plain = flate2::bufread::MultiGzDecoder::new(reader);
    Ok(Box::new(Buffered::new(plain)))
}

#[cfg(not(feature = "keylog-gzip"))]
fn decompressed(_: Reader<'_>) -> io::Result<Reader<'_>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "it is compressed by gzip: decompress it first, or build with the feature keylog-gzip",
    ))
}

/// Reads by the buffer, and zeroes that in the end: there are secrets in it.
struct Buffered<R> {
    reader: R,
    buffer: Box<[u8]>,
    /// What of the buffer is still to be read.
    unread: Range<usize>,
}

impl<R: Read> Buffered<R> {
    fn new(reader: R) -> Self {
        Buffered {
            reader,
            buffer: vec![0; 8 << 10].into(),
            unread: 0..0,
        }
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.unread = 0..self.reader.read(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.unread.clone()).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.unread.start = self.unread.end.min(self.unread.start + n);
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(to)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R> Drop for Buffered<R> {
    fn drop(&mut self) {
        wipe(&mut self.buffer);
    }
}

/// The secrets of a pcapng file, as one text.
struct Secrets<R> {
    reader: R,
    /// Of the present section; each has an order of its own.
    big_endian: bool,
    /// The present block's length, as its beginning has it.
    len: [u8; 4],
    /// Bytes of the present block: secrets that are still to be read,
    secrets: u64,
    /// and what follows them, up to the length once more; `None` between blocks.
    rest: Option<u64>,
    /// The last of the secrets that were looked at.
    last: u8,
    /// A block's last line has no end: it gets one.
    line_end: bool,
    /// After it nothing can be read.
    failed: Option<Failure>,
}

impl<R: BufRead> Secrets<R> {
    fn new(reader: R) -> Self {
        Secrets {
            reader,
            big_endian: false,
            len: [0; 4],
            secrets: 0,
            rest: None,
            last: b'\n',
            line_end: false,
            failed: None,
        }
    }

    /// Goes to the next block with secrets; `false` at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        while self.secrets == 0 {
            if let Some(rest) = self.rest.take() {
                let mut rest = self.reader.by_ref().take(rest);
                let skipped = io::copy(&mut rest, &mut io::sink());
                let left = rest.limit();
                skipped.map_err(|error| self.fail_to_read(error))?;
                if left > 0 {
                    return Err(self.fail(CUT_OFF));
                }
                if self.word()? != self.len {
                    return Err(self.fail(TWO_LENGTHS));
                }
            }
            if let Some(failed) = self.failed {
                return Err(self.fail(failed));
            }
            if self.reader.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let kind = self.word()?;
            self.len = self.word()?;
            if self.number(kind) == SECTION_HEADER {
                let magic = self.word()?;
                self.big_endian = magic == BYTE_ORDER_MAGIC.to_be_bytes();
                if !self.big_endian && magic != BYTE_ORDER_MAGIC.to_le_bytes() {
                    return Err(self.fail(NO_ORDER));
                }
                self.rest = Some(self.after(12)?);
            } else if self.number(kind) == DECRYPTION_SECRETS {
                let [kind, size] = [self.word()?, self.word()?];
                let rest = self.after(16)?;
                let size = u64::from(self.number(size));
                if size > rest {
                    return Err(self.fail(TOO_LONG));
                }
                if self.number(kind) == TLS_KEY_LOG {
                    self.secrets = size;
                }
                self.rest = Some(rest - self.secrets);
            } else {
                self.rest = Some(self.after(8)?);
            }
        }
        Ok(true)
    }

    /// What is left of a block of which so much was read, up to the length at its end.
    fn after(&mut self, read: u32) -> io::Result<u64> {
        let len = self.number(self.len);
        match len.is_multiple_of(4) && len >= read + 4 {
            true => Ok(u64::from(len - read - 4)),
            false => Err(self.fail(NO_LENGTH)),
        }
    }

    fn word(&mut self) -> io::Result<[u8; 4]> {
        let mut word = [0; 4];
        match self.reader.read_exact(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.fail(CUT_OFF)),
            Err(error) => Err(self.fail_to_read(error)),
            Ok(()) => Ok(word),
        }
    }

    fn number(&self, word: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        }
    }

    /// Where blocks begin isn't known any more.
    fn fail(&mut self, why: Failure) -> io::Error {
        self.failed = Some(why);
        io::Error::new(why.0, why.1)
    }

    /// As above; the first time, with the error as it is.
    fn fail_to_read(&mut self, error: io::Error) -> io::Error {
        self.failed = Some((error.kind(), "the pcapng file couldn't be read"));
        error
    }
}

type Failure = (io::ErrorKind, &'static str);

const CUT_OFF: Failure = (
    io::ErrorKind::UnexpectedEof,
    "the pcapng file ends in the midst of a block: what wrote it was stopped, or goes on",
);
const TWO_LENGTHS: Failure = (
    io::ErrorKind::InvalidData,
    "a block of the pcapng file has another length at its end: it was cut off, or written into",
);
const NO_LENGTH: Failure = (
    io::ErrorKind::InvalidData,
    "what follows in the pcapng file is no block: its length can't be right",
);
const NO_ORDER: Failure = (
    io::ErrorKind::InvalidData,
    "what follows in the pcapng file is no section: its order of bytes is unknown",
);
const TOO_LONG: Failure = (
    io::ErrorKind::InvalidData,
    "a block of the pcapng file has secrets that are longer than itself",
);

impl<R: BufRead> BufRead for Secrets<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.line_end {
            return Ok(b"\n");
        }
        if !self.next_block()? {
            return Ok(&[]);
        }
        if self.reader.fill_buf()?.is_empty() {
            self.secrets = 0;
            return Err(self.fail(CUT_OFF));
        }
        let there = self.reader.fill_buf()?;
        let most = usize::try_from(self.secrets).unwrap_or(usize::MAX);
        let there = &there[..there.len().min(most)];
        self.last = there.last().copied().unwrap_or(self.last);
        Ok(there)
    }

    fn consume(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        if self.line_end {
            self.line_end = false;
            return;
        }
        self.reader.consume(n);
        self.secrets = self.secrets.saturating_sub(n as u64);
        self.line_end = self.secrets == 0 && self.last != b'\n';
    }
}

impl<R: BufRead> Read for Secrets<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(to)?;
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::batch::Batch;
    use crate::keylog::{parse, pcapng};

    const LINE: &str = "A 00 11\n";

    fn text(file: &[u8]) -> io::Result<String> {
        io::read_to_string(Input::new(file)?)
    }

    /// A block, in either order of bytes.
    fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
        let body = [body, &[0; 4][..body.len().next_multiple_of(4) - body.len()]].concat();
        let len = word(big, 12 + body.len() as u32);
        [&word(big, kind)[..], &len, &body, &len].concat()
    }

    fn word(big: bool, number: u32) -> [u8; 4] {
        match big {
            true => number.to_be_bytes(),
            false => number.to_le_bytes(),
        }
    }

    fn secrets(big: bool, kind: u32, text: &str) -> Vec<u8> {
        let len = word(big, text.len() as u32);
        let body = [&word(big, kind)[..], &len, text.as_bytes()].concat();
        block(big, DECRYPTION_SECRETS, &body)
    }

    fn section(big: bool) -> Vec<u8> {
        let magic = word(big, BYTE_ORDER_MAGIC);
        block(big, SECTION_HEADER, &[&magic[..], &[0; 12]].concat())
    }

    #[test]
    fn text_is_read_as_it_is() {
        for whole in ["", "A", "A 0", LINE, "# comment\r\nA 00 11\r\n"] {
            assert_eq!(text(whole.as_bytes()).unwrap(), whole);
        }
    }

    /// Lost: keys that this crate wrote itself.
    #[test]
    fn secrets_of_a_pcapng_file_of_ours_are_read() {
        let mut batch = Batch::default();
        assert!(batch.push(LINE.trim_end().as_bytes()));
        let own = [
            pcapng::header(),
            pcapng::block(&batch),
            pcapng::block(&batch),
        ]
        .concat();
        let records: Vec<_> = parse(Input::new(&own[..]).unwrap()).collect();
        assert_eq!(records.len(), 2);
        for record in records {
            assert_eq!(record.unwrap().label(), "A");
        }
    }

    #[test]
    fn of_a_capture_only_the_secrets_for_tls_are_read_in_either_order_of_bytes() {
        let mut file = Vec::new();
        for big in [true, false] {
            file.extend(section(big));
            file.extend(block(big, 1, &[1; 8]));
            file.extend(secrets(big, 0x5747_4b4c, "WireGuard's"));
            file.extend(secrets(big, TLS_KEY_LOG, LINE));
            file.extend(block(big, 6, &[7; 100_000]));
            file.extend(secrets(big, TLS_KEY_LOG, ""));
            file.extend(secrets(big, TLS_KEY_LOG, "B 00 22"));
        }
        let read = text(&file).unwrap();
        let lines: Vec<_> = read.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines, ["A 00 11", "B 00 22"].repeat(2));
    }

    #[test]
    fn a_pcapng_file_that_was_cut_off_gives_what_it_has_and_an_error() {
        let head = section(false);
        let file = [&head[..], &secrets(false, TLS_KEY_LOG, LINE)].concat();
        for len in 4..file.len() {
            let mut input = Input::new(&file[..len]).unwrap();
            let mut read = Vec::new();
            let result = input.read_to_end(&mut read);
            if len == head.len() {
                assert_eq!(result.unwrap(), 0);
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len}");
            // Behind the block's head there is a line.
            let whole = len.saturating_sub(head.len() + 16).min(LINE.len());
            assert_eq!(read, LINE.as_bytes()[..whole], "{len}");
        }
    }

    #[test]
    fn what_is_no_block_is_an_error() {
        let head = section(false);
        let long = [word(false, TLS_KEY_LOG), word(false, 1000), word(false, 0)].concat();
        for wrong in [
            block(false, DECRYPTION_SECRETS, &long),
            [word(false, 6), word(false, 8), word(false, 8)].concat(),
            [word(false, 6), word(false, 13), [0; 4]].concat(),
            block(false, SECTION_HEADER, &[0; 16]),
            // It was cut off, and another process has written on.
            secrets(false, TLS_KEY_LOG, LINE)[..20].to_vec(),
        ] {
            let more = secrets(false, TLS_KEY_LOG, LINE);
            let file = [&head[..], &wrong, &more].concat();
            let mut input = Input::new(&file[..]).unwrap();
            for _ in 0..2 {
                let error = input.read_to_end(&mut Vec::new()).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wrong:?}");
                assert!(error.to_string().contains("pcapng"));
            }
        }
    }

    #[cfg(feature = "keylog-gzip")]
    #[test]
    fn what_gzip_has_compressed_is_decompressed() {
        use flate2::{write::GzEncoder, Compression};
        use std::io::Write;
        let compress = |bytes: &[u8]| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(bytes).unwrap();
            gzip.finish().unwrap()
        };
        assert_eq!(text(&compress(LINE.as_bytes())).unwrap(), LINE);
        // As `cat` puts two together.
        let two = compress(LINE.as_bytes()).repeat(2);
        assert_eq!(text(&two).unwrap(), LINE.repeat(2));
        let capture = [section(true), secrets(true, TLS_KEY_LOG, LINE)].concat();
        assert_eq!(
            text(&compress(&capture)).unwrap().trim_end(),
            LINE.trim_end()
        );
        let cut = compress(LINE.as_bytes());
        assert!(text(&cut[..cut.len() - 9]).is_err());
    }

    #[cfg(not(feature = "keylog-gzip"))]
    #[test]
    fn what_gzip_has_compressed_is_refused_with_what_to_do() {
        let error = text(&[0x1f, 0x8b, 8, 0]).unwrap_err();
        assert!(error.to_string().contains("keylog-gzip"), "{error}");
    }

    #[test]
    fn debug_shows_nothing_of_what_is_read() {
        let input = Input::new(LINE.as_bytes()).unwrap();
        assert_eq!(format!("{input:?}"), "Input { .. }");
    }
}
