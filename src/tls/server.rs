//! TLS of a vhost that listens.

use super::pem::Loaded;
use super::secret::Password;
use super::{CipherLists, Pem, TlsVersion};
use crate::error::Error;
use crate::ffi::tls::{ServerCtx, SslCtx};

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// They aren't asked for one.
    #[default]
    None,
    /// They are asked for one; one that is shown must be valid.
    Optional,
    /// The handshake fails without a valid one.
    Required,
}

/// How a vhost speaks TLS: its certificate and key, and what it asks of peers.
///
/// The minimum version is TLS 1.2. Compression and renegotiation are off. What can't be used is
/// an error of [`ContextBuilder::build`](crate::ContextBuilder::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct ServerTls {
    certificate: Pem,
    key: Pem,
    password: Option<Password>,
    min: TlsVersion,
    max: TlsVersion,
    ciphers: CipherLists,
    client_certificates: ClientCertificates,
    client_roots: Option<Pem>,
}

impl ServerTls {
    /// A certificate, followed by its chain where there is one, and its key.
    #[doc(alias = "ssl_cert_filepath")]
    #[doc(alias = "ssl_private_key_filepath")]
    pub fn new(certificate: Pem, key: Pem) -> Self {
        ServerTls {
            certificate,
            key,
            password: None,
            min: TlsVersion::Tls12,
            max: TlsVersion::Tls13,
            ciphers: CipherLists::default(),
            client_certificates: ClientCertificates::None,
            client_roots: None,
        }
    }

    /// The password of an encrypted key. Without one such a key is an error;
    /// nobody is asked at a terminal. It is zeroed when it is dropped, and never
    /// shown.
    #[doc(alias = "ssl_private_key_password")]
    pub fn key_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Password::new(password.into()));
        self
    }

    /// The oldest and the newest version that is spoken. Where vhosts share an address, the
    /// first one's settings say what is offered, for the client's name comes later: a
    /// connection whose version its own vhost doesn't speak fails. Default: 1.2 to 1.3.
    /// It is an error if the oldest is newer than the newest.
    #[doc(alias = "SSL_CTX_set_min_proto_version")]
    #[doc(alias = "SSL_CTX_set_max_proto_version")]
    pub fn versions(mut self, min: TlsVersion, max: TlsVersion) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// The cipher list for TLS 1.2, in OpenSSL's syntax. Default: the TLS library's.
    #[doc(alias = "ssl_cipher_list")]
    pub fn ciphers(mut self, list: impl Into<String>) -> Self {
        self.ciphers.tls12 = Some(list.into());
        self
    }

    /// The cipher suites for TLS 1.3, colon-separated. Default: the TLS library's.
    #[doc(alias = "tls1_3_plus_cipher_list")]
    pub fn tls13_ciphers(mut self, list: impl Into<String>) -> Self {
        self.ciphers.tls13 = Some(list.into());
        self
    }

    /// Asks clients for certificates that one of `roots` has signed. Default: none is asked for.
    #[doc(alias = "ssl_ca_filepath")]
    #[doc(alias = "LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT")]
    pub fn client_certificates(mut self, mode: ClientCertificates, roots: Pem) -> Self {
        self.client_certificates = mode;
        self.client_roots = Some(roots);
        self
    }

    /// Reads the files. It may take its time: no lock is held.
    pub(crate) fn load(&self) -> Result<LoadedServer, Error> {
        Ok(LoadedServer {
            certificate: self.certificate.load("server's certificate")?,
            key: self.key.load("server's private key")?,
            client_roots: match &self.client_roots {
                Some(roots) => Some(roots.load("client CA certificates")?),
                None => None,
            },
        })
    }

    /// Sets up the vhost's SSL_CTX.
    pub(crate) fn apply(
        &self,
        loaded: &LoadedServer,
        ctx: &ServerCtx<'_>,
        vhost: &str,
    ) -> Result<(), Error> {
        ctx.harden();
        ctx.set_versions(self.min, self.max)?;
        ctx.set_ciphers(&self.ciphers)?;
        let password = self.password.as_ref().map(Password::as_c_str).transpose()?;
        ctx.set_identity(&loaded.certificate, &loaded.key, password)?;
        if let Some(roots) = &loaded.client_roots {
            ctx.add_roots(roots, true)?;
        }
        ctx.set_client_auth(self.client_certificates, &session_id(vhost))
    }
}

/// The contents of the files that a [`ServerTls`] names.
pub(crate) struct LoadedServer {
    certificate: Loaded,
    key: Loaded,
    client_roots: Option<Loaded>,
}

/// At most 32 bytes that differ between vhosts (SSL_MAX_SID_CTX_LENGTH).
fn session_id(vhost: &str) -> Vec<u8> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    vhost.hash(&mut hasher);
    hasher.finish().to_be_bytes().to_vec()
}
