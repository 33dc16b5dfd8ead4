//! Peers that break the protocol (RFC 6455, RFC 7692): in either role the
//! connection ends at once, with the right close code, and the application gets
//! nothing of it.

mod common;

use common::peer::{frame, unmasked, Raw, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use common::roles::Ours;
use libwebsockets::{Initiator, WebSocketConfig};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;
const TOO_BIG: u16 = 1009;

/// A client of the library looks at a frame when it is whole, or when this much
/// of it is there.
const BUFFER: usize = 64 << 10;

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

#[test]
fn frames_are_masked_by_clients_and_by_nobody_else() {
    let [server, client] = both();
    server.refuses("unmasked", PROTOCOL_ERROR, |_| {
        unmasked(FIN | TEXT, b"hello")
    });
    client.refuses("masked", PROTOCOL_ERROR, |_| frame(FIN | TEXT, b"hello"));
    server.refuses("unmasked", PROTOCOL_ERROR, |_| unmasked(FIN | PING, b""));
    client.refuses("masked", PROTOCOL_ERROR, |_| frame(FIN | PING, b""));
}

#[test]
fn reserved_bits_are_refused() {
    for ours in both() {
        for bit in [RSV1, RSV2, RSV3, RSV1 | RSV2 | RSV3] {
            for opcode in [TEXT, BINARY, PING, CLOSE] {
                ours.refuses_frame("reserved bit", PROTOCOL_ERROR, FIN | bit | opcode, b"");
            }
            ours.refuses("reserved bit of a continuation", PROTOCOL_ERROR, |raw| {
                let (start, end) = (raw.framed(TEXT, b"a"), raw.framed(FIN | bit, b"b"));
                [start, end].concat()
            });
        }
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for ours in both() {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            ours.refuses_frame("opcode", PROTOCOL_ERROR, FIN | opcode, b"hello");
        }
    }
}

#[test]
fn control_frames_that_are_long_or_in_pieces_are_refused() {
    for ours in both() {
        for opcode in [PING, PONG, CLOSE] {
            ours.refuses_frame("in pieces", PROTOCOL_ERROR, opcode, b"\x03\xe8");
            for length in [126, 70_000] {
                let payload = &vec![0; length];
                ours.refuses_frame("long", PROTOCOL_ERROR, FIN | opcode, payload);
            }
        }
    }
}

#[test]
fn a_continuation_of_nothing_is_refused() {
    for ours in both() {
        for first in [CONTINUATION, FIN | CONTINUATION] {
            ours.refuses_frame("continuation", PROTOCOL_ERROR, first, b"hello");
        }
        ours.refuses("a control frame before it", PROTOCOL_ERROR, |raw| {
            let ping = raw.framed(FIN | PING, b"");
            [ping, raw.framed(FIN | CONTINUATION, b"two")].concat()
        });
    }
}

#[test]
fn a_message_within_a_message_is_refused() {
    for ours in both() {
        for (start, second) in [(TEXT, TEXT), (TEXT, BINARY), (BINARY, TEXT)] {
            for fin in [0, FIN] {
                ours.refuses("a message within", PROTOCOL_ERROR, |raw| {
                    let start = raw.framed(start, b"one");
                    [start, raw.framed(fin | second, b"two")].concat()
                });
            }
        }
    }
}

/// A frame's head with a length in the longer form that `bytes` are, and what
/// follows it.
fn long_form(raw: &Raw, first: u8, form: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
    let short = raw.framed(first, payload);
    // Behind the first two bytes come the mask, if any, and the payload.
    let head = [short[0], short[1] & 0x80 | form];
    [&head, length, &short[2..]].concat()
}

#[test]
fn lengths_in_more_bytes_than_they_need_are_refused() {
    for ours in both() {
        for length in [0, 1, 125] {
            let payload = &vec![b'x'; length];
            ours.refuses("16 bits", PROTOCOL_ERROR, |raw| {
                let length = (length as u16).to_be_bytes();
                long_form(raw, FIN | TEXT, 126, &length, payload)
            });
            ours.refuses("64 bits", PROTOCOL_ERROR, |raw| {
                let length = (length as u64).to_be_bytes();
                long_form(raw, FIN | TEXT, 127, &length, payload)
            });
        }
        for length in [126, 0xffff_u64] {
            ours.refuses("64 bits", PROTOCOL_ERROR, |raw| {
                long_form(raw, FIN | BINARY, 127, &length.to_be_bytes(), b"start")
            });
        }
    }
}

#[test]
fn a_length_of_more_than_63_bits_is_refused() {
    for ours in both() {
        for length in [1 << 63, u64::MAX] {
            ours.refuses("64 bits", PROTOCOL_ERROR, |raw| {
                long_form(raw, FIN | BINARY, 127, &length.to_be_bytes(), b"start")
            });
        }
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    for ours in both() {
        for bad in [
            &b"\xff"[..],
            b"caf\xc3",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
            b"\xf4\x90\x80\x80",
        ] {
            ours.refuses_frame("not UTF-8", INVALID_PAYLOAD, FIN | TEXT, bad);
            // It shows before the message is whole, and before the frame is.
            ours.refuses("a part of a frame", INVALID_PAYLOAD, |raw| {
                let whole = raw.framed(FIN | TEXT, &[bad, &[b'x'; 2 * BUFFER]].concat());
                whole[..BUFFER + 100].to_vec()
            });
            let early = [&b"good so far"[..], &bad[..1], b"\xff"].concat();
            ours.refuses_frame("not UTF-8", INVALID_PAYLOAD, TEXT, &early);
        }
    }
}

#[test]
fn a_message_that_is_too_big_is_refused_by_its_first_bytes() {
    let config = WebSocketConfig::new().max_message_size(1000);
    for ours in Ours::both(&config).map(Checked) {
        ours.refuses("1 GiB", TOO_BIG, |raw| {
            let length = (1_u64 << 30).to_be_bytes();
            long_form(raw, FIN | BINARY, 127, &length, &[0; BUFFER + 100])
        });
        ours.refuses("in pieces", TOO_BIG, |raw| {
            let start = raw.framed(BINARY, &[0; 600]);
            [start, raw.framed(CONTINUATION, &[0; 600])].concat()
        });
    }
}

#[test]
fn malformed_close_frames_are_refused() {
    for ours in both() {
        ours.refuses_frame("half a code", PROTOCOL_ERROR, FIN | CLOSE, b"\x03");
        for code in [
            0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535_u16,
        ] {
            let what = format!("close code {code}");
            ours.refuses_frame(&what, PROTOCOL_ERROR, FIN | CLOSE, &code.to_be_bytes());
        }
        let reason = b"\x03\xe8caf\xc3";
        ours.refuses_frame("close reason", INVALID_PAYLOAD, FIN | CLOSE, reason);
    }
}

/// Bits that mean something where permessage-deflate was agreed on.
#[cfg(feature = "deflate")]
#[test]
fn compression_allows_one_bit_where_a_message_begins() {
    // "Hello", RFC 7692 section 7.2.3.1.
    const HELLO: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    use libwebsockets::Role;
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
