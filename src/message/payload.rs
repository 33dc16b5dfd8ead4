//! Buffers with the headroom in front that the C library writes frame headers
//! into, so that sending copies nothing.

use crate::ffi::unmask::{self, Mask};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::string::FromUtf8Error;

/// Bytes in front of every payload. `LWS_PRE` is at most this (lws-write.h; a
/// static assertion in the C glue), and zero bytes are valid UTF-8.
pub(crate) const HEADROOM: usize = 16;

/// Room that may be left over in a small payload, in bytes.
const MUCH: usize = 256;

/// Owned bytes, ready to be sent without a copy.
///
/// It dereferences to `[u8]`. One that is grown in place
/// ([`extend_from_slice`](Payload::extend_from_slice), [`std::io::Write`]) is
/// not copied again; one made from a `Vec` or a slice is copied once. One with more
/// than twice the room that it needs gives that back when it is queued.
#[doc(alias = "LWS_PRE")]
#[derive(Clone)]
pub struct Payload {
    /// `HEADROOM` bytes, then the payload.
    buffer: Vec<u8>,
}

impl Payload {
    /// An empty payload.
    pub fn new() -> Self {
        Payload::with_capacity(0)
    }

    /// An empty payload with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(HEADROOM.saturating_add(capacity));
        buffer.resize(HEADROOM, 0);
        Payload { buffer }
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Appends bytes that a client masked.
    pub(crate) fn extend_unmasked(&mut self, masked: &[u8], mask: Mask) {
        unmask::append(&mut self.buffer, masked, mask);
    }

    /// The bytes as a `Vec`, without the headroom.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.buffer.drain(..HEADROOM);
        self.buffer
    }

    /// Interprets the payload as UTF-8, without copying it.
    ///
    /// # Errors
    ///
    /// The payload is given back if it isn't UTF-8.
    pub fn into_text(self) -> Result<Text, Payload> {
        let keep = |e: FromUtf8Error| Payload {
            buffer: e.into_bytes(),
        };
        match String::from_utf8(self.buffer) {
            Ok(buffer) => Ok(Text { buffer }),
            Err(e) => Err(keep(e)),
        }
    }

    /// How many bytes it can hold without another allocation.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity() - HEADROOM
    }

    /// Gives back room that the bytes don't need, where there is much of it.
    pub(crate) fn shrink(&mut self) {
        if self.buffer.capacity() > 2 * self.buffer.len() + MUCH {
            self.buffer.shrink_to_fit();
        }
    }

    /// Takes the bytes out, and leaves the room. The headroom, which a frame's header
    /// may have been written to, is part of a text as well.
    pub(crate) fn clear(&mut self) {
        self.buffer.truncate(HEADROOM);
        self.buffer.fill(0);
    }

    /// The whole buffer, headroom first, for the C library to write into.
    pub(crate) fn buffer_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

impl Default for Payload {
    fn default() -> Self {
        Payload::new()
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[HEADROOM..]
    }
}

impl DerefMut for Payload {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..]
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

/// The length alone: payloads are the users' data and may be large.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

impl std::io::Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        let mut payload = Payload::with_capacity(bytes.len());
        payload.extend_from_slice(bytes);
        payload
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(mut bytes: Vec<u8>) -> Self {
        if bytes.capacity() - bytes.len() < HEADROOM {
            // Growing in place would double the buffer, for as long as it is queued.
            return bytes.as_slice().into();
        }
        bytes.splice(..0, [0; HEADROOM]);
        Payload { buffer: bytes }
    }
}

impl From<Payload> for Vec<u8> {
    fn from(payload: Payload) -> Self {
        payload.into_vec()
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<Text> for Payload {
    fn from(text: Text) -> Self {
        Payload {
            buffer: text.buffer.into_bytes(),
        }
    }
}

/// Owned UTF-8 text, ready to be sent without a copy. It dereferences to `str`.
#[derive(Clone)]
pub struct Text {
    /// `HEADROOM` NUL characters, then the text.
    buffer: String,
}

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.buffer[HEADROOM..]
    }

    /// The text as a `String`, without the headroom.
    pub fn into_string(mut self) -> String {
        self.buffer.drain(..HEADROOM);
        self.buffer
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

/// An empty text.
impl Default for Text {
    fn default() -> Self {
        "".into()
    }
}

/// As a `str`.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

/// The length alone, as for [`Payload`].
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.as_str().len())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut buffer = String::with_capacity(HEADROOM + text.len());
        buffer.extend(std::iter::repeat_n('\0', HEADROOM));
        buffer.push_str(text);
        Text { buffer }
    }
}

impl From<String> for Text {
    fn from(mut text: String) -> Self {
        if text.capacity() - text.len() < HEADROOM {
            return text.as_str().into(); // as for a Vec
        }
        text.insert_str(0, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        Text { buffer: text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_headroom_is_never_part_of_the_payload() {
        let mut payload = Payload::from(vec![1, 2, 3]);
        payload.write_all(&[4]).unwrap();
        assert_eq!(*payload, [1, 2, 3, 4]);
        assert_eq!(payload.buffer_mut().len(), HEADROOM + 4);
        assert_eq!(payload.clone().into_vec(), [1, 2, 3, 4]);
        assert_eq!(payload, Payload::from(&[1, 2, 3, 4]));
    }

    #[test]
    fn a_buffer_is_as_large_as_its_bytes_need() {
        let needed = 4096 + HEADROOM;
        let text = "é".repeat(2048);
        let exact = [
            Payload::from(vec![7; 4096]),
            Payload::from([7; 4096].as_slice()),
            Payload::from(Text::from(text.clone())),
            Payload::from(Text::from(text.as_str())),
        ];
        assert!(exact
            .iter()
            .all(|payload| payload.buffer.capacity() == needed));

        let mut roomy = Vec::with_capacity(64 << 10);
        roomy.extend_from_slice(&[7; 4096]);
        let mut payload = Payload::from(roomy);
        payload.shrink();
        assert_eq!(payload.buffer.capacity(), needed);
        assert_eq!(*payload, [7; 4096]);
        // Nobody copies it for a little.
        payload.buffer.reserve_exact(100);
        let before = payload.buffer.capacity();
        payload.shrink();
        assert_eq!(payload.buffer.capacity(), before);
    }

    #[test]
    fn text_round_trips_without_its_headroom() {
        for text in ["", "a", "héllo"] {
            assert_eq!(Text::from(text).as_str(), text);
            assert_eq!(Text::from(text.to_owned()).into_string(), text);
            assert_eq!(Payload::from(text).into_text().unwrap().as_str(), text);
            assert_eq!(Text::from(text).to_string(), text);
        }
        let invalid = Payload::from(&[0xff, b'a']);
        assert_eq!(*invalid.into_text().unwrap_err(), [0xff, b'a']);
    }

    #[test]
    fn debug_output_keeps_the_users_data_to_itself() {
        let shown = format!("{:?} {:?}", Payload::from("secret"), Text::from("secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
