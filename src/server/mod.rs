//! Servers: where they listen, and who may come in.

mod refusal;
mod request;
pub(crate) mod vhost;

pub(crate) use refusal::Answer;
pub use refusal::Refusal;
pub use request::Request;
pub use vhost::Vhost;
pub(crate) use vhost::{Factory, ListenAddress};

/// A vhost of a running context, as the engine knows it.
pub(crate) struct VhostState {
    pub vhost: Vhost,
    /// Which SSL_CTX its handshakes use.
    #[cfg(feature = "_tls")]
    pub tls: std::cell::Cell<Option<crate::ffi::ssl::CtxIdentity>>,
}

impl VhostState {
    /// The subprotocols that the vhost has.
    pub fn names(&self) -> String {
        let names = self.vhost.subprotocols.iter();
        names
            .map(|(name, _)| &**name)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The factory for the first of the client's subprotocols that the vhost
    /// has, as the C library will choose it; `None`: there is no agreement.
    pub fn choose(&self, offered: &[String]) -> Option<(Option<&str>, &Factory)> {
        if offered.is_empty() {
            return self.vhost.default.as_ref().map(|factory| (None, factory));
        }
        offered.iter().find_map(|name| {
            self.vhost
                .subprotocols
                .iter()
                .find(|(own, _)| own == name)
                .map(|(own, factory)| (Some(own.as_str()), factory))
        })
    }
}
