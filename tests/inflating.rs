//! permessage-deflate: what is inflated is what was sent, of whatever length, in whatever
//! blocks, and whoever else sends at the same time.

#![cfg(feature = "deflate")]

mod common;

use common::peer::{Raw, BINARY, CLOSE, CONTINUATION, TEXT};
use common::roles::Ours;
use common::{Events, Running};
use flate2::{Compress, Compression, FlushCompress};
use libwebsockets::{CloseCode, ConnectionId, Initiator, Role, WebSocketConfig};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// What the library inflates at a time, in bytes.
const PIECE: usize = 16 << 10;

/// Offers permessage-deflate, or accepts it.
const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

fn ours(role: Role) -> Ours {
    Ours::with_extensions(role, WebSocketConfig::new().deflate(true), DEFLATE)
}

/// A peer's end of the compression, which keeps its context.
struct Deflating(Compress);

impl Deflating {
    fn new(level: u32) -> Self {
        Deflating(Compress::new(Compression::new(level), false))
    }

    /// A message's payload: without the four bytes that all have at their end
    /// (RFC 7692 §7.2.1).
    fn message(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 1024);
        let before = self.0.total_in();
        self.0
            .compress_vec(bytes, &mut out, FlushCompress::Sync)
            .unwrap();
        assert_eq!(self.0.total_in() - before, bytes.len() as u64);
        assert!(out.len() < out.capacity(), "there may be more");
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len() - 4);
        out
    }
}

/// Text of words: compresses to a third or so.
fn prose(len: usize, seed: u32) -> Vec<u8> {
    let words = [
        "the", "socket", "of", "frames", "is", "held", "by", "no", "one", "7692",
    ];
    let mut state = seed | 1;
    let mut text = Vec::with_capacity(len + 16);
    while text.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = words[(state >> 24) as usize % words.len()];
        text.extend_from_slice(word.as_bytes());
        text.push(b'a' + (state >> 16) as u8 % 26);
    }
    text.truncate(len);
    text
}

#[track_caller]
fn expect(ours: &Ours, expected: &[u8]) {
    let message = ours.events.message();
    let same = message.as_bytes() == expected;
    assert!(
        same,
        "{:?}: {} bytes of {}",
        ours.role,
        message.len(),
        expected.len()
    );
}

/// Lost: the end of a message, without a word.
#[test]
fn messages_of_each_length_come_whole() {
    let near = |n: usize| n - 20..n + 20;
    for role in [Role::Server, Role::Client] {
        let ours = ours(role);
        for level in [1, 9] {
            let (mut raw, _) = ours.connection();
            let mut deflating = Deflating::new(level);
            // The longest match of what is repeated is one of 258 bytes.
            let more = if level == 9 { 520 } else { 20 };
            let lengths = (PIECE - 20..PIECE + more)
                .chain(near(2 * PIECE))
                .chain(near(3 * PIECE));
            for len in lengths {
                let message = vec![b'a' + (len % 26) as u8; len];
                raw.send_frame(FIN | RSV1 | BINARY, &deflating.message(&message));
                expect(&ours, &message);
            }
            for len in near(PIECE).chain(near(2 * PIECE)) {
                let message = prose(len, len as u32);
                let payload = deflating.message(&message);
                // The end of what is inflated comes with the frame's last byte.
                let (begin, end) = payload.split_at(payload.len() - 1 - len % 3);
                raw.send_frame(RSV1 | BINARY, begin);
                raw.send_frame(FIN | CONTINUATION, end);
                expect(&ours, &message);
            }
            drop(raw);
            ours.events.closed();
        }
    }
}

/// Lost: what one connection has yet to inflate, when another one reads.
#[test]
fn connections_do_not_inflate_each_others_bytes() {
    const PEERS: usize = 8;
    for role in [Role::Server, Role::Client] {
        let ours = ours(role);
        let mut peers: Vec<(Raw, Deflating)> = (0..PEERS)
            .map(|_| (ours.connection().0, Deflating::new(6)))
            .collect();
        for round in 0..4 {
            // Of each byte that is read a hundred come, in many turns of the loop.
            let message = |peer: usize| prose(700, (round * PEERS + peer) as u32).repeat(2000);
            let payloads: Vec<_> = peers
                .iter_mut()
                .enumerate()
                .map(|(peer, (_, deflating))| deflating.message(&message(peer)))
                .collect();
            let start = std::sync::Barrier::new(PEERS);
            std::thread::scope(|scope| {
                for ((raw, _), payload) in peers.iter_mut().zip(&payloads) {
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        raw.send_frame(FIN | RSV1 | BINARY, payload);
                    });
                }
            });
            let mut came: Vec<Vec<u8>> = (0..PEERS)
                .map(|_| ours.events.message().as_bytes().to_vec())
                .collect();
            for peer in 0..PEERS {
                let expected = message(peer);
                let found = came.iter().position(|bytes| *bytes == expected);
                let found = found.unwrap_or_else(|| panic!("{role:?}: {peer}, round {round}"));
                came.swap_remove(found);
            }
        }
    }
}

