//! Why an attempt to connect failed: what a program can tell apart, and what it says to
//! people.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Why an attempt to connect failed, as [`ConnectError::Failed`](super::ConnectError::Failed)
/// tells it.
///
/// Where the C library gives a number or the TLS library a verdict, that decides; elsewhere
/// the C library's words do. A library that isn't the vendored one says nothing of some
/// failures that it notices at once, such as that no descriptor is left: they are
/// [`Other`](ConnectFailure::Other).
///
/// ```
/// use libwebsockets::client::{CertificateProblem, ConnectError, ConnectFailure};
/// /// Whether waiting may mend it.
/// fn may_pass(error: &ConnectError) -> bool {
///     match error {
///         ConnectError::Rejected { status, .. } => *status >= 500,
///         ConnectError::Failed { failure, .. } => !matches!(
///             failure,
///             ConnectFailure::Certificate { .. } | ConnectFailure::Protocol(_)
///         ),
///         _ => false,
///     }
/// }
/// # let _ = (may_pass, CertificateProblem::Expired);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// The host's name has no address, for now or at all, or none of a kind that this build
    /// connects to. In the words of the system's resolver.
    #[doc(alias = "getaddrinfo")]
    Resolve(String),
    /// The system could not connect to the last of the host's addresses: it is refused
    /// ([`ErrorKind::ConnectionRefused`](io::ErrorKind::ConnectionRefused)) or unreachable,
    /// a Unix domain socket isn't there, no descriptor or no memory is left.
    #[doc(alias = "ECONNREFUSED")]
    #[doc(alias = "EMFILE")]
    Io(Arc<io::Error>),
    /// A step took longer than it may.
    TimedOut(ConnectStep),
    /// The server ended the connection, or broke it off, before a step was done.
    HungUp(ConnectStep),
    /// The server's certificate isn't accepted.
    #[non_exhaustive]
    Certificate {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// In the TLS library's words.
        reason: String,
    },
    /// The TLS handshake failed for another reason: there is no version or cipher that both
    /// speak, the server wants a certificate of the client, or doesn't speak TLS.
    #[non_exhaustive]
    Tls {
        /// The alert by which the server said so, if it did (RFC 8446 §6.2): 116 is
        /// `certificate_required`.
        alert: Option<u8>,
        /// What it means, or the TLS library's words.
        reason: String,
    },
    /// What the server answered is no answer to a WebSocket's opening handshake (RFC 6455 §4.1),
    /// or none that was asked for.
    Protocol(String),
    /// Something else, mostly in the C library's words.
    Other(String),
}

/// A step of connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStep {
    /// TCP, or the Unix domain socket, connects: as long as
    /// [`Client::connect_timeout`](super::Client::connect_timeout).
    Transport,
    /// The TLS handshake: as long as
    /// [`ContextBuilder::handshake_timeout`](crate::ContextBuilder::handshake_timeout).
    Tls,
    /// The request and its answer: as long as
    /// [`ContextBuilder::handshake_timeout`](crate::ContextBuilder::handshake_timeout).
    Handshake,
}

/// What is wrong with a server's certificate.
#[doc(alias = "SSL_get_verify_result")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Who signed it isn't trusted or not known, or the server leaves out the certificates
    /// in between.
    UnknownIssuer,
    /// Nobody else signed it, and it isn't trusted itself.
    SelfSigned,
    /// It is for other names or addresses than the URL's.
    WrongName,
    /// It has expired.
    Expired,
    /// It isn't valid yet.
    NotYetValid,
    /// Something else.
    Other,
}

impl ConnectFailure {
    pub(crate) fn io(error: io::Error) -> Self {
        ConnectFailure::Io(Arc::new(error))
    }

    /// Whether it is an error of the system, of this kind.
    pub(crate) fn is_io(&self, kind: io::ErrorKind) -> bool {
        matches!(self, ConnectFailure::Io(error) if error.kind() == kind)
    }

