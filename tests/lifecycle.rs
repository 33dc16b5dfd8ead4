//! Contexts that come and go: drop orders, several threads, stale ids, addresses.

mod common;

use common::peer::{self, Raw};
use common::{
    client_context, eventually, free_port, loopback, on_thread, probe, probed, serve, Echo, Event,
    Running, WAIT,
};
use libwebsockets::{
    Client, Connection, ConnectionGone, Context, ContextGone, Error, Handler, Message, SendError,
    WebSocketConfig,
};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn dropping_a_server_tells_its_handlers_and_ends_its_peers() {
    let (server, events) = probed(WebSocketConfig::new());
    let mut peers: Vec<_> = (0..3).map(|_| Raw::open(server.addr())).collect();
    let mut ids: Vec<_> = (0..3).map(|_| events.open()).collect();
    server.stop().unwrap().unwrap();
    let mut closed: Vec<_> = (0..3).map(|_| events.closed().id).collect();
    ids.sort();
    closed.sort();
    assert_eq!(closed, ids);
    events.end();
    for peer in &mut peers {
        assert_eq!(peer.frame(), None);
    }
}

#[test]
fn client_and_server_are_dropped_in_either_order() {
    for server_first in [true, false] {
        let (server, at_server) = probed(WebSocketConfig::new());
        let client = client_context();
        let (probe, at_client) = probe();
        let to = Client::new(&server.url("ws", "/")).unwrap();
        drop(client.handle.connect(to, probe).unwrap());
        at_client.open();
        at_server.open();
        let (first, second) = match server_first {
            true => (server, client),
            false => (client, server),
        };
        first.stop().unwrap().unwrap();
        at_client.closed();
        at_server.closed();
        second.stop().unwrap().unwrap();
        at_client.end();
        at_server.end();
    }
}

#[test]
fn a_context_is_dropped_in_the_midst_of_everything() {
    // Open, half-open, connecting, refused, full queue: all at once.
    let (server, events) = probed(WebSocketConfig::new());
    let _silent = Raw::connect(server.addr());
    let mut half = Raw::connect(server.addr());
    half.send(b"GET / HTTP/1.1\r\n");
    let _open = Raw::open(server.addr());
    let id = events.open();
    server.handle.send(id, vec![0; 50 << 20]).unwrap();

    let nowhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let (probe, client) = probe();
    let url = format!("ws://127.0.0.1:{}/", nowhere.local_addr().unwrap().port());
    let connecting = server
        .handle
        .connect(Client::new(&url).unwrap(), probe)
        .unwrap();
    // The TCP connection is there; the answer never comes.
    let (_tcp, _) = nowhere.accept().unwrap();

    server.stop().unwrap().unwrap();
    events.closed();
    events.end();
    client.connect_error();
    client.end();
    assert!(connecting.outcome().unwrap().is_err());
}

#[test]
fn a_context_that_never_ran_can_be_dropped() {
    let context = Context::builder()
        .vhost(loopback().accept(|_| Ok(Echo)))
        .build()
        .unwrap();
    let addr = context.local_addr(0).unwrap();
    assert_eq!(context.local_addr(1), None);
    let handle = context.handle();
    assert!(handle.is_alive());
    drop(context);
    assert!(!handle.is_alive());
    assert!(std::net::TcpStream::connect_timeout(&addr, WAIT).is_err());
}

