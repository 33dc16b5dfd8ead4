//! Patches of the vendored C library that show below the crate's own interface: HTTP/1.1 and HTTP/2
//! servers, clients of HTTP, and allocations that fail. `vendor/tests.toml` says which tests fail
//! without which patch, these and those of other suites.
//!
//! The vendored C library is built with the address sanitizer, together with a small server and a
//! small client in C, beside this file. The tests send them raw bytes over loopback and look at
//! what comes back, at what the programs print and at what the sanitizer has to say.
//!
//! To watch the tests fail, let `LWS_PATCH_TEST_SOURCE` name a tree of the library without a patch,
//! which `cargo xtask vendor --without NNNN` makes, or without all of them.

#![cfg(target_os = "linux")]

mod build;
mod clients;
mod http1;
mod http2;
mod programs;
mod wire;