    /// The server said by an alert of TLS that it doesn't go on.
    #[cfg(feature = "_tls")]
    pub(crate) fn alert(alert: u8) -> Self {
        ConnectFailure::Tls {
            alert: Some(alert),
            reason: meaning(alert).to_owned(),
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFailure::Resolve(reason) => {
                write!(f, "its name can't be resolved (DNS): {reason}")
            }
            ConnectFailure::Io(error) => write!(f, "{error}{}", hint(error)),
            ConnectFailure::TimedOut(step) => f.write_str(match step {
                ConnectStep::Transport => {
                    "Timed out: nothing answers at its address; connect_timeout says for how \
                     long that is waited for"
                }
                ConnectStep::Tls => {
                    "Timed out in the TLS handshake, which the server doesn't go on with; \
                     handshake_timeout says for how long that is waited for"
                }
                ConnectStep::Handshake => {
                    "Timed out: the server doesn't answer the request for a WebSocket; \
                     handshake_timeout says for how long that is waited for"
                }
            }),
            ConnectFailure::HungUp(step) => f.write_str(match step {
                ConnectStep::Transport => "the server hung up at once",
                ConnectStep::Tls => {
                    "the server hung up during the TLS handshake: does it speak TLS at that port?"
                }
                ConnectStep::Handshake => {
                    "the server hung up instead of an answer: does it speak HTTP at that port, \
                     and with wss:// or with ws://?"
                }
            }),
            ConnectFailure::Certificate { problem, reason } => {
                write!(f, "the server's certificate isn't accepted: {reason}")?;
                f.write_str(problem.advice())
            }
            ConnectFailure::Tls {
                alert: Some(alert),
                reason,
            } => {
                write!(f, "the server refuses TLS: {reason} (alert {alert})")?;
                match alert {
                    // Some servers name the second where they mean the first.
                    40 | 116 => f.write_str("; it may want ClientTls::identity"),
                    _ => Ok(()),
                }
            }
            ConnectFailure::Tls {
                alert: None,
                reason,
            } => {
                write!(
                    f,
                    "TLS failed: {reason}; does the server speak TLS at that port?"
                )
            }
            ConnectFailure::Protocol(what) => {
                write!(f, "what answers is no WebSocket server: {what}")
            }
            ConnectFailure::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ConnectFailure::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl CertificateProblem {
    /// What to do about it.
    fn advice(self) -> &'static str {
        match self {
            CertificateProblem::UnknownIssuer => {
                "; give the CA that signed it by ClientTls::ca, or let the server send its chain"
            }
            CertificateProblem::SelfSigned => "; give it itself by ClientTls::ca to trust it",
            CertificateProblem::WrongName => "; connect by a name that it is for",
            CertificateProblem::Expired | CertificateProblem::NotYetValid => {
                "; if it should be valid, look at this machine's clock"
            }
            CertificateProblem::Other => "",
        }
    }
}

/// What to do about an error of the system.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    if is_out_of_descriptors(error) {
        return "; no descriptor is left: close some connections, or raise the limit (ulimit -n)";
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; nothing listens there",
        io::ErrorKind::NotFound => "; no server has made that socket",
        _ => "",
    }
}

#[cfg(unix)]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

#[cfg(not(unix))]
fn is_out_of_descriptors(error: &io::Error) -> bool {
    const WSAEMFILE: i32 = 10024;
    error.raw_os_error() == Some(WSAEMFILE)
}

/// Alerts (RFC 8446 §6, RFC 5246 §7.2), of which TLS libraries of some age don't know all.
#[cfg(feature = "_tls")]
fn meaning(alert: u8) -> &'static str {
    match alert {
        10 => "unexpected message",
        20 => "bad record MAC",
        22 => "record overflow",
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown CA",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        109 => "missing extension",
        110 => "unsupported extension",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        115 => "unknown PSK identity",
        116 => "certificate required",
        120 => "no application protocol",
        _ => "an alert without a name",
    }
}
