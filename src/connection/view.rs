//! What a handler sees of its connection during a call.

use super::state::{Conn, Stage};
use super::{ConnectionId, Role};
use crate::context::engine::Engine;
use crate::context::ContextHandle;
use crate::error::SendError;
use crate::ffi::wsi::Wsi;
use crate::message::{CloseFrame, Message};
use std::fmt;
use std::net::SocketAddr;

/// A connection, borrowed for one call of a [`Handler`](crate::Handler) method.
///
/// It can't be kept: take the [`id`](Connection::id) and a
/// [`handle`](Connection::handle) instead.
///
/// ```compile_fail
/// use libwebsockets::{Connection, Handler};
/// struct Keeps<'a>(Option<&'a mut Connection<'a>>);
/// impl Handler for Keeps<'static> {
///     fn on_open(&mut self, conn: &mut Connection<'_>) {
///         self.0 = Some(conn); // does not live long enough
///     }
/// }
/// ```
#[doc(alias = "lws")]
pub struct Connection<'a> {
    engine: &'a Engine,
    conn: &'a Conn,
    wsi: &'a Wsi<'a>,
}

impl<'a> Connection<'a> {
    pub(crate) fn new(engine: &'a Engine, conn: &'a Conn, wsi: &'a Wsi<'a>) -> Self {
        Connection { engine, conn, wsi }
    }

    /// The connection's name, which never comes back.
    pub fn id(&self) -> ConnectionId {
        self.conn.id
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        self.conn.role
    }

    /// A handle to the context, to reach this and other connections later.
    pub fn handle(&self) -> ContextHandle {
        self.engine.handle()
    }

    /// Queues a message. It is sent as soon as the socket takes it, after what
    /// was queued before.
    ///
    /// `Ok` means that it is queued, not that it is delivered. What is still queued is lost when
    /// the peer closes, the connection breaks or is dropped ([`abort`](Connection::abort)), and
    /// when the context is dropped. [`close`](Connection::close) sends it first; where the peer
    /// breaks the protocol, it goes out ahead of the close frame as far as the peer takes it in
    /// time. That something arrived is known from the peer's answer alone.
    ///
    /// # Errors
    ///
    /// The message is given back when the queue is full, when the connection is
    /// closing, or when it is too long. After [`SendError::Full`],
    /// [`Handler::on_writable`](crate::Handler::on_writable) is called once the queue is empty.
    #[doc(alias = "lws_write")]
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.conn.outbox.push(message.into())
    }

    /// Closes the connection: what is queued is sent first, then the close
    /// frame; the peer then has
    /// [`close_timeout`](crate::WebSocketConfig::close_timeout) to answer. A
    /// second call has no effect.
    ///
    /// Once the close frame is out, no message of the peer's is delivered any more, though it
    /// may have sent some before it knew: whoever needs them says good-bye by a message of its
    /// own, and lets the peer close. A [`CloseCode`](crate::CloseCode) alone is a frame without
    /// a reason; one without a code isn't sent (RFC 6455 §5.5.1 allows it).
    ///
    /// A peer that doesn't read never gets as far as the close frame, and is dropped when
    /// it has taken nothing for that time; one that is too slow is better dropped by
    /// [`abort`](Connection::abort).
    #[doc(alias = "lws_close_reason")]
    pub fn close(&mut self, frame: impl Into<CloseFrame>) {
        // An earlier close stands; its frame is the one that is sent.
        let _ = self.conn.outbox.close(frame.into());
    }

    /// Drops the connection without a closing handshake, and what is queued with it. A client
    /// that reconnects doesn't after this; for that there is
    /// [`reconnect`](Connection::reconnect).
    #[doc(alias = "lws_set_timeout")]
    #[doc(alias = "lws_wsi_close")]
    pub fn abort(&mut self) {
        self.conn.doom();
    }

    /// Drops the connection as [`abort`](Connection::abort) does, as if it had broken: a client
    /// that [reconnects](crate::Client::reconnect) waits as its
    /// [`Backoff`](crate::Backoff) says, and connects again. For a server that is connected
    /// and doesn't answer, or whose state isn't ours any more.
    ///
    /// [`Handler::on_close`](crate::Handler::on_close) is told that this side ended it, and
    /// [`Handler::wants_reconnect`](crate::Handler::wants_reconnect) is asked. Of this,
    /// [`abort`](Connection::abort), and a panic, which is an abort, the last one counts; a
    /// [`close`](Connection::close) before it doesn't. On a server's connection, and for a
    /// client that doesn't reconnect, it is the same as [`abort`](Connection::abort).
    pub fn reconnect(&mut self) {
        self.conn.doom_to_reconnect();
    }

    /// Asks for one call of [`Handler::on_writable`](crate::Handler::on_writable)
    /// once everything queued went out.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn request_writable(&mut self) {
        self.conn.outbox.request_writable();
    }

    /// Bytes that wait to be sent, with 64 for each message.
    pub fn queued_bytes(&self) -> usize {
        self.conn.outbox.bytes()
    }

    /// Stops reading from the peer, which is then slowed down by TCP. Pings, pongs, close
    /// frames and the end of what the peer sends aren't seen either until
    /// [`resume_reading`](Connection::resume_reading), so that a pause as long as the
    /// idle timeout of either side ends the connection. What was read already may still
    /// be delivered.
    ///
    /// What a peer sent before it left is kept until then, unless something is to be sent
    /// to it, which fails and ends the connection. So does a reset of a TCP connection,
    /// such as by a peer that left unread what it was sent: within three seconds, and
    /// what isn't read by then is lost. (A library that isn't the vendored one may drop
    /// either at once.)
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause_reading(&mut self) {
        self.conn.wants_reading.set(false);
    }

    /// Reads from the peer again. While reading is paused, and nothing is left of what was
    /// read before, only [`on_writable`](crate::Handler::on_writable) and
    /// [`on_close`](crate::Handler::on_close) are called; whoever else the handler waits for
    /// resumes by [`ContextHandle::resume_reading`](crate::ContextHandle::resume_reading).
    #[doc(alias = "lws_rx_flow_control")]
    pub fn resume_reading(&mut self) {
        self.conn.wants_reading.set(true);
    }

    /// Whether the connection takes messages.
    pub fn is_open(&self) -> bool {
        self.conn.stage.get() == Stage::Open && !self.conn.outbox.is_closing()
    }

    /// The subprotocol that was agreed on (RFC 6455 §1.9); `None` if there is none.
    #[doc(alias = "lws_get_protocol")]
    pub fn subprotocol(&self) -> Option<String> {
        self.conn.subprotocol.borrow().clone()
    }

    /// The peer's address; `None` on a Unix domain socket.
    #[doc(alias = "lws_get_peer_simple")]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.wsi.peer_addr()
    }

    /// The facts of the TLS session; `None` on a plain connection.
    #[cfg(feature = "_tls")]
    #[doc(alias = "lws_get_ssl")]
    pub fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.wsi.tls_info()
    }
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id())
            .field("role", &self.role())
            .field("stage", &self.conn.stage.get())
            .finish_non_exhaustive()
    }
}
