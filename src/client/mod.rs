//! Clients: where they connect, with what, and what becomes of it.

pub(crate) mod attempt;
mod backoff;
pub(crate) mod body;
mod connecting;
mod error;
mod failure;
mod reason;
pub(crate) mod target;

pub use backoff::Backoff;
pub use connecting::Connecting;
pub(crate) use connecting::{Ticket, Token};
pub use error::ConnectError;
pub(crate) use failure::hint;
pub use failure::{CertificateProblem, ConnectFailure, ConnectStep};

use crate::connection::WebSocketConfig;
use crate::error::{InvalidInput, Shown};
use crate::validate;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use target::Target;

/// Room for a client's own headers; the rest of the C library's buffer is for
/// the handshake's.
const MAX_OWN_HEADERS: usize = 4096;

/// With these a server waits for a body, or answers something else first, or a proxy keeps
/// the connection for itself.
const NOT_OF_UPGRADES: [&str; 6] = [
    "transfer-encoding",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "proxy-connection",
];

/// The most subprotocols that are offered; their names have to fit the buffer, too.
const MAX_SUBPROTOCOLS: usize = 16;

/// What a client connects to, and how.
///
/// ```
/// use libwebsockets::Client;
/// # fn main() -> Result<(), libwebsockets::InvalidInput> {
/// let client = Client::new("wss://example.com/feed?from=7")?
///     .subprotocol("v2.feed")?
///     .header("authorization", "Bearer …")?;
/// # Ok(()) }
/// ```
///
/// # What a context keeps
///
/// Clients with the same TLS settings, [`connect_timeout`](Client::connect_timeout)
/// (in whole seconds) and [`deflate`](WebSocketConfig::deflate) share a vhost of the C library.
/// Each other combination, and each change of a file that the TLS settings name, makes another
/// one, for `wss:` with an `SSL_CTX` of its own, which stays until the context is dropped. So
/// use few: don't compute a timeout anew for each connection.
#[doc(alias = "lws_client_connect_info")]
#[derive(Clone)]
#[must_use]
pub struct Client {
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) origin: Option<String>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) config: WebSocketConfig,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect: Option<Backoff>,
    #[cfg(feature = "_tls")]
    pub(crate) tls: crate::tls::ClientTls,
}

impl Client {
    /// A client for a `ws:` or `wss:` URL (RFC 6455 §3).
    ///
    /// In path and query, what a URL can't hold is percent-encoded: `/é` is sent as `/%C3%A9`.
    /// What is so already is sent as it is.
    ///
    /// The host is resolved by the C library while it connects, which blocks
    /// the context for as long as the system's resolver takes, unless an
    /// [`address`](Client::address) is given. If that fails, so
    /// does the attempt: [`reconnect`](Client::reconnect) makes another one.
    ///
    /// # Errors
    ///
    /// Another scheme, user names, fragments, hosts or paths that are no URL's (as with an
    /// empty label, letters other than ASCII in the host, or a percent sign without two
    /// hexadecimal digits), an IPv6 address without feature `ipv6`, `wss:` without feature
    /// `tls`, or a URL of more than 8 KiB.
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn new(url: &str) -> Result<Self, InvalidInput> {
        Ok(Client::to(Target::parse(url)?))
    }

    /// A client for a Unix domain socket at `path`, asking for the request
    /// target `target` ("/chat?room=1"), percent-encoded as by [`new`](Client::new).
    ///
    /// # Errors
    ///
    /// A path with NUL characters or that doesn't fit a socket address, or a
    /// target that is no path of a URL.
    ///
    /// # Full queues
    ///
    /// Where the server is behind, so that its queue is full, Linux doesn't have a client wait.
    /// The crate does, and asks for room every 20 ms, as long as
    /// [`connect_timeout`](Client::connect_timeout) says. Elsewhere the connection is refused,
    /// and an installed library without this crate's patches tells that the server hung up.
    #[cfg(feature = "unix-sockets")]
    pub fn unix(path: &std::path::Path, target: &str) -> Result<Self, InvalidInput> {
        Ok(Client::to(Target::unix(path, target)?))
    }

    /// Connects to this address, and doesn't resolve the URL's host, which blocks the context.
    /// The host's name is still what the server is asked for, in the `Host` header and by
    /// TLS (SNI), and what its certificate must be for. The port is this address', too. With
    /// [`reconnect`](Client::reconnect) it is this one address each time.
    ///
    /// ```
    /// # use libwebsockets::{Client, InvalidInput};
    /// # fn resolved(address: std::net::SocketAddr) -> Result<Client, InvalidInput> {
    /// Client::new("wss://example.com/feed")?.address(address)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// An IPv6 address without feature `ipv6`, port 0, or a client for a Unix domain socket.
    pub fn address(mut self, address: SocketAddr) -> Result<Self, InvalidInput> {
        self.target.connect_to(address)?;
        Ok(self)
    }

    /// The time that it has to connect, as the C library takes it.
    pub(crate) fn connect_seconds(&self) -> u32 {
        crate::context::whole_seconds(self.connect_timeout)
    }

