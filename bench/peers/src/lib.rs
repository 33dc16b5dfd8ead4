//! Echo servers of other libraries: what those in Rust share. The one in C is `csrc/echo.c`.

#[cfg(feature = "rust")]
mod rust;

#[cfg(feature = "rust")]
pub use rust::*;
