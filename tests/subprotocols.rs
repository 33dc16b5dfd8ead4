//! Subprotocols: who chooses which, and what becomes of odd offers.

mod common;

use common::peer::{altered, ask, upgrade};
use common::{client_context, probe, serve, Echo};
use libwebsockets::{Client, ConnectError};
use std::sync::mpsc;

#[test]
fn a_subprotocol_is_chosen_in_the_clients_order() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        let reports = report.clone();
        vhost
            .accept(|_| Ok(Echo))
            .subprotocol("v1", move |request| {
                let offered = request.offered_subprotocols().to_vec();
                report
                    .send((request.subprotocol().map(str::to_owned), offered))
                    .unwrap();
                Ok(Echo)
            })
            .unwrap()
            .subprotocol("v2", move |request| {
                let offered = request.offered_subprotocols().to_vec();
                reports
                    .send((request.subprotocol().map(str::to_owned), offered))
                    .unwrap();
                Ok(Echo)
            })
            .unwrap()
    });
    for (offer, chosen) in [("v1", "v1"), ("v0, v2, v1", "v2"), ("v2,v1", "v2")] {
        let lines = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let answer = ask(server.addr(), &upgrade("/", &lines));
        assert_eq!(answer.status, 101, "{offer}");
        assert_eq!(answer.header("sec-websocket-protocol"), Some(chosen));
        let (told, offered) = seen.recv_timeout(common::WAIT).unwrap();
        assert_eq!(told.as_deref(), Some(chosen));
        let own: Vec<_> = offer.split(',').map(str::trim).collect();
        assert_eq!(offered, own);
    }
}

#[test]
fn subprotocols_that_are_not_served_are_refused_with_400() {
    let server = serve(|vhost| {
        vhost
            .accept(|_| Ok(Echo))
            .subprotocol("v1", |_| Ok(Echo))
            .unwrap()
    });
    // "no subprotocol" is the library's own name for none.
    for offer in [
        "v9",
        "v8, v9",
        "V1",
        "no subprotocol",
        "no, subprotocol",
        ",",
        "a b",
    ] {
        let lines = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let answer = ask(server.addr(), &upgrade("/", &lines));
        assert_eq!(answer.status, 400, "{offer}");
    }
    let only = serve(|vhost| {
        let vhost = vhost.subprotocol("v1", |_| Ok(Echo)).unwrap();
        vhost.subprotocol("v2", |_| Ok(Echo)).unwrap()
    });
    let answer = ask(only.addr(), &upgrade("/", ""));
    assert_eq!(answer.status, 400, "none is offered");
    assert!(
        answer.body.ends_with("must be offered: v1, v2"),
        "{}",
        answer.body
    );
}

#[test]
fn a_client_is_told_the_subprotocol() {
    let server = serve(|vhost| vhost.subprotocol("v1", |_| Ok(Echo)).unwrap());
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/"))
        .unwrap()
        .subprotocol("v2")
        .unwrap()
        .subprotocol("v1")
        .unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    match events.next() {
        common::Event::Open { subprotocol, .. } => assert_eq!(subprotocol.as_deref(), Some("v1")),
        other => panic!("{other:?}"),
    }
}

#[test]
#[allow(clippy::result_large_err)] // the type is not ours
fn a_server_that_chooses_an_unoffered_subprotocol_is_left() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        common::peer::patient(&tcp);
        let callback =
            |_: &tungstenite::handshake::server::Request,
             mut response: tungstenite::handshake::server::Response| {
                let name = "unasked".parse().unwrap();
                response
                    .headers_mut()
                    .insert("sec-websocket-protocol", name);
                Ok(response)
            };
        if let Ok(mut socket) = tungstenite::accept_hdr(tcp, callback) {
            while socket.read().is_ok() {}
        }
    });
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{port}/"))
        .unwrap()
        .subprotocol("asked")
        .unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    assert!(matches!(
        events.connect_error(),
        ConnectError::Failed { .. }
    ));
    events.end();
    thread.join().unwrap();
}

