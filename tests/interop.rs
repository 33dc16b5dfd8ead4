//! With tungstenite, an independent implementation, in both roles, plain and
//! over TLS by rustls.

mod common;

use common::peer::{self, open_over, patient, read, read_close, tcp, Socket, Stream};
use common::{client_context, noise, probe, serve, Echo, Event, Events};
use libwebsockets::{Client, CloseCode, CloseFrame, ContextHandle, Initiator, Message};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use tungstenite::protocol::frame::coding::CloseCode as TheirCode;
use tungstenite::protocol::CloseFrame as TheirFrame;
use tungstenite::Message as Theirs;

const SIZES: [usize; 8] = [0, 1, 125, 126, 65_535, 65_536, 200_000, 3 << 20];

/// A conversation of a tungstenite client with an echo server.
fn converse(socket: &mut Socket) {
    for size in SIZES {
        socket.send(Theirs::binary(noise(size))).unwrap();
        assert_eq!(read(socket), Theirs::binary(noise(size)), "{size}");
        let text = "ß".repeat(size / 2);
        socket.send(Theirs::text(text.clone())).unwrap();
        assert_eq!(read(socket), Theirs::text(text), "{size}");
    }
    socket.send(Theirs::Ping("knock".into())).unwrap();
    assert_eq!(read(socket), Theirs::Pong("knock".into()));
    let frame = TheirFrame {
        code: TheirCode::Library(3456),
        reason: "enough".into(),
    };
    socket.close(Some(frame)).unwrap();
    assert_eq!(read_close(socket).map(|(code, _)| code), Some(3456));
}

#[test]
fn a_plain_server_serves_tungstenite() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    converse(&mut peer::open(server.addr(), "/"));
}

#[test]
fn a_server_closes_towards_tungstenite() {
    let (server, events) = common::probed(libwebsockets::WebSocketConfig::new());
    let mut socket = peer::open(server.addr(), "/");
    let id = events.open();
    let frame = CloseFrame::new(CloseCode::SERVICE_RESTART, "back soon").unwrap();
    server.handle.close(id, frame).unwrap();
    assert_eq!(read_close(&mut socket), Some((1012, "back soon".into())));
    assert_eq!(events.closed().initiator, Initiator::Local);
}

/// A tungstenite server on a thread of its own, which sends everything back and
/// ends with its one client; it returns the close frame that it got.
fn their_server(
    wrap: impl FnOnce(TcpStream) -> Stream + Send + 'static,
) -> (SocketAddr, JoinHandle<Option<(u16, String)>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        let mut socket = tungstenite::accept(wrap(tcp)).unwrap();
        loop {
            match socket.read().unwrap() {
                Theirs::Close(frame) => {
                    while socket.read().is_ok() {}
                    return frame.map(|f| (f.code.into(), f.reason.as_str().to_owned()));
                }
                message @ (Theirs::Text(_) | Theirs::Binary(_)) => socket.send(message).unwrap(),
                _ => {}
            }
        }
    });
    (addr, thread)
}

/// A conversation of our client with an echo server.
fn converse_as_client(handle: &ContextHandle, events: &Events) {
    let id = events.open();
    for size in SIZES {
        handle.send(id, noise(size)).unwrap();
        assert_eq!(events.message(), Message::binary(noise(size)), "{size}");
        let text = "ß".repeat(size / 2);
        handle.send(id, text.clone()).unwrap();
        assert_eq!(events.message(), Message::text(text), "{size}");
    }
    handle.send(id, Message::ping("knock")).unwrap();
    assert!(matches!(events.next(), Event::Pong(p) if p == b"knock"));
    let frame = CloseFrame::new(CloseCode::new(3456).unwrap(), "enough").unwrap();
    handle.close(id, frame.clone()).unwrap();
    let closed = events.closed();
    assert_eq!(
        (closed.initiator, closed.frame),
        (Initiator::Local, Some(frame))
    );
}

#[test]
fn a_plain_client_talks_to_tungstenite() {
    let (addr, thread) = their_server(|tcp| Box::new(tcp));
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{}/", addr.port())).unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    converse_as_client(&client.handle, &events);
    assert_eq!(thread.join().unwrap(), Some((3456, "enough".into())));
}

#[test]
fn a_client_hears_that_tungstenite_closes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        let mut socket = tungstenite::accept(Box::new(tcp) as Stream).unwrap();
        let frame = TheirFrame {
            code: TheirCode::Away,
            reason: "tired".into(),
        };
        socket.close(Some(frame)).unwrap();
        read_close(&mut socket)
    });
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{port}/")).unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    events.open();
    let closed = events.closed();
    assert_eq!(closed.initiator, Initiator::Remote);
    let frame = closed.frame.unwrap();
    assert_eq!(
        (frame.code(), frame.reason()),
        (CloseCode::GOING_AWAY, "tired")
    );
    assert_eq!(thread.join().unwrap().map(|(code, _)| code), Some(1001));
}

#[test]
fn subprotocols_are_agreed_on_with_tungstenite() {
    let server = serve(|vhost| {
        vhost
            .subprotocol("v1", |_| Ok(Echo))
            .unwrap()
            .subprotocol("v2", |_| Ok(Echo))
            .unwrap()
    });
    let request = tungstenite::client::ClientRequestBuilder::new(
        format!("ws://localhost:{}/", server.addr().port())
            .parse()
            .unwrap(),
    )
    .with_sub_protocol("v3")
    .with_sub_protocol("v2")
    .with_sub_protocol("v1");
    let (mut socket, response) = open_over(Box::new(tcp(server.addr())), request);
    assert_eq!(response.headers()["sec-websocket-protocol"], "v2");
    converse(&mut socket);
}

#[cfg(feature = "_tls")]
mod tls {
    use super::*;
    use common::certs::{tls_accept, tls_stream, Ca};
    use common::Running;

    fn tls_echo(ca: &Ca) -> Running {
        let tls = ca.sign(&["localhost", "127.0.0.1"]).server();
        serve(move |vhost| vhost.tls(tls).accept(|_| Ok(Echo)))
    }

    #[test]
    fn a_tls_server_serves_tungstenite_on_rustls() {
        let ca = Ca::new();
        let server = tls_echo(&ca);
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
            let config = ca.rustls_client_of(versions);
            let stream = tls_stream(server.addr(), "localhost", config);
            let url = server.url("wss", "/");
            converse(&mut open_over(stream, url).0);
        }
    }

    #[test]
    fn a_tls_client_talks_to_tungstenite_on_rustls() {
        let ca = Ca::new();
        let config = ca.sign(&["localhost"]).rustls_server();
        let (addr, thread) = their_server(move |tcp| tls_accept(tcp, config));
        let client = client_context();
        let (probe, events) = probe();
        let to = Client::new(&format!("wss://localhost:{}/", addr.port()))
            .unwrap()
            .tls(ca.trust());
        drop(client.handle.connect(to, probe).unwrap());
        converse_as_client(&client.handle, &events);
        assert_eq!(thread.join().unwrap(), Some((3456, "enough".into())));
    }
}
