//! Any bytes as a path with placeholders, and as the values that are put there.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (template, vhost) = data.split_at(at);
    libwebsockets::fuzzing::template(template, vhost);
});
