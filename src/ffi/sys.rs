//! The raw bindings of the C library, for what this crate doesn't offer yet.
//!
//! They are generated from the headers of the library that this build compiled or found, with
//! the features that it has, and differ between its versions: semantic versioning doesn't
//! cover them. Names are C's own, and so are the rules for calling them, which the headers
//! have (`include/libwebsockets/`).
//!
//! All functions are `unsafe`. Those that change a context, a vhost or a connection of this
//! crate's can break what its safe code relies on, such as who is told of an end, and when
//! memory is freed: call them on what was made by these bindings, too.

#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unsafe_op_in_unsafe_fn,
    unused_imports,
    rustdoc::all,
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
