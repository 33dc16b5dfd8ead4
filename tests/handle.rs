//! What other threads do through a handle, queues that fill up, and closing.

mod common;

use common::peer::{self, read_close, Raw, BINARY, CLOSE, TEXT};
use common::{
    client_context, eventually, noise, on_thread, probe, probed, serve, Echo, Event, Running, WAIT,
};
use libwebsockets::{
    Client, CloseCode, CloseFrame, Closed, Connection, ConnectionId, Handler, Initiator, Message,
    SendError, WebSocketConfig,
};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn messages_of_many_threads_all_arrive_each_threads_in_order() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    thread::scope(|scope| {
        for thread in 0..4 {
            let handle = server.handle.clone();
            scope.spawn(move || {
                for i in 0..500 {
                    handle.send(id, format!("{thread} {i}")).unwrap();
                }
            });
        }
    });
    let mut next = [0; 4];
    for _ in 0..2000 {
        let frame = raw.frame().unwrap();
        let text = String::from_utf8(frame.payload).unwrap();
        let (thread, i) = text.split_once(' ').unwrap();
        let thread: usize = thread.parse().unwrap();
        assert_eq!(i.parse::<usize>().unwrap(), next[thread]);
        next[thread] += 1;
    }
    assert_eq!(next, [500; 4]);
}

#[test]
fn a_broadcast_reaches_every_open_connection() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raws: Vec<_> = (0..5).map(|_| Raw::open(server.addr())).collect();
    let mut ids: Vec<_> = (0..5).map(|_| events.open()).collect();
    ids.sort();
    assert_eq!(server.handle.connections(), ids);
    drop(raws.pop());
    events.closed();
    let result = server.handle.broadcast(noise(100_000));
    assert_eq!((result.queued, result.full.len()), (4, 0));
    for raw in &mut raws {
        let frame = raw.frame().unwrap();
        assert_eq!((frame.opcode, frame.payload), (BINARY, noise(100_000)));
    }
}

/// Lost: why nobody got it.
#[test]
fn a_broadcast_that_nobody_can_send_says_so() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let long = server.handle.broadcast(Message::ping(vec![0; 126]));
    assert!(long.too_long && long.queued == 0 && long.full.is_empty());
    assert!(
        !server
            .handle
            .broadcast(Message::ping(vec![0; 125]))
            .too_long
    );
}

#[test]
fn a_broadcast_to_some_reaches_those_that_are_open_and_nobody_else() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raws: Vec<_> = (0..4)
        .map(|_| {
            let raw = Raw::open(server.addr());
            (events.open(), raw)
        })
        .collect();
    let (stale, raw) = raws.pop().unwrap();
    drop(raw);
    events.closed();
    let some = [raws[0].0, stale, raws[2].0];
    let result = server.handle.broadcast_to(some, "to the room");
    assert_eq!((result.queued, &*result.full), (2, &[][..]));
    let _ = server.handle.broadcast("to all");
    for (i, (_, raw)) in raws.iter_mut().enumerate() {
        if i != 1 {
            assert_eq!(raw.frame().unwrap().payload, b"to the room");
        }
        assert_eq!(raw.frame().unwrap().payload, b"to all");
    }
    assert_eq!(server.handle.broadcast_to([], "x"), Default::default());
}

#[test]
fn closing_sends_what_is_queued_first() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    for _ in 0..50 {
        server.handle.send(id, noise(200_000)).unwrap();
    }
    let frame = CloseFrame::new(CloseCode::NORMAL, "that was all").unwrap();
    server.handle.close(id, frame).unwrap();
    let refused = server.handle.send(id, "too late").unwrap_err();
    assert!(matches!(refused, SendError::Closed(_)), "{refused}");
    // A second close has no effect on the first.
    server.handle.close(id, CloseCode::GOING_AWAY).unwrap();
    for _ in 0..50 {
        assert_eq!(raw.frame().unwrap().payload, noise(200_000));
    }
    let close = raw.frame().unwrap();
    assert_eq!(
        (close.opcode, &*close.payload),
        (CLOSE, &b"\x03\xe8that was all"[..])
    );
    raw.send_frame(0x88, b"\x03\xe8");
    assert_eq!(raw.frame(), None);
    assert_eq!(events.closed().initiator, Initiator::Local);
}

