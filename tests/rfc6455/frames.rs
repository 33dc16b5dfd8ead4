//! Frames that break the protocol, and what our end says to them, in either role.

use crate::common::peer::{frame, unmasked, Raw, BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};
use crate::common::roles::Ours;
use libwebsockets::{Initiator, Role, WebSocketConfig};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;

const PROTOCOL_ERROR: u16 = 1002;
const INVALID_PAYLOAD: u16 = 1007;

/// In which roles our end is tried.
#[derive(Clone, Copy)]
enum Who {
    Server,
    Client,
    Both,
}
use Who::{Both, Client, Server};

/// A part of what is sent.
enum Part {
    /// A frame, masked as the peer's role demands: its first byte and its payload.
    Frame(u8, &'static [u8]),
    /// The same, with a payload of so many zeros.
    Zeros(u8, usize),
    /// A frame that is masked, or not, whatever the role.
    Masked(u8, &'static [u8]),
    Unmasked(u8, &'static [u8]),
    /// A frame whose length takes so many bytes, 2 or 8, and is this number.
    Length(u8, u8, u64, &'static [u8]),
}
use Part::{Frame, Length, Masked, Unmasked, Zeros};

impl Part {
    fn bytes(&self, raw: &Raw) -> Vec<u8> {
        match *self {
            Frame(first, payload) => raw.framed(first, payload),
            Zeros(first, length) => raw.framed(first, &vec![0; length]),
            Masked(first, payload) => frame(first, payload),
            Unmasked(first, payload) => unmasked(first, payload),
            Length(first, size, length, payload) => {
                let short = raw.framed(first, payload);
                let form = if size == 2 { 126 } else { 127 };
                let head = [short[0], short[1] & 0x80 | form];
                // Behind the first two bytes come the mask, if any, and the payload.
                [
                    &head,
                    &length.to_be_bytes()[8 - usize::from(size)..],
                    &short[2..],
                ]
                .concat()
            }
        }
    }
}

/// A row: the RFC's section, what is wrong, whom it is sent to, what is sent, and the
/// close code that comes back.
type Row = (&'static str, &'static str, Who, &'static [Part], u16);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("5.1", "text without a mask", Server, &[Unmasked(FIN | TEXT, b"hello")], PROTOCOL_ERROR),
    ("5.1", "empty text without a mask", Server, &[Unmasked(FIN | TEXT, b"")], PROTOCOL_ERROR),
    ("5.1", "ping without a mask", Server, &[Unmasked(FIN | PING, b"")], PROTOCOL_ERROR),
    ("5.1", "close without a mask", Server, &[Unmasked(FIN | CLOSE, b"\x03\xe8")], PROTOCOL_ERROR),
    ("5.1", "continuation without a mask", Server, &[Frame(TEXT, b"a"), Unmasked(FIN, b"b")], PROTOCOL_ERROR),
    ("5.1", "text with a mask", Client, &[Masked(FIN | TEXT, b"hello")], PROTOCOL_ERROR),
    ("5.1", "empty text with a mask", Client, &[Masked(FIN | TEXT, b"")], PROTOCOL_ERROR),
    ("5.1", "ping with a mask", Client, &[Masked(FIN | PING, b"")], PROTOCOL_ERROR),
    ("5.1", "close with a mask", Client, &[Masked(FIN | CLOSE, b"\x03\xe8")], PROTOCOL_ERROR),
    ("5.1", "continuation with a mask", Client, &[Frame(TEXT, b"a"), Masked(FIN, b"b")], PROTOCOL_ERROR),

    ("5.2", "RSV1, text", Both, &[Frame(FIN | RSV1 | TEXT, b"")], PROTOCOL_ERROR),
    ("5.2", "RSV2, text", Both, &[Frame(FIN | RSV2 | TEXT, b"")], PROTOCOL_ERROR),
    ("5.2", "RSV3, text", Both, &[Frame(FIN | RSV3 | TEXT, b"")], PROTOCOL_ERROR),
    ("5.2", "all reserved bits, text", Both, &[Frame(FIN | RSV1 | RSV2 | RSV3 | TEXT, b"a")], PROTOCOL_ERROR),
    ("5.2", "RSV1, binary", Both, &[Frame(FIN | RSV1 | BINARY, b"a")], PROTOCOL_ERROR),
    ("5.2", "RSV1, a message's first piece", Both, &[Frame(RSV1 | BINARY, b"a")], PROTOCOL_ERROR),
    ("5.2", "RSV1, continuation", Both, &[Frame(TEXT, b"a"), Frame(FIN | RSV1, b"b")], PROTOCOL_ERROR),
    ("5.2", "RSV2, continuation", Both, &[Frame(TEXT, b"a"), Frame(RSV2, b"b")], PROTOCOL_ERROR),
    ("5.2", "RSV1, ping", Both, &[Frame(FIN | RSV1 | PING, b"")], PROTOCOL_ERROR),
    ("5.2", "RSV2, pong", Both, &[Frame(FIN | RSV2 | PONG, b"")], PROTOCOL_ERROR),
    ("5.2", "RSV3, close", Both, &[Frame(FIN | RSV3 | CLOSE, b"\x03\xe8")], PROTOCOL_ERROR),

    ("5.2", "opcode 3", Both, &[Frame(FIN | 3, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 4", Both, &[Frame(FIN | 4, b"")], PROTOCOL_ERROR),
    ("5.2", "opcode 5", Both, &[Frame(FIN | 5, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 6", Both, &[Frame(6, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 7", Both, &[Frame(FIN | 7, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 11", Both, &[Frame(FIN | 11, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 12", Both, &[Frame(FIN | 12, b"")], PROTOCOL_ERROR),
    ("5.2", "opcode 13", Both, &[Frame(FIN | 13, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 14", Both, &[Frame(FIN | 14, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 15", Both, &[Frame(FIN | 15, b"a")], PROTOCOL_ERROR),
    ("5.2", "opcode 3 within a message", Both, &[Frame(TEXT, b"a"), Frame(FIN | 3, b"b")], PROTOCOL_ERROR),

    ("5.2", "length 0 in 16 bits", Both, &[Length(FIN | TEXT, 2, 0, b"")], PROTOCOL_ERROR),
    ("5.2", "length 1 in 16 bits", Both, &[Length(FIN | TEXT, 2, 1, b"a")], PROTOCOL_ERROR),
    ("5.2", "length 125 in 16 bits", Both, &[Length(FIN | BINARY, 2, 125, &[0; 125])], PROTOCOL_ERROR),
    ("5.2", "length 0 in 64 bits", Both, &[Length(FIN | TEXT, 8, 0, b"")], PROTOCOL_ERROR),
    ("5.2", "length 125 in 64 bits", Both, &[Length(FIN | BINARY, 8, 125, &[0; 125])], PROTOCOL_ERROR),
    ("5.2", "length 126 in 64 bits", Both, &[Length(FIN | BINARY, 8, 126, &[0; 126])], PROTOCOL_ERROR),
    ("5.2", "length 65535 in 64 bits", Both, &[Length(FIN | BINARY, 8, 0xffff, b"start")], PROTOCOL_ERROR),
    ("5.2", "length of 64 bits", Both, &[Length(FIN | BINARY, 8, 1 << 63, b"start")], PROTOCOL_ERROR),
    ("5.2", "the longest length", Both, &[Length(FIN | BINARY, 8, u64::MAX, b"start")], PROTOCOL_ERROR),
    ("5.2", "a bad length of a continuation", Both, &[Frame(BINARY, b"a"), Length(FIN, 2, 1, b"b")], PROTOCOL_ERROR),

    ("5.4", "continuation of nothing", Both, &[Frame(CONTINUATION, b"a")], PROTOCOL_ERROR),
    ("5.4", "last continuation of nothing", Both, &[Frame(FIN | CONTINUATION, b"a")], PROTOCOL_ERROR),
    ("5.4", "continuation behind a ping", Both, &[Frame(FIN | PING, b""), Frame(FIN | CONTINUATION, b"a")], PROTOCOL_ERROR),
    ("5.4", "text within text", Both, &[Frame(TEXT, b"a"), Frame(FIN | TEXT, b"b")], PROTOCOL_ERROR),
    ("5.4", "text begun within text", Both, &[Frame(TEXT, b"a"), Frame(TEXT, b"b")], PROTOCOL_ERROR),
    ("5.4", "binary within text", Both, &[Frame(TEXT, b"a"), Frame(FIN | BINARY, b"b")], PROTOCOL_ERROR),
    ("5.4", "text within binary", Both, &[Frame(BINARY, b"a"), Frame(FIN | TEXT, b"b")], PROTOCOL_ERROR),
    ("5.4", "binary begun within binary", Both, &[Frame(BINARY, b"a"), Frame(BINARY, b"b")], PROTOCOL_ERROR),
    ("5.4", "text behind a piece and a ping", Both, &[Frame(TEXT, b"a"), Frame(FIN | PING, b""), Frame(FIN | TEXT, b"b")], PROTOCOL_ERROR),

    ("5.5", "ping in pieces", Both, &[Frame(PING, b"a"), Frame(FIN | CONTINUATION, b"b")], PROTOCOL_ERROR),
    ("5.5", "pong in pieces", Both, &[Frame(PONG, b"a"), Frame(FIN | CONTINUATION, b"b")], PROTOCOL_ERROR),
    ("5.5", "close in pieces", Both, &[Frame(CLOSE, b"\x03\xe8"), Frame(FIN | CONTINUATION, b"b")], PROTOCOL_ERROR),
    ("5.5", "ping of 126 bytes", Both, &[Zeros(FIN | PING, 126)], PROTOCOL_ERROR),
    ("5.5", "pong of 126 bytes", Both, &[Zeros(FIN | PONG, 126)], PROTOCOL_ERROR),
    ("5.5", "close of 126 bytes", Both, &[Zeros(FIN | CLOSE, 126)], PROTOCOL_ERROR),
    ("5.5", "ping of 70000 bytes", Both, &[Zeros(FIN | PING, 70_000)], PROTOCOL_ERROR),
    ("5.5", "pong of 2^32 bytes", Both, &[Length(FIN | PONG, 8, 1 << 32, b"start")], PROTOCOL_ERROR),
    ("5.5", "ping whose length takes 16 bits", Both, &[Length(FIN | PING, 2, 5, b"hello")], PROTOCOL_ERROR),
    ("5.5", "long ping within a message", Both, &[Frame(TEXT, b"a"), Zeros(FIN | PING, 126)], PROTOCOL_ERROR),

    ("5.5.1", "half a close code", Both, &[Frame(FIN | CLOSE, b"\x03")], PROTOCOL_ERROR),
    ("7.4.2", "close code 0", Both, &[Frame(FIN | CLOSE, b"\x00\x00")], PROTOCOL_ERROR),
    ("7.4.2", "close code 999", Both, &[Frame(FIN | CLOSE, b"\x03\xe7")], PROTOCOL_ERROR),
    ("7.4.1", "close code 1004", Both, &[Frame(FIN | CLOSE, b"\x03\xec")], PROTOCOL_ERROR),
    ("7.4.1", "close code 1005", Both, &[Frame(FIN | CLOSE, b"\x03\xed")], PROTOCOL_ERROR),
    ("7.4.1", "close code 1006", Both, &[Frame(FIN | CLOSE, b"\x03\xee")], PROTOCOL_ERROR),
    ("7.4.1", "close code 1015", Both, &[Frame(FIN | CLOSE, b"\x03\xf7")], PROTOCOL_ERROR),
    ("7.4.2", "close code 1016", Both, &[Frame(FIN | CLOSE, b"\x03\xf8")], PROTOCOL_ERROR),
    ("7.4.2", "close code 1100", Both, &[Frame(FIN | CLOSE, b"\x04\x4c")], PROTOCOL_ERROR),
    ("7.4.2", "close code 2000", Both, &[Frame(FIN | CLOSE, b"\x07\xd0")], PROTOCOL_ERROR),
    ("7.4.2", "close code 2999", Both, &[Frame(FIN | CLOSE, b"\x0b\xb7")], PROTOCOL_ERROR),
    ("7.4.2", "close code 5000", Both, &[Frame(FIN | CLOSE, b"\x13\x88")], PROTOCOL_ERROR),
    ("7.4.2", "close code 65535", Both, &[Frame(FIN | CLOSE, b"\xff\xff")], PROTOCOL_ERROR),
    ("5.5.1", "a close reason cut within a character", Both, &[Frame(FIN | CLOSE, b"\x03\xe8caf\xc3")], INVALID_PAYLOAD),
    ("5.5.1", "a close reason with a surrogate", Both, &[Frame(FIN | CLOSE, b"\x03\xe8\xed\xa0\x80")], INVALID_PAYLOAD),
    ("5.5.1", "a close reason that is not UTF-8", Both, &[Frame(FIN | CLOSE, b"\x0f\xa0\xff")], INVALID_PAYLOAD),

    ("8.1", "text with a byte that UTF-8 hasn't", Both, &[Frame(FIN | TEXT, b"\xff")], INVALID_PAYLOAD),
    ("8.1", "text that begins within a character", Both, &[Frame(FIN | TEXT, b"\x80")], INVALID_PAYLOAD),
    ("8.1", "text cut within a character", Both, &[Frame(FIN | TEXT, b"caf\xc3")], INVALID_PAYLOAD),
    ("8.1", "text with a surrogate", Both, &[Frame(FIN | TEXT, b"\xed\xa0\x80")], INVALID_PAYLOAD),
    ("8.1", "text with a slash in two bytes", Both, &[Frame(FIN | TEXT, b"\xc0\xaf")], INVALID_PAYLOAD),
    ("8.1", "text with a NUL in three bytes", Both, &[Frame(FIN | TEXT, b"\xe0\x80\x80")], INVALID_PAYLOAD),
    ("8.1", "text beyond the last character", Both, &[Frame(FIN | TEXT, b"\xf4\x90\x80\x80")], INVALID_PAYLOAD),
    ("8.1", "text with a sequence of five bytes", Both, &[Frame(FIN | TEXT, b"\xf8\x88\x80\x80\x80")], INVALID_PAYLOAD),
    ("8.1", "a first piece that is bad", Both, &[Frame(TEXT, b"good \xc3\x28")], INVALID_PAYLOAD),
    ("8.1", "a last piece that is bad", Both, &[Frame(TEXT, b"good"), Frame(FIN, b"\xff")], INVALID_PAYLOAD),
    ("8.1", "a character that goes wrong in the next piece", Both, &[Frame(TEXT, b"caf\xc3"), Frame(FIN, b"\x28")], INVALID_PAYLOAD),
    ("8.1", "a character that no piece completes", Both, &[Frame(TEXT, b"\xf0\x9f"), Frame(CONTINUATION, b"\x98"), Frame(FIN, b"")], INVALID_PAYLOAD),
    ("8.1", "a bad piece behind a ping", Both, &[Frame(TEXT, b"\xc3"), Frame(FIN | PING, b"\xa9"), Frame(FIN, b"\xc3")], INVALID_PAYLOAD),
];

impl Who {
    fn includes(self, role: Role) -> bool {
        match self {
            Both => true,
            Server => role == Role::Server,
            Client => role == Role::Client,
        }
    }
}

/// Sends a row's frames; what was wrong with the answer.
fn try_row(ours: &Ours, (section, what, _, parts, code): &Row) -> Result<(), String> {
    let (mut raw, _) = ours.connection();
    let bytes: Vec<u8> = parts.iter().flat_map(|part| part.bytes(&raw)).collect();
    let sent = Instant::now();
    raw.send(&bytes);
    let answer = raw.close_code();
    drop(raw);
    // Nothing of it reaches the application; long before the close timeout it is told
    // that the peer failed.
    let closed = ours.events.closed();
    let took = sent.elapsed();
    let fine = answer == Some(*code)
        && closed.initiator == Initiator::Failure
        && took < Duration::from_secs(3);
    fine.then_some(()).ok_or_else(|| {
        let role = ours.role;
        format!("{section} {what}, {role:?}: {answer:?} instead of {code}, {closed:?}, {took:?}")
    })
}

#[test]
fn frames_that_break_the_protocol_end_the_connection_with_the_right_code() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for ours in Ours::both(&WebSocketConfig::new()) {
        for row in ROWS.iter().filter(|row| row.2.includes(ours.role)) {
            tried += 1;
            wrong.extend(try_row(&ours, row).err());
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
