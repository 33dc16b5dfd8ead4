//! Callbacks of the C library with any content: their decoding, and messages
//! assembled from pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| libwebsockets::fuzzing::events(data));