#[test]
fn an_abort_sends_no_close_frame_and_drops_the_queue() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    server.handle.abort(id).unwrap();
    assert_eq!(raw.frame(), None);
    let closed = events.closed();
    assert_eq!((closed.initiator, closed.frame), (Initiator::Local, None));
    assert!(server.handle.connections().is_empty());
}

#[test]
fn an_abort_ends_a_connection_whose_peer_does_not_read() {
    let (server, events) = probed(WebSocketConfig::new());
    let _raw = Raw::open(server.addr());
    let id = events.open();
    server.handle.send(id, vec![0; 50 << 20]).unwrap();
    server.handle.abort(id).unwrap();
    assert_eq!(events.closed().initiator, Initiator::Local);
}

#[test]
fn a_client_is_connected_from_another_thread() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (probe, events) = probe();
    let handle = client.handle.clone();
    let url = server.url("ws", "/");
    let connecting = thread::spawn(move || {
        let to = Client::new(&url).unwrap();
        handle.connect(to, probe).unwrap()
    })
    .join()
    .unwrap();
    let id = connecting.wait(WAIT).unwrap();
    assert_eq!(events.open(), id);
}

#[test]
fn closures_run_on_the_service_thread_in_their_order() {
    let running = client_context();
    let service = on_thread(&running.handle, |_| thread::current().id());
    assert_ne!(service, thread::current().id());
    let (report, ran) = mpsc::channel();
    for i in 0..100 {
        let report = report.clone();
        running
            .handle
            .run(move |_| report.send((i, thread::current().id())).unwrap())
            .unwrap();
    }
    for i in 0..100 {
        assert_eq!(ran.recv_timeout(WAIT).unwrap(), (i, service));
    }
}

/// A server whose queues hold little, and a peer that doesn't read yet; and
/// messages queued until one was refused.
fn filled() -> (Running, common::Events, Raw, ConnectionId, usize, Message) {
    const PIECE: usize = 64 << 10;
    let config = WebSocketConfig::new().max_write_buffer_size(4 * PIECE);
    let (server, events) = probed(config);
    let raw = Raw::open(server.addr());
    let id = events.open();
    let mut sent = 0;
    let deadline = Instant::now() + WAIT;
    let refused = loop {
        assert!(Instant::now() < deadline, "the queue never fills");
        match server.handle.send(id, noise(PIECE)) {
            Ok(()) => sent += 1,
            Err(SendError::Full(message)) => {
                // The socket may take some yet: it is full when it stays full.
                thread::sleep(Duration::from_millis(20));
                match server.handle.send(id, *message) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full(message)) => break *message,
                    Err(other) => panic!("{other}"),
                }
            }
            Err(other) => panic!("{other}"),
        }
    };
    (server, events, raw, id, sent, refused)
}

#[test]
fn a_full_queue_gives_the_message_back_and_tells_when_there_is_room() {
    let (server, events, mut raw, id, sent, refused) = filled();
    assert_eq!(refused, Message::binary(noise(64 << 10)));
    while events.try_next().is_some() {}
    for _ in 0..sent {
        assert_eq!(raw.frame().unwrap().payload, noise(64 << 10));
    }
    let writable = events.next();
    assert!(
        matches!(writable, Event::Writable(w) if w == id),
        "{writable:?}"
    );
    server.handle.send(id, refused).unwrap();
    assert_eq!(raw.frame().unwrap().payload, noise(64 << 10));
}

#[test]
fn a_broadcast_names_those_that_are_full_and_reaches_the_others() {
    let (server, events, _slow, id, ..) = filled();
    let mut fast = Raw::open(server.addr());
    eventually("the fast one is open", || {
        server.handle.connections().len() == 2
    });
    // The kernel's buffers grow while they fill, so that the slow one may have room.
    let mut result = server.handle.broadcast(noise(64 << 10));
    eventually("the slow one stays full", || {
        assert_eq!(fast.frame().unwrap().payload, noise(64 << 10));
        let full = *result.full == [id];
        if !full {
            assert_eq!((result.queued, &*result.full), (2, &[][..]));
            result = server.handle.broadcast(noise(64 << 10));
        }
        full
    });
    assert_eq!(result.queued, 1);
    drop(events);
}

