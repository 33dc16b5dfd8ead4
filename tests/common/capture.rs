//! A relay that writes what goes through it as a capture file, as a sniffer
//! would have: no rights are needed for it.

use super::pcapng;
use super::peer::patient;
use super::WAIT;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A tshark with nobody's own settings, which may name a log of their own; what it keeps goes
/// to this folder. The variable is that of the example `keylog`.
pub fn tshark(dir: &Path) -> Command {
    let program = std::env::var_os("TSHARK").unwrap_or_else(|| "tshark".into());
    let mut tshark = Command::new(program);
    for variable in ["HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
        tshark.env(variable, dir);
    }
    tshark
}

/// Who sent a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

type Pieces = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;

/// Hosts for documentation: TEST-NET-1, RFC 5737.
const HOSTS: [[u8; 4]; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]];

/// At this port Wireshark expects TLS.
const SERVER_PORT: u16 = 443;

/// Takes one connection, and passes it on to a server.
pub struct Relay {
    pub addr: SocketAddr,
    pieces: Pieces,
    thread: JoinHandle<()>,
}

impl Relay {
    pub fn to(server: SocketAddr) -> Relay {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let pieces = Pieces::default();
        let kept = Arc::clone(&pieces);
        let thread = thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(server).unwrap();
            patient(&client);
            patient(&server);
            let there = pass(&client, &server, Side::Client, &kept);
            let back = pass(&server, &client, Side::Server, &kept);
            there.join().unwrap();
            back.join().unwrap();
        });
        Relay {
            addr,
            pieces,
            thread,
        }
    }

    /// Waits for the end of the connection, and writes the capture.
    pub fn write_capture(self, path: &Path) {
        let packets = self.finish().packets(50_000);
        std::fs::write(path, [header(), packets].concat()).unwrap();
    }

    /// Waits for the end of the connection; what was said.
    pub fn finish(self) -> Conversation {
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let _ = end.send(self.thread.join());
        });
        ended
            .recv_timeout(WAIT)
            .expect("both sides have closed")
            .unwrap();
        Conversation(std::mem::take(&mut *self.pieces.lock().unwrap()))
    }
}

/// What was said on a connection.
pub struct Conversation(Vec<(Side, Vec<u8>)>);

/// Passes bytes on to the end, on a thread of its own.
fn pass(from: &TcpStream, to: &TcpStream, side: Side, pieces: &Pieces) -> JoinHandle<()> {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let pieces = Arc::clone(pieces);
    thread::spawn(move || {
        let mut buffer = [0; 1400];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            // Before it is passed on, so that no answer comes before its question.
            let piece = (side, buffer[..n].to_vec());
            pieces.lock().unwrap().push(piece);
            if to.write_all(&buffer[..n]).is_err() {
                break;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown(Shutdown::Write);
    })
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// What a capture file begins with (draft-ietf-opsawg-pcap).
pub fn header() -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    file.extend([0; 8]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes()); // LINKTYPE_ETHERNET
    file
}

impl Conversation {
    /// The packets of it, as a capture file has them, from this port of the client.
    pub fn packets(&self, port: u16) -> Vec<u8> {
        let mut tcp = Tcp {
            file: Vec::new(),
            ports: [port, SERVER_PORT],
            time: 1_700_000_000_000_000,
            next: [1000, 2000],
        };
        tcp.segment(Side::Client, SYN, &[]);
        tcp.segment(Side::Server, SYN | ACK, &[]);
        tcp.segment(Side::Client, ACK, &[]);
        for (side, piece) in &self.0 {
            tcp.segment(*side, PSH | ACK, piece);
        }
        tcp.segment(Side::Client, FIN | ACK, &[]);
        tcp.segment(Side::Server, FIN | ACK, &[]);
        tcp.segment(Side::Client, ACK, &[]);
        tcp.file
    }

    /// A capture file of the newer format.
    pub fn pcapng(&self) -> Vec<u8> {
        let at = |host: [u8; 4], port| SocketAddrV4::new(Ipv4Addr::from(host), port);
        let mut capture = pcapng::Capture::new();
        let mut stream = capture.open(at(HOSTS[0], 50_000), at(HOSTS[1], SERVER_PORT));
        for (side, piece) in &self.0 {
            let side = match side {
                Side::Client => pcapng::Side::Client,
                Side::Server => pcapng::Side::Server,
            };
            capture.data(&mut stream, side, piece);
        }
        capture.end(&mut stream, pcapng::Side::Client);
        capture.end(&mut stream, pcapng::Side::Server);
        capture.as_bytes().to_vec()
    }
}

/// The state of the connection that is made up.
struct Tcp {
    file: Vec<u8>,
    /// The client's and the server's.
    ports: [u16; 2],
    /// In microseconds.
    time: u64,
    /// The next sequence numbers of the client and of the server.
    next: [u32; 2],
}

impl Tcp {
    fn segment(&mut self, from: Side, flags: u8, payload: &[u8]) {
        let (own, other) = match from {
            Side::Client => (0, 1),
            Side::Server => (1, 0),
        };
        let mut tcp = Vec::new();
        tcp.extend(self.ports[own].to_be_bytes());
        tcp.extend(self.ports[other].to_be_bytes());
        tcp.extend(self.next[own].to_be_bytes());
        let acknowledged = if flags & ACK != 0 {
            self.next[other]
        } else {
            0
        };
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([5 << 4, flags]);
        tcp.extend(65_535_u16.to_be_bytes());
        tcp.extend([0; 4]); // checksums aren't looked at by default
        tcp.extend(payload);
        self.next[own] += payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);

        let mut packet = vec![2, 0, 0, 0, 0, other as u8, 2, 0, 0, 0, 0, own as u8, 8, 0];
        packet.extend([0x45, 0]);
        packet.extend((20 + tcp.len() as u16).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(HOSTS[own]);
        packet.extend(HOSTS[other]);
        packet.extend(tcp);

        self.time += 100;
        self.file
            .extend(((self.time / 1_000_000) as u32).to_le_bytes());
        self.file
            .extend(((self.time % 1_000_000) as u32).to_le_bytes());
        let length = (packet.len() as u32).to_le_bytes();
        self.file.extend(length);
        self.file.extend(length);
        self.file.extend(packet);
    }
}
