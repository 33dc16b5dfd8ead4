//! A relay that writes what goes through it as a capture file, as a sniffer
//! would have: no rights are needed for it.

use super::peer::patient;
use super::WAIT;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Who sent a piece.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

type Pieces = Arc<Mutex<Vec<(Side, Vec<u8>)>>>;

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
        let (end, ended) = mpsc::channel();
        thread::spawn(move || {
            let _ = end.send(self.thread.join());
        });
        ended
            .recv_timeout(WAIT)
            .expect("both sides have closed")
            .unwrap();
        std::fs::write(path, capture(&self.pieces.lock().unwrap())).unwrap();
    }
}

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

/// A capture file of one TCP connection to port 443 with these pieces
/// (draft-ietf-opsawg-pcap).
fn capture(pieces: &[(Side, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    file.extend([0; 8]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes()); // LINKTYPE_ETHERNET
    let mut tcp = Tcp {
        file,
        time: 1_700_000_000_000_000,
        next: [1000, 2000],
    };
    tcp.segment(Side::Client, SYN, &[]);
    tcp.segment(Side::Server, SYN | ACK, &[]);
    tcp.segment(Side::Client, ACK, &[]);
    for (side, piece) in pieces {
        tcp.segment(*side, PSH | ACK, piece);
    }
    tcp.segment(Side::Client, FIN | ACK, &[]);
    tcp.segment(Side::Server, FIN | ACK, &[]);
    tcp.segment(Side::Client, ACK, &[]);
    tcp.file
}

/// The state of the connection that is made up.
struct Tcp {
    file: Vec<u8>,
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
        let ports = [50_000_u16, 443];
        let hosts = [[192, 0, 2, 1], [192, 0, 2, 2]]; // TEST-NET-1, RFC 5737
        let mut tcp = Vec::new();
        tcp.extend(ports[own].to_be_bytes());
        tcp.extend(ports[other].to_be_bytes());
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
        packet.extend(hosts[own]);
        packet.extend(hosts[other]);
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
