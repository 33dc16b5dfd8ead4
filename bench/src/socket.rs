//! What the load generators have in common: the request for WebSocket, and sockets that
//! don't block.

use std::io::{self, ErrorKind};

/// The key is the one of RFC 6455's examples: nobody looks at the answer's.
pub const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Makes `None` of what a socket says that has nothing now, or isn't connected yet.
pub fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Err(e) if [ErrorKind::WouldBlock, ErrorKind::NotConnected].contains(&e.kind()) => Ok(None),
        other => other.map(Some),
    }
}
