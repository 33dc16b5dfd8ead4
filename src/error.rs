//! The crate's errors. Each says what to change.
//!
//! What an error shows is complete, the system's reason included. So `source()` gives only what
//! lies beneath that reason, mostly nothing: who shows a chain of errors shows none twice. To
//! tell reasons apart, match the variants, whose fields have them.

use crate::message::{Message, MAX_CONTROL_PAYLOAD};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{fmt, io};

/// Why something could not be set up or run.
///
/// ```
/// use libwebsockets::{CloseCode, Context, Error};
/// use std::time::Duration;
/// fn main() -> Result<(), Error> {
///     let mut context = Context::builder().build()?;
///     context.handle().shutdown(CloseCode::GOING_AWAY, Duration::ZERO)?;
///     context.run()
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A value given to a builder can't be used.
    InvalidInput(InvalidInput),
    /// A file named in the configuration can't be read.
    #[non_exhaustive]
    File {
        /// What the file was for, as "certificate".
        purpose: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A server can't listen where it was told to.
    #[non_exhaustive]
    Listen {
        /// The address or the socket's path.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Certificates, keys, ciphers or TLS versions can't be used.
    #[non_exhaustive]
    Tls {
        /// Which of them.
        what: String,
        /// The TLS library's reason.
        reason: String,
    },
    /// The C library could not make what was asked for.
    #[non_exhaustive]
    Library {
        /// What it was.
        what: &'static str,
    },
    /// The system refused what a context needs.
    #[non_exhaustive]
    System {
        /// What it was.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The context is dropped.
    ContextGone(ContextGone),
    /// This process was forked from the one that built the context, which alone may service
    /// it, or connect by it: they share its sockets. Build a context in the child, or fork
    /// before one is built.
    Forked,
    /// The key log can't be started.
    #[cfg(feature = "keylog")]
    KeyLog(crate::keylog::KeyLogError),
    /// This build's C library lacks locks (`LWS_MAX_SMP` is 1), or counts what it allocates
    /// without one (`LWS_HAVE_MALLOC_USABLE_SIZE` is set), so that only
    /// one context may live at a time, and there is one.
    OnlyOneContext,
}

impl Error {
    #[cfg(feature = "_tls")]
    pub(crate) fn tls(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Error::Tls {
            what: what.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn listen(address: impl fmt::Display, source: io::Error) -> Self {
        Error::Listen {
            address: address.to_string(),
            source,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidInput(e) => e.fmt(f),
            Error::File {
                purpose,
                path,
                source,
            } => write!(f, "cannot read the {purpose} {}: {source}", path.display()),
            Error::Listen { address, source } => {
                write!(f, "cannot listen on {address}: {source}")
            }
            Error::Tls { what, reason } => write!(f, "cannot use the {what}: {reason}"),
            Error::Library { what } => write!(
                f,
                "libwebsockets could not create {what}; its own messages are in the log \
                 (target libwebsockets::lws)"
            ),
            Error::System { what, source } => {
                let hint = crate::client::hint(source);
                write!(f, "cannot get {what}: {source}{hint}")
            }
            Error::ContextGone(e) => e.fmt(f),
            Error::Forked => f.write_str(
                "this process was forked from the one that built the context, and shares its \
                 sockets: build a context in the child, or fork before one is built",
            ),
            #[cfg(feature = "keylog")]
            Error::KeyLog(e) => e.fmt(f),
            Error::OnlyOneContext => f.write_str(
                "this libwebsockets was built without LWS_MAX_SMP=2 and \
                 LWS_HAVE_MALLOC_USABLE_SIZE=0, so that only one context may live at a time: \
                 drop the other one first, or use the vendored library",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::File { source, .. }
            | Error::Listen { source, .. }
            | Error::System { source, .. } => source.source(),
            #[cfg(feature = "keylog")]
            Error::KeyLog(e) => e.source(),
            _ => None,
        }
    }
}

impl From<InvalidInput> for Error {
    fn from(e: InvalidInput) -> Self {
        Error::InvalidInput(e)
    }
}

/// So that what is asked of a [`ContextHandle`](crate::ContextHandle) can be passed on by `?`.
impl From<ContextGone> for Error {
    fn from(e: ContextGone) -> Self {
        Error::ContextGone(e)
    }
}

#[cfg(feature = "keylog")]
impl From<crate::keylog::KeyLogError> for Error {
    fn from(e: crate::keylog::KeyLogError) -> Self {
        Error::KeyLog(e)
    }
}

/// A value that can't be used, and what would do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidInput(String);

impl InvalidInput {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        InvalidInput(message.into())
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidInput {}

/// A text or path of unknown length and contents as it is shown: in quotes, what isn't
/// printable escaped, and the rest cut off.
pub(crate) struct Shown<T>(pub T);

/// The characters of it that are shown.
const SHOWN: usize = 160;

impl<T: fmt::Debug> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = Cut { f, left: SHOWN };
        match write!(cut, "{:?}", self.0) {
            Err(_) if cut.left == 0 => cut.f.write_str("…"),
            result => result,
        }
    }
}

/// Writes so many characters, and fails at the next.
struct Cut<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    left: usize,
}

impl fmt::Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some((end, _)) = text.char_indices().nth(self.left) else {
            self.left -= text.chars().count();
            return self.f.write_str(text);
        };
        self.left = 0;
        self.f.write_str(&text[..end])?;
        Err(fmt::Error)
    }
}

/// A message that was not taken for sending, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The connection's queue is full: wait for
    /// [`Handler::on_writable`](crate::Handler::on_writable), then send again. It is called on
    /// the context's thread, also where another thread was refused.
    Full(Box<Message>),
    /// The connection is closing or closed, or never was (a stale id), or its context is gone.
    Closed(Box<Message>),
    /// A ping or pong with more than [`MAX_CONTROL_PAYLOAD`] bytes, or a message with more
    /// than [`Message::MAX_LEN`].
    TooLong(Box<Message>),
}