/// An offer of these names.
fn offer(names: &str) -> String {
    upgrade("/", &format!("Sec-WebSocket-Protocol: {names}\r\n"))
}

// Lost: clients that offer much, which got no answer.
#[test]
fn a_long_offer_is_answered() {
    let server = serve(|vhost| vhost.subprotocol("v1", |_| Ok(Echo)).unwrap());
    let many: Vec<String> = (0..60).map(|n| format!("name-{n}-of-many")).collect();
    let many = many.join(", ");
    assert!(many.len() > 1000);
    for others in [many, "x".repeat(63), "x".repeat(64), "x".repeat(1000)] {
        let answer = ask(server.addr(), &offer(&format!("{others}, v1")));
        assert_eq!(answer.status, 101, "{others}");
        assert_eq!(answer.header("sec-websocket-protocol"), Some("v1"));
    }
    let list = format!("{}upgrade", "keep-alive, ".repeat(20));
    let answer = ask(
        server.addr(),
        &altered("Connection: Upgrade", &format!("Connection: {list}")).replace(
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Version",
        ),
    );
    assert_eq!(answer.status, 101);
}

#[test]
fn an_offer_that_is_too_long_is_refused_with_431() {
    let server = serve(|vhost| vhost.subprotocol("v1", |_| Ok(Echo)).unwrap());
    for length in [1500, 2000, 8000] {
        let names = format!("v1, {}", "x".repeat(length));
        assert_eq!(ask(server.addr(), &offer(&names)).status, 431, "{length}");
        let line = format!("Connection: Upgrade, {}", "x".repeat(length));
        let answer = ask(server.addr(), &altered("Connection: Upgrade", &line));
        assert_eq!(answer.status, 431, "{length}");
    }
}

#[test]
fn an_offer_in_several_lines_is_one_list() {
    let server = serve(|vhost| vhost.subprotocol("v1", |_| Ok(Echo)).unwrap());
    let lines = "Sec-WebSocket-Protocol: v3, v2\r\nSec-WebSocket-Protocol: v1\r\n";
    let answer = ask(server.addr(), &upgrade("/", lines));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("v1"));
}

#[test]
fn an_empty_offer_is_none() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let answer = ask(server.addr(), &offer(""));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
}

// Every character that a name may have (RFC 9110 section 5.6.2), in both roles.
#[test]
fn names_may_hold_every_character_of_a_token() {
    for name in [
        "!#$%&'*+-.^_`|~",
        "v1.chat",
        "a",
        "13",
        "1.0",
        &"x".repeat(63),
    ] {
        let own = name.to_owned();
        let server = serve(move |vhost| vhost.subprotocol(own, |_| Ok(Echo)).unwrap());
        let answer = ask(server.addr(), &offer(&format!("other, {name}")));
        assert_eq!(answer.status, 101, "{name}");
        assert_eq!(answer.header("sec-websocket-protocol"), Some(name));

        let client = client_context();
        let (probe, events) = probe();
        let to = Client::new(&server.url("ws", "/")).unwrap();
        let to = to.subprotocol("other").unwrap().subprotocol(name).unwrap();
        drop(client.handle.connect(to, probe).unwrap());
        match events.next() {
            common::Event::Open { subprotocol, .. } => {
                assert_eq!(subprotocol.as_deref(), Some(name))
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Browsers send no other header that a page sets: tokens travel so.
#[test]
fn debug_output_of_a_request_shows_no_subprotocol() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        let made = vhost.subprotocol("v1", move |request| {
            report.send(format!("{request:?}")).unwrap();
            Ok(Echo)
        });
        made.unwrap()
    });
    let lines = "Sec-WebSocket-Protocol: v1, bearer.s3cret\r\n";
    assert_eq!(ask(server.addr(), &upgrade("/", lines)).status, 101);
    let shown = seen.recv_timeout(common::WAIT).unwrap();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("offered_subprotocols: 2"), "{shown}");
}
