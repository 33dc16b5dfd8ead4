//! Certificates made for a test, and rustls on them.

use super::peer::{patient, Stream};
use super::WAIT;
use libwebsockets::tls::{ClientTls, Pem, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

/// A certificate authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    pub der: CertificateDer<'static>,
}

/// A certificate and its key.
pub struct Identity {
    pub cert: String,
    pub key: String,
    pub cert_der: CertificateDer<'static>,
    pub key_der: Vec<u8>,
}

impl Ca {
    pub fn new() -> Ca {
        let params = ca_params();
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        Ca::made(&cert, params, key)
    }

    /// An authority that this one has signed.
    pub fn intermediate(&self) -> Ca {
        let params = ca_params();
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Ca::made(&cert, params, key)
    }

    fn made(cert: &rcgen::Certificate, params: CertificateParams, key: KeyPair) -> Ca {
        Ca {
            pem: cert.pem(),
            der: cert.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for these names, valid now.
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_with(params(names))
    }

    /// A certificate that was valid once.
    pub fn sign_expired(&self, names: &[&str]) -> Identity {
        let mut params = params(names);
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.sign_with(params)
    }

    /// A certificate for these names, and for this key.
    pub fn sign_key(&self, names: &[&str], pem: &str) -> Identity {
        self.sign_both(params(names), KeyPair::from_pem(pem).expect("a key"))
    }

    fn sign_with(&self, params: CertificateParams) -> Identity {
        self.sign_both(params, KeyPair::generate().expect("a key"))
    }

    fn sign_both(&self, params: CertificateParams, key: KeyPair) -> Identity {
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity::new(&cert, &key)
    }

    /// A client of this crate that trusts this CA alone.
    pub fn trust(&self) -> ClientTls {
        ClientTls::new().ca(Pem::memory(self.pem.as_bytes()))
    }

    /// A rustls client that trusts this CA alone.
    pub fn rustls_client(&self) -> ClientConfig {
        self.rustls_client_of(rustls::DEFAULT_VERSIONS)
    }

    /// A rustls client that speaks these versions.
    pub fn rustls_client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ClientConfig {
        rustls_builder(versions)
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// A rustls client that shows a certificate.
    pub fn rustls_client_as(&self, identity: &Identity) -> ClientConfig {
        rustls_builder(rustls::DEFAULT_VERSIONS)
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![identity.cert_der.clone()], identity.private_key())
            .expect("an identity")
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a CA certificate");
        roots
    }
}

/// A certificate that nobody else has signed.
pub fn self_signed(names: &[&str]) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let cert = params(names).self_signed(&key).expect("a certificate");
    Identity::new(&cert, &key)
}

impl Identity {
    fn new(cert: &rcgen::Certificate, key: &KeyPair) -> Identity {
        Identity {
            cert: cert.pem(),
            key: key.serialize_pem(),
            cert_der: cert.der().clone(),
            key_der: key.serialize_der(),
        }
    }

    /// A server of this crate with this certificate.
    pub fn server(&self) -> ServerTls {
        ServerTls::new(
            Pem::memory(self.cert.as_bytes()),
            Pem::memory(self.key.as_bytes()),
        )
    }

    /// A rustls server with this certificate.
    pub fn rustls_server(&self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.cert_der.clone()], self.private_key())
            .expect("an identity")
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_der.clone()).into()
    }
}

/// A TLS client's stream to a server, for the name `name`. The handshake is made
/// with the first read or write.
pub fn tls_stream(addr: SocketAddr, name: &str, config: ClientConfig) -> Stream {
    Box::new(tls_over(super::peer::tcp(addr), name, config))
}

/// As [`tls_stream`], over a connection that is there.
pub fn tls_over<S: std::io::Read + std::io::Write>(
    stream: S,
    name: &str,
    config: ClientConfig,
) -> rustls::StreamOwned<ClientConnection, S> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    rustls::StreamOwned::new(tls, stream)
}

/// A TLS server's stream over a TCP connection that was accepted.
pub fn tls_accept(tcp: TcpStream, config: ServerConfig) -> Stream {
    patient(&tcp);
    let tls = ServerConnection::new(Arc::new(config)).expect("a server");
    Box::new(rustls::StreamOwned::new(tls, tcp))
}

fn rustls_builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
}

fn ca_params() -> CertificateParams {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    // Names of their own: an issuer is looked up by its name.
    let name = format!("CA {}", NEXT.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params
        .distinguished_name
        .push(DnType::CommonName, "a test's");
    params
}
