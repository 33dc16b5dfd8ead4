//! What the C library's callbacks mean, and what we answer.

use super::headers::HeaderWriter;
use super::unmask::Mask;

/// One callback, decoded.
pub(crate) enum Event<'cb> {
    /// A server got a request to switch protocols; its headers are there to be
    /// read (`LWS_CALLBACK_HTTP_CONFIRM_UPGRADE`).
    UpgradeRequested { to: &'cb str },
    /// A server got what is no request, or more than there is room for, and answers with
    /// this status (our patch); its headers may be there in part.
    BadRequest { status: u16 },
    /// A server got a plain HTTP request (`LWS_CALLBACK_HTTP`).
    HttpRequest,
    /// The opening handshake is done, in the server's role.
    ServerEstablished,
    /// A client composes its request (`LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER`).
    ClientRequest(HeaderWriter<'cb>),
    /// A client got the response that accepts the upgrade; its headers are there.
    ClientResponse,
    /// The opening handshake is done, in the client's role.
    ClientEstablished,
    /// A client's connection could not be made.
    ClientFailed { reason: &'cb str },
    /// A piece of a message.
    Received(Chunk<'cb>),
    /// A pong.
    Pong(&'cb [u8]),
    /// The socket takes more.
    Writable,
    /// The peer sent a close frame, with this body; the library answers it.
    PeerClosed(&'cb [u8]),
    /// The connection is over, after having been open.
    Closed,
    /// The wsi is about to be freed.
    Destroyed,
}

impl Event<'_> {
    /// Whether only a connection has it whose opening handshake is done.
    pub(super) fn is_of_websocket(&self) -> bool {
        matches!(
            self,
            Event::ServerEstablished
                | Event::ClientEstablished
                | Event::Received(_)
                | Event::Pong(_)
                | Event::Writable
                | Event::PeerClosed(_)
        )
    }
}

/// A piece of a message, as it came off the socket.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'cb> {
    pub data: &'cb [u8],
    /// What the bytes are masked with, on a connection that
    /// [leaves that to us](super::wsi::WebSocket::leave_masked).
    pub mask: Option<Mask>,
    /// The last piece of a message.
    pub last: bool,
    pub binary: bool,
    /// Bytes of the frame that are still to come, compressed ones if the frame is.
    pub remaining: usize,
}

/// What the C library is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Continue,
    /// Close the connection (after a close frame, where a reason was set).
    Close,
}
