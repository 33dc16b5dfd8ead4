//! Messages, control frames and closing, between two contexts of this crate and
//! with a peer that sends single frames.

mod common;

use common::peer::{frame, Raw, BINARY, CONTINUATION, PING, PONG, TEXT};
use common::roles::Ours;
use common::{
    client_context, eventually, loopback, noise, probe, probed, serve, Echo, Event, Events, Running,
};
use libwebsockets::{
    Client, CloseCode, Connection, Context, Handler, Initiator, Message, WebSocketConfig,
};
use std::time::Duration;

const FIN: u8 = 0x80;

/// Connects a probing client to a server's `/`.
fn connect(client: &Running, server: &Running, config: WebSocketConfig) -> Events {
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap().config(config);
    drop(client.handle.connect(to, probe).unwrap());
    events
}

fn echo_server() -> Running {
    serve(|vhost| vhost.accept(|_| Ok(Echo)))
}

#[test]
fn messages_of_all_sizes_come_back_unchanged_and_in_order() {
    let server = echo_server();
    let client = client_context();
    let events = connect(&client, &server, WebSocketConfig::new());
    let id = events.open();
    // At the borders of the header's lengths, of the library's buffers, and beyond.
    let sizes = [
        0,
        1,
        125,
        126,
        127,
        65_535,
        65_536,
        65_537,
        300_000,
        5 << 20,
    ];
    for size in sizes {
        client.handle.send(id, noise(size)).unwrap();
        client.handle.send(id, "é".repeat(size / 2)).unwrap();
    }
    for size in sizes {
        assert_eq!(events.message(), Message::binary(noise(size)), "{size}");
        assert_eq!(events.message(), Message::text("é".repeat(size / 2)));
    }
}

#[test]
fn a_burst_of_small_messages_keeps_its_order() {
    let server = echo_server();
    let client = client_context();
    let events = connect(&client, &server, WebSocketConfig::new());
    let id = events.open();
    for i in 0..5000 {
        client.handle.send(id, i.to_string()).unwrap();
    }
    for i in 0..5000 {
        assert_eq!(events.message().as_text(), Some(&*i.to_string()));
    }
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_come_back_unchanged() {
    let config = WebSocketConfig::new().deflate(true);
    let for_server = config.clone();
    let server = serve(move |vhost| vhost.config(for_server).accept(|_| Ok(Echo)));
    let client = client_context();
    let events = connect(&client, &server, config);
    let id = events.open();
    let sizes = [0, 1, 126, 65_536, 500_000];
    for size in sizes {
        client.handle.send(id, noise(size)).unwrap();
        client
            .handle
            .send(id, "again and ".repeat(size / 10))
            .unwrap();
    }
    for size in sizes {
        assert_eq!(events.message(), Message::binary(noise(size)), "{size}");
        assert_eq!(
            events.message(),
            Message::text("again and ".repeat(size / 10))
        );
    }
}

#[cfg(feature = "deflate")]
#[test]
fn deflate_is_agreed_on_only_where_it_is_asked_for() {
    use common::peer::upgrade;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    for on in [false, true] {
        let server = serve(move |vhost| {
            vhost
                .config(WebSocketConfig::new().deflate(on))
                .accept(|_| Ok(Echo))
        });
        let mut raw = Raw::connect(server.addr());
        let answer = raw.ask(&upgrade("/", offer));
        assert_eq!(answer.status, 101);
        let agreed = answer.header("sec-websocket-extensions");
        assert_eq!(agreed.is_some_and(|a| a.contains("permessage-deflate")), on);
        // A message that compresses well is shorter on its way, or it isn't.
        raw.send_frame(FIN | TEXT, "a".repeat(60_000).as_bytes());
        let echo = raw.frame().unwrap();
        assert_eq!(
            echo.rsv == 4 && echo.payload.len() < 1000,
            on,
            "{}",
            echo.rsv
        );
    }
}

#[cfg(feature = "deflate")]
#[test]
fn a_small_message_that_inflates_beyond_the_limit_is_refused() {
    let (_, closed) = inflates_beyond_the_limit();
    assert_eq!(closed.frame.unwrap().code(), CloseCode::TOO_BIG);
}

#[cfg(feature = "deflate")]
#[test]
fn the_sender_hears_why_a_message_that_inflates_too_far_is_refused() {
    let (closed, _) = inflates_beyond_the_limit();
    assert_eq!(closed.frame.unwrap().code(), CloseCode::TOO_BIG);
}

/// How the connection ends at the sender and at the receiver.
#[cfg(feature = "deflate")]
fn inflates_beyond_the_limit() -> (libwebsockets::Closed, libwebsockets::Closed) {
    let config = WebSocketConfig::new()
        .deflate(true)
        .close_timeout(Duration::from_secs(1))
        .max_message_size(100_000);
    let (server, events) = probed(config);
    let client = client_context();
    let theirs = connect(&client, &server, WebSocketConfig::new().deflate(true));
    let id = theirs.open();
    events.open();
    client.handle.send(id, "a".repeat(5_000_000)).unwrap();
    (theirs.closed(), events.closed())
}

#[test]
fn pings_are_answered_and_pongs_are_told() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        let (mut raw, id) = ours.connection();
        for payload in [&[][..], &[7], &[7; 125]] {
            raw.send_frame(FIN | PING, payload);
            let pong = raw.frame().unwrap();
            assert_eq!((pong.opcode, &*pong.payload), (PONG, payload));

            let ping = Message::ping(payload);
            ours.running.handle.send(id, ping).unwrap();
            let ping = raw.frame().unwrap();
            assert_eq!((ping.opcode, &*ping.payload), (PING, payload));
            raw.send_frame(FIN | PONG, payload);
            assert!(matches!(ours.events.next(), Event::Pong(p) if p == payload));
        }
    }
}

