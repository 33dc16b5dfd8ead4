//! Servers that speak HTTP/2.

use super::programs::Server;
use super::wire::{
    assert_h2_works, frame, get_request, hpack_integer, Answer, Peer, CONTINUATION, DATA,
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS,
};
use std::thread;
use std::time::Duration;

#[test]
fn server_survives_a_huge_header_table() {
    // In a header block, ...
    let server = Server::start(&["h2"]);
    for size in [
        0x8000_0000,
        0xffff_fff0,
        0xffff_fff8,
        0xffff_ffff,
        0x1_0000_0000,
    ] {
        let mut block = hpack_integer(0x20, 5, size);
        block.extend(get_request());
        block.extend(b"\x66\x01a".repeat(20)); // host: a, put into the table
        let mut peer = Peer::connect_h2(&server);
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
        assert!(
            !matches!(peer.stream_answer(1), Answer::Nothing),
            "a table of {size} bytes"
        );
        assert_h2_works(&server);
    }
    // (a table of a decent size, shrunk and emptied and grown again, is fine)
    let mut peer = Peer::connect_h2(&server);
    for (stream, size) in (0..20).map(|n| (n * 2 + 1, [4096, 64, 0, 1024, 7][n as usize % 5])) {
        let mut block = hpack_integer(0x20, 5, size);
        block.extend(get_request());
        block.extend(b"\x66\x01a".repeat(20));
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
        assert_eq!(
            peer.stream_answer(stream),
            Answer::Status(200),
            "a table of {size} bytes"
        );
    }
    server.finish();

    // ... and in the settings that come with an upgrade: 80000000, fffffff0 and ffffffff.
    let server = Server::start(&[]);
    for settings in ["AAGAAAAA", "AAH////w", "AAH/////"] {
        let mut peer = Peer::connect(&server);
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: {settings}\r\n\r\n"
        );
        peer.send(request.as_bytes());
        assert_eq!(peer.response().0, 101, "{settings}");
        peer.send(PREFACE);
        peer.send(&frame(SETTINGS, 0, 0, b""));
        assert_eq!(peer.stream_answer(1), Answer::Status(200), "{settings}");
    }
    server.finish();
}

#[test]
fn server_survives_more_headers_than_it_stores() {
    let server = Server::start(&["h2"]);

    let mut hostile = vec![
        ("empty values", b"\x0a\x00".repeat(1000)),
        ("empty values, put into the table", b"\x66\x00".repeat(1000)),
        ("literal names", b"\x00\x04host\x01a".repeat(300)),
        (
            "literal names, put into the table",
            b"\x40\x04host\x01a".repeat(300),
        ),
    ];
    // A '&' near the end of the 4096 bytes of storage.
    for length in 4076..4096 {
        let path = format!("/?a={}&{}", "b".repeat(length - 4), "c".repeat(20));
        let mut block = hpack_integer(0x00, 4, 4);
        block.extend(hpack_integer(0x00, 7, path.len() as u64));
        block.extend(path.as_bytes());
        hostile.push(("a long path", block));
    }
    for (what, block) in hostile {
        let mut peer = Peer::connect_h2(&server);
        let mut headers = b"\x82\x86".to_vec();
        if what != "a long path" {
            headers.push(0x84);
        }
        headers.extend(block);
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &headers));
        assert!(peer.stream_answer(1) == Answer::Closed, "{what}");
        assert_h2_works(&server);
    }

    // An index above 126 in the dynamic table is a plain header.
    let mut peer = Peer::connect_h2(&server);
    let mut block = get_request();
    block.extend(b"\x66\x01a".repeat(70));
    peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
    assert_eq!(peer.stream_answer(1), Answer::Status(200));
    let mut block = get_request();
    block.extend(hpack_integer(0x80, 7, 130));
    peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &block));
    assert_eq!(peer.stream_answer(3), Answer::Status(200));

    server.finish();
}

