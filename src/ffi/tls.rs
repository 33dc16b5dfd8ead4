//! `SSL_CTX`: the ones that lws makes for servers, and the ones that we make
//! for clients. Both are configured by us, through the C glue: lws' own loading
//! takes one CA of a bundle, no chain from memory, and says little of why.

use super::sys;
use super::wsi::Wsi;
use crate::client::CertificateProblem;
use crate::error::{Error, Shown};
use crate::tls::{CipherLists, ClientCertificates, Loaded, TlsInfo, TlsVersion};
use std::ffi::{c_char, c_int, CStr, CString};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Once;

/// Sets the TLS library up, where nothing in the process has done that before.
/// Cheap when it is done again.
#[doc(alias = "OPENSSL_init_ssl")]
pub(super) fn init() {
    // SAFETY: takes nothing; the TLS library lets one thread do it, once.
    unsafe { sys::lwsrs_tls_init() };
}

/// Lets clients keep the alert that ends their connection. Without it, for lack of memory,
/// they say less of why.
fn watch_alerts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: takes nothing; it is called once, and each client's SSL_CTX is made after it.
        let _ = unsafe { sys::lwsrs_tls_watch_alerts() };
    });
}

/// Settings that server and client share.
pub(crate) trait SslCtx {
    fn as_ptr(&self) -> *mut sys::SSL_CTX;

    fn set_versions(&self, min: TlsVersion, max: TlsVersion) -> Result<(), Error> {
        let what = || format!("TLS versions {min} to {max}");
        if min > max {
            return Err(Error::tls(what(), "the oldest is newer than the newest"));
        }
        let raw = |version| match version {
            TlsVersion::Tls12 => sys::LWSRS_TLS_1_2 as c_int,
            TlsVersion::Tls13 => sys::LWSRS_TLS_1_3 as c_int,
        };
        // SAFETY: the SSL_CTX is valid while `self` is.
        let rc = unsafe { sys::lwsrs_tls_versions(self.as_ptr(), raw(min), raw(max)) };
        check(rc, what)
    }

    fn set_ciphers(&self, ciphers: &CipherLists) -> Result<(), Error> {
        let text = |list: &Option<String>| {
            list.as_deref()
                .map(CString::new)
                .transpose()
                .map_err(|_| Error::tls("cipher list", "it holds a NUL character"))
        };
        let raw = |list: &Option<CString>| list.as_ref().map_or(std::ptr::null(), |l| l.as_ptr());
        // One at a time, so that the one that can't be used is named.
        let list = text(&ciphers.tls12)?;
        // SAFETY: the SSL_CTX is valid while `self` is; the list is null or NUL-terminated.
        let rc = unsafe { sys::lwsrs_tls_ciphers(self.as_ptr(), raw(&list), std::ptr::null()) };
        let name = |list: &Option<String>| Shown(list.as_deref().unwrap_or("")).to_string();
        check(rc, || format!("cipher list {}", name(&ciphers.tls12)))?;
        let list = text(&ciphers.tls13)?;
        // SAFETY: as above.
        let rc = unsafe { sys::lwsrs_tls_ciphers(self.as_ptr(), std::ptr::null(), raw(&list)) };
        check(rc, || {
            format!("TLS 1.3 cipher list {}", name(&ciphers.tls13))
        })
    }

    /// A certificate with its chain, then its key.
    fn set_identity(
        &self,
        chain: &Loaded,
        key: &Loaded,
        password: Option<&CStr>,
    ) -> Result<(), Error> {
        let data = chain.as_bytes();
        // SAFETY: the SSL_CTX is valid while `self` is; the slice gives its own length.
        let rc = unsafe { sys::lwsrs_tls_chain(self.as_ptr(), data.as_ptr().cast(), data.len()) };
        check(rc, || chain.name())?;
        let password = password.map_or(std::ptr::null(), CStr::as_ptr);
        let data = key.as_bytes();
        let pointer = data.as_ptr().cast();
        // SAFETY: as above; the password is null or NUL-terminated.
        let rc = unsafe { sys::lwsrs_tls_key(self.as_ptr(), pointer, data.len(), password) };
        check(rc, || key.name())
    }

    /// Sends the secrets of this SSL_CTX' connections to the context's key log.
    #[cfg(feature = "keylog")]
    fn attach_keylog(&self, engine: &crate::context::engine::Engine, vhost: &str) {
        let Some(ctx) = NonNull::new(self.as_ptr()) else {
            return;
        };
        // SAFETY: the SSL_CTX is valid while `self` is and has made no connection yet.
        unsafe { super::keylog::attach(engine.keylog(), vhost, ctx) };
    }