#[test]
fn each_of_several_pings_at_once_is_answered() {
    for ours in Ours::both(&WebSocketConfig::new()) {
        let (mut raw, _) = ours.connection();
        let pings: Vec<Vec<u8>> = (0..50)
            .map(|i| raw.framed(0x80 | PING, &[i; 100]))
            .collect();
        raw.send(&pings.concat());
        for i in 0..50 {
            let pong = raw.frame().unwrap();
            assert_eq!(
                (pong.opcode, &*pong.payload),
                (PONG, &[i; 100][..]),
                "{:?}",
                ours.role
            );
        }
    }
}

#[test]
fn messages_over_the_limit_close_with_1009() {
    let config = WebSocketConfig::new().max_message_size(1000);
    let (server, events) = probed(config);

    let mut at_the_limit = Raw::open(server.addr());
    events.open();
    at_the_limit.send_frame(FIN | BINARY, &noise(1000));
    assert_eq!(events.message().len(), 1000);

    let mut fragmented = Raw::open(server.addr());
    events.open();
    fragmented.send_frame(BINARY, &noise(600));
    fragmented.send_frame(CONTINUATION, &noise(600));
    assert_eq!(fragmented.close_code(), Some(1009));
    assert_eq!(events.closed().frame.unwrap().code(), CloseCode::TOO_BIG);
}

#[test]
fn nothing_is_delivered_after_a_handler_has_aborted() {
    struct Aborts(common::Probe);
    impl Handler for Aborts {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
        }
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            self.0.on_message(conn, message);
            conn.abort();
            assert!(!conn.is_open());
            assert!(conn.send("too late").is_err());
        }
        fn on_close(&mut self, closed: libwebsockets::Closed) {
            self.0.on_close(closed);
        }
    }
    let (probe, events) = probe();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(Aborts(probe.clone()))));
    let mut raw = Raw::open(server.addr());
    events.open();
    let three = [
        frame(FIN | TEXT, b"1"),
        frame(FIN | TEXT, b"2"),
        frame(FIN | TEXT, b"3"),
    ];
    raw.send(&three.concat());
    assert_eq!(events.message().as_text(), Some("1"));
    let closed = events.closed();
    assert_eq!((closed.initiator, closed.frame), (Initiator::Local, None));
    assert_eq!(raw.frame(), None, "no close frame");
}

