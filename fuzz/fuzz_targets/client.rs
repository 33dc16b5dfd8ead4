//! Responses and frames into a live client. The first byte says whether a good
//! response goes first, and whether it agrees to compression; the rest is sent as
//! it is, in two parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libwebsockets::{Client, Context};
use libwebsockets_fuzz::{config, finish, send, socket_path, turn, Mirror};
use std::cell::RefCell;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use tungstenite::handshake::derive_accept_key;

struct Pair {
    context: Context,
    listener: UnixListener,
}

thread_local! {
    static PAIR: RefCell<Pair> = RefCell::new(pair());
}

fn pair() -> Pair {
    let path = socket_path("client");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(path).expect("a free path");
    listener.set_nonblocking(true).expect("a socket");
    let context = Context::builder().build().expect("a context");
    Pair { context, listener }
}

/// Reads the request; the key in it.
fn key(context: &mut Context, peer: &mut UnixStream) -> Option<String> {
    let mut request = Vec::new();
    for _ in 0..32 {
        let mut buf = [0; 4096];
        if let Ok(n) = peer.read(&mut buf) {
            request.extend_from_slice(&buf[..n]);
        }
        if request.ends_with(b"\r\n\r\n") {
            break;
        }
        turn(context);
    }
    let text = String::from_utf8(request).ok()?;
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("Sec-WebSocket-Key: "))?;
    Some(line.trim().to_owned())
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    PAIR.with_borrow_mut(|Pair { context, listener }| {
        let client = Client::unix(&socket_path("client"), "/").expect("a path");
        let client = client.config(config(how & 2 != 0));
        drop(context.connect(client, Mirror));
        let mut accepted = None;
        for _ in 0..32 {
            turn(context);
            if let Ok((peer, _)) = listener.accept() {
                accepted = Some(peer);
                break;
            }
        }
        let mut peer = accepted.expect("it connects");
        peer.set_nonblocking(true).expect("a socket");
        let Some(key) = key(context, &mut peer) else {
            return finish(context, peer);
        };
        let mut open = true;
        if how & 1 != 0 {
            let agreed = match how & 2 {
                0 => "",
                _ => "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            };
            let response = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{agreed}\r\n",
                derive_accept_key(key.as_bytes())
            );
            open = send(context, &mut peer, response.as_bytes());
        }
        let (first, second) = rest.split_at(rest.len() * usize::from(how >> 4) / 16);
        if open && send(context, &mut peer, first) {
            send(context, &mut peer, second);
        }
        finish(context, peer);
    });
});
