//! What an application does with a connection.

use super::assembler::Fragment;
use super::{Closed, Connection};
use crate::client::ConnectError;
use crate::message::Message;

/// An application's side of one connection: its state, and what it does when
/// something happens. Every method has a default that does nothing.
///
/// All methods are called on the thread that services the context, one at a
/// time. The [`Connection`] is valid during the call only; keep its
/// [`id`](Connection::id) and a [`handle`](Connection::handle) to reach it
/// later. While a method runs, the context does nothing else: what takes long belongs on
/// another thread.
///
/// A handler of a client that reconnects lives through all its connections.
///
/// # Panics
///
/// A panic doesn't cross the C library: [`Context::run`](crate::Context::run),
/// [`Context::service`](crate::Context::service), [`Context::connect`](crate::Context::connect)
/// or the drop of the context, within which the method was called, resumes it. Besides, one in
///
/// - [`on_open`](Handler::on_open), [`on_message`](Handler::on_message),
///   [`on_fragment`](Handler::on_fragment), [`on_writable`](Handler::on_writable) or
///   [`on_pong`](Handler::on_pong) drops the connection as
///   [`Connection::abort`](crate::Connection::abort) does; [`on_close`](Handler::on_close) is
///   still called, and a client doesn't connect again;
/// - [`on_close`](Handler::on_close) keeps a client from connecting again;
/// - [`on_connect_error`](Handler::on_connect_error) does, too;
/// - [`wants_reconnect`](Handler::wants_reconnect) counts as `false`.
#[doc(alias = "lws_callback_function")]
pub trait Handler: 'static {
    /// The opening handshake is done.
    #[doc(alias = "LWS_CALLBACK_ESTABLISHED")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_ESTABLISHED")]
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        let _ = conn;
    }

    /// A whole message arrived: [`Message::Text`] or [`Message::Binary`].
    #[doc(alias = "LWS_CALLBACK_RECEIVE")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_RECEIVE")]
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        let _ = (conn, message);
    }

    /// A piece of a message arrived. Called instead of
    /// [`on_message`](Handler::on_message) where
    /// [`WebSocketConfig::fragments`](crate::WebSocketConfig::fragments) is on.
    #[doc(alias = "LWS_CALLBACK_RECEIVE")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_RECEIVE")]
    fn on_fragment(&mut self, conn: &mut Connection<'_>, fragment: Fragment<'_>) {
        let _ = (conn, fragment);
    }

    /// Everything queued went out, after a send was refused as
    /// [`Full`](crate::SendError::Full) or after
    /// [`Connection::request_writable`].
    #[doc(alias = "LWS_CALLBACK_SERVER_WRITEABLE")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_WRITEABLE")]
    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        let _ = conn;
    }

    /// A pong arrived, with up to 125 bytes. An empty one may answer a ping that
    /// [`ping_after`](crate::WebSocketConfig::ping_after) made. (A library that
    /// isn't the vendored one says nothing of empty pongs to a server.)
    #[doc(alias = "LWS_CALLBACK_RECEIVE_PONG")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_RECEIVE_PONG")]
    fn on_pong(&mut self, conn: &mut Connection<'_>, payload: &[u8]) {
        let _ = (conn, payload);
    }

    /// The connection is over. Called once for each
    /// [`on_open`](Handler::on_open), also when the context is dropped. To reach
    /// others from here, keep a [`handle`](Connection::handle) from before.
    #[doc(alias = "LWS_CALLBACK_CLOSED")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_CLOSED")]
    #[doc(alias = "LWS_CALLBACK_WS_PEER_INITIATED_CLOSE")]
    fn on_close(&mut self, closed: Closed) {
        let _ = closed;
    }

    /// A client's attempt to connect failed. Called once for each attempt that
    /// doesn't lead to [`on_open`](Handler::on_open).
    #[doc(alias = "LWS_CALLBACK_CLIENT_CONNECTION_ERROR")]
    fn on_connect_error(&mut self, error: &ConnectError) {
        let _ = error;
    }

    /// Whether a client that [reconnects](crate::Client::reconnect) is to connect again: asked
    /// after [`on_connect_error`](Handler::on_connect_error), with the same error, or after
    /// [`on_close`](Handler::on_close), without one; not where this side
    /// [ended it](crate::Client::reconnect). `false` is for what waiting doesn't mend, such as
    /// a status of 401, or a certificate that isn't trusted.
    fn wants_reconnect(&mut self, error: Option<&ConnectError>) -> bool {
        let _ = error;
        true
    }
}

impl<H: Handler + ?Sized> Handler for Box<H> {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        (**self).on_open(conn);
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        (**self).on_message(conn, message);
    }

    fn on_fragment(&mut self, conn: &mut Connection<'_>, fragment: Fragment<'_>) {
        (**self).on_fragment(conn, fragment);
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        (**self).on_writable(conn);
    }

    fn on_pong(&mut self, conn: &mut Connection<'_>, payload: &[u8]) {
        (**self).on_pong(conn, payload);
    }

    fn on_close(&mut self, closed: Closed) {
        (**self).on_close(closed);
    }

    fn on_connect_error(&mut self, error: &ConnectError) {
        (**self).on_connect_error(error);
    }

    fn wants_reconnect(&mut self, error: Option<&ConnectError>) -> bool {
        (**self).wants_reconnect(error)
    }
}
