//! Servers that speak HTTP/1.1.

use super::programs::{Server, PATIENCE};
use super::wire::{Peer, URLENCODED};
use std::io::Read;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn server_survives_an_upgrade_to_something_else() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(&server);

    // The first request makes the connection one that is kept alive.
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.response(), (200, "ok".into()));
    peer.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: teapot\r\n\r\n",
    );
    assert_eq!(peer.response(), (200, "ok".into()));
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(peer.response(), (200, "ok".into()));

    let report = server.finish();
    assert!(
        report.stdout.contains("upgrade asked: teapot"),
        "the application wasn't asked: {report:?}"
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
    // Whose method would be unknown.
    assert_eq!(peer.response().0, 501);

    let report = server.finish();
    assert_eq!(report.stdout.matches("body 7").count(), 9, "{report:?}");
    assert_eq!(report.stdout.matches("body").count(), 9, "{report:?}");
}

#[test]
fn server_links_no_part_of_a_query_that_it_has_no_room_for() {
    let server = Server::start(&[]);
    for parts in [511, 520] {
        let mut peer = Peer::connect(&server);
        let query = "&".repeat(parts);
        peer.send(format!("GET /?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert_eq!(peer.response().0, 414, "{parts} parts");
    }
    let report = server.finish();
    assert!(report.stdout.contains("query "), "{report:?}");
}

#[test]
fn server_without_memory_for_input_that_waits_loses_none() {
    let server = Server::start(&[]);
    let mut peer = Peer::connect(&server);
    peer.send(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    );
    server.wait_for("websocket open");
    peer.send(b"\x81\x85\0\0\0\0pause\x81\x85\0\0\0\0hello");
    server.wait_for("received pause");
    server.wait_for("websocket closed");
    server.finish();
}