#[test]
fn server_ends_an_endless_header_block() {
    let server = Server::start(&["h2"]);
    let header = b"\x0f\x03\x01x"; // accept-ranges: x

    let mut peer = Peer::connect_h2(&server);
    peer.send(&frame(HEADERS, END_STREAM, 1, &get_request()));
    for _ in 0..10 {
        peer.send(&frame(CONTINUATION, 0, 1, b"").repeat(100));
    }
    peer.send(&frame(CONTINUATION, END_HEADERS, 1, header));
    assert_eq!(peer.stream_answer(1), Answer::Closed);

    // A block in more than a dozen pieces is still taken, again and again.
    let mut peer = Peer::connect_h2(&server);
    for stream in [1, 3, 5] {
        peer.send(&frame(HEADERS, END_STREAM, stream, &get_request()));
        for _ in 0..15 {
            peer.send(&frame(CONTINUATION, 0, stream, header));
        }
        peer.send(&frame(CONTINUATION, END_HEADERS, stream, header));
        assert_eq!(peer.stream_answer(stream), Answer::Status(200));
    }

    server.finish();
}

#[test]
fn server_survives_a_stream_that_closes_within_a_frame() {
    let server = Server::start(&["h2"]);
    let mut peer = Peer::connect_h2(&server);

    let mut block = b"\x83\x86".to_vec(); // :method POST, :scheme http
    block.extend(b"\x04\x05/drop");
    block.extend(b"\x0f\x0d\x041000"); // content-length
    let data = frame(DATA, END_STREAM, 1, &[b'x'; 1000]);
    peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
    peer.send(&data[..300]);
    server.wait_for("dropped");

    // What is left of the frame is ignored, and the connection goes on.
    peer.send(&data[300..600]);
    thread::sleep(Duration::from_millis(100));
    peer.send(&data[600..]);
    peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &get_request()));
    assert_eq!(peer.stream_answer(3), Answer::Status(200));

    server.finish();
}

#[test]
fn server_survives_an_interrupted_header_block() {
    let server = Server::start(&["h2"]);
    let mut peer = Peer::connect_h2(&server);

    let mut frames = frame(HEADERS, 0, 1, b"\x82");
    frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 3, &get_request()));
    frames.extend(frame(HEADERS, END_STREAM | END_HEADERS, 3, &get_request()));
    peer.send(&frames);
    assert_eq!(peer.stream_answer(3), Answer::GoAway);
    assert_h2_works(&server);

    server.finish();
}

#[test]
fn server_takes_a_body_without_a_length() {
    let server = Server::start(&["h2"]);
    let mut peer = Peer::connect_h2(&server);

    // All in one piece, so that the body has to wait for the headers to be dealt with.
    let mut frames = frame(HEADERS, END_HEADERS, 1, b"\x83\x86\x04\x05/form");
    frames.extend(frame(DATA, 0, 1, b"a=1&b=2"));
    peer.send(&frames);
    server.wait_for("body 7");
    assert_h2_works(&server);

    let report = server.finish();
    assert!(!report.stdout.contains("body 0"), "{report:?}");
}

#[test]
fn server_survives_headers_without_a_value() {
    let server = Server::start(&["h2"]);
    for headers in [
        &b"\x00\x04host\x00\x66\x01a"[..],
        b"\x40\x04host\x00\xbe\x66\x01a",
        b"\x66\x00\x66\x00\x00\x04host\x00\x66\x01a",
        b"\x00\x05x-foo\x00\x66\x01a",
    ] {
        let mut peer = Peer::connect_h2(&server);
        let block = [&get_request(), headers].concat();
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
        assert_eq!(peer.stream_answer(1), Answer::Status(200), "{headers:?}");
    }
    server.finish();
}

#[test]
fn server_refuses_names_of_headers_with_odd_characters() {
    let server = Server::start(&["h2"]);
    for name in [
        "host:\r\n\r\n",
        "host:a\r\ncookie",
        "Host",
        "x y",
        "x\0",
        "x:y",
        "x\u{e9}",
    ] {
        let mut block = get_request();
        block.push(0); // a literal name
        block.extend(hpack_integer(0x00, 7, name.len() as u64));
        block.extend(name.as_bytes());
        block.extend(b"\x01a");
        let mut peer = Peer::connect_h2(&server);
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &block));
        assert_eq!(peer.stream_answer(1), Answer::Closed, "{name:?}");
    }
    assert_h2_works(&server);
    server.finish();
}
