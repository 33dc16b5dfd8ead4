//! permessage-deflate where its frames and its output don't come together.

#![cfg(feature = "deflate")]

mod common;

use common::peer::{frame, upgrade, Raw, BINARY, CONTINUATION, PONG, TEXT};
use common::roles::Ours;
use common::{client_context, loopback, noise, probe, probed, rests, Event, Events, Running};
use libwebsockets::{Client, Connection, Context, Fragment, Handler, Role, WebSocketConfig};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// A text in two frames, and one whose first frame, compressed, inflates to
/// nothing, so that the library doesn't tell of it.
const FRAMES: [(u8, &[u8]); 4] = [
    (TEXT, &[b'a'; 1000]),
    (FIN | CONTINUATION, b"a"),
    (RSV1 | TEXT, &[0x00]),
    // Clears the library's mark of the first fragment.
    (FIN | PONG, b"x"),
];

/// The rest of a stored block, which holds "b"; more would come.
const REST: &[u8] = &[0x01, 0x00, 0xfe, 0xff, b'b'];

fn deflating() -> WebSocketConfig {
    WebSocketConfig::new().deflate(true)
}

/// A peer that has agreed on compression.
fn open(server: &Running) -> Raw {
    let mut raw = Raw::connect(server.addr());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let answer = raw.ask(&upgrade("/", offer));
    assert_eq!(answer.status, 101, "{answer:?}");
    raw
}

/// The message's end: an empty final block.
fn expect_both(events: &Events) {
    assert_eq!(events.message().as_text().map(str::len), Some(1001));
    assert!(matches!(events.next(), Event::Pong(_)));
    assert_eq!(events.message().as_text(), Some("b"));
}

#[test]
fn a_server_survives_a_first_frame_that_inflates_to_nothing() {
    let (server, events) = probed(deflating());
    let mut raw = open(&server);
    events.open();
    for (first, payload) in FRAMES {
        raw.send_frame(first, payload);
    }
    raw.send_frame(CONTINUATION, REST);
    raw.send_frame(FIN | CONTINUATION, &[0x00]);
    expect_both(&events);
}

// Lost: what a client sends that keeps its context, though it asks the server not to.
#[test]
fn the_servers_context_is_not_the_clients() {
    let (server, events) = probed(deflating());
    let mut raw = Raw::connect(server.addr());
    let offer = "permessage-deflate; server_no_context_takeover";
    let answer = raw.ask(&upgrade(
        "/",
        &format!("Sec-WebSocket-Extensions: {offer}\r\n"),
    ));
    assert_eq!(answer.header("sec-websocket-extensions"), Some(offer));
    events.open();
    // "Hello" twice, the second by a reference to the first: RFC 7692 section 7.2.3.2.
    raw.send_frame(
        FIN | RSV1 | TEXT,
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
    );
    raw.send_frame(FIN | RSV1 | TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00]);
    for _ in 0..2 {
        assert_eq!(events.message().as_text(), Some("Hello"));
    }
}

#[test]
fn a_client_survives_a_first_frame_that_inflates_to_nothing() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&url).unwrap().config(deflating());
    drop(client.handle.connect(to, probe).unwrap());
    let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut raw = Raw::accept(&listener, extension);
    events.open();
    for (first, payload) in FRAMES
        .into_iter()
        .chain([(CONTINUATION, REST), (FIN | CONTINUATION, &[0x00][..])])
    {
        raw.send_frame(first, payload);
    }
    expect_both(&events);
}

#[test]
fn the_first_fragment_is_known_as_such_after_a_frame_that_inflates_to_nothing() {
    let (server, events) = probed(deflating().fragments(true));
    let mut raw = open(&server);
    events.open();
    let (first, payload) = FRAMES[2];
    raw.send_frame(first, payload);
    raw.send_frame(FIN | PONG, b"x");
    assert!(matches!(events.next(), Event::Pong(_)));
    raw.send_frame(CONTINUATION, REST);
    raw.send_frame(FIN | CONTINUATION, &[0x00]);
    let mut seen = Vec::new();
    loop {
        let event = events.next();
        let Event::Fragment {
            data, first, last, ..
        } = event
        else {
            panic!("{event:?}");
        };
        seen.extend_from_slice(&data);
        assert_eq!(first, data == b"b", "{data:?}");
        if last {
            break;
        }
    }
    assert_eq!(seen, b"b");
}

/// Bytes in blocks that are stored as they are (RFC 1951 §3.2.4).
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let len = block.len() as u16;
        blocks.push(0);
        blocks.extend(len.to_le_bytes());
        blocks.extend((!len).to_le_bytes());
        blocks.extend(block);
    }
    blocks
}

/// What is behind all blocks of a message.
const END: &[u8] = &[0];

