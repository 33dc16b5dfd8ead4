//! `SSL_CTX`: the ones that lws makes for servers, and the ones that we make
//! for clients. Both are configured by us, through the C glue: lws' own loading
//! takes one CA of a bundle, no chain from memory, and says little of why.

use super::ssl::CtxIdentity;
use super::sys;
use crate::error::{Error, Shown};
use crate::tls::{CipherLists, ClientCertificates, Loaded, TlsVersion};
use std::ffi::{c_int, CStr, CString};
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

    /// Sends the secrets of this SSL_CTX' connections to the context's key log: of those that
    /// it makes from now on.
    #[cfg(feature = "keylog")]
    fn attach_keylog(&self, engine: &crate::context::engine::Engine, vhost: &str) {
        let Some(ctx) = NonNull::new(self.as_ptr()) else {
            return;
        };
        // SAFETY: the SSL_CTX is valid while `self` is. What uses it stays, as `self`, with the
        // service thread.
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

    /// What [`Wsi::tls_is_by`](super::wsi::Wsi::tls_is_by) compares; never dereferenced.
    pub fn identity(&self) -> CtxIdentity {
        CtxIdentity::of(self.ptr)
    }
}

impl SslCtx for ServerCtx<'_> {
    fn as_ptr(&self) -> *mut sys::SSL_CTX {
        self.ptr.as_ptr()
    }
}

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
