//! Input that comes while a connection is closing: it is answered where it has to be, and
//! costs no time where nobody looks at it.

mod common;

use common::peer::{Raw, BINARY, CLOSE};
use common::roles::Ours;
use common::{probe, rests, turn_until, Event, Events, Probe};
use libwebsockets::{Client, Connection, Context, Handler, WebSocketConfig};
use std::net::TcpListener;
use std::thread::sleep;
use std::time::Duration;

const FIN: u8 = 0x80;

/// Turns until something is told.
#[track_caller]
fn until(context: &mut Context, events: &Events) -> Event {
    turn_until(context, || events.try_next())
}

// Lost: five seconds of a core, to a server that a client fails.
#[test]
fn what_follows_a_violation_costs_a_client_no_time() {
    /// Sends more than the sockets' buffers take.
    struct Fills(Probe);
    impl Handler for Fills {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
            conn.send(vec![7; 32 << 20]).unwrap();
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut raw = Raw::accept(&listener, "");
        raw.wait();
        // A reserved bit.
        raw.send_frame(FIN | 0x20 | BINARY, b"bad");
        std::thread::sleep(Duration::from_millis(200));
        raw.send_frame(FIN | BINARY, b"and more");
        raw
    });
    let mut context = Context::builder().build().unwrap();
    let (probe, events) = probe();
    let to = Client::new(&url).unwrap();
    drop(context.connect(to, Fills(probe)).unwrap());
    assert!(matches!(until(&mut context, &events), Event::Open { .. }));
    while !server.is_finished() {
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    let raw = server.join().unwrap();
    rests(&mut context);
    drop(raw);
}

/// What nobody's socket buffers hold.
const MUCH: usize = 16 << 20;

/// The code of the close frame that comes behind all else; nothing follows it.
#[track_caller]
fn close_code(raw: &mut Raw) -> Option<u16> {
    loop {
        let frame = raw.frame().expect("a close frame comes");
        if frame.opcode == CLOSE {
            let code = frame.payload.first_chunk().map(|c| u16::from_be_bytes(*c));
            raw.send_frame(FIN | CLOSE, &frame.payload);
            assert_eq!(raw.frame(), None, "it follows the close frame");
            return code;
        }
    }
}

// Lost: why the connection was closed; a time stamp was sent for a code.
#[test]
fn an_idle_ping_leaves_a_close_frame_alone() {
    let config = WebSocketConfig::new().ping_after(Duration::from_secs(1));
    for ours in Ours::both(&config) {
        let (mut raw, id) = ours.connection();
        ours.running.handle.send(id, vec![0; MUCH]).unwrap();
        raw.wait();
        // A reserved bit.
        raw.send_frame(FIN | 0x20 | BINARY, b"bad");
        sleep(Duration::from_millis(1800));
        assert_eq!(close_code(&mut raw), Some(1002), "{:?}", ours.role);
    }
}

#[cfg(feature = "_tls")]
mod over_tls {
    use super::{rests, until, BINARY, FIN};
    use crate::common::peer::{frame, upgrade, CLOSE};
    use crate::common::{self, certs::Ca, loopback, probe, Event, Events, Probe};
    use libwebsockets::{CloseCode, Closed, Connection, Context, Handler, Initiator, Message};
    use rustls::pki_types::ServerName;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    /// Does what its peer says.
    struct Obeys(Probe);