#[test]
fn contexts_on_two_threads_come_and_go_at_once() {
    let threads: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..20 {
                    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
                    let client = client_context();
                    let (probe, events) = probe();
                    let to = Client::new(&server.url("ws", "/")).unwrap();
                    drop(client.handle.connect(to, probe).unwrap());
                    let id = events.open();
                    client.handle.send(id, "hello").unwrap();
                    assert_eq!(events.message().as_text(), Some("hello"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_context_lives_and_dies_within_a_handler_of_another() {
    struct Nests(mpsc::Sender<usize>);
    impl Handler for Nests {
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            let (probe, events) = probe();
            let mut inner = Context::builder()
                .vhost(loopback().accept(|_| Ok(Echo)))
                .build()
                .unwrap();
            let addr = inner.local_addr(0).unwrap();
            let to = Client::new(&format!("ws://{addr}/")).unwrap();
            drop(inner.connect(to, probe).unwrap());
            let mut turns = 0;
            let id = loop {
                inner.service(Some(Duration::from_millis(50))).unwrap();
                turns += 1;
                if let Some(Event::Open { id, .. }) = events.try_next() {
                    break id;
                }
                assert!(turns < 200, "it never opens");
            };
            inner.handle().send(id, "from within").unwrap();
            while !matches!(events.try_next(), Some(Event::Message(..))) {
                inner.service(Some(Duration::from_millis(50))).unwrap();
            }
            drop(inner);
            conn.send(message).unwrap();
            self.0.send(turns).unwrap();
        }
    }
    let (report, done) = mpsc::channel();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(Nests(report.clone()))));
    let mut socket = peer::open(server.addr(), "/");
    socket.send("go".into()).unwrap();
    done.recv_timeout(WAIT).unwrap();
    assert_eq!(
        peer::read(&mut socket),
        "go".into(),
        "the outer context goes on"
    );
}

#[test]
fn a_stale_id_reaches_nobody() {
    let (server, events) = probed(WebSocketConfig::new());
    let raw = Raw::open(server.addr());
    let stale = events.open();
    drop(raw);
    events.closed();
    // This one takes the place of the one that is gone.
    let mut raw = Raw::open(server.addr());
    let fresh = events.open();
    assert_ne!(stale, fresh);
    let handle = &server.handle;
    let refused = handle.send(stale, "for the dead").unwrap_err();
    assert!(matches!(refused, SendError::Closed(_)));
    assert_eq!(refused.into_message().as_text(), Some("for the dead"));
    let code = libwebsockets::CloseCode::NORMAL;
    let ConnectionGone { .. } = handle.close(stale, code).unwrap_err();
    let ConnectionGone { .. } = handle.abort(stale).unwrap_err();
    assert_eq!(handle.connections(), [fresh]);
    handle.send(fresh, "for the living").unwrap();
    assert_eq!(raw.frame().unwrap().payload, b"for the living");
}

#[test]
fn a_handle_outlives_its_context_and_says_so() {
    let (server, events) = probed(WebSocketConfig::new());
    let _raw = Raw::open(server.addr());
    let id = events.open();
    let handle = server.handle.clone();
    server.stop().unwrap().unwrap();
    assert!(!handle.is_alive());
    assert!(matches!(handle.send(id, "x"), Err(SendError::Closed(_))));
    let gone = handle.abort(id).unwrap_err();
    assert_eq!(
        handle.close(id, libwebsockets::CloseCode::NORMAL),
        Err(gone)
    );
    let gone: ContextGone = handle.run(|_| unreachable!()).unwrap_err();
    assert!(matches!(gone.into(), Error::ContextGone(_)));
    let (probe, events) = probe();
    let to = Client::new("ws://localhost/").unwrap();
    assert!(handle.connect(to, probe).is_err());
    events.end();
    assert_eq!(handle.broadcast("x").queued, 0);
    assert!(handle.connections().is_empty());
    handle.stop();
}

#[test]
fn a_context_is_stopped_and_run_again_with_its_connections() {
    let (report, stopped) = mpsc::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let (probe, events) = probe();
    let thread = thread::spawn(move || {
        let vhost = loopback().accept(move |_| Ok(probe.clone()));
        let mut context = Context::builder().vhost(vhost).build().unwrap();
        report
            .send((context.handle(), context.local_addr(0)))
            .unwrap();
        context.run().unwrap();
        report.send((context.handle(), None)).unwrap();
        resumed.recv_timeout(WAIT).unwrap();
        context.run().unwrap();
    });
    let (handle, addr) = stopped.recv_timeout(WAIT).unwrap();
    let mut socket = peer::open(addr.unwrap(), "/");
    let id = events.open();
    handle.stop();
    stopped.recv_timeout(WAIT).unwrap();
    // What is asked for while it stands is done when it runs again.
    socket.send("while stopped".into()).unwrap();
    handle.send(id, "queued while stopped").unwrap();
    resume.send(()).unwrap();
    assert_eq!(events.message().as_text(), Some("while stopped"));
    assert_eq!(peer::read(&mut socket), "queued while stopped".into());
    handle.stop();
    thread.join().unwrap();
}

#[test]
fn a_closure_stops_the_context_it_runs_in() {
    let running = client_context();
    let handle = running.handle.clone();
    running.handle.run(move |_| handle.stop()).unwrap();
    running.wait().unwrap().unwrap();
}

#[test]
fn service_returns_after_its_timeout_at_the_latest() {
    let mut context = Context::builder().build().unwrap();
    let start = std::time::Instant::now();
    context.service(Some(Duration::from_millis(100))).unwrap();
    context.service(Some(Duration::ZERO)).unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let vhost = libwebsockets::Vhost::listen(addr).accept(|_| Ok(Echo));
    let error = Context::builder().vhost(vhost).build().unwrap_err();
    let Error::Listen {
        address, source, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*address, addr.to_string());
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    assert!(
        std::error::Error::source(&error).is_none(),
        "it would be shown twice"
    );
}

#[test]
fn a_port_of_another_context_is_an_error() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let addr = server.addr();
    let second = Running::try_start(move || {
        Context::builder().vhost(libwebsockets::Vhost::listen(addr).accept(|_| Ok(Echo)))
    });
    let error = second.err().expect("the port is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    // The first one is unharmed.
    let mut socket = peer::open(addr, "/");
    socket.send("hello".into()).unwrap();
    assert_eq!(peer::read(&mut socket), "hello".into());
}

#[test]
fn an_address_that_is_not_ours_is_an_error() {
    // TEST-NET-1, RFC 5737.
    let vhost = libwebsockets::Vhost::listen(([192, 0, 2, 1], 0)).accept(|_| Ok(Echo));
    let error = Context::builder().vhost(vhost).build().unwrap_err();
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn a_port_is_free_again_once_its_context_is_dropped() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let addr = server.addr();
    assert_ne!(addr.port(), 0);
    let mut raw = Raw::open(addr);
    server.stop().unwrap().unwrap();
    assert!(raw.is_over());
    let second = Running::start(move || {
        Context::builder().vhost(libwebsockets::Vhost::listen(addr).accept(|_| Ok(Echo)))
    });
    assert_eq!(second.addr(), addr);
    Raw::open(addr);
}

#[test]
fn a_vhost_that_fails_leaves_nothing_behind() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = taken.local_addr().unwrap();
    let free = free_port();
    for _ in 0..3 {
        let error = Context::builder()
            .vhost(libwebsockets::Vhost::listen(([127, 0, 0, 1], free)).accept(|_| Ok(Echo)))
            .vhost(libwebsockets::Vhost::listen(addr).accept(|_| Ok(Echo)))
            .build()
            .unwrap_err();
        assert!(matches!(error, Error::Listen { .. }), "{error}");
    }
}

#[test]
fn a_context_moves_nowhere_but_closures_reach_it() {
    let running = client_context();
    let count = on_thread(&running.handle, |context| {
        context.handle().connections().len()
    });
    assert_eq!(count, 0);
}

#[test]
fn what_a_handler_owns_is_dropped_with_its_connection() {
    let (server, events) = probed(WebSocketConfig::new());
    drop(Raw::open(server.addr()));
    events.open();
    events.closed();
    // Refused attempts as well.
    let mut raw = Raw::connect(server.addr());
    raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(raw.is_over());
    eventually("it is forgotten", || server.handle.connections().is_empty());
    server.stop().unwrap().unwrap();
    events.end();
}
