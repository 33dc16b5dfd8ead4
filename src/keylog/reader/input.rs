//! What key logs are kept in: text, compressed text, blocks of a pcapng file.

use super::super::pcapng::{BYTE_ORDER_MAGIC, DECRYPTION_SECRETS, SECTION_HEADER, TLS_KEY_LOG};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
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
pub struct Input(Box<dyn BufRead + Send>);

impl Input {
    /// Opens a file, and looks what is in it.
    ///
    /// # Errors
    /// Those of opening and reading, and those of [`new`](Input::new).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Input> {
        Input::new(File::open(path)?)
    }

    /// Looks what there is to read, in the first four bytes.
    ///
    /// # Errors
    /// Those of reading, and [`Unsupported`](io::ErrorKind::Unsupported) if it is compressed
    /// and the feature `keylog-gzip` is off. Later, [`read`](Read::read) gives
    /// [`InvalidData`](io::ErrorKind::InvalidData) where a pcapng file is none any more, and
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where it ends in the midst of a block;
    /// what came before was read.
    pub fn new(reader: impl Read + Send + 'static) -> io::Result<Input> {
        let reader = Box::new(BufReader::new(reader));
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

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0.read(to)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.0.consume(n);
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of what is read: there are secrets in it.
        f.debug_struct("Input").finish_non_exhaustive()
    }
}

type Reader = Box<dyn BufRead + Send>;

/// The first four bytes, or all if there are fewer; they can still be read.
fn start(mut reader: Reader) -> io::Result<(Vec<u8>, Reader)> {
    let mut start = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut start)?;
    let again = Cursor::new(start.clone()).chain(reader);
    Ok((start, Box::new(again)))
}

#[cfg(feature = "keylog-gzip")]
fn decompressed(reader: Reader) -> io::Result<Reader> {
    let plain = flate2::bufread::MultiGzDecoder::new(reader);
    Ok(Box::new(BufReader::new(plain)))
}

#[cfg(not(feature = "keylog-gzip"))]
fn decompressed(_: Reader) -> io::Result<Reader> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "it is compressed by gzip: decompress it first, or build with the feature keylog-gzip",
    ))
}

/// The secrets of a pcapng file, as one text.
struct Secrets<R> {
    reader: R,
    /// Of the present section; each has an order of its own.
    big_endian: bool,
    /// Bytes of the present block: secrets that are still to be read,
    secrets: u64,
    /// and what follows them.
    rest: u64,
    /// A block's last line may have no end.
    line_end: bool,
}

impl<R: BufRead> Secrets<R> {
    fn new(reader: R) -> Self {
        Secrets {
            reader,
            big_endian: false,
            secrets: 0,
            rest: 0,
            line_end: false,
        }
    }

    /// Goes to the next block with secrets; `false` at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        while self.secrets == 0 {
            let skipped = io::copy(&mut self.reader.by_ref().take(self.rest), &mut io::sink())?;
            if skipped < self.rest {
                return Err(cut_off());
            }
            self.rest = 0;
            if self.reader.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let [kind, len] = [self.word()?, self.word()?];
            if self.number(kind) == SECTION_HEADER {
                let magic = self.word()?;
                self.big_endian = magic == BYTE_ORDER_MAGIC.to_be_bytes();
                if !self.big_endian && magic != BYTE_ORDER_MAGIC.to_le_bytes() {
                    return Err(no_block("its section has no byte order"));
                }
                self.rest = self.after(len, 12)?;
            } else if self.number(kind) == DECRYPTION_SECRETS {
                let [kind, size] = [self.word()?, self.word()?];
                let rest = self.after(len, 16)?;
                let size = u64::from(self.number(size));
                if size + 4 > rest {
                    return Err(no_block("its secrets are longer than the block"));
                }
                if self.number(kind) == TLS_KEY_LOG {
                    self.secrets = size;
                }
                self.rest = rest - self.secrets;
            } else {
                self.rest = self.after(len, 8)?;
            }
        }
        Ok(true)
    }

    /// The length of a block without that of its part that was read already.
    fn after(&self, len: [u8; 4], read: u32) -> io::Result<u64> {
        let len = self.number(len);
        // Its length stands at its end, too.
        match len.is_multiple_of(4) && len >= read + 4 {
            true => Ok(u64::from(len - read)),
            false => Err(no_block("its length can't be right")),
        }
    }

    fn word(&mut self) -> io::Result<[u8; 4]> {
        let mut word = [0; 4];
        match self.reader.read_exact(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_off()),
            other => other.map(|()| word),
        }
    }

    fn number(&self, word: [u8; 4]) -> u32 {
        match self.big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        }
    }
}

impl<R: BufRead> BufRead for Secrets<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.line_end {
            return Ok(b"\n");
        }
        if !self.next_block()? {
            return Ok(&[]);
        }
        let there = self.reader.fill_buf()?;
        if there.is_empty() {
            return Err(cut_off());
        }
        let most = usize::try_from(self.secrets).unwrap_or(usize::MAX);
        Ok(&there[..there.len().min(most)])
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
        self.line_end = self.secrets == 0;
    }
}

impl<R: BufRead> Read for Secrets<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(to)?;
        self.consume(n);
        Ok(n)
    }
}

fn cut_off() -> io::Error {
    let why = "the pcapng file ends in the midst of a block: what wrote it was stopped, or goes on";
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}

fn no_block(why: &str) -> io::Error {
    let text = format!("what follows in the pcapng file is no block: {why}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::batch::Batch;
    use crate::keylog::{parse, pcapng};

    const LINE: &str = "A 00 11\n";

    fn text(file: &[u8]) -> io::Result<String> {
        io::read_to_string(Input::new(Cursor::new(file.to_vec()))?)
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
        let records: Vec<_> = parse(Input::new(Cursor::new(own)).unwrap()).collect();
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
            let mut input = Input::new(Cursor::new(file[..len].to_vec())).unwrap();
            let mut read = Vec::new();
            let result = input.read_to_end(&mut read);
            if len == head.len() {
                assert_eq!(result.unwrap(), 0);
                continue;
            }
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len}");
            assert!(LINE.as_bytes().starts_with(read.trim_ascii_end()), "{len}");
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
        ] {
            let error = text(&[&head[..], &wrong].concat()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{wrong:?}");
            assert!(error.to_string().contains("pcapng"));
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
        let input = Input::new(Cursor::new(LINE)).unwrap();
        assert_eq!(format!("{input:?}"), "Input { .. }");
    }
}
