//! A virtual host: an address to listen on, a name, TLS, and handlers.

use super::{Refusal, Request};
use crate::client::target::has_empty_label;
use crate::connection::{Handler, WebSocketConfig};
use crate::error::{InvalidInput, Shown};
use std::fmt;
use std::net::SocketAddr;
#[cfg(feature = "unix-sockets")]
use std::path::PathBuf;
use std::rc::Rc;

/// Makes the handler of a connection, or refuses it.
pub(crate) type Factory = Rc<dyn Fn(&Request<'_>) -> Result<Box<dyn Handler>, Refusal>>;

/// Where a vhost listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    Tcp(SocketAddr),
    #[cfg(feature = "unix-sockets")]
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Tcp(address) => address.fmt(f),
            #[cfg(feature = "unix-sockets")]
            ListenAddress::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A virtual host: an address to listen on, a name, TLS settings, and what
/// becomes of its connections.
///
/// Several vhosts with the same address share its socket; which one serves a
/// connection is decided by the name that the client asks for (SNI and Host): one
/// of that name, else one whose name it is a subdomain of, else the first one. A dot
/// at the end of a name means nothing. They need different names, and all of them
/// speak TLS or none does.
///
/// It isn't [`Send`], for its factories stay on the context's thread and may hold what isn't:
/// make it on the thread that builds the context.
#[doc(alias = "lws_vhost")]
#[must_use]
pub struct Vhost {
    pub(crate) listen: ListenAddress,
    pub(crate) name: String,
    pub(crate) default: Option<Factory>,
    pub(crate) subprotocols: Vec<(String, Factory)>,
    pub(crate) config: WebSocketConfig,
    #[cfg(feature = "_tls")]
    pub(crate) tls: Option<crate::tls::ServerTls>,
}

impl Vhost {
    /// A vhost on a TCP address. Port 0 takes a free port, which
    /// [`Context::local_addr`](crate::Context::local_addr) reports; all vhosts of an
    /// address with port 0 share it. `[::]` takes IPv4 as well. An IPv6 address needs the
    /// feature `ipv6`. What is wrong with the address, or that another has it, is an error of
    /// [`build`](crate::ContextBuilder::build).
    ///
    /// ```
    /// use libwebsockets::Vhost;
    /// let vhost = Vhost::listen(([127, 0, 0, 1], 9001));
    /// ```
    #[doc(alias = "lws_create_vhost")]
    pub fn listen(address: impl Into<SocketAddr>) -> Self {
        Vhost::new(ListenAddress::Tcp(address.into()))
    }

    /// A vhost on a Unix domain socket at `path`, which has at most 100 bytes of
    /// UTF-8.
    ///
    /// The socket of a server that is gone is replaced. A file, or the socket of
    /// a server that runs, is left alone, and is an error of
    /// [`build`](crate::ContextBuilder::build). The user and the group of the
    /// process may connect (mode 0660). When the context is dropped, the socket is
    /// removed, unless something else has taken its place. (A library that isn't
    /// the vendored one removes whatever is there.)
    ///
    /// # Errors
    ///
    /// All are told by [`build`](crate::ContextBuilder::build): a path that isn't UTF-8 of 1 to
    /// 100 bytes, holds a NUL or begins with `@`; a file or a running server's socket at the
    /// path; a folder that isn't there or can't be written to.
    #[doc(alias = "LWS_SERVER_OPTION_UNIX_SOCK")]
    #[cfg(feature = "unix-sockets")]
    pub fn listen_unix(path: impl Into<PathBuf>) -> Self {
        Vhost::new(ListenAddress::Unix(path.into()))
    }

    fn new(listen: ListenAddress) -> Self {
        Vhost {
            listen,
            name: "localhost".into(),
            default: None,
            subprotocols: Vec::new(),
            config: WebSocketConfig::default(),
            #[cfg(feature = "_tls")]
            tls: None,
        }
    }

    /// The host name that this vhost serves, without the dot that may be at its end.
    /// Default: `localhost`.
    ///
    /// # Errors
    ///
    /// A name with characters other than letters, digits, `-`, `.` and `_`, an
    /// empty one, one with an empty label (`a..b`), or one of more than 253 characters.
    #[doc(alias = "vhost_name")]
    pub fn name(mut self, name: impl Into<String>) -> Result<Self, InvalidInput> {
        let given = name.into();
        let name = given.strip_suffix('.').unwrap_or(&given);
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        let is_name = !name.is_empty() && name.len() <= 253 && name.bytes().all(valid);
        if !is_name || has_empty_label(name) || name.ends_with('.') {
            return Err(InvalidInput::new(format!(
                "{} is no host name: use up to 253 letters, digits, '-', '_', and single '.' in \
                 between",
                Shown(&given)
            )));
        }
        self.name = name.to_owned();
        Ok(self)
    }

    /// Serves connections that offer no subprotocol. For those that offer some,
    /// see [`subprotocol`](Vhost::subprotocol). Without this, who offers none is refused with
    /// status 400. A second call takes the first one's place.
    ///
    /// `factory` is called for each, with the request, on the service thread. Until it returns,
    /// the context does nothing else: what takes long, such as asking a database, belongs to
    /// another thread, and the handler can wait for that.
    ///
    /// # Panics
    ///
    /// Where the factory panics, the client is answered with status 500, and
    /// [`Context::run`](crate::Context::run) or [`Context::service`](crate::Context::service)
    /// resumes the panic.
    #[doc(alias = "LWS_CALLBACK_HTTP_CONFIRM_UPGRADE")]
    #[doc(alias = "LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION")]
    pub fn accept<H: Handler>(
        mut self,
        factory: impl Fn(&Request<'_>) -> Result<H, Refusal> + 'static,
    ) -> Self {
        self.default = Some(boxed(factory));
        self
    }

    /// Serves connections that offer this subprotocol, where it is the first of theirs that the
    /// vhost has. Those that offer only subprotocols that the vhost hasn't are refused with
    /// status 400. Of `factory` the same holds as for [`accept`](Vhost::accept).
    ///
    /// # Errors
    ///
    /// A name that is no token (RFC 9110 §5.6.2) of 1 to 63 characters, or that
    /// was given before.
    #[doc(alias = "lws_protocols")]
    pub fn subprotocol<H: Handler>(
        mut self,
        name: impl Into<String>,
        factory: impl Fn(&Request<'_>) -> Result<H, Refusal> + 'static,
    ) -> Result<Self, InvalidInput> {
        let name = name.into();
        crate::validate::subprotocol(&name, Shown(&name))?;
        if self.subprotocols.iter().any(|(own, _)| *own == name) {
            return Err(InvalidInput::new(format!(
                "subprotocol {name} is given twice for vhost {}: leave one out",
                self.name
            )));
        }
        self.subprotocols.push((name, boxed(factory)));
        Ok(self)
    }

    /// Refuses a vhost that nobody would reach, or that keeps others from being reached, on
    /// the address that it shares with another.
    pub(crate) fn check_beside(&self, other: &Vhost) -> Result<(), InvalidInput> {
        let (address, name) = (&self.listen, &self.name);
        if other.listen != *address {
            return Ok(());
        }
        #[cfg(feature = "_tls")]
        if other.tls.is_some() != self.tls.is_some() {
            return Err(InvalidInput::new(format!(
                "vhosts {} and {name} share {address}, but one of them speaks TLS and one \
                 doesn't: give one of them another address",
                other.name
            )));
        }
        if other.name.eq_ignore_ascii_case(name) {
            return Err(InvalidInput::new(format!(
                "two vhosts of {address} are called {name}: give one of them another name, by \
                 name(), or another address"
            )));
        }
        Ok(())
    }

    /// Limits and habits of this vhost's connections. Default: [`WebSocketConfig::new`].
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = config;
        self
    }

    /// Speaks TLS. What is wrong with the settings is an error of
    /// [`build`](crate::ContextBuilder::build). Default: plain connections.
    #[doc(alias = "LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX")]
    #[cfg(feature = "_tls")]
    pub fn tls(mut self, tls: crate::tls::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl fmt::Debug for Vhost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.subprotocols.iter().map(|(name, _)| name).collect();
        f.debug_struct("Vhost")
            .field("listen", &self.listen)
            .field("name", &self.name)
            .field("subprotocols", &names)
            .finish_non_exhaustive()
    }
}

fn boxed<H: Handler>(factory: impl Fn(&Request<'_>) -> Result<H, Refusal> + 'static) -> Factory {
    Rc::new(move |request| factory(request).map(|handler| Box::new(handler) as Box<dyn Handler>))
}
