//! Peers that leave while nobody reads what they sent.

mod common;

use common::peer::{frame, Raw, BINARY, CLOSE, TEXT};
use common::{loopback, probe, rests, turn_until, Event, Events, Probe};
use libwebsockets::{
    Client, CloseCode, CloseFrame, Closed, Connection, Context, Handler, Initiator, Message,
    SendError, Vhost, WebSocketConfig,
};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{sleep, spawn, JoinHandle};
use std::time::{Duration, Instant};

const FIN: u8 = 0x80;

/// Long enough for what a peer did to have arrived.
const MOMENT: Duration = Duration::from_millis(200);

/// Sends back what comes, and doesn't read a peer that doesn't read.
struct Echoes {
    probe: Probe,
    waiting: VecDeque<Message>,
}

impl Echoes {
    fn send_waiting(&mut self, conn: &mut Connection<'_>) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(SendError::Full(message)) = conn.send(message) {
                self.waiting.push_front(*message);
                return conn.pause_reading();
            }
        }
        conn.resume_reading();
    }
}

impl Handler for Echoes {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.probe.on_open(conn);
    }
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        self.waiting.push_back(message);
        self.send_waiting(conn);
    }
    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        self.send_waiting(conn);
    }
    fn on_close(&mut self, closed: Closed) {
        self.probe.on_close(closed);
    }
}

/// Pauses at each message, until it is let go.
#[derive(Clone)]
struct Pauses {
    probe: Probe,
    /// It asks whether it may go on.
    asks: bool,
    /// Sent when it opens; the peer leaves it unread.
    greeting: Option<Message>,
    go: Arc<AtomicBool>,
}

impl Pauses {
    fn new(asks: bool) -> (Self, Events) {
        let (probe, events) = probe();
        let pauses = Pauses {
            probe,
            asks,
            greeting: None,
            go: Arc::default(),
        };
        (pauses, events)
    }
}

impl Handler for Pauses {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.probe.on_open(conn);
        if let Some(greeting) = self.greeting.take() {
            conn.send(greeting).unwrap();
        }
    }
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        self.probe.on_message(conn, message);
        conn.pause_reading();
        if self.asks {
            conn.request_writable();
        }
    }
    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        match self.go.load(Ordering::Relaxed) {
            true => conn.resume_reading(),
            false => {
                sleep(Duration::from_millis(5));
                conn.request_writable();
            }
        }
    }
    fn on_close(&mut self, closed: Closed) {
        self.probe.on_close(closed);
    }
}

fn until(context: &mut Context, events: &Events) -> Event {
    turn_until(context, || events.try_next())
}

#[track_caller]
fn closed(context: &mut Context, events: &Events) -> (Initiator, Option<CloseFrame>) {
    match until(context, events) {
        Event::Closed(closed) => (closed.initiator, closed.frame),
        other => panic!("not closed: {other:?}"),
    }
}

/// The result of a peer, while the context serves it.
fn serve_until<R>(context: &mut Context, peer: JoinHandle<R>) -> R {
    while !peer.is_finished() {
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    peer.join().unwrap()
}

/// Serves for a moment.
fn moment(context: &mut Context) {
    serve_until(context, spawn(|| sleep(MOMENT)));
}

/// A server, which the test turns by itself.
fn server<H: Handler>(
    vhost: Vhost,
    handler: impl Fn() -> H + 'static,
) -> (Context, Option<SocketAddr>) {
    let vhost = vhost.accept(move |_| Ok(handler()));
    let context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0);
    (context, addr)
}

/// Twenty messages and a close frame.
fn all_at_once() -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..20 {
        bytes.extend(frame(FIN | TEXT, format!("message {n}").as_bytes()));
    }
    bytes.extend(frame(FIN | CLOSE, b"\x03\xe9bye"));
    bytes
}

/// What the peer sent has to come, in its order, and its close frame.
#[track_caller]
fn all_come(context: &mut Context, events: &Events, from: usize) {
    for n in from..20 {
        match until(context, events) {
            Event::Message(_, message) => {
                assert_eq!(message.as_text(), Some(&*format!("message {n}")));
            }
            other => panic!("no message {n}: {other:?}"),
        }
    }
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye").unwrap();
    assert_eq!(closed(context, events), (Initiator::Remote, Some(frame)));
}

#[track_caller]
fn opens(context: &mut Context, events: &Events) {
    let event = until(context, events);
    assert!(matches!(event, Event::Open { .. }), "{event:?}");
}

#[track_caller]
fn first_comes(context: &mut Context, events: &Events) {
    let event = until(context, events);
    assert!(
        matches!(&event, Event::Message(_, message) if message.as_text() == Some("message 0")),
        "{event:?}"
    );
}

/// Sends echoes to a server for as long as it reads, reads none, and leaves.
fn floods(mut stream: impl Read + Write) {
    let message = frame(FIN | BINARY, &[7; 10_000]);
    while stream.write_all(&message).is_ok() {}
}

