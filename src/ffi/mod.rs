//! Everything unsafe: the one place where Rust meets the C library.
//!
//! Outside this module the crate is safe Rust. What lies here turns raw
//! pointers into handles that can't be misused ([`wsi::Wsi`] lives as long as
//! one callback), and C callbacks into calls of the safe engine.

pub mod sys;

#[cfg(all(test, feature = "aws-lc", feature = "keylog"))]
mod aws_lc;
pub(crate) mod connect;
pub(crate) mod context;
#[cfg(all(test, unix, feature = "keylog"))]
pub(crate) mod descriptor;
pub(crate) mod event;
mod event_loop;
pub(crate) mod forks;
pub(crate) mod headers;
mod kept;
#[cfg(feature = "keylog")]
pub(crate) mod keylog;
pub(crate) mod log;
#[cfg(feature = "keylog")]
pub(crate) mod process;
#[cfg(feature = "keylog")]
pub(crate) mod sigxfsz;
mod socket;
#[cfg(feature = "_tls")]
pub(crate) mod ssl;
#[cfg(feature = "_tls")]
pub(crate) mod tls;
mod trampoline;
pub(crate) mod unmask;
pub(crate) mod vhost;
#[cfg(all(windows, feature = "keylog"))]
pub(crate) mod windows;
#[cfg(feature = "_tls")]
pub(crate) mod wipe;
pub(crate) mod wsi;
pub(crate) mod wsi_cell;

#[cfg(fuzzing)]
pub(crate) use trampoline::fuzz_decode;
