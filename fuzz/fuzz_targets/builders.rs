//! Any text as a URL, and in the parts of a request: nothing that is accepted can
//! break out of its place.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libwebsockets::{Client, CloseCode, CloseFrame, Message, Refusal};

fuzz_target!(|text: &str| {
    let breaks = |s: &str| s.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0));
    if Client::new(text).is_ok() {
        assert!(!breaks(text), "a URL that ends a line: {text:?}");
    }
    let (first, second) = text.split_once('\u{1}').unwrap_or((text, ""));
    let client = || Client::new("ws://localhost/").expect("a URL");
    if client().header(first, second).is_ok() {
        assert!(!breaks(first) && !breaks(second) && !first.contains(':'));
    }
    if client().origin(first).is_ok() {
        assert!(!breaks(first));
    }
    if client().subprotocol(first).is_ok() {
        assert!(!breaks(first) && !first.contains([',', ' ', ';']));
    }
    let _ = Client::unix(std::path::Path::new(first), second);
    if let Ok(frame) = CloseFrame::new(CloseCode::NORMAL, first) {
        assert!(frame.reason().len() <= 123 && frame.reason() == first);
    }
    let message = Message::text(first);
    assert_eq!(message.as_text(), Some(first));
    let refusal = || Refusal::new(libwebsockets::http::StatusCode::FORBIDDEN).body(second);
    if refusal().header(first, second).is_ok() {
        assert!(!breaks(first) && !breaks(second));
    }
});
