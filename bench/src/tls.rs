//! A certificate for the servers, and the client's side of a handshake.

use crate::Fail;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::Resumption;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The longest that a peer is waited for; valgrind makes servers slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A certificate for localhost that nobody has signed, and its key (ECDSA, P-256).
pub struct Identity(rcgen::CertifiedKey<rcgen::KeyPair>);

impl Identity {
    /// A new one.
    pub fn new() -> Result<Self, Fail> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        Ok(Identity(made))
    }

    /// The certificate and the key, PEM.
    pub fn pem(&self) -> (String, String) {
        (self.0.cert.pem(), self.0.signing_key.serialize_pem())
    }

    /// A rustls server that shows it.
    pub fn rustls_server(&self) -> Result<ServerConfig, Fail> {
        let key = PrivateKeyDer::try_from(self.0.signing_key.serialize_der())?;
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let certificates = vec![self.0.cert.der().clone()];
        Ok(builder
            .with_no_client_auth()
            .with_single_cert(certificates, key)?)
    }
}

/// A client that does the least work that a full handshake allows: it believes every
/// certificate, checks no signature, and resumes no session.
pub fn client(tls12: bool) -> Result<ClientConfig, Fail> {
    let provider = Arc::new(ring::default_provider());
    let version = match tls12 {
        true => &rustls::version::TLS12,
        false => &rustls::version::TLS13,
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(BelievesAll(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// One connection: the handshake, `request` if it isn't empty, with the beginning of an
/// answer, and the end, which the server has to agree to. So a server has done all its
/// work for a connection when this returns.
pub fn connect(to: SocketAddr, config: &Arc<ClientConfig>, request: &[u8]) -> Result<(), Fail> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name = ServerName::try_from("localhost")?;
    let mut tls = ClientConnection::new(Arc::clone(config), name)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    if !request.is_empty() {
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(request)?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        if answer != *b"HTTP/1.1 101" {
            return Err(format!("the answer is {:?}", answer.escape_ascii().to_string()).into());
        }
    }
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut socket)?;
    }
    socket.shutdown(Shutdown::Write)?;
    io::copy(&mut socket, &mut io::sink())?;
    Ok(())
}

#[derive(Debug)]
struct BelievesAll(Arc<CryptoProvider>);

impl ServerCertVerifier for BelievesAll {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
