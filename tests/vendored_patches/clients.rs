//! Clients, and what both ends have in common.

use super::programs::{fetch, fetch_several, fetch_tls, fetch_with, Jar, Server};
use super::wire::{frame, get_request, Answer, Peer, END_HEADERS, END_STREAM, HEADERS};
use tungstenite::handshake::derive_accept_key;

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

#[test]
fn client_without_memory_for_its_headers_fails() {
    let report = fetch_several(&["no-memory", "ah struct"], &[]);
    let (before, _) = report
        .stdout
        .split_once("error no memory for headers\n")
        .unwrap_or_else(|| panic!("{report:?}"));
    assert_eq!(before, "", "{report:?}");
}

#[test]
fn client_that_could_not_begin_leaves_nothing_behind() {
    // Another takes its place in the vhost's lists.
    let report = fetch(
        &["no-memory", "client stash"],
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert!(
        report
            .stdout
            .contains("not begun\nstatus 200\nread 5\ncompleted"),
        "{report:?}"
    );
}

#[test]
fn client_without_memory_for_compression_or_frames_does_not_crash() {
    let upgrade = |key: &str, more: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{more}",
            derive_accept_key(key.as_bytes())
        )
    };
    fetch_with(&["no-memory", "pmd priv"], |key| {
        upgrade(
            key,
            "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\u{81}\x05hello",
        )
    });
    let report = fetch_with(&["no-memory", "client frame buffer"], |key| {
        upgrade(key, "\r\n\x01\x05hello")
    });
    assert!(report.stdout.contains("error HS: OOM"), "{report:?}");
}

#[test]
fn timers_are_put_in_order_from_the_end_that_is_nearer() {
    let report = fetch_several(&["sorted"], &[]);
    let lines: Vec<&str> = report.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{report:?}");
    for line in lines {
        assert!(line.contains(": in order, "), "{report:?}");
        let compared: u64 = line
            .rsplit_once(", ")
            .and_then(|(_, rest)| rest.strip_suffix(" compared"))
            .unwrap()
            .parse()
            .unwrap();
        // Without order it is as it ever was.
        let most = if line.starts_with("any") {
            8_000_000
        } else {
            200_000
        };
        assert!(compared < most, "{report:?}");
    }
}

#[test]
fn client_without_memory_for_input_that_waits_loses_none() {
    let report = fetch_with(&["pause"], |key| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n…\u{81}\x05hello\u{81}\x05world",
            derive_accept_key(key.as_bytes())
        )
    });
    let (_, end) = report.stdout.split_once("received hello\n").unwrap();
    assert_eq!(end, "websocket closed\nbye\n", "{report:?}");
}

#[test]
fn client_speaks_no_protocol_that_it_has_not_offered() {
    const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for chosen in ["h2", "http/1.", "http/1.1x", "unheard of"] {
        let report = fetch_tls(&["alpn", chosen], RESPONSE);
        assert!(
            report
                .stdout
                .contains("error tls: the server chose an ALPN protocol that wasn't offered"),
            "{chosen}: {report:?}"
        );
    }
    let report = fetch_tls(&["alpn", "http/1.1"], RESPONSE);
    assert!(report.stdout.contains("read 5\ncompleted"), "{report:?}");
}
