//! The clients' side of TLS.

use super::Fail;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::sync::Arc;

/// A client for any server.
pub fn client() -> Result<Arc<ClientConfig>, Fail> {
    crate::tls::client(false).map(Arc::new)
}

/// The client's side of one connection.
pub fn session(config: &Arc<ClientConfig>) -> Result<ClientConnection, Fail> {
    let name = ServerName::try_from("localhost")?;
    Ok(ClientConnection::new(Arc::clone(config), name)?)
}