#[test]
fn an_empty_queue_takes_one_message_of_any_size() {
    let config = WebSocketConfig::new().max_write_buffer_size(10);
    let (server, events) = probed(config);
    let mut raw = Raw::open(server.addr());
    let id = events.open();
    server.handle.send(id, noise(1 << 20)).unwrap();
    assert_eq!(raw.frame().unwrap().payload, noise(1 << 20));
}

/// Bytes of memory that the process uses at present.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn a_slow_reader_costs_no_more_than_its_queue() {
    /// Sends as much as is taken, for ever.
    struct Pours;
    impl Pours {
        fn pour(conn: &mut Connection<'_>) {
            while conn.send(vec![7; 256 << 10]).is_ok() {}
            assert!(conn.queued_bytes() <= 1 << 20);
        }
    }
    impl Handler for Pours {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            Pours::pour(conn);
        }
        fn on_writable(&mut self, conn: &mut Connection<'_>) {
            Pours::pour(conn);
        }
    }
    let server = serve(|vhost| {
        let config = WebSocketConfig::new().max_write_buffer_size(1 << 20);
        vhost.config(config).accept(|_| Ok(Pours))
    });
    let mut slow = Raw::open(server.addr());
    let before = resident();
    let mut seen = 0;
    for _ in 0..400 {
        seen += slow.frame().unwrap().payload.len();
    }
    assert_eq!(seen, 100 << 20);
    let grown = resident().saturating_sub(before);
    // AddressSanitizer keeps what was freed for a while.
    if std::env::var_os("LWS_SANITIZE").is_none() {
        assert!(grown < 50 << 20, "{grown} bytes");
    }
    // Others are served meanwhile.
    let mut other = Raw::open(server.addr());
    assert_eq!(other.frame().unwrap().payload.len(), 256 << 10);
}

#[test]
fn ping_and_pong_that_are_too_long_are_given_back() {
    let (server, events) = probed(WebSocketConfig::new());
    let _raw = Raw::open(server.addr());
    let id = events.open();
    let refused = server
        .handle
        .send(id, Message::ping(vec![0; 126]))
        .unwrap_err();
    assert!(matches!(refused, SendError::TooLong(_)), "{refused}");
    assert_eq!(refused.into_message(), Message::ping(vec![0; 126]));
}

#[test]
fn a_message_can_close_as_well() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut socket = peer::open(server.addr(), "/");
    let id = events.open();
    server.handle.send(id, "last words").unwrap();
    server.handle.send(id, Message::Close(None)).unwrap();
    assert_eq!(peer::read(&mut socket), "last words".into());
    assert_eq!(read_close(&mut socket), Some((1000, String::new())));
}

#[test]
fn a_handler_closes_from_within_and_hears_of_the_end_once() {
    struct Farewell(common::Probe);
    impl Handler for Farewell {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            conn.send("welcome").unwrap();
            conn.close(CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "full").unwrap());
            assert!(!conn.is_open());
            assert!(conn.send("more").is_err());
        }
        fn on_close(&mut self, closed: Closed) {
            self.0.on_close(closed);
        }
    }
    let (probe, events) = probe();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(Farewell(probe.clone()))));
    let mut raw = Raw::open(server.addr());
    let first = raw.frame().unwrap();
    assert_eq!((first.opcode, &*first.payload), (TEXT, &b"welcome"[..]));
    assert_eq!(raw.close_code(), Some(1013));
    let closed = events.closed();
    assert_eq!(closed.initiator, Initiator::Local);
    assert_eq!(closed.frame.unwrap().code(), CloseCode::TRY_AGAIN_LATER);
    server.stop().unwrap().unwrap();
    events.end();
}

#[test]
fn a_handler_reaches_other_connections_by_its_handle() {
    struct Relays;
    impl Handler for Relays {
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            let (handle, own) = (conn.handle(), conn.id());
            for id in handle.connections().into_iter().filter(|id| *id != own) {
                handle.send(id, message.clone()).unwrap();
            }
        }
    }
    let server = serve(|vhost| vhost.accept(|_| Ok(Relays)));
    let mut a = peer::open(server.addr(), "/");
    let mut b = peer::open(server.addr(), "/");
    eventually("both are open", || server.handle.connections().len() == 2);
    a.send("to b".into()).unwrap();
    assert_eq!(peer::read(&mut b), "to b".into());
    b.send("to a".into()).unwrap();
    assert_eq!(peer::read(&mut a), "to a".into());
}

