//! Client connections.

use super::context::RawContext;
use super::sys;
use super::vhost::{VhostId, ALPN, NO_SUBPROTOCOL};
use super::wsi::Wsi;
use super::wsi_cell::WsiCell;
use std::ffi::CStr;
use std::ptr::NonNull;

/// What a client connects with. The strings are copied by lws.
pub(crate) struct ConnectOptions<'a> {
    pub vhost: VhostId,
    /// A host name or numeric address to connect to, or `+` and a Unix socket's path.
    pub address: &'a CStr,
    pub port: u16,
    /// The request target: path and query.
    pub target: &'a CStr,
    /// The Host header.
    pub host: &'a CStr,
    pub origin: Option<&'a CStr>,
    /// The subprotocols to offer, comma-separated.
    pub subprotocols: Option<&'a CStr>,
    pub tls: Option<Relaxations>,
    /// The index of our own state, which [`super::wsi::Wsi::slot`] will give.
    pub slot: usize,
    /// Holds the connection's wsi, as long as that lives.
    pub cell: &'a WsiCell,
    /// Seconds of silence until a ping, and until the connection is dropped.
    pub ping_after: u16,
    pub hangup_after: u16,
}

/// Checks of the server's certificate that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relaxations {
    pub self_signed: bool,
    pub expired: bool,
    pub any_issuer: bool,
    pub any_name: bool,
}

impl RawContext {
    /// Starts a connection. Callbacks for it come during this call already, also
    /// the last ones. `false`: the library gave up, without saying more, and the cell is empty.
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn connect(&mut self, options: &ConnectOptions<'_>) -> bool {
        use sys::lws_client_connect_ssl_connection_flags as flag;

        let mut flags = flag::LCCSCF_HTTP_NO_FOLLOW_REDIRECT.0;
        if let Some(relax) = options.tls {
            flags |= flag::LCCSCF_USE_SSL.0;
            for (on, bit) in [
                (relax.self_signed, flag::LCCSCF_ALLOW_SELFSIGNED.0),
                (relax.expired, flag::LCCSCF_ALLOW_EXPIRED.0),
                (relax.any_issuer, flag::LCCSCF_ALLOW_INSECURE.0),
                (
                    relax.any_name,
                    flag::LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK.0,
                ),
            ] {
                if on {
                    flags |= bit;
                }
            }
        }
        let Some(vhost) = self.vhost(options.vhost) else {
            return false;
        };
        let policy = self.idle_policy(options.ping_after, options.hangup_after);
        let text = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        let info = sys::lws_client_connect_info {
            context: self.as_ptr(),
            vhost: vhost.as_ptr(),
            address: options.address.as_ptr(),
            port: i32::from(options.port),
            ssl_connection: flags as i32,
            path: options.target.as_ptr(),
            host: options.host.as_ptr(),
            origin: text(options.origin),
            protocol: text(options.subprotocols),
            local_protocol_name: NO_SUBPROTOCOL.as_ptr(),
            alpn: ALPN.as_ptr(),
            opaque_user_data: std::ptr::without_provenance_mut(options.slot + 1),
            retry_and_idle_policy: policy,
            ..Default::default()
        };
        // SAFETY: the context and the vhost are valid; the strings live during the call,
        // which copies them; the idle policy lives as long as the context.
        let wsi = unsafe { sys::lws_client_connect_via_info(&info) };
        let Some(wsi) = NonNull::new(wsi) else {
            // Some failures free the wsi with no callback, others after one that ended it.
            options.cell.clear();
            return false;
        };
        // SAFETY: lws returns NULL for a wsi that it freed. This one it frees at the earliest
        // when it services the context.
        options.cell.set(unsafe { &Wsi::new(wsi) });
        true
    }
}
