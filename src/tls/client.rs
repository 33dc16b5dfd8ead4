//! TLS of a client.

use super::pem::Stamp;
use super::secret::Password;
use super::{CipherLists, Pem, TlsVersion};
use crate::error::Error;
use crate::ffi::connect::Relaxations;
use crate::ffi::tls::{ClientCtx, SslCtx};

/// How a client speaks TLS: whom it trusts, and who it is.
///
/// By default it trusts the system's CA certificates, checks the server's
/// certificate and its name, and speaks TLS 1.2 and 1.3. Each relaxation is a
/// method that begins with `danger_`. What can't be used is an error of
/// [`Context::connect`](crate::Context::connect), or
/// [`ConnectError::Setup`](crate::ConnectError::Setup).
///
/// What a context makes of settings it keeps, for clients with the same ones: each different
/// set, and each change of a file that they name, takes the memory of another `SSL_CTX` until
/// the context is dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ClientTls {
    system_roots: bool,
    roots: Vec<Pem>,
    identity: Option<(Pem, Pem)>,
    password: Option<Password>,
    min: TlsVersion,
    max: TlsVersion,
    ciphers: CipherLists,
    allow_self_signed: bool,
    allow_expired: bool,
    allow_any_issuer: bool,
    allow_any_name: bool,
}

impl Default for ClientTls {
    fn default() -> Self {
        ClientTls {
            system_roots: true,
            roots: Vec::new(),
            identity: None,
            password: None,
            min: TlsVersion::Tls12,
            max: TlsVersion::Tls13,
            ciphers: CipherLists::default(),
            allow_self_signed: false,
            allow_expired: false,
            allow_any_issuer: false,
            allow_any_name: false,
        }
    }
}

impl ClientTls {
    /// The default: the system's roots, everything checked.
    pub fn new() -> Self {
        ClientTls::default()
    }

    /// Trusts these CA certificates, and no longer the system's unless
    /// [`system_roots`](ClientTls::system_roots) asks for them after this. Those of several
    /// calls are all trusted.
    #[doc(alias = "client_ssl_ca_filepath")]
    pub fn ca(mut self, roots: Pem) -> Self {
        self.roots.push(roots);
        self.system_roots = false;
        self
    }

    /// Whether the system's CA certificates are trusted.
    ///
    /// On Windows they are those in its store `ROOT`, as it is when the context's first
    /// client with these settings connects. Elsewhere they are those that the TLS library finds
    /// by itself: on Linux those of the distribution; OpenSSL on macOS has none.
    #[doc(alias = "SSL_CTX_set_default_verify_paths")]
    pub fn system_roots(mut self, on: bool) -> Self {
        self.system_roots = on;
        self
    }

    /// The client's own certificate (with its chain) and key.
    #[doc(alias = "client_ssl_cert_filepath")]
    #[doc(alias = "client_ssl_private_key_filepath")]
    pub fn identity(mut self, certificate: Pem, key: Pem) -> Self {
        self.identity = Some((certificate, key));
        self
    }

    /// The password of an encrypted key of [`identity`](ClientTls::identity).
    /// Without one such a key is an error; nobody is asked at a terminal. It is
    /// zeroed when it is dropped, and never shown.
    #[doc(alias = "client_ssl_private_key_password")]
    pub fn key_password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Password::new(password.into()));
        self
    }

    /// The oldest and the newest version that is spoken. Default: 1.2 to 1.3.
    /// It is an error if the oldest is newer than the newest.
    #[doc(alias = "SSL_CTX_set_min_proto_version")]
    #[doc(alias = "SSL_CTX_set_max_proto_version")]
    pub fn versions(mut self, min: TlsVersion, max: TlsVersion) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// The cipher list for TLS 1.2, in OpenSSL's syntax. Default: the TLS library's.
    #[doc(alias = "client_ssl_cipher_list")]
    pub fn ciphers(mut self, list: impl Into<String>) -> Self {
        self.ciphers.tls12 = Some(list.into());
        self
    }

    /// The cipher suites for TLS 1.3, colon-separated. Default: the TLS library's.
    #[doc(alias = "client_tls_1_3_plus_cipher_list")]
    pub fn tls13_ciphers(mut self, list: impl Into<String>) -> Self {
        self.ciphers.tls13 = Some(list.into());
        self
    }

    /// Accepts a certificate that nobody else has signed. Anyone can make one:
    /// the peer is not authenticated.
    #[doc(alias = "LCCSCF_ALLOW_SELFSIGNED")]
    pub fn danger_accept_self_signed(mut self) -> Self {
        self.allow_self_signed = true;
        self
    }

    /// Accepts a certificate that is expired or not valid yet.
    #[doc(alias = "LCCSCF_ALLOW_EXPIRED")]
    pub fn danger_accept_expired(mut self) -> Self {
        self.allow_expired = true;
        self
    }

    /// Accepts a certificate for another name than the URL's.
    #[doc(alias = "LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK")]
    pub fn danger_accept_any_name(mut self) -> Self {
        self.allow_any_name = true;
        self
    }

    /// Accepts a certificate whoever has signed it, if anyone, whatever its age
    /// and for whatever name. The peer is not authenticated at all.
    #[doc(alias = "LCCSCF_ALLOW_INSECURE")]
    pub fn danger_accept_anything(mut self) -> Self {
        self.allow_self_signed = true;
        self.allow_expired = true;
        self.allow_any_issuer = true;
        self.allow_any_name = true;
        self
    }

    pub(crate) fn relaxations(&self) -> Relaxations {
        Relaxations {
            self_signed: self.allow_self_signed,
            expired: self.allow_expired,
            any_issuer: self.allow_any_issuer,
            any_name: self.allow_any_name,
        }
    }

    /// The files that are named, as they are now.
    pub(crate) fn stamps(&self) -> Vec<Option<Stamp>> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.roots.iter().chain(identity).map(Pem::stamp).collect()
    }

    /// Makes the SSL_CTX for connections with these settings.
    pub(crate) fn build(&self) -> Result<ClientCtx, Error> {
        let ctx = ClientCtx::new()?;
        ctx.set_versions(self.min, self.max)?;
        ctx.set_ciphers(&self.ciphers)?;
        if self.system_roots {
            ctx.add_system_roots()?;
        }
        for roots in &self.roots {
            ctx.add_roots(&roots.load("CA certificates")?, false)?;
        }
        if let Some((certificate, key)) = &self.identity {
            let certificate = certificate.load("client's certificate")?;
            let key = key.load("client's private key")?;
            let password = self.password.as_ref().map(Password::as_c_str).transpose()?;
            ctx.set_identity(&certificate, &key, password)?;
        }
        Ok(ctx)
    }
}
