//! Peers that stall, or trickle, in any phase: they are left in time, by deadlines that
//! the builder sets unless it is told others.

use crate::common::peer::{accept_key, http_head, tcp, upgrade};
use crate::common::{client_context, loopback, probe, Events, Running};
use libwebsockets::{Client, Context, WebSocketConfig};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How often a peer that trickles sends a byte.
const TRICKLE: Duration = Duration::from_millis(300);

/// What a peer does: it sends this, and then these over and over, each by itself.
#[derive(Clone, Copy)]
struct Peer {
    what: &'static str,
    tls: bool,
    /// In which phase it stalls.
    phase: Phase,
    begins: &'static [u8],
    goes_on: &'static [u8],
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// Before anything of its layer was sent: TLS if that is on, else HTTP.
    Start,
    /// Once TLS is done.
    Http,
    /// Once the WebSocket is open.
    Open,
}
use Phase::{Http, Open, Start};

const fn peer(
    what: &'static str,
    tls: bool,
    phase: Phase,
    begins: &'static [u8],
    goes_on: &'static [u8],
) -> Peer {
    Peer {
        what,
        tls,
        phase,
        begins,
        goes_on,
    }
}

/// The header of a TLS record with the beginning of a handshake message.
const HELLO: &[u8] = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03";
/// The head of a binary frame of 60000 bytes, as a client and as a server sends it.
const MASKED: &[u8] = b"\x82\xfe\xea\x60\0\0\0\0data";
const UNMASKED: &[u8] = b"\x82\x7e\xea\x60data";

#[rustfmt::skip]
const CLIENTS: &[Peer] = &[
    peer("nothing", false, Start, b"", b""),
    peer("half a request", false, Start, b"GET / HTTP/1.1\r\nHost: loc", b""),
    peer("a request that trickles", false, Start, b"GET / HTTP/1.1\r\nX-Long: ", b"a"),
    peer("nothing of TLS", true, Start, b"", b""),
    peer("half a hello", true, Start, HELLO, b""),
    peer("a hello that trickles", true, Start, HELLO, b"\0"),
    peer("nothing over TLS", true, Http, b"", b""),
    peer("half a request over TLS", true, Http, b"GET / HT", b""),
    peer("a request that trickles over TLS", true, Http, b"GET /", b"a"),
    peer("half a frame", false, Open, MASKED, b""),
    peer("a frame that trickles", false, Open, MASKED, b"\0"),
    peer("half a message", false, Open, b"\x02\x81\0\0\0\0a", b""),
    peer("half a frame over TLS", true, Open, MASKED, b""),
    peer("a frame that trickles over TLS", true, Open, MASKED, b"\0"),
];

#[rustfmt::skip]
const SERVERS: &[Peer] = &[
    peer("nothing", false, Start, b"", b""),
    peer("half an answer", false, Start, b"HTTP/1.1 101 Switching Protocols\r\nUpgr", b""),
    peer("an answer that trickles", false, Start, b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ", b"a"),
    peer("nothing of TLS", true, Start, b"", b""),
    peer("half a hello", true, Start, SERVER_HELLO, b""),
    peer("a hello that trickles", true, Start, SERVER_HELLO, b"\0"),
    peer("nothing over TLS", true, Http, b"", b""),
    peer("half an answer over TLS", true, Http, b"HTTP/1.1 101", b""),
    peer("an answer that trickles over TLS", true, Http, b"HTTP/1.1 101 Switching Protocols\r\nX-Long: ", b"a"),
    peer("half a frame", false, Open, UNMASKED, b""),
    peer("a frame that trickles", false, Open, UNMASKED, b"\0"),
    peer("half a frame over TLS", true, Open, UNMASKED, b""),
];

trait Io: Read + Write {}
impl<T: Read + Write> Io for T {}

impl Peer {
    fn is_open(&self) -> bool {
        self.phase == Open
    }

    /// Does what it does until the other side ends the connection; how long that took.
    fn stall(&self, stream: &mut dyn Io) -> Duration {
        let start = Instant::now();
        if stream.write_all(self.begins).is_err() {
            return start.elapsed();
        }
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if stream.write_all(self.goes_on).is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
            assert!(start.elapsed() < LIMIT, "{}: it is never left", self.what);
        }
        start.elapsed()
    }
}

