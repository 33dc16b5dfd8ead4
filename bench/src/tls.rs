//! A certificate for the servers, and the client's side of a handshake.

use crate::Fail;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::Resumption;
use rustls::crypto::{ring, CryptoProvider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, NamedGroup, ServerConfig,
    SignatureScheme,
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

/// What clients offer: one suite of each version, and one group, so that servers do the same
/// work whatever they prefer.
pub fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
            ring::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    }
}

/// A client that does the least work that a full handshake allows: it believes every
/// certificate, checks no signature, and resumes no session.
pub fn client(tls12: bool) -> Result<ClientConfig, Fail> {
    let mut provider = provider();
    if tls12 {
        // Without its curve a server may not show its certificate (RFC 8422 §5.1).
        provider.kx_groups.push(ring::kx_group::SECP256R1);
    }
    let provider = Arc::new(provider);
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
    let group = tls.negotiated_key_exchange_group().map(|g| g.name());
    if group != Some(NamedGroup::X25519) {
        return Err(format!("the server has chosen {group:?} instead of X25519").into());
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{CipherSuite, ServerConnection};

    /// Lost: a comparison of libraries that is one of suites.
    #[test]
    fn a_server_is_left_no_choice() {
        let server = Arc::new(Identity::new().unwrap().rustls_server().unwrap());
        for (tls12, suite) in [
            (false, CipherSuite::TLS13_AES_128_GCM_SHA256),
            (true, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ] {
            let config = Arc::new(client(tls12).unwrap());
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = ClientConnection::new(config, name).unwrap();
            let mut server = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut wire = Vec::new();
            while client.is_handshaking() || server.is_handshaking() {
                while client.wants_write() {
                    client.write_tls(&mut wire).unwrap();
                }
                server.read_tls(&mut &*wire).unwrap();
                server.process_new_packets().unwrap();
                wire.clear();
                while server.wants_write() {
                    server.write_tls(&mut wire).unwrap();
                }
                client.read_tls(&mut &*wire).unwrap();
                client.process_new_packets().unwrap();
                wire.clear();
            }
            let chosen = client.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(chosen, suite);
            let group = client.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, NamedGroup::X25519);
        }
    }
}