fn echo_server(vhost: Vhost) -> (Context, Option<SocketAddr>, Events) {
    let (probe, events) = probe();
    let config = WebSocketConfig::new().max_write_buffer_size(100_000);
    let (context, addr) = server(vhost.config(config), move || Echoes {
        probe: probe.clone(),
        waiting: VecDeque::new(),
    });
    (context, addr, events)
}

/// Opens a WebSocket.
fn open(mut stream: impl Read + Write) {
    let request = common::peer::upgrade("/", "");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
}

// Lost: a core, for as long as a connection may be idle.
#[test]
fn who_floods_and_leaves_costs_no_time() {
    let (mut context, addr, events) = echo_server(loopback());
    let addr = addr.unwrap();
    let peer = spawn(move || {
        let tcp = TcpStream::connect(addr).unwrap();
        open(&tcp);
        tcp.set_write_timeout(Some(2 * MOMENT)).unwrap();
        floods(&tcp);
    });
    serve_until(&mut context, peer);
    rests(&mut context);
    opens(&mut context, &events);
    assert_eq!(closed(&mut context, &events), (Initiator::Failure, None));
}

// Lost: a core, and memory, for nobody goes on.
#[test]
fn who_resets_a_connection_that_stays_paused_costs_no_time() {
    for few in [true, false] {
        let (mut pauses, events) = Pauses::new(false);
        pauses.greeting = Some("unread".into());
        let (mut context, addr) = server(loopback(), move || pauses.clone());
        let addr = addr.unwrap();
        let peer = spawn(move || {
            let mut tcp = TcpStream::connect(addr).unwrap();
            open(&tcp);
            let one = frame(FIN | TEXT, b"message 0");
            let all = all_at_once();
            tcp.write_all(if few { &one } else { &all }).unwrap();
            tcp.peek(&mut [0]).unwrap();
            sleep(MOMENT);
        });
        serve_until(&mut context, peer);
        rests(&mut context);
        opens(&mut context, &events);
        first_comes(&mut context, &events);
        assert_eq!(closed(&mut context, &events), (Initiator::Failure, None));
    }
}

// Lost: what the peer had sent before.
#[test]
fn who_has_sent_and_ended_is_heard_when_reading_goes_on() {
    let (pauses, events) = Pauses::new(true);
    let go = Arc::clone(&pauses.go);
    let (mut context, addr) = server(loopback(), move || pauses.clone());
    let addr = addr.unwrap();
    let peer = spawn(move || {
        let mut raw = Raw::open(addr);
        raw.send(&all_at_once());
    });
    serve_until(&mut context, peer);
    moment(&mut context);
    opens(&mut context, &events);
    first_comes(&mut context, &events);
    assert!(events.try_next().is_none());
    go.store(true, Ordering::Relaxed);
    all_come(&mut context, &events, 1);
}

#[test]
fn a_client_hears_what_came_before_its_server_went() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let peer = spawn(move || {
        let mut raw = Raw::accept(&listener, "");
        for n in 0..20 {
            raw.send_frame(FIN | TEXT, format!("message {n}").as_bytes());
        }
        raw.send_frame(FIN | CLOSE, b"\x03\xe9bye");
    });
    let (pauses, events) = Pauses::new(true);
    let go = Arc::clone(&pauses.go);
    let mut context = Context::builder().build().unwrap();
    drop(context.connect(Client::new(&url).unwrap(), pauses).unwrap());
    serve_until(&mut context, peer);
    moment(&mut context);
    opens(&mut context, &events);
    first_comes(&mut context, &events);
    go.store(true, Ordering::Relaxed);
    all_come(&mut context, &events, 1);
}

// Lost: seconds, for an application that can't go on.
#[test]
fn who_closes_a_connection_that_is_paused_is_told_when_the_peer_agrees() {
    struct Closes(Probe);
    impl Handler for Closes {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.on_open(conn);
            conn.pause_reading();
            conn.close(CloseCode::GOING_AWAY);
        }
        fn on_close(&mut self, closed: Closed) {
            self.0.on_close(closed);
        }
    }
    let (probe, events) = probe();
    let (mut context, addr) = server(loopback(), move || Closes(probe.clone()));
    let addr = addr.unwrap();
    let peer = spawn(move || {
        let mut raw = Raw::open(addr);
        assert_eq!(raw.close_code(), Some(1001));
    });
    opens(&mut context, &events);
    let start = Instant::now();
    assert_eq!(closed(&mut context, &events).0, Initiator::Local);
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    serve_until(&mut context, peer);
}

#[cfg(all(unix, feature = "unix-sockets"))]
mod on_unix_sockets {
    use super::*;
    use crate::common::temp::TempDir;
    use std::os::unix::net::UnixStream;

    fn unix(dir: &TempDir) -> (Vhost, std::path::PathBuf) {
        let path = dir.file("socket");
        (Vhost::listen_unix(&path), path)
    }

