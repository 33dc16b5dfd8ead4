//! Messages in pieces: put together, or handed over as they come.

mod common;

use common::peer::{Raw, BINARY, CONTINUATION, PING, PONG, TEXT};
use common::roles::Ours;
use common::{noise, Event};
use libwebsockets::{CloseCode, Initiator, WebSocketConfig};

const FIN: u8 = 0x80;

#[test]
fn fragments_become_one_message_with_control_frames_between_them() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        let (mut raw, _) = ours.connection();
        interrupted(&mut raw);
        let pong = raw.frame().unwrap();
        assert_eq!((pong.opcode, &*pong.payload), (PONG, &b"still there?"[..]));
        assert!(matches!(ours.events.next(), Event::Pong(p) if p == b"unasked"));
        assert_eq!(ours.events.message().as_text(), Some("one, two, thrée"));
    }
}

/// Sends a text in pieces, and control frames between them.
fn interrupted(raw: &mut Raw) {
    raw.send_frame(TEXT, b"one, ");
    raw.send_frame(FIN | PING, b"still there?");
    raw.send_frame(CONTINUATION, b"two, ");
    raw.send_frame(FIN | PONG, b"unasked");
    // The split goes through a character.
    raw.send_frame(CONTINUATION, b"thr\xc3");
    raw.send_frame(FIN | CONTINUATION, b"\xa9e");
}

/// A message that arrives in pieces, and whether it is binary; pongs are passed over.
#[track_caller]
fn collect(ours: &Ours) -> (bool, Vec<u8>) {
    let (mut whole, mut is_first) = (Vec::new(), true);
    loop {
        match ours.events.next() {
            Event::Fragment {
                data,
                binary,
                first,
                last,
            } => {
                assert_eq!(first, is_first, "{:?}", ours.role);
                is_first = false;
                whole.extend(data);
                if last {
                    return (binary, whole);
                }
            }
            Event::Pong(_) => {}
            other => panic!("no fragment: {other:?}"),
        }
    }
}

#[test]
fn pieces_are_handed_over_as_they_come_where_that_is_asked_for() {
    // The limit for messages doesn't apply.
    let config = WebSocketConfig::new().fragments(true).max_message_size(10);
    for ours in Ours::both(&config) {
        let (mut raw, _) = ours.connection();
        raw.send_frame(BINARY, b"12345678");
        raw.send_frame(FIN | CONTINUATION, b"9 and more than ten");
        let binary = collect(&ours);
        assert_eq!(binary, (true, b"123456789 and more than ten".to_vec()));

        interrupted(&mut raw);
        assert_eq!(
            collect(&ours),
            (false, "one, two, thrée".as_bytes().to_vec())
        );
        let pong = raw.frame().unwrap();
        assert_eq!((pong.opcode, &*pong.payload), (PONG, &b"still there?"[..]));

        // Empty ones, at the beginning and at the end.
        raw.send_frame(TEXT, b"");
        raw.send_frame(CONTINUATION, b"in between");
        raw.send_frame(FIN | CONTINUATION, b"");
        assert_eq!(collect(&ours), (false, b"in between".to_vec()));
        raw.send_frame(FIN | BINARY, b"");
        assert_eq!(collect(&ours), (true, b"".to_vec()));
        raw.send_frame(FIN | BINARY, &noise(300_000));
        assert!(collect(&ours) == (true, noise(300_000)));
    }
}

// Lost: an application that gets a message while its peer still makes it.
#[test]
fn a_part_of_a_frame_is_handed_over_when_it_is_there() {
    let config = WebSocketConfig::new().fragments(true);
    for ours in Ours::both(&config) {
        let (mut raw, _) = ours.connection();
        let frame = raw.framed(FIN | BINARY, b"first and second");
        let (first, second) = frame.split_at(frame.len() - 11);
        raw.send(first);
        match ours.events.next() {
            Event::Fragment { data, last, .. } => {
                assert_eq!((&*data, last), (&b"first"[..], false))
            }
            other => panic!("{:?}: {other:?}", ours.role),
        }
        raw.send(second);
        match ours.events.next() {
            Event::Fragment {
                data, first, last, ..
            } => {
                assert_eq!((&*data, first, last), (&b" and second"[..], false, true));
            }
            other => panic!("{:?}: {other:?}", ours.role),
        }
    }
}

#[test]
fn a_text_in_pieces_is_not_checked_where_they_are_handed_over() {
    let config = WebSocketConfig::new().fragments(true);
    for ours in Ours::both(&config) {
        let (mut raw, _) = ours.connection();
        raw.send_frame(FIN | TEXT, b"\xff");
        assert_eq!(collect(&ours), (false, b"\xff".to_vec()));
    }
}

#[test]
fn a_frame_over_the_limit_closes_with_1009_wherever_it_is_in_its_message() {
    for fragments in [false, true] {
        let config = WebSocketConfig::new()
            .max_frame_size(500)
            .fragments(fragments);
        for ours in Ours::both(&config) {
            // Together they may be longer.
            let (mut raw, _) = ours.connection();
            raw.send_frame(BINARY, &noise(500));
            raw.send_frame(FIN | PING, b"");
            raw.send_frame(FIN | CONTINUATION, &noise(500));
            let both = [noise(500), noise(500)].concat();
            match fragments {
                true => assert!(collect(&ours) == (true, both)),
                false => assert!(ours.events.message().as_bytes() == both),
            }
            drop(raw);
            ours.events.closed();

            let (mut raw, _) = ours.connection();
            raw.send_frame(FIN | BINARY, &noise(501));
            refused(&ours, raw);

            let (mut raw, _) = ours.connection();
            raw.send_frame(BINARY, &noise(500));
            raw.send_frame(FIN | PING, b"");
            raw.send_frame(CONTINUATION, &noise(501));
            if fragments {
                let first = ours.events.next();
                assert!(matches!(first, Event::Fragment { data, .. } if data == noise(500)));
            }
            refused(&ours, raw);
        }
    }
}

/// The peer is told that a frame is too big, and nothing of it is delivered.
#[track_caller]
fn refused(ours: &Ours, mut raw: Raw) {
    assert_eq!(raw.close_code(), Some(1009), "{:?}", ours.role);
    drop(raw);
    let closed = ours.events.closed();
    assert_eq!(closed.initiator, Initiator::Failure);
    assert_eq!(closed.frame.unwrap().code(), CloseCode::TOO_BIG);
}
