//! Safe WebSocket servers and clients on the C library [libwebsockets], over TLS,
//! with a log of TLS secrets that is set up per context.
//!
//! # A server
//!
//! ```no_run
//! use libwebsockets::{Connection, Context, Error, Handler, Message, Vhost};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
//!         if conn.send(message).is_err() {
//!             conn.abort(); // the peer doesn't read what it is sent
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Error> {
//!     let vhost = Vhost::listen(([127, 0, 0, 1], 9001)).accept(|_request| Ok(Echo));
//!     Context::builder().vhost(vhost).build()?.run()
//! }
//! ```
//!
//! # A client
//!
//! ```
//! use libwebsockets::{Client, Closed, ConnectError, Connection, Context, ContextHandle};
//! use libwebsockets::{CloseCode, Handler, Message};
//!
//! struct Greeter(ContextHandle);
//!
//! impl Handler for Greeter {
//!     fn on_open(&mut self, conn: &mut Connection<'_>) {
//!         let _ = conn.send("hello"); // the first message always has room
//!     }
//!     fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
//!         println!("{:?}", message.as_text());
//!         conn.close(CloseCode::NORMAL);
//!     }
//!     fn on_close(&mut self, _closed: Closed) {
//!         self.0.stop();
//!     }
//!     fn on_connect_error(&mut self, error: &ConnectError) {
//!         eprintln!("{error}");
//!         self.0.stop();
//!     }
//! }
//!
//! fn main() -> Result<(), libwebsockets::Error> {
//! #   struct Echo;
//! #   impl Handler for Echo {
//! #       fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
//! #           conn.send(message).unwrap();
//! #       }
//! #   }
//! #   let vhost = libwebsockets::Vhost::listen(([127, 0, 0, 1], 0)).accept(|_| Ok(Echo));
//! #   let mut context = Context::builder().vhost(vhost).build()?;
//! #   let url = format!("ws://{}/", context.local_addr(0).unwrap());
//! #   #[cfg(any())]
//!     let mut context = Context::builder().build()?;
//! #   #[cfg(any())]
//!     let url = "ws://localhost:9001/";
//!     let greeter = Greeter(context.handle());
//!     drop(context.connect(Client::new(&url)?, greeter)?); // the greeter hears of the outcome
//!     context.run()
//! }
//! ```
//!
//! # How it works
//!
//! A [`Context`] serves any number of listening [`Vhost`]s and connected
//! [`Client`]s. It stays on the thread that built it, which services it by
//! [`Context::run`]. Each connection has a [`Handler`], whose methods are called
//! on that thread; what a handler asks of its [`Connection`] is done when the
//! method has returned. Other threads send, close, connect and stop through a
//! [`ContextHandle`], and name connections by their [`ConnectionId`], which is
//! never given out twice.
//!
//! Messages wait in a bounded queue for each connection; one that is full gives
//! the message back ([`SendError::Full`]), and [`Handler::on_writable`] tells when
//! there is room. Messages arrive whole, up to a limit
//! ([`WebSocketConfig::max_message_size`]), unless fragments are asked for.
//!
//! A panic in a handler doesn't cross the C library: it ends its connection and is
//! resumed from [`Context::run`].
//!
//! The C library's own messages, and those of this crate, go to the [`log`] crate,
//! under the targets `libwebsockets::lws`, `libwebsockets::client` (the C library's words for
//! an attempt to connect that failed, at the level `debug`), `libwebsockets::server` (who was
//! refused what, and why, at the same level), `libwebsockets::panic` (panics that can't be
//! resumed, because another one is, or that are the logger's own) and `libwebsockets::keylog`.
//!
//! # The key log
//!
//! With the feature `keylog`, on by default, each context can write its TLS
//! secrets to a file from which Wireshark decrypts a capture: where a variable
//! says so whose name was chosen when this crate was built, or by the API, and
//! switched at run time from any thread. Whoever has the file can decrypt the
//! connections: it is not for production (RFC 9850 §1.1). See [`keylog`].
//!
//! ```no_run
//! # #[cfg(feature = "keylog")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use libwebsockets::{keylog::KeyLog, Context};
//!
//! let context = Context::builder().keylog(KeyLog::file("server.keys")).build()?;
//! let keylog = context.keylog().clone(); // for any thread
//! keylog.disable();
//! println!("{} records", keylog.stats().written);
//! # Ok(()) }
//! # #[cfg(not(feature = "keylog"))]
//! # fn main() {}
//! ```
//!
//! # Features and the build
//!
//! `keylog` (which needs `tls` or `aws-lc`), `tls` and `deflate` are on by default;
//! `aws-lc`, `vendored-openssl`, `keylog-gzip`, `ipv6`, `unix-sockets` and `system` are there
//! to be turned on. The README tells what each does, what the build needs, and which
//! environment variables it reads.
//!
//! [libwebsockets]: https://libwebsockets.org
//! [`log`]: https://docs.rs/log
#![cfg_attr(feature = "keylog", doc = "[`keylog`]: crate::keylog")]
#![cfg_attr(
    not(feature = "keylog"),
    doc = "[`keylog`]: https://docs.rs/libwebsockets/latest/libwebsockets/keylog/"
)]

pub mod client;
pub mod connection;
pub mod context;
#[cfg(feature = "deflate")]
mod deflate;
pub mod error;
mod ffi;
mod forks;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "keylog")]
pub mod keylog;
pub mod message;
mod panic;
pub mod server;
#[cfg(feature = "_tls")]
pub mod tls;
mod validate;

#[cfg(feature = "deflate")]
use libz_sys as _;
// Not where AWS-LC takes its place: it would only be linked in vain.
#[cfg(all(feature = "tls", not(feature = "aws-lc")))]
use openssl_sys as _;

pub use client::{
    Backoff, CertificateProblem, Client, ConnectError, ConnectFailure, ConnectStep, Connecting,
};
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

/// The README's examples, compiled.
#[cfg(all(doctest, feature = "keylog"))]
#[doc = include_str!("../README.md")]
mod readme {}
