//! `struct lws_vhost`, and the memory that it keeps pointers to.

use super::context::{lifecycle, RawContext};
use super::kept::Kept;
use super::sys;
use super::trampoline::callback;
use crate::error::Error;
use std::ffi::{c_char, CStr, CString};
use std::ptr::NonNull;
#[cfg(feature = "_tls")]
use std::rc::Rc;

#[cfg(feature = "_tls")]
use super::tls::{ClientCtx, SslCtx};

/// The protocol that connections without a subprotocol are bound to. The space
/// keeps it from being the name of any subprotocol (RFC 6455 §4.1, RFC 9110 §5.6.2).
pub(super) const NO_SUBPROTOCOL: &CStr = c"no subprotocol";

/// The most that the socket is offered at once.
const MAX_SEND: usize = 256 << 10;

/// The only HTTP version that is spoken so far.
pub(super) const ALPN: &CStr = c"http/1.1";

/// Bytes that are handed on at once, and that each connection reserves: what was just
/// unmasked is copied while the first level of the processor's cache holds it. Echoes of
/// 64 KiB, 16 under way on one connection, are 1.4 times as many as with pieces of 64 KiB.
const PIECE: usize = 16 << 10;

/// What a vhost is created with.
pub(crate) struct VhostOptions {
    /// Our number for it, given back by [`super::wsi::Wsi::vhost_index`].
    pub index: usize,
    pub name: CString,
    pub listen: Option<Listen>,
    pub subprotocols: Vec<CString>,
    pub handshake_timeout: u32,
    pub connect_timeout: u32,
    /// Seconds without traffic until a ping, and until the connection is dropped.
    pub ping_after: u16,
    pub hangup_after: u16,
    pub deflate: bool,
    /// Whether the vhost's connections are TLS servers.
    #[cfg(feature = "_tls")]
    pub server_tls: bool,
}

/// Where a vhost listens.
pub(crate) struct Listen {
    /// A numeric address, or the path of a Unix domain socket.
    pub interface: Option<CString>,
    pub port: u16,
    pub is_unix: bool,
    pub is_ipv6: bool,
}

/// A vhost, as an index into its [`RawContext`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VhostId(usize);

/// What lws keeps by pointer for as long as the vhost lives. In vectors, which
/// may be moved meanwhile (see [`Kept`]).
pub(super) struct VhostMemory {
    _name: Vec<u8>,
    _interface: Option<Vec<u8>>,
    _subprotocols: Vec<CString>,
    _protocols: Vec<sys::lws_protocols>,
}

impl RawContext {
    /// How long a connection may stay silent, as lws takes it: by a pointer,
    /// which is good until the context is gone.
    pub(super) fn idle_policy(
        &mut self,
        ping_after: u16,
        hangup_after: u16,
    ) -> *const sys::lws_retry_bo {
        let policy = self.idle_policies.entry((ping_after, hangup_after));
        let policy = policy.or_insert_with(|| {
            Kept::new(sys::lws_retry_bo {
                secs_since_valid_ping: ping_after,
                secs_since_valid_hangup: hangup_after,
                ..Default::default()
            })
        });
        policy.as_ptr()
    }

