//! How connections end: closing handshakes, and what becomes of peers that don't
//! take part in one.

mod common;

use common::peer::{Frame, Raw, CLOSE};
use common::roles::Ours;
use common::{client_context, probe, probed};
use libwebsockets::{Client, CloseCode, CloseFrame, Initiator, WebSocketConfig};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;

#[test]
fn a_close_frame_carries_code_and_reason_both_ways() {
    let (server, events) = probed(WebSocketConfig::new());
    let client = client_context();
    let (probe, theirs) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    let id = theirs.open();
    events.open();
    let reason = "ü".repeat(61);
    let frame = CloseFrame::new(CloseCode::new(4321).unwrap(), reason).unwrap();
    client.handle.close(id, frame.clone()).unwrap();

    let seen = events.closed();
    assert_eq!(seen.initiator, Initiator::Remote);
    assert_eq!(seen.frame, Some(frame.clone()));
    let own = theirs.closed();
    assert_eq!(own.initiator, Initiator::Local);
    assert_eq!((own.id, own.frame), (id, Some(frame)));
    theirs.end();
}

#[test]
fn a_server_closes_with_code_and_reason() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye").unwrap();
    server.handle.close(id, frame.clone()).unwrap();
    let close = raw.frame().unwrap();
    assert_eq!(
        close,
        Frame {
            fin: true,
            rsv: 0,
            opcode: CLOSE,
            payload: b"\x03\xe9bye".to_vec()
        }
    );
    raw.send_frame(FIN | CLOSE, b"\x03\xe9");
    assert_eq!(raw.frame(), None);
    let closed = events.closed();
    assert_eq!(
        (closed.initiator, closed.frame),
        (Initiator::Local, Some(frame))
    );
}

#[test]
fn a_close_frame_of_the_peer_is_answered_with_its_code() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        for (payload, code) in [
            (&b"\x03\xe8"[..], Some(1000)),
            (b"\x03\xe9and why", Some(1001)),
            (b"\x0f\xa0", Some(4000)),
            (b"\x03\xf4", Some(1012)),
            (b"\x03\xf5", Some(1013)),
            (b"\x03\xf6", Some(1014)),
            (b"", None),
        ] {
            let (mut raw, _) = ours.connection();
            raw.send_frame(FIN | CLOSE, payload);
            let answer = raw.frame().expect("an answer");
            assert_eq!(answer.opcode, CLOSE);
            assert_eq!(answer.payload.get(..2), payload.get(..2), "{payload:?}");
            assert_eq!(raw.frame(), None, "our end ends the connection");
            let closed = ours.events.closed();
            assert_eq!(closed.initiator, Initiator::Remote);
            assert_eq!(closed.frame.map(|f| f.code().get()), code);
        }
    }
}

// Lost: the rest of the message, the answer, and what the peer said.
#[test]
fn a_close_frame_is_answered_behind_what_is_being_sent() {
    // More than the sockets' buffers take.
    let message = vec![7; 32 << 20];
    for ours in Ours::both(&WebSocketConfig::new()) {
        let (mut raw, id) = ours.connection();
        ours.running.handle.send(id, message.clone()).unwrap();
        // The first frame's head: the library is in the midst of it.
        raw.wait();
        for late in ["one", "two"] {
            ours.running.handle.send(id, late).unwrap();
        }
        raw.send_frame(FIN | CLOSE, b"\x03\xe9bye");
        let frame = raw.frame().expect("the message");
        assert!(frame.fin && frame.payload == message, "{:?}", ours.role);
        let answer = raw.frame().expect("an answer");
        assert_eq!(
            (answer.opcode, &answer.payload[..2]),
            (CLOSE, &b"\x03\xe9"[..])
        );
        assert_eq!(raw.frame(), None);
        let closed = ours.events.closed();
        assert_eq!(closed.initiator, Initiator::Remote);
        let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye").unwrap();
        assert_eq!(closed.frame, Some(frame));
        assert_eq!(closed.unsent, 2, "{:?}", ours.role);
    }
}

