//! Secrets as blocks of a pcapng file (draft-ietf-opsawg-pcapng, sections 4.1
//! and 4.7), so that a capture carries its own keys.

use super::batch::Batch;
use std::io::{self, Read, Seek, SeekFrom};

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
pub(super) const DECRYPTION_SECRETS: u32 = 0x0000_000a;
/// "TLSK": the lines of a key log.
pub(super) const TLS_KEY_LOG: u32 = 0x544c_534b;
const LENGTH_UNKNOWN: u64 = u64::MAX;

/// What a file begins with: the header of a section of any length.
pub(super) fn header() -> Vec<u8> {
    let mut body = Vec::with_capacity(16);
    body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
    body.extend(1u16.to_le_bytes()); // version 1.0
    body.extend(0u16.to_le_bytes());
    body.extend(LENGTH_UNKNOWN.to_le_bytes());
    let mut block = Vec::new();
    put(&mut block, SECTION_HEADER, &[&body]);
    block
}

/// A Decryption Secrets Block; the caller wipes it.
pub(super) fn block(batch: &Batch) -> Vec<u8> {
    let lines = batch.lines();
    let len = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    // Exactly as long as needed: growing would leave a copy behind.
    let mut block = Vec::with_capacity(lines.len() + 24);
    let kind = [TLS_KEY_LOG.to_le_bytes(), len.to_le_bytes()].concat();
    put(&mut block, DECRYPTION_SECRETS, &[&kind, lines]);
    block
}

/// A block: its kind, its length, its body, padding, its length again.
fn put(to: &mut Vec<u8>, kind: u32, body: &[&[u8]]) {
    let len: usize = body.iter().map(|part| part.len()).sum();
    let padding = len.next_multiple_of(4) - len;
    let total = u32::try_from(len + padding + 12).unwrap_or(u32::MAX);
    to.extend(kind.to_le_bytes());
    to.extend(total.to_le_bytes());
    for part in body {
        to.extend_from_slice(part);
    }
    to.extend_from_slice(&[0; 4][..padding]);
    to.extend(total.to_le_bytes());
}

/// Whether a file's blocks are whole, up to the last: what follows one that was cut off can't be
/// read. `known` is how many bytes are known to be, before and after.
pub(super) fn is_whole(file: &mut (impl Read + Seek), known: &mut u64) -> io::Result<bool> {
    let len = file.seek(SeekFrom::End(0))?;
    if len < *known {
        *known = 0; // somebody has made it shorter
    }
    while *known < len {
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(*known))?;
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        let [.., a, b, c, d] = head;
        let total = u64::from(u32::from_le_bytes([a, b, c, d]));
        if total < 12 || total % 4 != 0 || total > len - *known {
            return Ok(false);
        }
        *known += total;
    }
    Ok(true)
}

/// Whether a file that begins with these bytes is one of blocks; of one that was cut off
/// there are no more.
pub(super) fn is_header(bytes: &[u8]) -> bool {
    let is_whole = bytes.starts_with(&SECTION_HEADER.to_le_bytes())
        && bytes.get(8..12) == Some(&BYTE_ORDER_MAGIC.to_le_bytes());
    is_whole || !bytes.is_empty() && header().starts_with(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_cut_off_is_found_wherever() {
        let mut batch = Batch::default();
        assert!(batch.push(b"A 00 11"));
        let file = [header(), block(&batch), block(&batch)].concat();
        let whole = |bytes: &[u8]| is_whole(&mut io::Cursor::new(bytes), &mut 0).unwrap();
        let ends = [
            0,
            header().len(),
            header().len() + block(&batch).len(),
            file.len(),
        ];
        for len in 0..=file.len() {
            assert_eq!(whole(&file[..len]), ends.contains(&len), "{len}");
        }
        assert!(!whole(&[file, vec![0; 16]].concat()));
    }

    #[test]
    fn what_is_known_to_be_whole_is_not_looked_at_again() {
        let mut batch = Batch::default();
        assert!(batch.push(b"A 00 11"));
        let (first, second) = (header(), block(&batch));
        let mut file = [&first[..], &second[..second.len() - 1]].concat();
        let mut known = 0;
        let look = |file: &[u8], known: &mut u64| {
            let whole = is_whole(&mut io::Cursor::new(file), known).unwrap();
            (whole, *known as usize)
        };
        assert_eq!(look(&file, &mut known), (false, first.len()));
        // Not even the header, which isn't one any more.
        file[4..8].fill(0);
        file.extend_from_slice(&second[second.len() - 1..]);
        assert_eq!(look(&file, &mut known), (true, file.len()));
        assert_eq!(look(&first, &mut known), (true, first.len()));
        assert_eq!(look(&[], &mut known), (true, 0));
    }

    #[test]
    fn blocks_are_padded_and_have_their_length_at_both_ends() {
        assert!(is_header(&header()));
        assert!((1..28).all(|len| is_header(&header()[..len])));
        assert!(!is_header(b"") && !is_header(b"CLIENT_RANDOM ") && !is_header(b"\n\r\r\nblank"));
        for len in 0..9 {
            let mut batch = Batch::default();
            assert!(batch.push(&vec![b'x'; len + 1]));
            let block = block(&batch);
            assert_eq!(block.len() % 4, 0);
            assert_eq!(block.capacity(), batch.lines().len() + 24);
            let total = u32::try_from(block.len()).unwrap().to_le_bytes();
            assert_eq!(block[4..8], total);
            assert_eq!(block[block.len() - 4..], total);
            assert_eq!(block[16..16 + len + 2], *batch.lines());
        }
    }
}
