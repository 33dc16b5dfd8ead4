//! Every patch in `vendor/patches` has a test here that fails without it.
//!
//! The vendored C library is built with the address sanitizer, together with a small server and a
//! small client in C, beside this file. The tests send them raw bytes over loopback and look at
//! what comes back, at what the programs print and at what the sanitizer has to say.
//!
//! Those of the patches that are for Windows are shown by `cargo xtask windows`: the random bytes
//! by `tests/random.rs`, draining by `tests/websocket.rs`. The table of sockets is not: which row
//! a socket comes to is the system's choice. That no protocol is agreed on is no undefined behaviour
//! any more is shown by `cargo xtask sanitize undefined`, in `tests/interop.rs`; that silent peers
//! aren't waited for, by `tests/tls_endings.rs`; that a request which can't be sent is told of, by
//! `cargo xtask sanitize address`, in `tests/certificates.rs`; what becomes of names that don't
//! resolve, and of addresses that don't answer, by `tests/connecting.rs`; that failures are told of
//! which are noticed at once, there, by `tests/descriptors.rs` and by `tests/connect_failures.rs`;
//! that the body of a rejection is there, by `tests/client.rs`; that descriptors beyond the table
//! do no harm, by `tests/descriptor_table.rs`; that peers who only connect don't stop the loop, by
//! `tests/turns.rs`; how sockets are made, by `tests/inherited.rs`; that output is told to be queued,
//! and that a server rests which can't accept, by `tests/failing_calls.rs`; what becomes of sockets
//! without memory for TLS, by `tests/tls_without_memory.rs`.
//!
//! To watch the tests fail, let `LWS_PATCH_TEST_SOURCE` name a tree of the library without the patches.

#![cfg(target_os = "linux")]

mod build;
mod clients;
mod http1;
mod http2;
mod programs;
mod wire;