/// Lost: what is to be sent again by another connection, and nobody knows it.
#[test]
fn a_connection_tells_how_many_messages_it_has_not_sent() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        for aborts in [true, false] {
            let (mut raw, id) = ours.connection();
            ours.running.handle.send(id, vec![7; 32 << 20]).unwrap();
            raw.wait();
            ours.running.handle.send(id, "queued").unwrap();
            if aborts {
                ours.running.handle.abort(id).unwrap();
            } else {
                drop(raw);
            }
            // With the one that is being sent.
            let closed = ours.events.closed();
            assert_eq!(closed.unsent, 2, "{:?}, {aborts}", ours.role);
        }
        let (mut raw, id) = ours.connection();
        ours.running.handle.send(id, "sent").unwrap();
        ours.running.handle.close(id, CloseCode::NORMAL).unwrap();
        assert_eq!(raw.frame().unwrap().payload, b"sent");
        assert_eq!(raw.frame().unwrap().opcode, CLOSE);
        raw.send_frame(FIN | CLOSE, b"\x03\xe8");
        assert_eq!(ours.events.closed().unsent, 0);
    }
}

#[test]
fn a_connection_that_breaks_is_a_failure_without_a_frame() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        let (raw, id) = ours.connection();
        drop(raw);
        let closed = ours.events.closed();
        assert_eq!(
            (closed.id, closed.initiator, closed.frame),
            (id, Initiator::Failure, None)
        );
    }
}

/// How long our end waits for a peer that says nothing to its close frame.
#[track_caller]
fn waits(ours: &Ours) -> Duration {
    let (mut raw, id) = ours.connection();
    let start = Instant::now();
    ours.running.handle.close(id, CloseCode::NORMAL).unwrap();
    assert_eq!(raw.frame().unwrap().opcode, CLOSE);
    let closed = ours.events.closed();
    let took = start.elapsed();
    let frame = Some(CloseCode::NORMAL.into());
    assert_eq!((closed.initiator, closed.frame), (Initiator::Local, frame));
    assert_eq!(raw.frame(), None);
    took
}

#[test]
fn a_peer_that_does_not_answer_a_close_is_dropped_after_the_timeout() {
    let config = WebSocketConfig::new().close_timeout(Duration::from_millis(300));
    for ours in Ours::both(&config) {
        let took = waits(&ours);
        let range = Duration::from_millis(250)..Duration::from_secs(4);
        assert!(range.contains(&took), "{:?}: {took:?}", ours.role);
    }
}

// What is asked beyond that would be a promise that the C library doesn't keep.
#[test]
fn no_peer_is_waited_for_longer_than_5_seconds() {
    let config = WebSocketConfig::new().close_timeout(Duration::from_secs(60));
    let both = Ours::both(&config).map(|ours| std::thread::spawn(move || waits(&ours)));
    for thread in both {
        let took = thread.join().unwrap();
        let range = Duration::from_millis(4500)..Duration::from_secs(9);
        assert!(range.contains(&took), "{took:?}");
    }
}

/// What nobody's socket buffers hold.
const MUCH: usize = 32 << 20;

// Lost: the place of a connection whose peer doesn't read, until the idle timeout.
#[test]
fn a_peer_that_does_not_read_is_dropped_although_it_never_gets_the_close_frame() {
    let config = WebSocketConfig::new().close_timeout(Duration::from_millis(500));
    for parts in [1, 32] {
        for ours in Ours::both(&config) {
            let (raw, id) = ours.connection();
            for _ in 0..parts {
                let part = vec![0; MUCH / parts];
                ours.running.handle.send(id, part).unwrap();
            }
            let start = Instant::now();
            ours.running.handle.close(id, CloseCode::NORMAL).unwrap();
            let closed = ours.events.closed();
            let took = start.elapsed();
            let range = Duration::from_millis(450)..Duration::from_secs(6);
            assert!(range.contains(&took), "{:?}: {took:?}", ours.role);
            assert_eq!(closed.frame, None);
            drop(raw);
        }
    }
}

#[test]
fn a_peer_that_reads_slowly_gets_what_was_queued_and_the_close_frame() {
    let config = WebSocketConfig::new().close_timeout(Duration::from_millis(300));
    for ours in Ours::both(&config) {
        let (mut raw, id) = ours.connection();
        ours.running.handle.send(id, vec![0; MUCH / 2]).unwrap();
        ours.running.handle.close(id, CloseCode::NORMAL).unwrap();
        let start = Instant::now();
        let frame = raw.frame_by(|| std::thread::sleep(Duration::from_millis(3)));
        assert_eq!(frame.unwrap().payload.len(), MUCH / 2);
        assert!(start.elapsed() > Duration::from_millis(600));
        assert_eq!(raw.close_code(), Some(1000));
        let frame = Some(CloseCode::NORMAL.into());
        assert_eq!(ours.events.closed().frame, frame);
    }
}