#[test]
fn what_a_handler_asks_of_the_handle_calls_no_other_handler_meanwhile() {
    use std::{cell::RefCell, rc::Rc};
    struct Shares(Rc<RefCell<Vec<ConnectionId>>>, mpsc::Sender<usize>);
    impl Handler for Shares {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.borrow_mut().push(conn.id());
        }
        fn on_message(&mut self, conn: &mut Connection<'_>, _: Message) {
            // Held while everything is asked: a handler's call would find it taken.
            let open = self.0.borrow_mut();
            let handle = conn.handle();
            let _ = handle.broadcast_to(open.iter().copied(), "to all");
            handle.send(open[1], "to one").unwrap();
            handle.close(open[1], CloseCode::NORMAL).unwrap();
            handle.abort(open[2]).unwrap();
            handle.abort(conn.id()).unwrap();
        }
        fn on_close(&mut self, closed: Closed) {
            let mut open = self.0.borrow_mut();
            open.retain(|id| *id != closed.id);
            self.1.send(open.len()).unwrap();
        }
    }
    let (left, leaving) = mpsc::channel();
    let server = serve(move |vhost| {
        let open = Rc::default();
        vhost.accept(move |_| Ok(Shares(Rc::clone(&open), left.clone())))
    });
    let mut raws: Vec<_> = (0..3).map(|_| Raw::open(server.addr())).collect();
    eventually("all are open", || server.handle.connections().len() == 3);
    raws[0].send_frame(0x80 | TEXT, b"go");
    assert_eq!(raws[1].frame().unwrap().payload, b"to all");
    assert_eq!(raws[1].frame().unwrap().payload, b"to one");
    assert_eq!(raws[1].close_code(), Some(1000));
    for count in [2, 1, 0] {
        assert_eq!(leaving.recv_timeout(WAIT), Ok(count));
    }
    server.stop().unwrap().unwrap();
}

#[test]
fn a_shutdown_sends_what_is_queued_and_a_close_frame_to_each_and_ends_run() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut sockets: Vec<_> = (0..3).map(|_| peer::open(server.addr(), "/")).collect();
    for _ in 0..3 {
        events.open();
    }
    let _ = server.handle.broadcast("last words");
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "closing time").unwrap();
    server.handle.shutdown(frame, WAIT).unwrap();
    for socket in &mut sockets {
        assert_eq!(peer::read(socket), "last words".into());
        assert_eq!(read_close(socket), Some((1001, "closing time".into())));
    }
    server.wait().unwrap().unwrap();
    for _ in 0..3 {
        assert_eq!(events.closed().initiator, Initiator::Local);
    }
    events.end();
}

#[test]
fn a_shutdown_waits_for_no_peer_longer_than_it_is_told() {
    let (server, events) = probed(WebSocketConfig::new());
    let _silent = Raw::open(server.addr());
    events.open();
    let start = Instant::now();
    let timeout = Duration::from_millis(300);
    server
        .handle
        .shutdown(CloseCode::GOING_AWAY, timeout)
        .unwrap();
    server.wait().unwrap().unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(250), "{took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    events.closed();
    events.end();
}

#[test]
fn a_shutdown_lets_nobody_in_any_more() {
    let (server, events) = probed(WebSocketConfig::new());
    let _silent = Raw::open(server.addr());
    events.open();
    server
        .handle
        .shutdown(CloseCode::GOING_AWAY, Duration::from_secs(2))
        .unwrap();
    // A turn of the loop, so that the shutdown has begun.
    on_thread(&server.handle, |_| ());
    let mut late = Raw::connect(server.addr());
    late.send(peer::upgrade("/", "").as_bytes());
    let answer = String::from_utf8(late.rest()).unwrap();
    assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    server.wait().unwrap().unwrap();
    events.closed();
    events.end();
}

#[test]
fn a_shutdown_without_connections_ends_at_once() {
    let running = client_context();
    running.handle.shutdown(CloseCode::NORMAL, WAIT).unwrap();
    let start = Instant::now();
    running.wait().unwrap().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}
