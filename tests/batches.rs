//! What goes together, for speed: records and frames that were read at once, and
//! the answers to them. None may be lost, late, or changed.

mod common;

use common::peer::{frame, Raw, BINARY};
use common::{loopback, noise, serve, turn_until, Echo};
use libwebsockets::{Connection, Context, Fragment, Handler, Message, WebSocketConfig};
use std::sync::mpsc;
use std::thread;

const FIN: u8 = 0x80;

#[test]
fn a_payload_is_unmasked_wherever_it_is_cut() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let mut raw = Raw::open(server.addr());
    for len in (0..70).chain([125, 126, 1000, 65_535, 65_536, 70_001]) {
        let payload = noise(len);
        let sent = frame(FIN | BINARY, &payload);
        // Every part of it has another place in the mask.
        for piece in sent.chunks(len % 13 + 1 + len / 50) {
            raw.send(piece);
        }
        let echo = raw.frame().unwrap();
        assert!(echo.payload == payload, "{len}");
    }
}

/// Tells how long each piece of a message is.
struct Pieces(mpsc::Sender<usize>);

impl Handler for Pieces {
    fn on_open(&mut self, _: &mut Connection<'_>) {
        let _ = self.0.send(0);
    }

    fn on_fragment(&mut self, _: &mut Connection<'_>, fragment: Fragment<'_>) {
        let _ = self.0.send(fragment.data.len());
    }
}

/// Services a context until something is told.
#[track_caller]
fn told<T>(context: &mut Context, events: &mpsc::Receiver<T>) -> T {
    turn_until(context, || events.try_recv().ok())
}

#[test]
fn all_that_the_buffer_takes_is_read_at_once() {
    let (tell, pieces) = mpsc::channel();
    let vhost = loopback()
        .config(WebSocketConfig::new().fragments(true))
        .accept(move |_| Ok(Pieces(tell.clone())));
    let mut context = Context::builder()
        .receive_buffer(32 << 10)
        .vhost(vhost)
        .build()
        .unwrap();
    let addr = context.local_addr(0).unwrap();
    let client = thread::spawn(move || Raw::open(addr));
    assert_eq!(told(&mut context, &pieces), 0);
    let mut client = client.join().unwrap();
    // The second goes beyond what is handed over at once, the buffer holds both.
    let both = [
        frame(FIN | BINARY, &noise(12_000)),
        frame(FIN | BINARY, &noise(12_000)),
    ];
    client.send(&both.concat());
    for _ in 0..2 {
        assert_eq!(told(&mut context, &pieces), 12_000);
    }
}

/// Echoes, and rests between two messages.
struct Resting;

impl Handler for Resting {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        conn.send(message).unwrap();
        conn.pause_reading();
        conn.request_writable();
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        conn.resume_reading();
    }
}

#[test]
fn a_handler_that_rests_gets_all_that_was_read_at_once() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Resting)));
    let mut raw = Raw::open(server.addr());
    raw.send(&frames(300));
    expect_frames(&mut raw, 300);
}

fn numbered(number: usize) -> String {
    format!("message {number}")
}

fn frames(count: usize) -> Vec<u8> {
    let frames = (0..count).map(|i| frame(FIN | BINARY, numbered(i).as_bytes()));
    frames.collect::<Vec<_>>().concat()
}

#[track_caller]
fn expect_frames(raw: &mut Raw, count: usize) {
    for i in 0..count {
        let echo = raw.frame().unwrap();
        assert_eq!(echo.payload, numbered(i).as_bytes());
    }
}

#[cfg(feature = "_tls")]
mod tls {
    use super::*;
    use common::certs::{tls_over, Ca};
    use common::peer::{tcp, upgrade};
    use std::io::{Read, Result, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::{Arc, Mutex};

    /// What a TLS client's records look like from outside.
    #[derive(Default)]
    struct Seen {
        /// Set: what is written is kept, to be sent at once.
        hold: bool,
        held: Vec<u8>,
        read: Vec<u8>,
    }

    struct Wire(TcpStream, Arc<Mutex<Seen>>);

    impl Read for Wire {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let n = self.0.read(buffer)?;
            self.1.lock().unwrap().read.extend(&buffer[..n]);
            Ok(n)
        }
    }

    impl Write for Wire {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            let mut seen = self.1.lock().unwrap();
            if seen.hold {
                seen.held.extend(bytes);
                return Ok(bytes.len());
            }
            drop(seen);
            self.0.write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn open(addr: SocketAddr, ca: &Ca) -> (Raw, Arc<Mutex<Seen>>, TcpStream) {
        let seen = Arc::<Mutex<Seen>>::default();
        let socket = tcp(addr);
        let wire = Wire(socket.try_clone().unwrap(), Arc::clone(&seen));
        let mut raw = Raw::over(Box::new(tls_over(wire, "localhost", ca.rustls_client())));
        assert_eq!(raw.ask(&upgrade("/", "")).status, 101);
        (raw, seen, socket)
    }

    fn server<H: Handler>(ca: &Ca, handler: fn() -> H) -> common::Running {
        let tls = ca.sign(&["localhost"]).server();
        serve(move |vhost| vhost.tls(tls).accept(move |_| Ok(handler())))
    }

    /// Sends messages in a record each, all at once.
    fn send_records(raw: &mut Raw, seen: &Mutex<Seen>, mut socket: &TcpStream, count: usize) {
        seen.lock().unwrap().hold = true;
        for i in 0..count {
            raw.send(&frame(FIN | BINARY, numbered(i).as_bytes()));
        }
        let mut seen = seen.lock().unwrap();
        seen.hold = false;
        socket.write_all(&std::mem::take(&mut seen.held)).unwrap();
    }

    #[test]
    fn answers_to_what_came_together_go_together() {
        let ca = Ca::new();
        let server = server(&ca, || Echo);
        let (mut raw, seen, _socket) = open(server.addr(), &ca);
        seen.lock().unwrap().read.clear();
        raw.send(&frames(20));
        expect_frames(&mut raw, 20);
        let read = seen.lock().unwrap().read.clone();
        // A record's length follows its type and version (RFC 8446 §5.1).
        let length = usize::from(u16::from_be_bytes([read[3], read[4]]));
        assert_eq!(read.len(), 5 + length, "more than one record came");
    }

    #[test]
    fn records_that_were_read_ahead_are_not_forgotten() {
        let ca = Ca::new();
        let server = server(&ca, || Echo);
        let (mut raw, seen, socket) = open(server.addr(), &ca);
        // More than one turn of the loop takes, and more than one buffer holds.
        for count in [2, 90, 500, 3000] {
            send_records(&mut raw, &seen, &socket, count);
            expect_frames(&mut raw, count);
        }
    }

    #[test]
    fn a_handler_that_rests_gets_the_records_that_were_read_ahead() {
        let ca = Ca::new();
        let server = server(&ca, || Resting);
        let (mut raw, seen, socket) = open(server.addr(), &ca);
        send_records(&mut raw, &seen, &socket, 300);
        expect_frames(&mut raw, 300);
    }
}