/// Lost: the end of a message, and the next one, where a sender ends its stream.
#[test]
fn a_stream_that_ends_is_a_message_that_ends() {
    // "Hello" in a block that says it is the last: RFC 7692 §7.2.3.4.
    const LAST: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    // As in any other message, and as a reference to what came before: §7.2.3.1, §7.2.3.2.
    const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    const AGAIN: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    for role in [Role::Server, Role::Client] {
        let ours = ours(role);
        let (mut raw, _) = ours.connection();
        // One in front of another within a message, and one without the byte behind it.
        let two = [&LAST[..7], HELLO].concat();
        for (payload, expected) in [
            (LAST, "Hello"),
            (HELLO, "Hello"),
            (AGAIN, "Hello"),
            (LAST, "Hello"),
            (AGAIN, "Hello"),
            (&two, "HelloHello"),
            (&LAST[..7], "Hello"),
            (AGAIN, "Hello"),
            (HELLO, "Hello"),
        ] {
            raw.send_frame(FIN | RSV1 | TEXT, payload);
            assert_eq!(ours.events.message().as_text(), Some(expected), "{role:?}");
            raw.send_frame(FIN | TEXT, b"plain");
            assert_eq!(ours.events.message().as_text(), Some("plain"), "{role:?}");
        }
    }
}

/// Our end closes, and the peer sends much before it answers.
#[track_caller]
fn closes_though_much_comes(ours: &Running, events: &Events, id: ConnectionId, mut raw: Raw) {
    let much = Deflating::new(1).message(&prose(600_000, 7));
    ours.handle.close(id, CloseCode::NORMAL).unwrap();
    while raw.frame().expect("a close frame comes").opcode != CLOSE {}
    let start = Instant::now();
    raw.send_frame(FIN | RSV1 | BINARY, &much);
    raw.send_frame(FIN | CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(raw.frame(), None);
    // After 5 s its time to answer is over.
    let took = start.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop(raw);
    assert_eq!(events.closed().initiator, Initiator::Local);
}

/// Lost: the peer's answer, and a processor as long as it was waited for.
#[test]
fn what_comes_after_the_close_frame_is_not_inflated() {
    for role in [Role::Server, Role::Client] {
        let ours = ours(role);
        let (raw, id) = ours.connection();
        closes_though_much_comes(&ours.running, &ours.events, id, raw);
    }
}

#[cfg(feature = "_tls")]
mod over_tls {
    use super::*;
    use common::certs::{tls_over, Ca, Identity};
    use common::peer::{patient, tcp, upgrade};
    use common::{client_context, probe, serve};
    use libwebsockets::Client;
    use rustls::{ServerConnection, StreamOwned};
    use std::io::{Read, Result, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    /// Sends at once what was written since the last flush or read.
    struct Gathering(TcpStream, Vec<u8>);

    impl Read for Gathering {
        fn read(&mut self, into: &mut [u8]) -> Result<usize> {
            self.flush()?;
            self.0.read(into)
        }
    }

    impl Write for Gathering {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Result<()> {
            self.0.write_all(&std::mem::take(&mut self.1))
        }
    }

    fn identity() -> (Ca, Identity) {
        let ca = Ca::new();
        let identity = ca.sign(&["localhost"]);
        (ca, identity)
    }

    /// Lost: all connections of the context, for ever, by any peer of a server.
    #[test]
    fn what_comes_to_a_server_after_the_close_frame_is_not_inflated() {
        let (ca, identity) = identity();
        let (probe, events) = probe();
        let tls = identity.server();
        let server = serve(move |vhost| {
            vhost
                .tls(tls)
                .config(WebSocketConfig::new().deflate(true))
                .accept(move |_| Ok(probe.clone()))
        });
        let stream = Gathering(tcp(server.addr()), Vec::new());
        let tls = tls_over(stream, "localhost", ca.rustls_client());
        let mut raw = Raw::over(Box::new(tls));
        assert_eq!(raw.ask(&upgrade("/", DEFLATE)).status, 101);
        let id = events.open();
        closes_though_much_comes(&server, &events, id, raw);
    }

    #[test]
    fn what_comes_to_a_client_after_the_close_frame_is_not_inflated() {
        let (ca, identity) = identity();
        let (probe, events) = probe();
        let client = client_context();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("wss://localhost:{}/", listener.local_addr().unwrap().port());
        let to = Client::new(&url)
            .unwrap()
            .tls(ca.trust())
            .config(WebSocketConfig::new().deflate(true));
        drop(client.handle.connect(to, probe).unwrap());
        let (tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        let tls = ServerConnection::new(Arc::new(identity.rustls_server())).unwrap();
        let stream = StreamOwned::new(tls, Gathering(tcp, Vec::new()));
        let raw = Raw::serve(Box::new(stream), DEFLATE);
        let id = events.open();
        closes_though_much_comes(&client, &events, id, raw);
    }
}