    fn to(target: Target) -> Self {
        Client {
            target,
            headers: HeaderMap::new(),
            origin: None,
            subprotocols: Vec::new(),
            config: WebSocketConfig::default(),
            connect_timeout: Duration::from_secs(20),
            reconnect: None,
            #[cfg(feature = "_tls")]
            tls: crate::tls::ClientTls::default(),
        }
    }

    /// A header of the request; several of one name are all sent.
    ///
    /// # Errors
    ///
    /// A name or value that HTTP doesn't allow (as with CR, LF or NUL), one that
    /// belongs to the handshake itself, one that would give the request a body or speak of
    /// the connection (`Transfer-Encoding`, `TE`, `Trailer`, `Expect`, `Keep-Alive`,
    /// `Proxy-Connection`; RFC 9112 §6.1, RFC 9110 §7.6.1 and §10.1), or more than 4 KiB of
    /// headers in all.
    #[doc(alias = "LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER")]
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidInput> {
        let (name, value) = validate::header(name, value)?;
        let own = ["host", "upgrade", "connection", "origin", "content-length"];
        if own.contains(&name.as_str()) || name.as_str().starts_with("sec-websocket-") {
            return Err(InvalidInput::new(format!(
                "the header {name} belongs to the handshake; set it by its own method, if any"
            )));
        }
        if NOT_OF_UPGRADES.contains(&name.as_str()) {
            return Err(InvalidInput::new(format!(
                "the header {name} is about a body, or about the connection, which the handshake \
                 takes over: leave it out"
            )));
        }
        let line = |n: &HeaderName, v: &HeaderValue| n.as_str().len() + v.len() + 4;
        let size: usize = self.headers.iter().map(|(n, v)| line(n, v)).sum();
        if size + line(&name, &value) > MAX_OWN_HEADERS {
            return Err(InvalidInput::new(format!(
                "the request's headers take more than {MAX_OWN_HEADERS} bytes with {}: send \
                 fewer or shorter ones",
                Shown(name.as_str())
            )));
        }
        self.headers.append(name, value);
        Ok(self)
    }

    /// The Origin header, for servers that want one (RFC 6455 §4.1).
    ///
    /// # Errors
    ///
    /// A value that HTTP doesn't allow, or one of more than 1 KiB.
    pub fn origin(mut self, origin: &str) -> Result<Self, InvalidInput> {
        validate::header("origin", origin)?;
        if origin.len() > 1024 {
            return Err(InvalidInput::new(format!(
                "an origin has at most 1024 bytes, and this one has {}: give scheme, host and \
                 port alone",
                origin.len()
            )));
        }
        self.origin = Some(origin.into());
        Ok(self)
    }

    /// Offers a subprotocol; the first one is preferred.
    ///
    /// # Errors
    ///
    /// A name that is no token of 1 to 63 characters, one that is offered
    /// already, or more than sixteen.
    pub fn subprotocol(mut self, name: &str) -> Result<Self, InvalidInput> {
        // One may be a credential, and isn't shown.
        validate::subprotocol(name, format_args!("a name of {} bytes", name.len()))?;
        if let Some(at) = self.subprotocols.iter().position(|own| own == name) {
            return Err(InvalidInput::new(format!(
                "subprotocol number {} is offered twice: leave one out",
                at + 1
            )));
        }
        if self.subprotocols.len() == MAX_SUBPROTOCOLS {
            return Err(InvalidInput::new(format!(
                "one more subprotocol is one too many: offer at most {MAX_SUBPROTOCOLS}"
            )));
        }
        self.subprotocols.push(name.into());
        Ok(self)
    }

    /// Limits and habits of the connection. Default: [`WebSocketConfig::new`].
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = config;
        self
    }

    /// How long TCP may take to connect, from when the host is resolved; rounded up to whole
    /// seconds, from 1 s to 86,400 s. Default: 20 s. Of different values a context
    /// [keeps something](Client#what-a-context-keeps).
    ///
    /// The host's addresses are tried one after the other, as the resolver orders
    /// them. Each has an equal share of the time that is left: the first of two has
    /// half of it, and the second all that the first didn't take. When it is over,
    /// the attempt [times out](ConnectFailure::TimedOut). What comes then has a time
    /// of its own,
    /// [`ContextBuilder::handshake_timeout`](crate::ContextBuilder::handshake_timeout).
    #[doc(alias = "connect_timeout_secs")]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects again when an attempt fails or the connection ends, unless this
    /// side ended it. Each connection has an id of its own; the handler stays.
    ///
    /// This side has ended it by a close ([`Connection::close`], [`ContextHandle::close`] and
    /// [`shutdown`], [`Message::Close`]), also if the peer's close frame came first, by an abort
    /// ([`Connection::abort`], [`ContextHandle::abort`]), and by a panic of the handler. It has
    /// not where the peer closed, where the connection broke or was silent for too long, nor
    /// where the peer broke the protocol or a limit of
    /// [`WebSocketConfig`], whatever close code it was sent for that: a
    /// client comes back to a server whose message was too big. To drop a connection, and have
    /// another, there is [`Connection::reconnect`].
    ///
    /// [`Connection::close`]: crate::Connection::close
    /// [`Connection::abort`]: crate::Connection::abort
    /// [`Connection::reconnect`]: crate::Connection::reconnect
    /// [`ContextHandle::close`]: crate::ContextHandle::close
    /// [`ContextHandle::abort`]: crate::ContextHandle::abort
    /// [`shutdown`]: crate::ContextHandle::shutdown
    /// [`Message::Close`]: crate::Message::Close
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Some(backoff);
        self
    }

    /// Whom the client trusts, and who it is. Without effect on a `ws:` URL. What is wrong with
    /// the settings is told when the client connects. Default:
    /// [`ClientTls::new`](crate::tls::ClientTls::new).
    #[doc(alias = "LCCSCF_USE_SSL")]
    #[cfg(feature = "_tls")]
    pub fn tls(mut self, tls: crate::tls::ClientTls) -> Self {
        self.tls = tls;
        self
    }
}

