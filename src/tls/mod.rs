//! TLS settings of servers and clients, and the facts of a TLS connection.

mod client;
mod pem;
mod secret;
mod server;

pub use client::ClientTls;
pub use pem::Pem;
pub(crate) use pem::{Loaded, Stamp};
pub(crate) use server::LoadedServer;
pub use server::{ClientCertificates, ServerTls};

use std::fmt;

/// A version of TLS. Older ones than 1.2 are never spoken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::Tls12 => "1.2",
            TlsVersion::Tls13 => "1.3",
        })
    }
}

/// The facts of a connection's TLS session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// As the TLS library names it, "TLSv1.3".
    #[doc(alias = "SSL_get_version")]
    pub version: String,
    /// The cipher suite's name in the IANA registry.
    #[doc(alias = "SSL_CIPHER_standard_name")]
    pub cipher: String,
    /// The server name that the client asked for (SNI, RFC 6066 §3).
    pub server_name: Option<String>,
    /// The application protocol that was negotiated (ALPN, RFC 7301).
    #[doc(alias = "SSL_get0_alpn_selected")]
    pub alpn: Option<Vec<u8>>,
    /// The peer's certificate, in DER; `None` if it sent none.
    #[doc(alias = "lws_tls_peer_cert_info")]
    pub peer_certificate: Option<Vec<u8>>,
}

/// Lists of cipher suites, in the TLS library's own syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CipherLists {
    pub tls12: Option<String>,
    pub tls13: Option<String>,
}
