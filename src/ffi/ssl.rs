//! `SSL`: one connection of the TLS library, and what it tells.

use super::sys;
use super::wsi::Wsi;
use crate::client::CertificateProblem;
#[cfg(feature = "keylog")]
use crate::connection::Role;
use crate::tls::TlsInfo;
use std::ffi::{c_char, CStr};
use std::marker::PhantomData;
#[cfg(feature = "keylog")]
use std::net::SocketAddr;
use std::ptr::NonNull;

/// A connection of the TLS library that is valid for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Ssl<'a> {
    ptr: NonNull<sys::SSL>,
    _valid: PhantomData<&'a ()>,
}

impl Ssl<'_> {
    /// # Safety
    ///
    /// `ptr` is valid as long as what is returned, and used by this thread alone.
    pub unsafe fn new(ptr: NonNull<sys::SSL>) -> Self {
        Ssl {
            ptr,
            _valid: PhantomData,
        }
    }

    pub fn as_ptr(self) -> *mut sys::SSL {
        self.ptr.as_ptr()
    }

    /// The address of its SSL_CTX; never dereferenced.
    fn ctx_addr(self) -> usize {
        // SAFETY: the connection is valid (contract of `new`).
        unsafe { sys::lwsrs_ssl_ctx(self.as_ptr()) }.addr()
    }

    /// Whether a server's connection is as its SSL_CTX wants it.
    fn keeps_rules(self) -> bool {
        // SAFETY: the connection is valid (contract of `new`).
        unsafe { sys::lwsrs_ssl_keeps_rules(self.as_ptr()) != 0 }
    }

    #[doc(alias = "SSL_get_version")]
    fn version(self) -> Option<String> {
        // SAFETY: the connection is valid (contract of `new`).
        let version = unsafe { sys::lwsrs_ssl_version(self.as_ptr()) };
        // SAFETY: null or a static NUL-terminated string.
        unsafe { owned(version) }
    }

    #[doc(alias = "SSL_get_current_cipher")]
    fn cipher(self) -> Option<String> {
        // SAFETY: the connection is valid (contract of `new`).
        let cipher = unsafe { sys::lwsrs_ssl_cipher(self.as_ptr()) };
        // SAFETY: null or a static NUL-terminated string.
        unsafe { owned(cipher) }
    }

    #[doc(alias = "SSL_get_servername")]
    pub fn server_name(self) -> Option<String> {
        // SAFETY: the connection is valid (contract of `new`).
        let name = unsafe { sys::lwsrs_ssl_server_name(self.as_ptr()) };
        // SAFETY: null or a NUL-terminated string of the connection's.
        unsafe { owned(name) }
    }

    #[doc(alias = "SSL_get0_alpn_selected")]
    fn alpn(self) -> Option<Vec<u8>> {
        let mut data = std::ptr::null();
        // SAFETY: the connection is valid (contract of `new`); `data` is set to what it
        // holds, or null.
        let len = unsafe { sys::lwsrs_ssl_alpn(self.as_ptr(), &mut data) };
        if data.is_null() || len == 0 {
            return None;
        }
        // SAFETY: the TLS library keeps `len` bytes there as long as the connection lives.
        Some(unsafe { std::slice::from_raw_parts(data, len) }.to_vec())
    }

    #[doc(alias = "SSL_get_peer_certificate")]
    fn peer_certificate(self) -> Option<Vec<u8>> {
        let none = std::ptr::null_mut();
        // SAFETY: the connection is valid (contract of `new`); with length 0 nothing is written.
        let len = unsafe { sys::lwsrs_ssl_peer_certificate(self.as_ptr(), none, 0) };
        if len == 0 {
            return None;
        }
        let mut der = vec![0u8; len];
        let buffer = der.as_mut_ptr();
        // SAFETY: the buffer has `len` bytes, and nothing is written where they don't suffice.
        let written = unsafe { sys::lwsrs_ssl_peer_certificate(self.as_ptr(), buffer, len) };
        (written == len).then_some(der)
    }

    #[cfg(feature = "keylog")]
    #[doc(alias = "SSL_is_server")]
    pub fn role(self) -> Role {
        // SAFETY: the connection is valid (contract of `new`).
        match unsafe { sys::lwsrs_ssl_is_server(self.as_ptr()) } {
            0 => Role::Client,
            _ => Role::Server,
        }
    }

    #[cfg(feature = "keylog")]
    #[doc(alias = "SSL_get_fd")]
    pub fn peer_addr(self) -> Option<SocketAddr> {
        // SAFETY: the connection is valid (contract of `new`).
        let fd = unsafe { sys::lwsrs_ssl_fd(self.as_ptr()) };
        super::socket::peer_addr(sys::lws_sockfd_type::try_from(fd).ok()?)
    }
}