    /// Creates a vhost.
    #[doc(alias = "lws_create_vhost")]
    pub fn create_vhost(
        &mut self,
        options: VhostOptions,
        #[cfg(feature = "_tls")] client_tls: Rc<ClientCtx>,
    ) -> Result<VhostId, Error> {
        let policy = self.idle_policy(options.ping_after, options.hangup_after);
        let protocol = |name: *const c_char| sys::lws_protocols {
            name,
            callback: Some(callback),
            rx_buffer_size: PIECE,
            // Else long messages go out in pieces of the receive buffer's size, each in
            // a turn of its own.
            tx_packet_size: MAX_SEND,
            ..Default::default()
        };
        let protocols: Vec<_> = std::iter::once(NO_SUBPROTOCOL)
            .chain(options.subprotocols.iter().map(CString::as_c_str))
            .map(|name| protocol(name.as_ptr()))
            .chain([sys::lws_protocols::default()])
            .collect();

        let name = options.name.into_bytes_with_nul();
        let mut info = sys::lws_context_creation_info {
            vhost_name: name.as_ptr().cast(),
            protocols: protocols.as_ptr(),
            port: sys::CONTEXT_PORT_NO_LISTEN,
            timeout_secs: options.handshake_timeout,
            timeout_secs_ah_idle: options.handshake_timeout,
            connect_timeout_secs: options.connect_timeout,
            retry_and_idle_policy: policy,
            user: std::ptr::without_provenance_mut(options.index + 1),
            ..Default::default()
        };
        // SAFETY: takes an exclusive reference, and puts static strings into it.
        unsafe { sys::lwsrs_no_proxy(&mut info) };
        if options.deflate {
            // SAFETY: takes nothing, and returns a static table or null.
            info.extensions = unsafe { sys::lwsrs_extensions() };
            if info.extensions.is_null() && cfg!(feature = "deflate") {
                let why = "permessage-deflate stays off: this libwebsockets lacks our patches, \
                           and loses the end of some messages; the vendored one, which is built \
                           without feature `system`, LWS_SOURCE_DIR, LWS_DIR and \
                           LWS_USE_PKG_CONFIG, doesn't";
                super::log::send(super::log::TARGET, log::Level::Warn, why);
            }
        }
        let mut flags = 0u64;
        let mut interface = None;
        if let Some(listen) = options.listen {
            info.port = i32::from(listen.port);
            flags |= u64::from(sys::LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND);
            if listen.is_unix {
                flags |= u64::from(sys::LWS_SERVER_OPTION_UNIX_SOCK);
            } else if !listen.is_ipv6 {
                flags |= u64::from(sys::LWS_SERVER_OPTION_DISABLE_IPV6);
            }
            interface = listen.interface.map(CString::into_bytes_with_nul);
            info.iface = match &interface {
                Some(name) => name.as_ptr().cast(),
                None => std::ptr::null(),
            };
        }
        #[cfg(feature = "_tls")]
        {
            flags |= u64::from(sys::LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT);
            info.alpn = ALPN.as_ptr();
            if options.server_tls {
                flags |= u64::from(sys::LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX);
            }
            info.provided_client_ssl_ctx = client_tls.as_ptr();
            self.client_tls.push(client_tls);
        }
        info.options = flags;

        let guard = lifecycle();
        // SAFETY: the context is valid; `info` is valid for the call; what lws keeps of it
        // by pointer is static or goes into `vhost_memory` or `idle_policies`, which are dropped
        // after the context.
        let vhost = unsafe { sys::lws_create_vhost(self.as_ptr(), &info) };
        drop(guard);
        // Kept also for a vhost that failed half-way: it goes with the context.
        self.vhost_memory.push(VhostMemory {
            _name: name,
            _interface: interface,
            _subprotocols: options.subprotocols,
            _protocols: protocols,
        });
        let vhost = NonNull::new(vhost).ok_or(Error::Library { what: "a vhost" })?;
        self.vhosts.push(vhost);
        Ok(VhostId(self.vhosts.len() - 1))
    }

    /// The vhost's pointer, if it is of this context.
    pub(super) fn vhost(&self, id: VhostId) -> Option<NonNull<sys::lws_vhost>> {
        self.vhosts.get(id.0).copied()
    }

    /// The port that a vhost listens on, once it does.
    #[doc(alias = "lws_get_vhost_listen_port")]
    pub fn listen_port(&self, vhost: VhostId) -> Option<u16> {
        let vhost = self.vhost(vhost)?;
        // SAFETY: vhosts are never destroyed before their context.
        let port = unsafe { sys::lws_get_vhost_listen_port(vhost.as_ptr()) };
        u16::try_from(port).ok().filter(|port| *port != 0)
    }
}
