//! Peers that break the protocol in a way that more than the bytes decide: limits,
//! pieces, compression, and what was sent before. (`rfc6455` has the rest, in tables.)

mod common;

use common::peer::{Raw, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use common::roles::Ours;
use libwebsockets::{Client, Initiator, Role, WebSocketConfig};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// Our end, and what it refuses.
struct Checked(Ours);

impl Checked {
    /// The connection ends at once with this code, long before the close
    /// timeout, and the application is told of nothing else.
    #[track_caller]
    fn refuses(&self, what: &str, code: u16, bytes: impl FnOnce(&Raw) -> Vec<u8>) {
        let Ours { role, events, .. } = &self.0;
        let what = format!("{role:?}, {what}");
        let (mut raw, _) = self.0.connection();
        let bytes = bytes(&raw);
        let sent = Instant::now();
        raw.send(&bytes);
        assert_eq!(raw.close_code(), Some(code), "{what}");
        drop(raw);
        assert_eq!(events.closed().initiator, Initiator::Failure, "{what}");
        let took = sent.elapsed();
        assert!(took < Duration::from_secs(3), "{what}: {took:?}");
    }

    /// As [`refuses`](Checked::refuses), for one frame.
    #[cfg(feature = "deflate")]
    #[track_caller]
    fn refuses_frame(&self, what: &str, code: u16, first: u8, payload: &[u8]) {
        let what = format!("{what}, {first:#04x}");
        self.refuses(&what, code, |raw| raw.framed(first, payload));
    }
}

/// Our end in both roles.
fn both() -> [Checked; 2] {
    Ours::both(&WebSocketConfig::new()).map(Checked)
}

/// A frame's head with a length in the longer form that `bytes` are, and what
/// follows it.
fn long_form(raw: &Raw, first: u8, form: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let short = raw.framed(first, payload);
    // Behind the first two bytes come the mask, if any, and the payload.
    let head = [short[0], short[1] & 0x80 | form];
    [&head, length, &short[2..]].concat()
}

// Lost: a peer that learns only at the end of a long text that it is refused.
#[test]
fn text_that_is_not_utf8_is_refused_before_its_frame_is_whole() {
    for ours in both() {
        for bad in [&b"\xff"[..], b"\xed\xa0", b"\xc0", b"\xf4\x90"] {
            ours.refuses("a part of a frame", INVALID_PAYLOAD, |raw| {
                let whole = raw.framed(FIN | TEXT, &[b"good", bad, &[b'x'; 100]].concat());
                whole[..whole.len() - 90].to_vec()
            });
        }
    }
}

/// Our end, which echoes, in both roles; with the means to have a new connection.
fn echoing(role: Role, config: &WebSocketConfig) -> (common::Running, Raw) {
    if role == Role::Server {
        let config = config.clone();
        let server = common::serve(|vhost| vhost.config(config).accept(|_| Ok(common::Echo)));
        let raw = Raw::open(server.addr());
        return (server, raw);
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = common::client_context();
    let to = Client::new(&format!("ws://{}/", listener.local_addr().unwrap())).unwrap();
    let to = to.config(config.clone());
    drop(client.handle.connect(to, common::Echo).unwrap());
    (client, Raw::accept(&listener, ""))
}

#[test]
fn messages_that_came_before_a_violation_are_answered() {
    for role in [Role::Server, Role::Client] {
        for (bad, payload, code) in [
            // The C library finds the one, the crate the other.
            (FIN | RSV1 | TEXT, &b"bad"[..], PROTOCOL_ERROR),
            (FIN | TEXT, b"\xff", INVALID_PAYLOAD),
        ] {
            let (_running, mut raw) = echoing(role, &WebSocketConfig::new());
            let sent = [
                raw.framed(FIN | TEXT, b"one"),
                raw.framed(FIN | PING, b"alive?"),
                raw.framed(FIN | BINARY, &[7; 70_000]),
                raw.framed(bad, payload),
            ];
            raw.send(&sent.concat());
            let mut answers = Vec::new();
            let close = loop {
                let frame = raw.frame().expect("a close frame");
                match frame.opcode {
                    CLOSE => break frame.payload,
                    PONG => assert_eq!(frame.payload, b"alive?"),
                    _ => answers.push(frame.payload),
                }
            };
            assert!(
                answers == [b"one".to_vec(), vec![7; 70_000]],
                "{role:?}, {code}"
            );
            assert_eq!(close[..2], code.to_be_bytes(), "{role:?}");
        }
    }
}

#[test]
fn a_message_that_is_too_big_is_refused_by_its_first_bytes() {
    let config = WebSocketConfig::new().max_message_size(1000);
    for ours in Ours::both(&config).map(Checked) {
        ours.refuses("1 GiB", TOO_BIG, |raw| {
            let length = (1_u64 << 30).to_be_bytes();
            long_form(raw, FIN | BINARY, 127, &length, &[0; 100])
        });
        ours.refuses("in pieces", TOO_BIG, |raw| {
            let start = raw.framed(BINARY, &[0; 600]);
            [start, raw.framed(CONTINUATION, &[0; 600])].concat()
        });
    }
}

// Lost: where the next frame begins, on Windows, whose lengths of C have 32 bits.
#[test]
fn no_bit_of_a_long_length_is_overlooked() {
    let config = WebSocketConfig::new().max_message_size(100_000);
    for ours in Ours::both(&config).map(Checked) {
        for bit in (32..63).step_by(5) {
            ours.refuses(&format!("bit {bit}"), TOO_BIG, |raw| {
                let length = (1_u64 << bit | 70_000).to_be_bytes();
                long_form(raw, FIN | BINARY, 127, &length, &[0; 70_000])
            });
        }
    }
}

/// "Hello", RFC 7692 section 7.2.3.1.
#[cfg(feature = "deflate")]
const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Bits that mean something where permessage-deflate was agreed on.
#[cfg(feature = "deflate")]
#[test]
fn compression_allows_one_bit_where_a_message_begins() {
    const RSV2: u8 = 0x20;
    const RSV3: u8 = 0x10;
    for role in [Role::Server, Role::Client] {
        let config = WebSocketConfig::new().deflate(true);
        let line = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let ours = Ours::with_extensions(role, config, line);
        let (mut raw, _) = ours.connection();
        raw.send_frame(FIN | RSV1 | TEXT, HELLO);
        assert_eq!(ours.events.message().as_text(), Some("Hello"));
        drop(raw);
        ours.events.closed();

        let ours = Checked(ours);
        for bit in [RSV2, RSV3, RSV1 | RSV2] {
            ours.refuses_frame("reserved bit", PROTOCOL_ERROR, FIN | bit | TEXT, HELLO);
        }
        for opcode in [PING, PONG, CLOSE] {
            ours.refuses_frame("control frame", PROTOCOL_ERROR, FIN | RSV1 | opcode, b"");
        }
        ours.refuses("a continuation", PROTOCOL_ERROR, |raw| {
            let start = raw.framed(RSV1 | TEXT, &HELLO[..3]);
            [start, raw.framed(FIN | RSV1 | CONTINUATION, &HELLO[3..])].concat()
        });
    }
}

// Lost: why the connection ended, at both ends.
#[cfg(feature = "deflate")]
#[test]
fn what_cannot_be_inflated_is_refused_as_such() {
    // RFC 1951: a block of the reserved type; a reference to before the start; a stored
    // block whose lengths disagree.
    const BROKEN: [&[u8]; 4] = [
        &[0x07],
        &[0xff; 3000],
        &[0x02, 0x11, 0x00, 0x00],
        &[0x01, 0x05, 0x00, 0x00, 0x00, b'x'],
    ];
    for role in [Role::Server, Role::Client] {
        let config = WebSocketConfig::new().deflate(true);
        let line = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let ours = Checked(Ours::with_extensions(role, config, line));
        for payload in BROKEN {
            let what = format!("{:x?}", &payload[..payload.len().min(6)]);
            for opcode in [TEXT, BINARY] {
                ours.refuses_frame(&what, INVALID_PAYLOAD, FIN | RSV1 | opcode, payload);
            }
        }
        // The end of "Hello" begins a stored block, whose lengths follow.
        ours.refuses("a later fragment", INVALID_PAYLOAD, |raw| {
            let start = raw.framed(RSV1 | TEXT, HELLO);
            [
                start,
                raw.framed(FIN | CONTINUATION, &[0x12, 0x34, 0x56, 0x78]),
            ]
            .concat()
        });
    }
}
