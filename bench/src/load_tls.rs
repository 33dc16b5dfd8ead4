//! TLS for load generators: one version, suite and group, whichever the server prefers.

use crate::{tls, Fail};
use rustls::pki_types::{pem::PemObject, CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// A client that trusts the certificate in this file.
pub fn config(certificate: &Path) -> Result<Arc<ClientConfig>, Fail> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// A connection of it to the server that has the certificate.
pub fn connect(config: &Arc<ClientConfig>) -> Result<ClientConnection, rustls::Error> {
    let name =
        ServerName::try_from("localhost").map_err(|e| rustls::Error::General(e.to_string()))?;
    let mut connection = ClientConnection::new(Arc::clone(config), name)?;
    connection.set_buffer_limit(None);
    Ok(connection)
}
