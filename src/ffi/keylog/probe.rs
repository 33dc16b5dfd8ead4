//! What the TLS library makes of a key log.

use crate::ffi::sys;
use std::ffi::CStr;
use std::sync::OnceLock;

/// The TLS library's name and version, as it tells them at run time.
#[doc(alias = "OpenSSL_version")]
pub(crate) fn tls_library() -> &'static str {
    // SAFETY: the function has no precondition.
    let text = unsafe { sys::lwsrs_tls_version() };
    // SAFETY: it returns a string literal of the library's, never NULL.
    let text = unsafe { CStr::from_ptr::<'static>(text) };
    text.to_str().unwrap_or("of an unknown name")
}

/// What the TLS library does with a key log's callback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// It keeps one that it is given; some have the function, and it does nothing.
    pub keeps_callback: bool,
    /// Somebody else has set one before.
    pub replaces_callback: bool,
    /// Besides, it logs by itself, because the environment asks for that.
    pub logs_by_itself: bool,
}

/// Whether the TLS library itself logs the secrets of all connections.
pub(crate) fn library_logs() -> bool {
    // SAFETY: the function has no precondition.
    let logs = unsafe { sys::lwsrs_keylog_of_library() };
    logs != 0
}

/// Tries the TLS library; `None` if it has no memory.
#[doc(alias = "SSL_CTX_get_keylog_callback")]
pub(crate) fn probe() -> Option<Probe> {
    // SAFETY: the function has no precondition.
    let found = unsafe { sys::lwsrs_keylog_probe() };
    Some(probed(u32::try_from(found).ok()?))
}

pub(super) fn probed(found: u32) -> Probe {
    Probe {
        keeps_callback: found & sys::LWSRS_KEYLOG_CALLBACK != 0,
        replaces_callback: found & sys::LWSRS_KEYLOG_REPLACED != 0,
        logs_by_itself: found & sys::LWSRS_KEYLOG_OF_LIBRARY != 0,
    }
}

/// Whether the TLS library keeps a callback, as it was found the first time.
pub(crate) fn keeps_callback() -> bool {
    static KEEPS: OnceLock<bool> = OnceLock::new();
    *KEEPS.get_or_init(|| probe().is_none_or(|found| found.keeps_callback))
}
