//! Every patch in `vendor/patches` has a test here that fails without it.
//!
//! The vendored C library is built with the address sanitizer, together with a small server and a
//! small client in C (`tests/patches`). The tests send them raw bytes over loopback and look at
//! what comes back, at what the programs print and at what the sanitizer has to say.
//!
//! Those of the patches that are for Windows are shown by `cargo xtask windows`: the random bytes
//! by `tests/random.rs`, draining by `tests/websocket.rs`. The table of sockets is not: which row
//! a socket comes to is the system's choice. That no protocol is agreed on is no undefined behaviour
//! any more is shown by `cargo xtask sanitize undefined`, in `tests/interop.rs`; that silent peers
//! aren't waited for, by `tests/tls_endings.rs`; that a request which can't be sent is told of, by
//! `cargo xtask sanitize address`, in `tests/certificates.rs`.
//!
//! To watch the tests fail, let `LWS_PATCH_TEST_SOURCE` name a tree of the library without the patches.

#![cfg(target_os = "linux")]

#[path = "patches/build.rs"]
mod build;
#[path = "patches/programs.rs"]
mod programs;
#[path = "patches/wire.rs"]
mod wire;

use programs::{fetch, fetch_several, Jar, Server, PATIENCE};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;
use wire::{
    assert_h2_works, frame, get_request, hpack_integer, Answer, Peer, CONTINUATION, DATA,
    END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, URLENCODED,
};

#[test]
fn server_survives_a_refused_upgrade() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(&server);

    // The first request makes the connection one that is kept alive.
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.response(), (200, "ok".into()));
    peer.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: teapot\r\n\r\n",
    );
    assert_eq!(peer.response().0, 403);
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.response(), (200, "ok".into()));

    let report = server.finish();
    assert!(
        !report.stdout.contains("upgrade asked"),
        "the application was asked about a refused upgrade: {report:?}"
    );
}

/// Whichever it is: there is no server then, or one that serves on.
#[test]
fn server_survives_an_allocation_that_fails() {
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let mut refused = 0;
    for failing in 1..=16 {
        let server = Server::start(&["oom", &failing.to_string()]);
        if server.port == 0 {
            refused += 1;
        } else {
            // One of the first two may be hit, and may wait for ever.
            let short = Duration::from_millis(500);
            let answers = [short, short, PATIENCE].map(|p| answers(server.port, REQUEST, p));
            assert!(answers[2], "allocation {failing}: the last is not served");
        }
        server.finish();
    }
    assert!((3..15).contains(&refused), "{refused} servers didn't start");
}

/// Whether there is an answer to this request.
fn answers(port: u16, request: &[u8], patience: Duration) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // A server that hangs up early is seen below.
    let _ = stream.write_all(request);
    matches!(stream.read(&mut [0; 16]), Ok(n) if n > 0)
}

#[test]
fn client_is_told_of_no_more_bytes_than_came() {
    for size in ["fffffff0", "80000000", "100000005", "7ffffffff"] {
        let body = format!("{size}\r\nhello");
        let report = fetch(
            &[],
            &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"),
        );
        assert_eq!(
            report.read_lengths(),
            [0; 0],
            "a chunk of the size {size}: {report:?}"
        );
        assert!(
            !report.stdout.contains("completed"),
            "a chunk of the size {size}: {report:?}"
        );
    }

    // Sizes that fit are fine, even if not all of the chunk comes.
    let report = fetch(
        &[],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\nhello",
    );
    assert_eq!(report.read_lengths(), [5], "{report:?}");
    let report = fetch(
        &[],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00005\r\nhello\r\n0\r\n\r\n",
    );
    assert_eq!(report.read_lengths(), [5], "{report:?}");
    assert!(report.stdout.contains("completed"), "{report:?}");
}