    impl Handler for Obeys {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
        }
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            match message.as_text() {
                Some("close") => conn.close(CloseCode::NORMAL),
                _ => conn.send(message).unwrap(),
            }
        }
        fn on_close(&mut self, closed: Closed) {
            self.0.on_close(closed);
        }
    }

    /// A server, which the test turns by itself.
    fn server(vhost: libwebsockets::Vhost) -> (Context, SocketAddr, Events) {
        let (probe, events) = probe();
        let vhost = vhost.accept(move |_| Ok(Obeys(probe.clone())));
        let context = Context::builder().vhost(vhost).build().unwrap();
        let addr = context.local_addr(0).unwrap();
        (context, addr, events)
    }

    /// A client that speaks to a server of this thread from another one.
    fn peer<R: Send + 'static>(
        addr: SocketAddr,
        f: impl FnOnce(SocketAddr) -> R + Send + 'static,
    ) -> std::thread::JoinHandle<R> {
        std::thread::spawn(move || f(addr))
    }

    /// A TLS client whose records go out when it says so.
    struct Client {
        tcp: TcpStream,
        tls: rustls::ClientConnection,
    }

    impl Client {
        /// Opens a WebSocket.
        fn open(addr: SocketAddr, config: rustls::ClientConfig) -> Client {
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = Client {
                tcp: common::peer::tcp(addr),
                tls: rustls::ClientConnection::new(Arc::new(config), name).unwrap(),
            };
            let request = upgrade("/", "");
            client.stream().write_all(request.as_bytes()).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.stream().read_exact(&mut byte).unwrap();
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 101"));
            client
        }

        fn stream(&mut self) -> rustls::Stream<'_, rustls::ClientConnection, TcpStream> {
            rustls::Stream::new(&mut self.tls, &mut self.tcp)
        }

        /// One record with these bytes, not sent yet.
        fn record(&mut self, bytes: &[u8]) -> Vec<u8> {
            self.tls.writer().write_all(bytes).unwrap();
            self.records()
        }

        /// The record that ends TLS in this direction.
        fn close_notify(&mut self) -> Vec<u8> {
            self.tls.send_close_notify();
            self.records()
        }

        fn records(&mut self) -> Vec<u8> {
            let mut records = Vec::new();
            while self.tls.wants_write() {
                self.tls.write_tls(&mut records).unwrap();
            }
            records
        }

        /// All that comes until the end of TLS or of the connection.
        fn rest(&mut self) -> Vec<u8> {
            let mut rest = Vec::new();
            let _ = self.stream().read_to_end(&mut rest);
            rest
        }
    }

    fn tls_server() -> (Context, SocketAddr, Events, rustls::ClientConfig) {
        let ca = Ca::new();
        let (context, addr, events) = server(loopback().tls(ca.sign(&["localhost"]).server()));
        (context, addr, events, ca.rustls_client())
    }

    // Lost: five seconds of a core, to whoever wishes.
    #[test]
    fn the_beginning_of_a_record_behind_a_close_frame_costs_no_time() {
        let (mut context, addr, events, config) = tls_server();
        let client = peer(addr, |addr| {
            let mut client = Client::open(addr, config);
            let ask = client.record(&frame(FIN | 1, b"close"));
            client.tcp.write_all(&ask).unwrap();
            // Our end has sent its close frame, and waits for the answer.
            let mut head = [0; 2];
            client.stream().read_exact(&mut head).unwrap();
            let mut bytes = client.record(&frame(FIN | CLOSE, &1000u16.to_be_bytes()));
            let more = client.record(&[0; 100]);
            bytes.extend(&more[..20]);
            client.tcp.write_all(&bytes).unwrap();
            client
        });
        assert!(matches!(until(&mut context, &events), Event::Open { .. }));
        while !client.is_finished() {
            context.service(Some(Duration::from_millis(20))).unwrap();
        }
        let client = client.join().unwrap();
        for _ in 0..5 {
            context.service(Some(Duration::from_millis(20))).unwrap();
        }
        rests(&mut context);
        drop(client);
    }

    // Lost: the answer to the close frame, and what it closes behind.
    #[test]
    fn who_ends_tls_right_behind_a_close_frame_is_answered() {
        for long in [false, true] {
            let (mut context, addr, events, config) = tls_server();
            let client = peer(addr, move |addr| {
                let mut client = Client::open(addr, config);
                let message = vec![b'x'; if long { 8 << 20 } else { 5 }];
                let message = frame(FIN | BINARY, &message);
                let mut sent = 0;
                for part in message.chunks(16 << 10) {
                    let record = client.record(part);
                    client.tcp.write_all(&record).unwrap();
                    sent += part.len();
                }
                assert_eq!(sent, message.len());
                if long {
                    // It is being echoed, and waits for this end to read.
                    std::thread::sleep(Duration::from_millis(300));
                }
                let mut end = client.record(&frame(FIN | CLOSE, &1000u16.to_be_bytes()));
                end.extend(client.close_notify());
                client.tcp.write_all(&end).unwrap();
                (client.rest(), message.len())
            });
            assert!(matches!(until(&mut context, &events), Event::Open { .. }));
            let closed = until(&mut context, &events);
            let Event::Closed(closed) = closed else {
                panic!("{closed:?}");
            };
            assert_eq!(closed.initiator, Initiator::Remote, "long: {long}");
            let deadline = Instant::now() + common::WAIT;
            while !client.is_finished() && Instant::now() < deadline {
                context.service(Some(Duration::from_millis(20))).unwrap();
            }
            let (rest, sent) = client.join().unwrap();
            // An echo lacks the mask.
            assert_eq!(rest.len(), sent - 4 + 4, "long: {long}");
            assert_eq!(rest[rest.len() - 4..], [FIN | CLOSE, 2, 3, 232]);
        }
    }
}