    // Lost: what the peer had sent before.
    #[test]
    fn who_has_sent_and_left_is_heard_when_reading_goes_on() {
        // Its end looks like a failure if it left something unread.
        for unread in [false, true] {
            let dir = TempDir::new();
            let (vhost, path) = unix(&dir);
            let (mut pauses, events) = Pauses::new(true);
            pauses.greeting = unread.then(|| "unread".into());
            let go = Arc::clone(&pauses.go);
            let (mut context, _) = server(vhost, move || pauses.clone());
            let peer = spawn(move || {
                let mut stream = UnixStream::connect(path).unwrap();
                open(&stream);
                if unread {
                    sleep(MOMENT);
                }
                stream.write_all(&all_at_once()).unwrap();
            });
            serve_until(&mut context, peer);
            // Longer than what was reset is kept over TCP.
            serve_until(&mut context, spawn(|| sleep(Duration::from_secs(4))));
            opens(&mut context, &events);
            first_comes(&mut context, &events);
            assert!(events.try_next().is_none());
            go.store(true, Ordering::Relaxed);
            all_come(&mut context, &events, 1);
        }
    }

    // Lost: a core, until somebody goes on.
    #[test]
    fn who_has_left_costs_no_time_while_it_is_kept() {
        for unread in [false, true] {
            let dir = TempDir::new();
            let (vhost, path) = unix(&dir);
            let (mut pauses, events) = Pauses::new(false);
            pauses.greeting = unread.then(|| "unread".into());
            let (mut context, _) = server(vhost, move || pauses.clone());
            let peer = spawn(move || {
                let mut stream = UnixStream::connect(path).unwrap();
                open(&stream);
                if unread {
                    sleep(MOMENT);
                }
                stream.write_all(&all_at_once()[..30]).unwrap();
                sleep(MOMENT);
                // More than is in the library already.
                stream.write_all(&all_at_once()[30..]).unwrap();
            });
            serve_until(&mut context, peer);
            rests(&mut context);
            opens(&mut context, &events);
            first_comes(&mut context, &events);
            assert!(events.try_next().is_none());
            // Something is to be sent, and can't be.
            let id = context.handle().connections()[0];
            context.handle().send(id, "too late").unwrap();
            assert_eq!(closed(&mut context, &events), (Initiator::Failure, None));
        }
    }

    #[test]
    fn who_floods_and_leaves_costs_no_time() {
        for keeps in [false, true] {
            let dir = TempDir::new();
            let (vhost, path) = unix(&dir);
            let (mut context, _, events) = echo_server(vhost);
            let peer = spawn(move || {
                let stream = UnixStream::connect(path).unwrap();
                open(&stream);
                stream.set_write_timeout(Some(2 * MOMENT)).unwrap();
                floods(&stream);
                // Neither does it close it, nor will it ever read.
                stream.shutdown(std::net::Shutdown::Both).unwrap();
                keeps.then_some(stream)
            });
            let kept = serve_until(&mut context, peer);
            rests(&mut context);
            opens(&mut context, &events);
            assert_eq!(closed(&mut context, &events), (Initiator::Failure, None));
            drop(kept);
        }
    }
}

#[cfg(feature = "_tls")]
mod over_tls {
    use super::*;
    use crate::common::certs::{tls_over, Ca};

    // Lost: a core, for as long as a connection may be idle.
    #[test]
    fn who_floods_and_leaves_costs_no_time() {
        let ca = Ca::new();
        let vhost = loopback().tls(ca.sign(&["localhost"]).server());
        let (mut context, addr, events) = echo_server(vhost);
        let (addr, config) = (addr.unwrap(), ca.rustls_client());
        let peer = spawn(move || {
            let tcp = TcpStream::connect(addr).unwrap();
            let timeouts = tcp.try_clone().unwrap();
            let mut stream = tls_over(tcp, "localhost", config);
            open(&mut stream);
            timeouts.set_write_timeout(Some(2 * MOMENT)).unwrap();
            floods(stream);
        });
        serve_until(&mut context, peer);
        rests(&mut context);
        opens(&mut context, &events);
        assert_eq!(closed(&mut context, &events), (Initiator::Failure, None));
    }

    // Lost: what the peer had sent before.
    #[cfg(all(unix, feature = "unix-sockets"))]
    #[test]
    fn who_has_sent_and_left_a_unix_socket_is_heard_when_reading_goes_on() {
        let dir = crate::common::temp::TempDir::new();
        let path = dir.file("socket");
        let ca = Ca::new();
        let vhost = Vhost::listen_unix(&path).tls(ca.sign(&["localhost"]).server());
        let (pauses, events) = Pauses::new(true);
        let go = Arc::clone(&pauses.go);
        let (mut context, _) = server(vhost, move || pauses.clone());
        let config = ca.rustls_client();
        let peer = spawn(move || {
            let unix = std::os::unix::net::UnixStream::connect(path).unwrap();
            let mut stream = tls_over(unix, "localhost", config);
            open(&mut stream);
            // A record each, and no end of TLS.
            for part in all_at_once().chunks(20) {
                stream.write_all(part).unwrap();
                stream.flush().unwrap();
            }
        });
        serve_until(&mut context, peer);
        moment(&mut context);
        opens(&mut context, &events);
        first_comes(&mut context, &events);
        assert!(events.try_next().is_none());
        go.store(true, Ordering::Relaxed);
        all_come(&mut context, &events, 1);
    }
}