#[test]
fn reading_can_be_paused_and_resumed() {
    /// Pauses at "stop"; is resumed from outside through `on_writable`.
    struct Pauses(common::Probe);
    impl Handler for Pauses {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
        }
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            if message.as_text() == Some("stop") {
                conn.pause_reading();
                conn.send("paused").unwrap();
            }
            self.0.on_message(conn, message);
        }
        fn on_writable(&mut self, conn: &mut Connection<'_>) {
            conn.resume_reading();
            self.0.on_writable(conn);
        }
        fn on_pong(&mut self, conn: &mut Connection<'_>, _: &[u8]) {
            conn.request_writable();
        }
    }
    let (probe, events) = probe();
    let server = serve(move |vhost| {
        vhost
            .config(WebSocketConfig::new().max_write_buffer_size(1))
            .accept(move |_| Ok(Pauses(probe.clone())))
    });
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    raw.send_frame(FIN | TEXT, b"stop");
    assert_eq!(events.message().as_text(), Some("stop"));
    assert_eq!(raw.frame().unwrap().payload, b"paused");
    raw.send_frame(FIN | TEXT, b"unread");
    // A turn of the loop that would have read it.
    common::on_thread(&server.handle, |_| ());
    assert!(events.next_within(Duration::from_millis(100)).is_none());
    // Two that don't fit together: the second makes the handler hear of it.
    let full = loop {
        if server.handle.send(id, "filler").is_err() {
            break true;
        }
    };
    assert!(full);
    // What was sent meanwhile isn't lost.
    loop {
        match events.next() {
            Event::Writable(_) => {}
            Event::Message(_, message) => {
                assert_eq!(message.as_text(), Some("unread"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn silent_peers_are_pinged_and_then_dropped() {
    let config = WebSocketConfig::new()
        .ping_after(Duration::from_secs(1))
        .idle_timeout(Duration::from_secs(2));
    let (server, events) = probed(config);
    let mut raw = Raw::open(server.addr());
    events.open();
    // It is pinged, and doesn't answer.
    assert_eq!(raw.frame().unwrap().opcode, PING);
    let closed = events.closed();
    assert_eq!((closed.initiator, closed.frame), (Initiator::Failure, None));
}

#[test]
fn peers_that_talk_but_answer_no_ping_are_dropped_as_well() {
    let config = WebSocketConfig::new()
        .ping_after(Duration::from_secs(1))
        .idle_timeout(Duration::from_secs(2));
    let (server, events) = probed(config);
    let mut raw = Raw::open(server.addr());
    events.open();
    let closed = loop {
        raw.try_send(&frame(FIN | TEXT, b"still here"));
        match events.next_within(Duration::from_millis(100)) {
            Some(Event::Closed(closed)) => break closed,
            Some(Event::Message(..)) | None => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((closed.initiator, closed.frame), (Initiator::Failure, None));
}

#[test]
fn a_connection_knows_its_peer_and_its_role() {
    use std::sync::mpsc;
    struct Tells(mpsc::Sender<(Option<std::net::SocketAddr>, libwebsockets::Role)>);
    impl Handler for Tells {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.send((conn.peer_addr(), conn.role())).unwrap();
        }
    }
    let (servers, seen) = mpsc::channel();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(Tells(servers.clone()))));
    let client = client_context();
    let (clients, own) = mpsc::channel();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    drop(client.handle.connect(to, Tells(clients)).unwrap());
    let (peer, role) = seen.recv_timeout(common::WAIT).unwrap();
    assert_eq!(role, libwebsockets::Role::Server);
    assert!(peer.unwrap().ip().is_loopback());
    let (peer, role) = own.recv_timeout(common::WAIT).unwrap();
    assert_eq!(role, libwebsockets::Role::Client);
    assert_eq!(peer, Some(server.addr()));
}

#[test]
fn server_and_client_in_one_context_talk_to_each_other() {
    let (probe, events) = probe();
    let running = Running::start(|| Context::builder().vhost(loopback().accept(|_| Ok(Echo))));
    let to = Client::new(&running.url("ws", "/")).unwrap();
    drop(running.handle.connect(to, probe).unwrap());
    let id = events.open();
    running.handle.send(id, noise(200_000)).unwrap();
    assert_eq!(events.message(), Message::binary(noise(200_000)));
    eventually("both ends are open", || {
        running.handle.connections().len() == 2
    });
}
