//! A context's servers: where each listens, and why one can't.

use super::listen::{self, Shared};
use super::Context;
use crate::error::{Error, InvalidInput, Shown};
use crate::ffi::vhost::{Listen, VhostId, VhostOptions};
use crate::server::{ListenAddress, Vhost, VhostState};
use std::ffi::CString;
use std::net::SocketAddr;
use std::rc::Rc;

impl Context {
    /// Creates a vhost.
    pub(super) fn add_vhost(&mut self, vhost: Vhost, shared: &mut Shared) -> Result<(), Error> {
        self.check_vhost(&vhost)?;
        let at = vhost.listen.clone();
        let made = {
            // Held until here: looking again takes it, too.
            let (listen, _lock) = listen::prepare(&at, shared)?;
            let options = self.vhost_options(&vhost, listen)?;
            self.create_vhost(vhost, options)
        };
        let made = made.map_err(|error| listen::explain(&at, error))?;
        self.note_listening(at, made, shared);
        Ok(())
    }

    /// Refuses a vhost that nobody could reach.
    fn check_vhost(&self, vhost: &Vhost) -> Result<(), InvalidInput> {
        if vhost.default.is_none() && vhost.subprotocols.is_empty() {
            return Err(InvalidInput::new(format!(
                "vhost {} serves nothing: give it accept() or subprotocol()",
                vhost.name
            )));
        }
        let vhosts = self.engine.vhosts.borrow();
        vhosts
            .iter()
            .try_for_each(|other| vhost.check_beside(&other.vhost))
    }

    /// What the C library is told of a vhost.
    fn vhost_options(&self, vhost: &Vhost, listen: Listen) -> Result<VhostOptions, InvalidInput> {
        let subprotocols = vhost.subprotocols.iter().map(|(name, _)| c_string(name));
        let (ping_after, hangup_after) = vhost.config.idle_seconds();
        Ok(VhostOptions {
            index: self.engine.vhosts.borrow().len(),
            name: c_string(&vhost.name)?,
            listen: Some(listen),
            subprotocols: subprotocols.collect::<Result<_, _>>()?,
            handshake_timeout: self.settings.handshake_timeout,
            connect_timeout: 20,
            ping_after,
            hangup_after,
            deflate: vhost.config.deflate,
            #[cfg(feature = "_tls")]
            server_tls: vhost.tls.is_some(),
        })
    }

    /// Has the C library make a vhost, and the engine know of it.
    fn create_vhost(&mut self, vhost: Vhost, options: VhostOptions) -> Result<VhostId, Error> {
        let Some(raw) = &mut self.raw else {
            return Err(Error::Library { what: "a vhost" });
        };
        let state = Rc::new(VhostState {
            vhost,
            #[cfg(feature = "_tls")]
            tls: std::cell::Cell::new(None),
        });
        #[cfg(feature = "_tls")]
        {
            let loaded = state.vhost.tls.as_ref().map(|tls| tls.load()).transpose()?;
            *self.engine.tls_setup.borrow_mut() = loaded.map(|l| (Rc::clone(&state), l));
        }
        self.engine.vhosts.borrow_mut().push(state);
        let made = raw.create_vhost(
            options,
            #[cfg(feature = "_tls")]
            Rc::clone(&self.no_client_tls),
        );
        #[cfg(feature = "_tls")]
        if let Some(error) = self.engine.tls_error.borrow_mut().take() {
            return Err(error);
        }
        made
    }

    /// Where a vhost listens is known to users, and to the vhosts after it.
    fn note_listening(&mut self, at: ListenAddress, vhost: VhostId, shared: &mut Shared) {
        let real = match at {
            ListenAddress::Tcp(address) => {
                let port = self.raw.as_ref().and_then(|raw| raw.listen_port(vhost));
                let port = port.unwrap_or(address.port());
                shared.ports.insert(address, port);
                Some(SocketAddr::new(address.ip(), port))
            }
            #[cfg(feature = "unix-sockets")]
            ListenAddress::Unix(path) => {
                if shared.sockets.insert(path.clone()) {
                    self.sockets.push(listen::SocketFile::new(&path));
                }
                None
            }
        };
        self.engine.add_address(real);
    }
}

fn c_string(text: &str) -> Result<CString, InvalidInput> {
    CString::new(text).map_err(|_| {
        InvalidInput::new(format!(
            "the name {} holds a NUL character: leave it out",
            Shown(text)
        ))
    })
}
