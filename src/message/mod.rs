//! What travels over a WebSocket: messages, their payloads, and close frames.

mod close;
mod payload;

pub use close::{CloseCode, CloseFrame};
pub use payload::{Payload, Text};

/// The longest payload of a ping, pong or close frame (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// A whole WebSocket message (RFC 6455 §5.6), or a control frame (§5.5).
///
/// Handlers receive [`Text`](Message::Text) and [`Binary`](Message::Binary);
/// the others are only sent. The library answers pings by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// UTF-8 text.
    #[doc(alias = "LWS_WRITE_TEXT")]
    Text(Text),
    /// Bytes.
    #[doc(alias = "LWS_WRITE_BINARY")]
    Binary(Payload),
    /// A ping; the peer answers with a pong of the same payload.
    #[doc(alias = "LWS_WRITE_PING")]
    Ping(Payload),
    /// An unsolicited pong.
    #[doc(alias = "LWS_WRITE_PONG")]
    Pong(Payload),
    /// Starts the closing handshake, as [`Connection::close`](crate::Connection::close). `None`
    /// sends 1000, [`CloseCode::NORMAL`], without a reason.
    Close(Option<CloseFrame>),
}

impl Message {
    /// The longest text or binary message that can be sent, in bytes: nearly 2 GiB, for the C
    /// library counts them, with the frame's header, in an `int`.
    pub const MAX_LEN: usize = i32::MAX as usize - 64;

    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Message::Text(text.into())
    }

    /// A binary message.
    pub fn binary(payload: impl Into<Payload>) -> Self {
        Message::Binary(payload.into())
    }

    /// A ping with at most [`MAX_CONTROL_PAYLOAD`] bytes; a longer one is refused when it is sent
    /// ([`SendError::TooLong`](crate::SendError::TooLong)).
    pub fn ping(payload: impl Into<Payload>) -> Self {
        Message::Ping(payload.into())
    }

    /// The length of the payload in bytes; of a close frame, its reason's.
    pub fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.as_str().len(),
            Message::Binary(p) | Message::Ping(p) | Message::Pong(p) => p.len(),
            Message::Close(frame) => frame.as_ref().map_or(0, |f| f.reason().len()),
        }
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no connection can send it.
    pub(crate) fn is_too_long(&self) -> bool {
        let longest = match self {
            Message::Text(_) | Message::Binary(_) => Message::MAX_LEN,
            Message::Ping(_) | Message::Pong(_) => MAX_CONTROL_PAYLOAD,
            Message::Close(_) => return false, // it is cut to what fits
        };
        self.len() > longest
    }

    /// The text, if this is a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The payload's bytes, whatever the kind; none of a close frame.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_str().as_bytes(),
            Message::Binary(p) | Message::Ping(p) | Message::Pong(p) => p,
            Message::Close(_) => &[],
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::text(text)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Message::binary(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        Message::binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Message::binary(bytes)
    }
}

impl From<Payload> for Message {
    fn from(payload: Payload) -> Self {
        Message::Binary(payload)
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Self {
        Message::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_keep_the_payload_and_choose_the_kind() {
        assert_eq!(Message::from("é").as_text(), Some("é"));
        assert_eq!(Message::from(vec![1, 2]).as_bytes(), [1, 2]);
        assert_eq!(Message::from(b"ab"), Message::from(&b"ab"[..]));
        assert_eq!(Message::from("abc").len(), 3);
        assert!(Message::Close(None).is_empty());
        assert_eq!(Message::ping("x").as_text(), None);
    }
}
