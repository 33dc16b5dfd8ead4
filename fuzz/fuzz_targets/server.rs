//! Requests and frames into a live server. The first byte says whether a good
//! request goes first, and whether it offers compression; the rest is sent as it
//! is, in two parts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use libwebsockets::{Context, Vhost};
use libwebsockets_fuzz::{config, finish, send, socket_path, turn, Mirror};
use std::cell::RefCell;
use std::os::unix::net::UnixStream;

thread_local! {
    static SERVER: RefCell<Context> = RefCell::new(server());
}

fn server() -> Context {
    let vhost = Vhost::listen_unix(socket_path("server")).config(config(true));
    let vhost = vhost.accept(|request| {
        let _ = format!("{request:?} {:?}", request.headers());
        Ok(Mirror)
    });
    Context::builder().vhost(vhost).build().expect("a context")
}

const REQUEST: &str = "GET /chat?a=b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n";

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    SERVER.with_borrow_mut(|context| {
        let mut peer = UnixStream::connect(socket_path("server")).expect("it listens");
        peer.set_nonblocking(true).expect("a socket");
        turn(context);
        let mut open = true;
        if how & 1 != 0 {
            let offer = match how & 2 {
                0 => "\r\n",
                _ => "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            };
            open = send(context, &mut peer, format!("{REQUEST}{offer}").as_bytes());
        }
        let (first, second) = rest.split_at(rest.len() * usize::from(how >> 4) / 16);
        if open && send(context, &mut peer, first) {
            send(context, &mut peer, second);
        }
        finish(context, peer);
    });
});
