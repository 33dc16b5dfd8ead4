//! What the targets with a live context share: a socket whose other end is in the
//! same thread, and handlers that do something with all that comes.

use libwebsockets::{Closed, Connection, Context, Handler, Message, WebSocketConfig};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Turns of the loop that a peer gets before it is given up.
const TURNS: usize = 64;

/// Turns of the loop in which a connection is gone that the library alone knows of.
const FAREWELL: usize = 4;

/// Where the sockets of this process are: `cargo xtask fuzz` sees to it that the folder goes
/// away. They can't be removed sooner, for each input connects anew.
pub fn socket_path(name: &str) -> PathBuf {
    let name = format!("lws-fuzz-{name}-{}.sock", std::process::id());
    std::env::temp_dir().join(name)
}

/// Echoes, and looks at all that it is told.
pub struct Mirror;

impl Handler for Mirror {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        let _ = (conn.subprotocol(), conn.peer_addr(), conn.id());
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if let Message::Text(text) = &message {
            assert!(std::str::from_utf8(text.as_str().as_bytes()).is_ok());
        }
        if conn.send(message).is_err() {
            conn.abort();
        }
    }

    fn on_pong(&mut self, _: &mut Connection<'_>, payload: &[u8]) {
        assert!(payload.len() <= 125);
    }

    fn on_close(&mut self, closed: Closed) {
        let _ = format!("{closed:?}");
    }
}

/// Small limits, so that they are reached.
pub fn config(deflate: bool) -> WebSocketConfig {
    WebSocketConfig::new()
        .max_message_size(4096)
        .max_frame_size(2048)
        .max_write_buffer_size(64 << 10)
        .deflate(deflate)
}

/// A turn of the loop that waits for nothing.
pub fn turn(context: &mut Context) {
    context
        .service(Some(Duration::ZERO))
        .expect("the loop goes on");
}

/// Sends bytes while the loop turns; `false` if the other end closed.
pub fn send(context: &mut Context, peer: &mut UnixStream, mut bytes: &[u8]) -> bool {
    for _ in 0..TURNS {
        match peer.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        turn(context);
        if !drain(peer) {
            return false;
        }
        if bytes.is_empty() {
            break;
        }
    }
    true
}

/// Ends the connection from this side, and turns until the context knows: what isn't
/// freed by then makes the fuzzer look for leaks.
pub fn finish(context: &mut Context, peer: UnixStream) {
    let _ = peer.shutdown(std::net::Shutdown::Both);
    drop(peer);
    for turns in 0..TURNS {
        // Who hasn't sent a whole request is none of the connections yet.
        if turns >= FAREWELL && context.handle().connections().is_empty() {
            return;
        }
        turn(context);
    }
}

/// Reads what is there; `false` at the end of the stream.
pub fn drain(peer: &mut UnixStream) -> bool {
    let mut buf = [0; 16 << 10];
    loop {
        match peer.read(&mut buf) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}
