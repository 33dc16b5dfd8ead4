//! Safe WebSocket servers and clients on the C library libwebsockets.

mod ffi;
pub use ffi::sys;

#[cfg(feature = "deflate")]
use libz_sys as _;
#[cfg(feature = "tls")]
use openssl_sys as _;