/// Sees that a message came whole, or that it was refused as too big.
#[track_caller]
fn expect(ours: &Ours, mut raw: Raw, expected: Option<usize>) {
    if expected.is_none() {
        assert_eq!(raw.close_code(), Some(1009), "{:?}", ours.role);
        drop(raw);
        while matches!(ours.events.next(), Event::Fragment { last: false, .. }) {}
        return;
    }
    let (mut len, mut whole) = (0, false);
    while !whole {
        match ours.events.next() {
            Event::Message(_, message) => (len, whole) = (message.len(), true),
            Event::Fragment { data, last, .. } => (len, whole) = (len + data.len(), last),
            other => panic!("{:?}, {expected:?}: {other:?}", ours.role),
        }
    }
    assert_eq!(Some(len), expected, "{:?}", ours.role);
    drop(raw);
    ours.events.closed();
}

// Lost: messages within the limits, refused for their length on the wire, which is a
// little more where there is nothing to compress.
#[test]
fn limits_are_held_against_what_a_message_inflates_to() {
    const LIMIT: usize = 100_000;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let by_message = deflating().max_message_size(LIMIT);
    let by_frame = deflating().max_frame_size(LIMIT);
    for config in [&by_message, &by_frame, &by_frame.clone().fragments(true)] {
        for role in [Role::Server, Role::Client] {
            let ours = Ours::with_extensions(role, config.clone(), offer);
            for len in [LIMIT - 10, LIMIT, LIMIT + 1] {
                let compressed = [&stored(&noise(len)), END].concat();
                for (first, payload) in [(RSV1, compressed), (0, noise(len))] {
                    let (mut raw, _) = ours.connection();
                    raw.send_frame(FIN | first | BINARY, &payload);
                    expect(&ours, raw, (len <= LIMIT).then_some(len));
                }
            }
            // In two frames that are right each by itself.
            let (mut raw, _) = ours.connection();
            raw.send_frame(RSV1 | BINARY, &stored(&noise(LIMIT)));
            raw.send_frame(FIN | CONTINUATION, &[&stored(&noise(LIMIT)), END].concat());
            let fine = *config != by_message;
            expect(&ours, raw, fine.then_some(2 * LIMIT));
        }
    }
}

/// Zeros, so many that the library inflates them in many pieces: a block with
/// the fixed codes (RFC 1951 §3.2.6).
fn zeros(kib: usize) -> Vec<u8> {
    let mut bits = vec![1, 1, 0];
    let mut code = |value: u32, len: u32| bits.extend((0..len).rev().map(|i| (value >> i) & 1));
    code(0b0011_0000, 8); // a zero
    for _ in 0..kib * 4 {
        code(0b1100_0101, 8); // 258 of what is
        code(0, 5); // one byte back
    }
    code(0, 7); // the end
    bits.chunks(8)
        .map(|bits| {
            bits.iter()
                .rev()
                .fold(0, |byte, bit| byte << 1 | *bit as u8)
        })
        .collect()
}

#[test]
fn reading_that_is_paused_in_a_compressed_message_costs_no_time() {
    /// Pauses at the first fragment, until everything it sends has gone.
    struct Pauses(common::Probe, bool);
    impl Handler for Pauses {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
        }
        fn on_fragment(&mut self, conn: &mut Connection<'_>, fragment: Fragment<'_>) {
            self.0.on_fragment(conn, fragment);
            if !std::mem::replace(&mut self.1, true) {
                conn.pause_reading();
                // No compression makes that small.
                conn.send(noise(1 << 20).repeat(30)).unwrap();
                conn.request_writable();
            }
        }
        fn on_writable(&mut self, conn: &mut Connection<'_>) {
            conn.resume_reading();
        }
    }
    let (probe, events) = probe();
    let config = deflating().fragments(true);
    let vhost = loopback()
        .config(config)
        .accept(move |_| Ok(Pauses(probe.clone(), false)));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0).unwrap();
    let peer = std::thread::spawn(move || {
        let mut raw = Raw::connect(addr);
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        assert_eq!(raw.ask(&upgrade("/", offer)).status, 101);
        raw.send(&frame(FIN | RSV1 | BINARY, &zeros(1024)));
        raw
    });
    let turn = Duration::from_millis(100);
    while !matches!(events.try_next(), Some(Event::Fragment { .. })) {
        context.service(Some(turn)).unwrap();
    }
    let mut raw = peer.join().unwrap();
    // What the sockets' buffers take is sent first.
    for _ in 0..100 {
        context.service(Some(Duration::from_millis(5))).unwrap();
    }
    rests(&mut context);
    // The peer reads, and so does the server then.
    let peer = std::thread::spawn(move || {
        // Compressed messages come in many frames.
        while !raw.frame().unwrap().fin {}
        raw
    });
    let mut whole = false;
    // Thirty megabytes are compressed, by a C library that isn't optimised.
    let until = Instant::now() + 3 * common::WAIT;
    while !whole {
        assert!(Instant::now() < until, "the rest never comes");
        context.service(Some(turn)).unwrap();
        while let Some(event) = events.try_next() {
            whole |= matches!(event, Event::Fragment { last: true, .. });
        }
    }
    drop(context);
    drop(peer.join().unwrap());
}