#[test]
fn server_survives_a_form_that_fills_its_storage() {
    let server = Server::start(&[]);

    // The storage holds 512 bytes. Each "a" leaves a few of them, each "b" needs more.
    for left in 0..4 {
        let body = format!("a={}&b={}", "x".repeat(511 - left), "y".repeat(3000));
        assert_eq!(
            Peer::connect(&server).post_form(URLENCODED, &body),
            None,
            "{left} bytes left"
        );
        let body = format!("a={}&b={}", "x".repeat(511 - left), "%41".repeat(1000));
        assert_eq!(
            Peer::connect(&server).post_form(URLENCODED, &body),
            None,
            "{left} bytes left"
        );
    }

    // In a multipart form it is a part of a boundary that finds too little room.
    let boundary = "B".repeat(60);
    let part = |name: &str, value: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        )
    };
    let nearly = format!("\r\n--{}?", "B".repeat(59));
    for length in [450, 490, 508, 509, 510] {
        let body = part("a", &"x".repeat(length))
            + &part("b", &nearly.repeat(20))
            + "--"
            + &boundary
            + "--\r\n";
        let multipart = format!("multipart/form-data; boundary={boundary}");
        assert_eq!(
            Peer::connect(&server).post_form(&multipart, &body),
            None,
            "a field of {length} bytes"
        );
    }

    // Forms that fit are taken, up to the last byte.
    for length in [1, 100, 508] {
        let body = format!("a={}&b=y", "x".repeat(length));
        let answer = Peer::connect(&server).post_form(URLENCODED, &body);
        assert_eq!(answer, Some((200, format!("a={length} b=1"))));
    }
    let body = part("a", &"x".repeat(200)) + &part("b", &nearly) + "--" + &boundary + "--\r\n";
    let answer = Peer::connect(&server)
        .post_form(&format!("multipart/form-data; boundary={boundary}"), &body);
    assert_eq!(answer, Some((200, format!("a=200 b={}", nearly.len()))));

    server.finish();
}

#[test]
fn form_fields_hold_only_what_was_sent() {
    let server = Server::start(&[]);
    let answer = Peer::connect(&server).post_form(URLENCODED, "name&");
    assert_eq!(answer, Some((200, "a=0 b=0".into())));
    let report = server.finish();
    assert!(
        !report.stdout.contains("field"),
        "a field without a value has one: {report:?}"
    );
}

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
fn servers_and_clients_refuse_a_content_length_that_is_no_number() {
    let bad = [
        "-1",
        "-9223372036854775808",
        "+5",
        "5, 5",
        "0x10",
        "5 5",
        "18446744073709551616",
        "",
        "five",
    ];

    let server = Server::start(&[]);
    for length in bad {
        let mut peer = Peer::connect(&server);
        peer.send(
            format!(
                "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\na=1&b"
            )
            .as_bytes(),
        );
        assert_eq!(peer.response().0, 400, "Content-Length: {length}");
    }
    let mut peer = Peer::connect(&server);
    peer.send(b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\na=1&b");
    assert_eq!(peer.response().0, 400, "two lengths");
    for length in ["5", "005", " 5 "] {
        let mut peer = Peer::connect(&server);
        peer.send(
            format!(
                "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\na=1&b"
            )
            .as_bytes(),
        );
        assert_eq!(peer.response().0, 200, "Content-Length: {length}");
    }
    let report = server.finish();
    assert_eq!(
        report.stdout.matches("request /form").count(),
        3,
        "{report:?}"
    );

    for length in bad {
        let report = fetch(
            &[],
            &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello"),
        );
        assert!(
            report.stdout.contains("error HS: bad content-length"),
            "Content-Length: {length}: {report:?}"
        );
        assert_eq!(
            report.read_lengths(),
            [0; 0],
            "Content-Length: {length}: {report:?}"
        );
    }
    let report = fetch(&[], "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert!(report.stdout.contains("read 5\ncompleted"), "{report:?}");

    let server = Server::start(&["h2"]);
    for length in bad {
        let mut block = b"\x83\x86\x04\x05/form\x0f\x0d".to_vec();
        block.push(length.len() as u8);
        block.extend(length.as_bytes());
        let mut peer = Peer::connect_h2(&server);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &block));
        assert_eq!(
            peer.stream_answer(1),
            Answer::Reset,
            "content-length: {length}"
        );
        peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 3, &get_request()));
        assert_eq!(
            peer.stream_answer(3),
            Answer::Status(200),
            "content-length: {length}"
        );
    }
    let report = server.finish();
    assert!(!report.stdout.contains("request /form"), "{report:?}");
}

