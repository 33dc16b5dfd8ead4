//! What goes together, for speed: records and frames that were read at once, and
//! the answers to them. None may be lost, late, or changed.

mod common;

use common::peer::{frame, tcp, upgrade, Raw, BINARY};
use common::{loopback, noise, serve, turn_until, Echo};
use libwebsockets::{Closed, Connection, Context, Fragment, Handler, Message, WebSocketConfig};
use std::net::TcpStream;
use std::sync::{mpsc, Arc, Mutex};
use std::thread;
use std::time::Duration;

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

/// What the handlers of one context share.
struct Shared {
    /// The sockets of the peers, in the order in which they send.
    peers: Mutex<Vec<TcpStream>>,
    /// What is done before a message is answered; it is told how many were before it.
    before: fn(&Shared, usize),
    /// How many answers had arrived by then, for each message.
    arrived: Mutex<Vec<usize>>,
    closed: Mutex<usize>,
}

impl Shared {
    /// At how many peers there is an answer.
    fn answered(&self) -> usize {
        let peers = self.peers.lock().unwrap();
        let has_some = |peer: &&TcpStream| peer.peek(&mut [0]).is_ok_and(|n| n > 0);
        peers.iter().filter(has_some).count()
    }
}

/// Echoes, and looks before it does.
struct Looking(Arc<Shared>);

impl Handler for Looking {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        let answered = self.0.answered();
        let mut arrived = self.0.arrived.lock().unwrap();
        let number = arrived.len();
        arrived.push(answered);
        drop(arrived);
        (self.0.before)(&self.0, number);
        conn.send(message).unwrap();
    }

    fn on_close(&mut self, _: Closed) {
        *self.0.closed.lock().unwrap() += 1;
    }
}

/// A context, and peers whose messages are all there before its loop turns again.
fn about_to_turn(
    peers: usize,
    before: fn(&Shared, usize),
    send: &[u8],
) -> (Context, Arc<Shared>, Vec<Raw>) {
    let shared = Arc::new(Shared {
        peers: Mutex::default(),
        before,
        arrived: Mutex::default(),
        closed: Mutex::default(),
    });
    let own = Arc::clone(&shared);
    let vhost = loopback().accept(move |_| Ok(Looking(Arc::clone(&own))));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0).unwrap();
    let opened = thread::spawn(move || {
        let open = |_| {
            let socket = tcp(addr);
            let mut raw = Raw::over(Box::new(socket.try_clone().unwrap()));
            assert_eq!(raw.ask(&upgrade("/", "")).status, 101);
            (raw, socket)
        };
        (0..peers).map(open).unzip::<_, _, Vec<_>, Vec<_>>()
    });
    turn_until(&mut context, || opened.is_finished().then_some(()));
    let (mut raws, sockets) = opened.join().unwrap();
    raws.iter_mut().for_each(|raw| raw.send(send));
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    *shared.peers.lock().unwrap() = sockets;
    (context, shared, raws)
}

/// Lets the loop turn until so many messages have come.
fn turn(context: &mut Context, shared: &Shared, messages: usize) {
    turn_until(context, || {
        (shared.arrived.lock().unwrap().len() >= messages).then_some(())
    });
    for socket in &*shared.peers.lock().unwrap() {
        socket.set_nonblocking(false).unwrap();
    }
}

/// Lost: a tenth of a busy server's time, for each peer is woken by itself.
#[test]
fn answers_of_one_turn_go_out_when_it_ends() {
    // More than a millisecond may go by on a busy machine, or a message come late.
    let message = frame(FIN | BINARY, b"hello");
    let is_so = (0..50).any(|_| {
        let (mut context, shared, mut raws) = about_to_turn(3, |_, _| (), &message);
        turn(&mut context, &shared, 3);
        for raw in &mut raws {
            assert_eq!(raw.frame().unwrap().payload, b"hello");
        }
        let arrived = shared.arrived.lock().unwrap();
        *arrived == [0; 3]
    });
    assert!(is_so, "each was written by itself");
}

/// Lost: time, for those whose answers wait for what others' handlers do.
#[test]
fn answers_do_not_wait_for_a_long_turn() {
    let slow = |_: &Shared, _| thread::sleep(Duration::from_millis(3));
    let message = frame(FIN | BINARY, b"hello");
    // Of four connections, or of one that has sent four messages.
    for (peers, messages, early) in [(4, 1, 2), (1, 4, 1)] {
        let messages = message.repeat(messages);
        let (mut context, shared, mut raws) = about_to_turn(peers, slow, &messages);
        turn(&mut context, &shared, 4);
        let arrived = shared.arrived.lock().unwrap().clone();
        assert!(arrived[3] >= early, "{arrived:?}");
        for raw in &mut raws {
            assert_eq!(raw.frame().unwrap().payload, b"hello");
        }
    }
}

/// Lost: the order of answers, or a part of one, where they are more than is kept.
#[test]
fn more_answers_than_are_kept_for_the_end_of_a_turn_come_whole_and_in_order() {
    let part = |i: usize| noise(9_000 + 100 * i);
    let messages: Vec<u8> = (0..6).flat_map(|i| frame(FIN | BINARY, &part(i))).collect();
    let (mut context, shared, mut raws) = about_to_turn(5, |_, _| (), &messages);
    turn(&mut context, &shared, 30);
    let running = thread::spawn(move || {
        for raw in &mut raws {
            for i in 0..6 {
                assert_eq!(raw.frame().unwrap().payload, part(i));
            }
        }
    });
    turn_until(&mut context, || running.is_finished().then_some(()));
    running.join().unwrap();
}

/// Lost: a connection that can't be written to any more, which nobody hears of; or the
/// process, for its memory is used when it is gone.
#[test]
fn a_peer_that_goes_within_the_turn_does_not_get_its_answer_and_is_dropped() {
    // The connection is reset, for there is something that it never read.
    let goes = |shared: &Shared, number| {
        if number == 5 {
            drop(shared.peers.lock().unwrap().remove(1));
        }
    };
    let message = frame(FIN | BINARY, b"hello");
    let (mut context, shared, mut raws) = about_to_turn(3, goes, &message);
    turn(&mut context, &shared, 3);
    raws.iter_mut().for_each(|raw| raw.send(&message));
    drop(raws.remove(1));
    turn(&mut context, &shared, 6);
    let closed = |count| (*shared.closed.lock().unwrap() == count).then_some(());
    turn_until(&mut context, || closed(1));
    for raw in &mut raws {
        for _ in 0..2 {
            assert_eq!(raw.frame().unwrap().payload, b"hello");
        }
    }
    drop(raws);
    shared.peers.lock().unwrap().clear();
    turn_until(&mut context, || closed(3));
}

#[cfg(feature = "_tls")]
mod tls {
    use super::*;
    use common::certs::{tls_over, Ca};
    use std::io::{Read, Result, Write};
    use std::net::SocketAddr;

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
        // They are kept for a millisecond, and a machine may be that slow at times.
        let in_one_record = (0..10).any(|_| {
            seen.lock().unwrap().read.clear();
            raw.send(&frames(20));
            expect_frames(&mut raw, 20);
            let read = seen.lock().unwrap().read.clone();
            // A record's length follows its type and version (RFC 8446 §5.1).
            let length = usize::from(u16::from_be_bytes([read[3], read[4]]));
            read.len() == 5 + length
        });
        assert!(in_one_record, "more than one record came each time");
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