    fn add_roots(&self, roots: &Loaded, is_server: bool) -> Result<(), Error> {
        let data = roots.as_bytes();
        let (pointer, is_server) = (data.as_ptr().cast(), c_int::from(is_server));
        // SAFETY: the SSL_CTX is valid while `self` is; the slice gives its own length.
        let rc = unsafe { sys::lwsrs_tls_roots(self.as_ptr(), pointer, data.len(), is_server) };
        check(rc, || roots.name())
    }
}

/// Turns the glue's -1 into an error with the TLS library's reason.
fn check(rc: c_int, what: impl FnOnce() -> String) -> Result<(), Error> {
    match rc {
        0 => Ok(()),
        _ => Err(failure(what())),
    }
}

/// What the TLS library says of the call that failed last.
fn failure(what: String) -> Error {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer has the length that is passed; the text is NUL-terminated in it.
    unsafe { sys::lwsrs_tls_error(buffer.as_mut_ptr().cast(), buffer.len()) };
    let reason = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
    let reason = match reason.to_string_lossy() {
        text if text.is_empty() => "the TLS library gives no reason".into(),
        text => text.into_owned(),
    };
    Error::tls(what, reason)
}

/// A server's SSL_CTX, owned by its vhost, during the callback that sets it up.
pub(crate) struct ServerCtx<'cb> {
    ptr: NonNull<sys::SSL_CTX>,
    _callback: PhantomData<&'cb mut ()>,
}

impl ServerCtx<'_> {
    /// # Safety
    ///
    /// `ptr` is valid for the lifetime of what is returned.
    pub(super) unsafe fn new(ptr: NonNull<sys::SSL_CTX>) -> Self {
        ServerCtx {
            ptr,
            _callback: PhantomData,
        }
    }

    /// Compression and renegotiation off, buffers given back when idle.
    pub fn harden(&self) {
        // SAFETY: the SSL_CTX is valid while `self` is.
        unsafe { sys::lwsrs_tls_harden(self.as_ptr()) };
    }

    /// Whether peers are asked for certificates. `id` tells this vhost's TLS
    /// sessions from those of another with other rules.
    pub fn set_client_auth(&self, mode: ClientCertificates, id: &[u8]) -> Result<(), Error> {
        let mode = match mode {
            ClientCertificates::None => sys::LWSRS_CLIENT_CERT_NONE,
            ClientCertificates::Optional => sys::LWSRS_CLIENT_CERT_OPTIONAL,
            ClientCertificates::Required => sys::LWSRS_CLIENT_CERT_REQUIRED,
        };
        // SAFETY: the SSL_CTX is valid while `self` is; the id is copied.
        let rc = unsafe {
            sys::lwsrs_tls_client_auth(self.as_ptr(), mode as c_int, id.as_ptr().cast(), id.len())
        };
        check(rc, || "client certificate mode".into())
    }

    /// What [`Wsi::tls_is_by`] compares; never dereferenced.
    pub fn identity(&self) -> CtxIdentity {
        CtxIdentity(self.ptr.as_ptr().addr())
    }
}

impl SslCtx for ServerCtx<'_> {
    fn as_ptr(&self) -> *mut sys::SSL_CTX {
        self.ptr.as_ptr()
    }
}

/// Tells one SSL_CTX from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CtxIdentity(usize);

/// Said of a program in which other crates use OpenSSL, and AWS-LC without its libssl:
/// this crate's feature `aws-lc` adds that, and the linker may then take its functions
/// for OpenSSL's, which are called the same.
const MIXED: &str = "another crate's calls of OpenSSL reach AWS-LC, for the program holds \
     OpenSSL, aws-lc-sys, and this crate with its feature aws-lc: use the feature tls instead, \
     or keep one of the others out (rustls, for one, can use ring)";

/// A client's SSL_CTX, which we own. It must be dropped after the lws context
/// that uses it.
pub(crate) struct ClientCtx(NonNull<sys::SSL_CTX>);

impl ClientCtx {
    pub fn new() -> Result<Self, Error> {
        // SAFETY: takes nothing, at any time.
        if unsafe { sys::lwsrs_tls_is_mixed() } != 0 {
            return Err(Error::tls("TLS libraries of this program", MIXED));
        }
        init();
        watch_alerts();
        // SAFETY: makes a new object from nothing.
        let ptr = unsafe { sys::lwsrs_tls_client_new() };
        match NonNull::new(ptr) {
            Some(ptr) => Ok(ClientCtx(ptr)),
            None => Err(failure("TLS client context".into())),
        }
    }