#[test]
fn client_survives_a_cookie_without_a_value() {
    for cookie in [
        "a",
        ";",
        "; ;",
        "ab",
        "a;",
        "=",
        "a;Path=/;b=c",
        ";;;Secure",
        "a=",
        "a=;",
        "a=b;",
        "a=b;;",
    ] {
        let jar = Jar::new();
        let report = fetch(
            &["cookies", jar.path()],
            &format!("HTTP/1.1 200 OK\r\nSet-Cookie: {cookie}\r\nContent-Length: 5\r\n\r\nhello"),
        );
        assert!(
            report.stdout.contains("read 5\ncompleted"),
            "Set-Cookie: {cookie}: {report:?}"
        );
        assert_eq!(jar.cookies(), [""; 0], "Set-Cookie: {cookie}");
    }
}

#[test]
fn client_keeps_the_name_and_value_of_a_secure_cookie() {
    let cases = [
        ("", "127.0.0.1\tTRUE\t/\tFALSE\tname\tvalue"),
        ("; HttpOnly", "127.0.0.1\tTRUE\t/\tFALSE\tname\tvalue"),
        ("; Secure", "127.0.0.1\tTRUE\t/\tTRUE\tname\tvalue"),
        (
            "; HttpOnly; Secure; Path=/x",
            "127.0.0.1\tTRUE\t/x\tTRUE\tname\tvalue",
        ),
        (";", "127.0.0.1\tTRUE\t/\tFALSE\tname\tvalue"),
    ];
    for (flags, expected) in cases {
        let jar = Jar::new();
        let report = fetch(
            &["cookies", jar.path()],
            &format!(
                "HTTP/1.1 200 OK\r\nSet-Cookie: name=value; Expires=Wed, 09 Jun 2100 10:18:14 GMT{flags}\r\n\
                 Content-Length: 5\r\n\r\nhello"
            ),
        );
        assert!(
            report.stdout.contains("read 5\ncompleted"),
            "{flags}: {report:?}"
        );
        assert_eq!(jar.cookies(), [expected], "{flags}");
    }
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
fn server_keeps_pipelined_requests_apart() {
    let server = Server::start(&[]);
    let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post = format!(
        "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Type: {URLENCODED}\r\n\
         Content-Length: 7\r\n\r\na=1&b=2"
    );

    for order in ["gp", "pg", "gpg", "ppg", "gppgpg"] {
        let mut peer = Peer::connect(&server);
        let requests: String = order
            .chars()
            .map(|c| if c == 'g' { get } else { &post })
            .collect();
        peer.send(requests.as_bytes());
        for request in order.chars() {
            let body = if request == 'g' { "ok" } else { "a=1 b=1" };
            assert_eq!(peer.response(), (200, body.into()), "{order}");
        }
    }

    // Bytes behind the end of a body are not part of it, and they are no request either.
    let mut peer = Peer::connect(&server);
    peer.send((post + "3&a=4").as_bytes());
    assert_eq!(peer.response(), (200, "a=1 b=1".into()));
    assert_eq!(peer.response().0, 403);

    let report = server.finish();
    assert_eq!(report.stdout.matches("body 7").count(), 9, "{report:?}");
    assert_eq!(report.stdout.matches("body").count(), 9, "{report:?}");
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

#[test]
fn client_survives_a_redirect_that_leads_nowhere() {
    // Names that no look-up is needed for, or fails for at once.
    for location in ["a:", "http://", "https:///x"] {
        let response =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let report = fetch(&[], &response);
        assert!(report.stdout.contains("error"), "{location}: {report:?}");
    }

    // One that leads somewhere is followed, and the user's data stay with it.
    let report = fetch_several(
        &[],
        &[
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ],
    );
    assert!(
        report.stdout.contains("status 200\nread 5\ncompleted"),
        "{report:?}"
    );
}

#[test]
fn client_takes_no_extension_twice() {
    let report = fetch(
        &["deflate"],
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: none\r\n\
         Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n",
    );
    assert!(report.stdout.contains("error HS: EXT: twice"), "{report:?}");
}
