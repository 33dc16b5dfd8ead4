//! Puts messages together from the pieces in which they arrive.

use super::buffers::BufferCache;
use super::WebSocketConfig;
use crate::ffi::event::Chunk;
use crate::message::{CloseCode, Message, Payload};
use std::fmt;

/// A piece of a message, as it arrived.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Fragment<'a> {
    /// The bytes. Of a text message they may end in the midst of a character,
    /// and are not checked to be UTF-8.
    pub data: &'a [u8],
    /// Whether the message is binary.
    #[doc(alias = "lws_frame_is_binary")]
    pub binary: bool,
    /// Whether this is the first piece of its message.
    #[doc(alias = "lws_is_first_fragment")]
    pub first: bool,
    /// Whether this is the last piece of its message.
    #[doc(alias = "lws_is_final_fragment")]
    pub last: bool,
}

/// The length alone, as for [`Payload`].
impl fmt::Debug for Fragment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fragment")
            .field("length", &self.data.len())
            .field("binary", &self.binary)
            .field("first", &self.first)
            .field("last", &self.last)
            .finish()
    }
}

/// What became of a piece.
#[derive(Debug)]
pub(crate) enum Assembled {
    /// More is to come.
    Partial,
    /// The message is whole.
    Message(Message),
    /// The connection is to be closed.
    Violation(CloseCode, &'static str),
}

/// Why a connection is closed whose frame is over the limit.
pub(crate) const FRAME_TOO_BIG: &str = "frame too big";

/// No more than this is reserved at once, whatever a frame's header promises.
const MAX_RESERVE: usize = 1 << 20;

/// The message that is arriving, and the limits it is held to.
pub(crate) struct Assembler {
    max_message: usize,
    max_frame: usize,
    /// Whether permessage-deflate was agreed on: what is still to come of a frame may then be
    /// compressed, and says nothing of the message's length.
    deflate: bool,
    /// Whether a message has begun. The library's own mark for it can't be relied
    /// on: a compressed frame that inflates to nothing is not told, and what comes
    /// after it isn't marked as the first.
    begun: bool,
    /// What came of the present message.
    payload: Option<Payload>,
    /// Bytes of the present frame that came already.
    frame: usize,
    /// Bytes of a text payload that are known to be UTF-8.
    valid: usize,
}

impl Assembler {
    pub fn new(config: &WebSocketConfig) -> Self {
        Assembler {
            max_message: config.max_message_size,
            max_frame: config.max_frame_size,
            deflate: false,
            begun: false,
            payload: None,
            frame: 0,
            valid: 0,
        }
    }

    /// From now on messages may be compressed.
    #[cfg(feature = "deflate")]
    pub fn expect_deflate(&mut self) {
        self.deflate = true;
    }

    /// Makes a fragment of a piece, for connections that take those: only the
    /// frame's limit counts. `None`: it is beyond that.
    pub fn fragment<'a>(&mut self, chunk: &Chunk<'a>) -> Option<Fragment<'a>> {
        debug_assert!(chunk.mask.is_none(), "nobody asked to unmask it");
        let first = self.admit(chunk)?;
        Some(Fragment {
            data: chunk.data,
            binary: chunk.binary,
            first,
            last: chunk.last,
        })
    }

    /// Whether a piece is its message's first one; `None`: its frame is too long.
    fn admit(&mut self, chunk: &Chunk<'_>) -> Option<bool> {
        let first = !self.begun;
        self.begun = !chunk.last;
        if first {
            self.frame = 0;
        }
        self.frame = self.frame.saturating_add(chunk.data.len());
        let whole = self.frame.saturating_add(self.announced(chunk));
        if chunk.remaining == 0 {
            self.frame = 0;
        }
        (whole <= self.max_frame).then_some(first)
    }

    /// Bytes that the frame is known to have beyond this piece.
    fn announced(&self, chunk: &Chunk<'_>) -> usize {
        match self.deflate {
            true => 0,
            false => chunk.remaining,
        }
    }

    /// Takes a piece; a spare buffer may be used for a new message.
    pub fn push(&mut self, chunk: &Chunk<'_>, spare: &BufferCache) -> Assembled {
        if self.admit(chunk).is_none() {
            return Assembled::Violation(CloseCode::TOO_BIG, FRAME_TOO_BIG);
        }
        let before = self.payload.as_ref().map_or(0, |payload| payload.len());
        let so_far = before.saturating_add(chunk.data.len());
        if so_far.saturating_add(self.announced(chunk)) > self.max_message {
            return Assembled::Violation(CloseCode::TOO_BIG, "message too big");
        }
        let mut payload = match self.payload.take() {
            Some(payload) if before > 0 => payload,
            _ => spare.take(so_far + chunk.remaining.min(MAX_RESERVE)),
        };
        match chunk.mask {
            None => payload.extend_from_slice(chunk.data),
            Some(mask) => payload.extend_unmasked(chunk.data, mask),
        }
        if !chunk.last {
            // A bad sequence is refused as soon as it shows (RFC 6455 §8.1 allows it).
            let fine = chunk.binary || self.is_utf8_so_far(&payload);
            self.payload = Some(payload);
            return match fine {
                true => Assembled::Partial,
                false => not_utf8(),
            };
        }
        self.valid = 0;
        if chunk.binary {
            return Assembled::Message(Message::Binary(payload));
        }
        match payload.into_text() {
            Ok(text) => Assembled::Message(Message::Text(text)),
            Err(_) => not_utf8(),
        }
    }

    /// Whether the text up to now can be the start of UTF-8. Looks at each byte once.
    fn is_utf8_so_far(&mut self, text: &[u8]) -> bool {
        match std::str::from_utf8(&text[self.valid..]) {
            Ok(text) => {
                self.valid += text.len();
                true
            }
            Err(e) => {
                self.valid += e.valid_up_to();
                e.error_len().is_none()
            }
        }
    }
}

