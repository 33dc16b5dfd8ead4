//! Key logs, taken apart; and the client random that a handshake shows.

use super::certs::{tls_over, Ca};
use super::peer::{open_over, tcp, Socket};
use super::{loopback, Echo, Running, WAIT};
use libwebsockets::keylog::KeyLog;
use libwebsockets::Context;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The labels of a TLS 1.3 connection without early data (RFC 9850, section 2.1).
pub const TLS13: [&str; 5] = [
    "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
    "CLIENT_TRAFFIC_SECRET_0",
    "EXPORTER_SECRET",
    "SERVER_HANDSHAKE_TRAFFIC_SECRET",
    "SERVER_TRAFFIC_SECRET_0",
];

/// The label of a TLS 1.2 connection.
pub const TLS12: [&str; 1] = ["CLIENT_RANDOM"];

/// A line of a key log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    pub random: String,
    pub label: String,
    pub secret: String,
}

/// The lines of a file, each checked against the format, and none there twice.
#[track_caller]
pub fn lines(path: &Path) -> BTreeSet<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "a cut line");
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        let [label, random, secret] = fields[..] else {
            panic!("no line of the format: {line:?}");
        };
        assert!(random.len() == 64 && hex(random), "no client random");
        assert!(secret.len() >= 64 && hex(secret), "no secret");
        let line = Line {
            random: random.to_ascii_lowercase(),
            label: label.to_owned(),
            secret: secret.to_ascii_lowercase(),
        };
        assert!(found.insert(line), "a record is there twice");
    }
    found
}

/// The labels of the lines with this client random, sorted.
pub fn labels(lines: &BTreeSet<Line>, random: &str) -> Vec<String> {
    let of = lines.iter().filter(|line| line.random == random);
    of.map(|line| line.label.clone()).collect()
}

/// The client randoms of a log.
pub fn randoms(lines: &BTreeSet<Line>) -> BTreeSet<String> {
    lines.iter().map(|line| line.random.clone()).collect()
}

/// A TCP stream that remembers what was written to it first.
#[derive(Clone)]
pub struct Remembers {
    stream: Arc<TcpStream>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Remembers {
    pub fn new(stream: TcpStream) -> Remembers {
        Remembers {
            stream: Arc::new(stream),
            written: Arc::default(),
        }
    }

    /// The random of the ClientHello that was written (RFC 8446, section 4.1.2).
    pub fn client_random(&self) -> String {
        client_random(&self.written.lock().unwrap())
    }
}

/// The client random of the first bytes of a TLS client.
pub fn client_random(written: &[u8]) -> String {
    assert_eq!(written.first(), Some(&22), "a handshake record");
    assert_eq!(written.get(5), Some(&1), "a ClientHello");
    written[11..43].iter().map(|b| format!("{b:02x}")).collect()
}

impl Read for Remembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buffer)
    }
}

impl Write for Remembers {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = (&*self.stream).write(bytes)?;
        let mut written = self.written.lock().unwrap();
        if written.len() < 43 {
            written.extend_from_slice(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a WebSocket over TLS; the socket, and the client random of its handshake.
pub fn open_tls(addr: SocketAddr, config: rustls::ClientConfig) -> (Socket, String) {
    let stream = Remembers::new(tcp(addr));
    let tls = tls_over(stream.clone(), "localhost", config);
    let url = format!("wss://localhost:{}/", addr.port());
    let (socket, _) = open_over(Box::new(tls), url);
    (socket, stream.client_random())
}

/// An echo server over TLS, with this log.
pub fn logged(ca: &Ca, keylog: KeyLog) -> Running {
    let tls = ca.sign(&["localhost", "127.0.0.1"]).server();
    Running::start(move || {
        let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
        Context::builder().vhost(vhost).keylog(keylog)
    })
}

/// Makes a connection, sees that it works, and ends it; the random of its handshake.
#[track_caller]
pub fn visit(server: &Running, ca: &Ca) -> String {
    visit_at(server.addr(), ca)
}

/// The same at an address of the server's.
#[track_caller]
pub fn visit_at(addr: SocketAddr, ca: &Ca) -> String {
    let (mut socket, random) = open_tls(addr, ca.rustls_client());
    socket.send("hello".into()).unwrap();
    assert_eq!(super::peer::read(&mut socket), "hello".into());
    random
}
