//! Why a client could not connect.

use super::failure::ConnectFailure;
use crate::error::Error;
use crate::message::Payload;
use http::HeaderMap;
use std::fmt;
use std::sync::Arc;

/// Why a client could not connect. What it shows is for people, and says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The client's own settings can't be used (TLS files, ciphers), or the C library could not
    /// make a vhost for it.
    Setup(Arc<Error>),
    /// The server answered with another HTTP status than 101.
    #[non_exhaustive]
    Rejected {
        /// The URL, without its query.
        url: String,
        /// The status.
        status: u16,
        /// The headers of the answer: `Location`, `WWW-Authenticate`, `Retry-After`.
        /// Empty if they are malformed. Debug output doesn't show the values.
        headers: Box<HeaderMap>,
        /// The first bytes of the answer's body, up to 4 KiB: what came with its head, for
        /// the rest isn't waited for. Often a text that says why. Empty with a library that
        /// isn't the vendored one, and on other systems than Linux. Debug output doesn't
        /// show them.
        body: Payload,
    },
    /// Name resolution, TCP, TLS or the handshake failed.
    #[non_exhaustive]
    Failed {
        /// The URL, without its query.
        url: String,
        /// Why, and in which step.
        failure: ConnectFailure,
    },
    /// The context shuts down: [`ContextHandle::shutdown`](crate::ContextHandle::shutdown).
    ShuttingDown,
    /// [`Connecting::cancel`](super::Connecting::cancel) was called.
    Cancelled,
    /// The context was dropped meanwhile.
    ContextGone,
    /// The time given to [`Connecting::wait`](super::Connecting::wait) is over;
    /// the attempt goes on.
    TimedOut,
    /// [`Connecting::wait`](super::Connecting::wait) was called on the thread
    /// that services the context, which would wait for itself.
    OnServiceThread,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Setup(e) => e.fmt(f),
            ConnectError::Rejected { url, status, .. } => {
                write!(f, "{url} answered with HTTP status {status} instead of 101")
            }
            ConnectError::Failed { url, failure } => {
                write!(f, "cannot connect to {url}: {failure}")
            }
            ConnectError::ShuttingDown => f.write_str("the context is shutting down"),
            ConnectError::Cancelled => f.write_str("the client was told to connect no more"),
            ConnectError::ContextGone => f.write_str("the context has been dropped"),
            ConnectError::TimedOut => f.write_str("still connecting after the time given"),
            ConnectError::OnServiceThread => f.write_str(
                "Connecting::wait on the context's own thread would wait for itself: wait on \
                 another thread, or use Handler::on_open",
            ),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectError::Setup(e) => e.source(),
            ConnectError::Failed { failure, .. } => failure.source(),
            _ => None,
        }
    }
}