impl SendError {
    /// The message, to be sent again or elsewhere.
    pub fn into_message(self) -> Message {
        match self {
            SendError::Full(m) | SendError::Closed(m) | SendError::TooLong(m) => *m,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full(_) => f.write_str(
                "the connection's send queue is full: send again from on_writable, or raise \
                 max_write_buffer_size",
            ),
            SendError::Closed(_) => f.write_str("the connection is closing or closed"),
            SendError::TooLong(m) => write!(
                f,
                "a payload of {} bytes is too long (a control frame has at most \
                 {MAX_CONTROL_PAYLOAD}, a message at most {})",
                m.len(),
                Message::MAX_LEN
            ),
        }
    }
}

impl std::error::Error for SendError {}

/// The connection is closed or being closed, or its id was never given out.
///
/// The methods of a [`ContextHandle`](crate::ContextHandle) return it while the closing
/// handshake runs, too: from when this side's close frame is sent, the peer's has come, or the
/// peer has broken the protocol, until [`Handler::on_close`](crate::Handler::on_close). An
/// [`abort`](crate::ContextHandle::abort) that is refused so has no effect, and isn't needed:
/// the connection is dropped once
/// [`close_timeout`](crate::WebSocketConfig::close_timeout) is over, at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionGone;

impl fmt::Display for ConnectionGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closed, or its id is not of this context")
    }
}

impl std::error::Error for ConnectionGone {}

/// The context is dropped; nothing can be asked of it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContextGone;

impl fmt::Display for ContextGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the context has been dropped")
    }
}

impl std::error::Error for ContextGone {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ConnectError, ConnectFailure};
    use std::error::Error as StdError;
    use std::sync::Arc;

    /// Lost: a chain of errors that is short enough to be read.
    #[test]
    fn no_error_shows_what_its_source_does() {
        let io = |text: &str| io::Error::other(format!("beyond: {text}"));
        let error = Error::listen("here", io("busy"));
        let failure = ConnectFailure::io(io("refused"));
        let errors: [Box<dyn StdError>; 7] = [
            Box::new(Error::listen("here", io("busy"))),
            Box::new(Error::from(InvalidInput::new("bad"))),
            Box::new(Error::from(ContextGone)),
            Box::new(Error::System {
                what: "x",
                source: io("none left"),
            }),
            Box::new(ConnectError::Setup(Arc::new(error))),
            Box::new(failure.clone()),
            Box::new(ConnectError::Failed {
                url: "ws://h/".into(),
                failure,
            }),
        ];
        for error in &errors {
            let mut shown = error.to_string();
            let mut next = error.source();
            while let Some(source) = next {
                let text = source.to_string();
                assert!(!shown.contains(&text), "{shown}: {text}");
                shown = text;
                next = source.source();
            }
        }
    }
}
