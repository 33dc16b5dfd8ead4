//! What fuzz targets need of the inside; built by `cargo xtask fuzz` alone.

use crate::connection::assembler::{Assembled, Assembler};
use crate::connection::buffers::BufferCache;
use crate::connection::WebSocketConfig;
use crate::ffi::event::Chunk;
use crate::message::{CloseFrame, Message};

/// A path with placeholders, and the value of one of them.
#[cfg(feature = "keylog")]
pub fn template(template: &[u8], vhost: &[u8]) {
    crate::keylog::fuzz_template(template, &String::from_utf8_lossy(vhost));
}

/// Callbacks, and messages from pieces: two bytes for the flags and the length of
/// each piece, then its content.
pub fn events(data: &[u8]) {
    crate::ffi::fuzz_decode(data);
    let config = WebSocketConfig::new().max_message_size(300);
    let (mut whole, mut pieces) = (Assembler::new(&config), Assembler::new(&config));
    let spare = BufferCache::default();
    let mut rest = data;
    while let [flags, len, after @ ..] = rest {
        let (data, after) = after.split_at(usize::from(*len).min(after.len()));
        rest = after;
        let chunk = Chunk {
            data,
            mask: None,
            last: flags & 1 != 0,
            binary: flags & 2 != 0,
            remaining: usize::from(flags >> 4),
        };
        let _ = pieces.fragment(&chunk);
        // The same, masked with what leaves it as it is, or with something else.
        let mask = (flags & 4 != 0).then_some([flags & 8; 4]);
        match whole.push(&Chunk { mask, ..chunk }, &spare) {
            Assembled::Partial => {}
            Assembled::Message(message) => {
                assert!(message.len() <= 300);
                if let Message::Text(text) = &message {
                    assert!(std::str::from_utf8(text.as_str().as_bytes()).is_ok());
                }
            }
            Assembled::Violation(..) => break,
        }
    }
    if let [high, low, reason @ ..] = data {
        let frame = CloseFrame::received(u16::from_be_bytes([*high, *low]), reason);
        let _ = (frame.reason().len(), frame.code().get());
    }
}