/// No deadline is as late as that.
const LIMIT: Duration = Duration::from_secs(60);

/// A context of ours that is stalled: with short deadlines, or with those it has by
/// itself.
#[derive(Clone, Copy)]
struct Deadlines {
    short: bool,
}

impl Deadlines {
    fn config(self) -> WebSocketConfig {
        let config = WebSocketConfig::new();
        match self.short {
            true => config
                .ping_after(Duration::from_secs(1))
                .idle_timeout(Duration::from_secs(2)),
            false => config,
        }
    }

    fn context(self) -> libwebsockets::ContextBuilder {
        let builder = Context::builder();
        match self.short {
            true => builder.handshake_timeout(Duration::from_secs(1)),
            false => builder,
        }
    }

    fn client(self, url: &str) -> Client {
        let client = Client::new(url).unwrap().config(self.config());
        match self.short {
            true => client.connect_timeout(Duration::from_secs(1)),
            false => client,
        }
    }

    /// Whether a peer was left in time, and not at once.
    fn fits(self, took: Duration) -> bool {
        let seconds = match self.short {
            true => 0.5..8.0,
            false => 15.0..40.0,
        };
        seconds.contains(&took.as_secs_f64())
    }
}

#[cfg(feature = "_tls")]
mod layer {
    use super::{Io, TcpStream};
    use crate::common::certs::{tls_over, Ca, Identity};
    use libwebsockets::tls::ServerTls;
    use std::sync::{Arc, OnceLock};

    fn authority() -> &'static (Ca, Identity) {
        static CA: OnceLock<(Ca, Identity)> = OnceLock::new();
        CA.get_or_init(|| {
            let ca = Ca::new();
            let identity = ca.sign(&["localhost"]);
            (ca, identity)
        })
    }

    pub fn server() -> ServerTls {
        authority().1.server()
    }

    pub fn trusting(client: libwebsockets::Client) -> libwebsockets::Client {
        client.tls(authority().0.trust())
    }

    /// A client's end of TLS, its handshake done.
    pub fn connect(tcp: TcpStream) -> Box<dyn Io> {
        let mut tls = tls_over(tcp, "localhost", authority().0.rustls_client());
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        Box::new(tls)
    }

    /// A server's end of TLS, its handshake done.
    pub fn accept(tcp: TcpStream) -> Box<dyn Io> {
        let config = Arc::new(authority().1.rustls_server());
        let conn = rustls::ServerConnection::new(config).unwrap();
        let mut tls = rustls::StreamOwned::new(conn, tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).unwrap();
        }
        Box::new(tls)
    }
}

/// Builds without TLS try the other peers.
#[cfg(not(feature = "_tls"))]
mod layer {
    use super::{Io, TcpStream};

    pub fn trusting(client: libwebsockets::Client) -> libwebsockets::Client {
        client
    }
    pub fn connect(tcp: TcpStream) -> Box<dyn Io> {
        Box::new(tcp)
    }
    pub fn accept(tcp: TcpStream) -> Box<dyn Io> {
        Box::new(tcp)
    }
}

/// A server of ours, with TLS or without.
fn server(deadlines: Deadlines, tls: bool) -> (Running, Events) {
    let (probe, events) = probe();
    let server = Running::start(move || {
        let vhost = loopback().config(deadlines.config());
        #[cfg(feature = "_tls")]
        let vhost = if tls {
            vhost.tls(layer::server())
        } else {
            vhost
        };
        #[cfg(not(feature = "_tls"))]
        assert!(!tls);
        deadlines
            .context()
            .vhost(vhost.accept(move |_| Ok(probe.clone())))
    });
    (server, events)
}