    /// The roots that the TLS library was built to find; on Windows, the system's.
    #[doc(alias = "SSL_CTX_set_default_verify_paths")]
    pub fn add_system_roots(&self) -> Result<(), Error> {
        // SAFETY: the SSL_CTX is valid while `self` is.
        let rc = unsafe { sys::lwsrs_tls_system_roots(self.as_ptr()) };
        check(rc, || "system's CA certificates".into())
    }
}

impl SslCtx for ClientCtx {
    fn as_ptr(&self) -> *mut sys::SSL_CTX {
        self.0.as_ptr()
    }
}

impl Drop for ClientCtx {
    fn drop(&mut self) {
        // SAFETY: we own this reference; connections that still use it hold their own.
        unsafe { sys::lwsrs_tls_ctx_free(self.0.as_ptr()) };
    }
}

impl Wsi<'_> {
    pub(super) fn ssl(&self) -> Option<NonNull<sys::SSL>> {
        // SAFETY: the wsi is valid for 'cb.
        NonNull::new(unsafe { sys::lws_get_ssl(self.as_ptr()) })
    }

    /// Whether this connection's handshake used that SSL_CTX, and by its rules.
    pub fn tls_is_by(&self, ctx: CtxIdentity) -> bool {
        self.ssl().is_some_and(|ssl| {
            // SAFETY: a wsi's SSL is valid as long as the wsi.
            let used = unsafe { sys::lwsrs_ssl_ctx(ssl.as_ptr()) };
            // SAFETY: as above.
            let kept = unsafe { sys::lwsrs_ssl_keeps_rules(ssl.as_ptr()) } != 0;
            used.addr() == ctx.0 && kept
        })
    }

    /// The facts of the TLS session; `None` on a plain connection.
    pub fn tls_info(&self) -> Option<TlsInfo> {
        let ssl = self.ssl()?.as_ptr();
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        let version = unsafe { sys::lwsrs_ssl_version(ssl) };
        // SAFETY: as above.
        let cipher = unsafe { sys::lwsrs_ssl_cipher(ssl) };
        // SAFETY: as above.
        let server_name = unsafe { sys::lwsrs_ssl_server_name(ssl) };
        Some(TlsInfo {
            // SAFETY: null or a static NUL-terminated string.
            version: unsafe { owned(version) }.unwrap_or_default(),
            // SAFETY: null or a static NUL-terminated string.
            cipher: unsafe { owned(cipher) }.unwrap_or_default(),
            // SAFETY: null or a NUL-terminated string that lives as long as the SSL.
            server_name: unsafe { owned(server_name) },
            alpn: alpn(ssl),
            peer_certificate: peer_certificate(ssl),
        })
    }
}

/// Why a client's handshake failed.
impl Wsi<'_> {
    /// What is wrong with the server's certificate, and in the TLS library's words.
    #[doc(alias = "SSL_get_verify_result")]
    pub fn certificate_problem(&self) -> Option<(CertificateProblem, String)> {
        let ssl = self.ssl()?.as_ptr();
        let mut reason = std::ptr::null();
        // SAFETY: a wsi's SSL is valid as long as the wsi; the pointer is to a pointer.
        let problem = unsafe { sys::lwsrs_ssl_certificate_problem(ssl, &mut reason) };
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
        let ssl = self.ssl()?.as_ptr();
        // SAFETY: a wsi's SSL is valid as long as the wsi.
        let alert = unsafe { sys::lwsrs_ssl_alert(ssl) };
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

fn alpn(ssl: *const sys::SSL) -> Option<Vec<u8>> {
    let mut data = std::ptr::null();
    // SAFETY: the callers pass a valid SSL; `data` is set to what it holds, or null.
    let len = unsafe { sys::lwsrs_ssl_alpn(ssl, &mut data) };
    if data.is_null() || len == 0 {
        return None;
    }
    // SAFETY: the TLS library keeps `len` bytes there as long as the SSL lives.
    Some(unsafe { std::slice::from_raw_parts(data, len) }.to_vec())
}

fn peer_certificate(ssl: *const sys::SSL) -> Option<Vec<u8>> {
    // SAFETY: the callers pass a valid SSL; with length 0 nothing is written.
    let len = unsafe { sys::lwsrs_ssl_peer_certificate(ssl, std::ptr::null_mut(), 0) };
    if len == 0 {
        return None;
    }
    let mut der = vec![0u8; len];
    // SAFETY: the buffer has `len` bytes, and nothing is written where they don't suffice.
    let written = unsafe { sys::lwsrs_ssl_peer_certificate(ssl, der.as_mut_ptr(), len) };
    (written == len).then_some(der)
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