/// # Safety
///
/// `text` is null or NUL-terminated.
unsafe fn owned(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: as this function's contract.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}

/// Tells one SSL_CTX from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CtxIdentity(usize);

impl CtxIdentity {
    pub(super) fn of(ctx: NonNull<sys::SSL_CTX>) -> Self {
        CtxIdentity(ctx.as_ptr().addr())
    }
}

impl Wsi<'_> {
    pub(super) fn ssl(&self) -> Option<Ssl<'_>> {
        // SAFETY: the wsi is valid for 'cb.
        let ptr = NonNull::new(unsafe { sys::lws_get_ssl(self.as_ptr()) })?;
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        Some(unsafe { Ssl::new(ptr) })
    }

    /// Whether this connection's handshake used that SSL_CTX, and by its rules.
    pub fn tls_is_by(&self, ctx: CtxIdentity) -> bool {
        self.ssl()
            .is_some_and(|ssl| ssl.ctx_addr() == ctx.0 && ssl.keeps_rules())
    }

    /// The facts of the TLS session; `None` on a plain connection.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        let ssl = self.ssl()?;
        Some(TlsInfo {
            version: ssl.version().unwrap_or_default(),
            cipher: ssl.cipher().unwrap_or_default(),
            server_name: ssl.server_name(),
            alpn: ssl.alpn(),
            peer_certificate: ssl.peer_certificate(),
        })
    }
}

/// Why a client's handshake failed.
impl Wsi<'_> {
    /// What is wrong with the server's certificate, and in the TLS library's words.
    #[doc(alias = "SSL_get_verify_result")]
    pub fn certificate_problem(&self) -> Option<(CertificateProblem, String)> {
        let ssl = self.ssl()?;
        let mut reason = std::ptr::null();
        // SAFETY: a wsi's SSL is valid as long as the wsi; the pointer is to a pointer.
        let problem = unsafe { sys::lwsrs_ssl_certificate_problem(ssl.as_ptr(), &mut reason) };
        let problem = match problem as u32 {
            0 => return None,
            sys::LWSRS_CERT_UNKNOWN_ISSUER => CertificateProblem::UnknownIssuer,
            sys::LWSRS_CERT_SELF_SIGNED => CertificateProblem::SelfSigned,
            sys::LWSRS_CERT_WRONG_NAME => CertificateProblem::WrongName,
            sys::LWSRS_CERT_EXPIRED => CertificateProblem::Expired,
            sys::LWSRS_CERT_NOT_YET_VALID => CertificateProblem::NotYetValid,
            _ => CertificateProblem::Other,
        };
        // SAFETY: null or a static NUL-terminated string.
        let reason = unsafe { owned(reason) }.unwrap_or_default();
        Some((problem, reason))
    }

    /// The alert by which the server ended the connection.
    pub fn tls_alert(&self) -> Option<u8> {
        let ssl = self.ssl()?;
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        let alert = unsafe { sys::lwsrs_ssl_alert(ssl.as_ptr()) };
        u8::try_from(alert).ok().filter(|alert| *alert != 0)
    }

    /// From now on no alert is kept: a client's connection is open.
    pub fn ignore_tls_alerts(&self) {
        if let Some(ssl) = self.ssl() {
            // SAFETY: a wsi's SSL is valid as long as the wsi.
            unsafe { sys::lwsrs_ssl_ignore_alerts(ssl.as_ptr()) };
        }
    }
}