/// Our server with this client; what was wrong.
fn try_client(deadlines: Deadlines, peer: Peer) -> Result<(), String> {
    let (server, events) = server(deadlines, peer.tls);
    let tcp = tcp(server.addr());
    let handle = tcp.try_clone().unwrap();
    let mut stream: Box<dyn Io> = match peer.tls && peer.phase != Start {
        true => layer::connect(tcp),
        false => Box::new(tcp),
    };
    if peer.is_open() {
        stream.write_all(upgrade("/", "").as_bytes()).unwrap();
        assert!(http_head(&mut *stream).starts_with("HTTP/1.1 101"));
        events.open();
    }
    handle.set_read_timeout(Some(TRICKLE)).unwrap();
    let took = peer.stall(&mut *stream);
    if peer.is_open() {
        events.closed();
    }
    let fine = deadlines.fits(took);
    fine.then_some(())
        .ok_or_else(|| format!("a client, {}: {took:?}", peer.what))
}

/// Our client with this server; what was wrong.
fn try_server(deadlines: Deadlines, peer: Peer) -> Result<(), String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let scheme = if peer.tls { "wss" } else { "ws" };
    let url = format!(
        "{scheme}://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    let (probe, events) = probe();
    let client = Running::start(move || deadlines.context());
    let to = layer::trusting(deadlines.client(&url));
    let start = Instant::now();
    drop(client.handle.connect(to, probe).unwrap());
    let (tcp, _) = listener.accept().unwrap();
    crate::common::peer::patient(&tcp);
    let handle = tcp.try_clone().unwrap();
    let mut stream: Box<dyn Io> = match peer.tls && peer.phase != Start {
        true => layer::accept(tcp),
        false => Box::new(tcp),
    };
    if peer.is_open() {
        let key = accept_key(&http_head(&mut *stream));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        events.open();
    }
    handle.set_read_timeout(Some(TRICKLE)).unwrap();
    peer.stall(&mut *stream);
    match peer.is_open() {
        true => drop(events.closed()),
        false => drop(events.connect_error()),
    }
    let took = start.elapsed();
    let fine = deadlines.fits(took);
    fine.then_some(())
        .ok_or_else(|| format!("a server, {}: {took:?}", peer.what))
}

/// Tries peers at the same time, for each takes its time.
fn try_all(peers: &[Peer], deadlines: Deadlines, one: fn(Deadlines, Peer) -> Result<(), String>) {
    let peers = peers
        .iter()
        .filter(|peer| cfg!(feature = "_tls") || !peer.tls);
    // What happens at an open WebSocket takes minutes by default.
    let peers = peers.filter(|peer| deadlines.short || !peer.is_open());
    let threads: Vec<_> = peers
        .map(|peer| {
            let peer = *peer;
            std::thread::spawn(move || one(deadlines, peer))
        })
        .collect();
    let results = threads.into_iter().map(|thread| thread.join());
    let wrong: Vec<String> = results
        .filter_map(|result| match result {
            Ok(result) => result.err(),
            Err(panic) => std::panic::resume_unwind(panic),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clients_that_stall_are_left() {
    try_all(CLIENTS, Deadlines { short: true }, try_client);
}

#[test]
fn servers_that_stall_are_left() {
    try_all(SERVERS, Deadlines { short: true }, try_server);
}

// Lost: a server that nobody configured, and that collects such peers until it has no
// descriptor left.
#[test]
fn clients_that_stall_are_left_by_default() {
    try_all(CLIENTS, Deadlines { short: false }, try_client);
}

#[test]
fn servers_that_stall_are_left_by_default() {
    try_all(SERVERS, Deadlines { short: false }, try_server);
}

#[cfg(target_os = "linux")] // which drops what a full queue has no room for
#[test]
fn a_server_that_accepts_no_connection_is_left() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    // Fills the queue of those that wait to be accepted.
    let mut waiting = Vec::new();
    while let Ok(tcp) = TcpStream::connect_timeout(&addr, Duration::from_millis(500)) {
        waiting.push(tcp);
        assert!(waiting.len() < 5000, "the queue is never full");
    }
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://{addr}/")).unwrap();
    let to = to.connect_timeout(Duration::from_secs(1));
    let start = Instant::now();
    drop(client.handle.connect(to, probe).unwrap());
    events.connect_error();
    let took = start.elapsed();
    assert!(Deadlines { short: true }.fits(took), "{took:?}");
}