/// The URL; headers, and subprotocols, may hold credentials, and are left out.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.target)
            .field("subprotocols", &self.subprotocols.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client::new("ws://localhost/").unwrap()
    }

    #[test]
    fn no_header_can_be_smuggled_in() {
        for value in ["a\r\nb: c", "a\nb", "a\0b"] {
            let error = client().header("x-token", value).unwrap_err().to_string();
            assert!(!error.contains('a') || !error.contains(value), "{error}");
            assert!(client().origin(value).is_err());
        }
        for name in ["x y", "x\r\n", "", "x:"] {
            assert!(client().header(name, "v").is_err(), "{name:?}");
        }
        for name in [
            "Host",
            "sec-websocket-key",
            "Upgrade",
            "Transfer-Encoding",
            "TE",
            "trailer",
            "Expect",
            "keep-alive",
            "Proxy-Connection",
        ] {
            assert!(client().header(name, "v").is_err(), "{name}");
        }
        assert!(client().header("x-ok", "välue").is_ok());
    }

    #[test]
    fn a_header_is_refused_for_the_reason_that_it_has() {
        for name in ["x y", "", "n\u{e4}me"] {
            let error = client().header(name, "v").unwrap_err().to_string();
            assert!(error.contains("use letters"), "{error}");
            assert!(!error.contains("NUL"), "{error}");
        }
        let error = client().header("x", "a\nb").unwrap_err().to_string();
        assert!(error.contains("LF"), "{error}");
    }

    /// Lost: a log, or a terminal, that a text from elsewhere fills.
    #[test]
    fn a_long_text_is_shown_in_part() {
        let long = "y z".repeat(1_000_000);
        let token = "y".repeat(60_000);
        for error in [
            client().header(&token.repeat(2), "v").unwrap_err(),
            client().header(&token, "v").unwrap_err(),
            client().header(&token, "a\nb").unwrap_err(),
            Client::new(&format!("ws://h/{long}")).unwrap_err(),
            crate::Vhost::listen(([127, 0, 0, 1], 0))
                .name(&*long)
                .unwrap_err(),
            #[cfg(feature = "unix-sockets")]
            Client::unix(long.as_ref(), "/").unwrap_err(),
            #[cfg(feature = "unix-sockets")]
            Client::unix("x".as_ref(), &format!("/{long}")).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.len() < 500, "{} bytes", error.len());
            assert!(error.contains("\u{2026}"), "{error}");
        }
    }

    #[test]
    fn headers_that_would_not_fit_are_refused() {
        let error = client().header("x-long", &"v".repeat(5000)).unwrap_err();
        assert!(error.to_string().contains("4096"), "{error}");
    }

    #[test]
    fn subprotocols_are_tokens_offered_once() {
        for name in ["", "a b", "a,b", "a\r\n", &"x".repeat(64)] {
            assert!(client().subprotocol(name).is_err(), "{name:?}");
        }
        let twice = client().subprotocol("chat").unwrap().subprotocol("chat");
        assert!(twice.is_err());
    }

    #[test]
    fn errors_show_no_credentials() {
        let long = format!("bearer.s3cret.{}", "x".repeat(60));
        let bearer = || client().subprotocol("bearer.s3cret").unwrap();
        for error in [
            client().subprotocol("bearer s3cret").unwrap_err(),
            client().subprotocol(&long).unwrap_err(),
            bearer().subprotocol("bearer.s3cret").unwrap_err(),
            client()
                .header("Authorization: Bearer s3cret", "")
                .unwrap_err(),
            client().header("Authorization:s3cret", "v").unwrap_err(),
        ] {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn debug_output_shows_no_credentials() {
        let client = client().header("authorization", "Bearer s3cret").unwrap();
        let client = client.subprotocol("bearer.s3cret").unwrap();
        let shown = format!("{client:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("subprotocols: 1"), "{shown}");
    }
}
