//! Safe WebSocket servers and clients on the C library [libwebsockets], with a
//! log of TLS secrets that is set up per context.
//!
//! [libwebsockets]: https://libwebsockets.org

pub mod client;
pub mod connection;
pub mod context;
pub mod error;
mod ffi;
#[cfg(feature = "keylog")]
pub mod keylog;
pub mod message;
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;

#[cfg(feature = "deflate")]
use libz_sys as _;
#[cfg(feature = "tls")]
use openssl_sys as _;

pub use client::{Backoff, Client, ConnectError, Connecting};
pub use connection::{
    Closed, Connection, ConnectionId, Fragment, Handler, Initiator, Role, WebSocketConfig,
};
pub use context::{Broadcast, Context, ContextBuilder, ContextHandle};
pub use error::{ConnectionGone, ContextGone, Error, InvalidInput, SendError};
pub use ffi::sys;
pub use http;
pub use message::{CloseCode, CloseFrame, Message, Payload, Text};
pub use server::{Refusal, Request, Vhost};

/// The version of the C library, as it says itself.
#[doc(alias = "lws_get_library_version")]
pub fn library_version() -> &'static str {
    ffi::context::library_version()
}