fn not_utf8() -> Assembled {
    Assembled::Violation(CloseCode::INVALID_PAYLOAD, "text is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(data: &[u8], last: bool, binary: bool, remaining: usize) -> Chunk<'_> {
        Chunk {
            data,
            mask: None,
            last,
            binary,
            remaining,
        }
    }

    fn assembler(max: usize) -> Assembler {
        Assembler::new(
            &WebSocketConfig::new()
                .max_message_size(max)
                .max_frame_size(max),
        )
    }

    #[test]
    fn debug_output_of_a_fragment_shows_no_payload() {
        let mut a = assembler(100);
        let fragment = a.fragment(&chunk(b"s3cret", true, true, 0)).unwrap();
        let shown = format!("{fragment:?}");
        assert!(!shown.contains(&format!("{:?}", b"s3cret")), "{shown}");
        assert!(shown.contains("length: 6"), "{shown}");
    }

    #[test]
    fn pieces_become_one_message_and_the_next_starts_afresh() {
        let mut a = assembler(100);
        for _ in 0..2 {
            let partial = a.push(&chunk(b"ab", false, true, 1), &BufferCache::default());
            assert!(matches!(partial, Assembled::Partial));
            let Assembled::Message(m) =
                a.push(&chunk(b"c", true, true, 0), &BufferCache::default())
            else {
                panic!("no message");
            };
            assert_eq!(m.as_bytes(), b"abc");
        }
    }

    #[test]
    fn nothing_of_a_message_is_left_for_the_next() {
        let mut a = assembler(100);
        for _ in 0..2 {
            // Its bytes are known to be UTF-8 up to here, which the next one is shorter than.
            a.push(
                &chunk(b"long text", false, false, 0),
                &BufferCache::default(),
            );
            let Assembled::Message(m) =
                a.push(&chunk(b"", true, false, 0), &BufferCache::default())
            else {
                panic!("no message");
            };
            assert_eq!(m.as_text(), Some("long text"));
            assert!(matches!(
                a.push(&chunk(b"b", false, false, 0), &BufferCache::default()),
                Assembled::Partial
            ));
            let Assembled::Message(m) =
                a.push(&chunk(b"", true, false, 0), &BufferCache::default())
            else {
                panic!("no message");
            };
            assert_eq!(m.as_text(), Some("b"));
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_has_arrived() {
        let mut a = assembler(10);
        let refused = a.push(&chunk(b"12345", false, true, 6), &BufferCache::default());
        assert!(matches!(
            refused,
            Assembled::Violation(CloseCode::TOO_BIG, _)
        ));
        let mut a = assembler(10);
        assert!(matches!(
            a.push(&chunk(b"123456", false, true, 0), &BufferCache::default()),
            Assembled::Partial
        ));
        let refused = a.push(&chunk(b"12345", true, true, 0), &BufferCache::default());
        assert!(matches!(
            refused,
            Assembled::Violation(CloseCode::TOO_BIG, _)
        ));
    }

    #[test]
    fn a_character_may_be_split_and_a_bad_one_is_refused_at_once() {
        let mut a = assembler(10);
        assert!(matches!(
            a.push(&chunk(b"a\xc3", false, false, 1), &BufferCache::default()),
            Assembled::Partial
        ));
        let Assembled::Message(m) =
            a.push(&chunk(b"\xa9", true, false, 0), &BufferCache::default())
        else {
            panic!("no message");
        };
        assert_eq!(m.as_text(), Some("aé"));

        let refused = a.push(&chunk(b"\xff", false, false, 5), &BufferCache::default());
        assert!(matches!(
            refused,
            Assembled::Violation(CloseCode::INVALID_PAYLOAD, _)
        ));
        let cut = a.push(&chunk(b"\xc3", true, false, 0), &BufferCache::default());
        assert!(matches!(
            cut,
            Assembled::Violation(CloseCode::INVALID_PAYLOAD, _)
        ));
    }
}
