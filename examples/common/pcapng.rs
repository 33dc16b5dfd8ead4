//! A capture file of TCP streams that were seen as streams, not as packets: the
//! Ethernet, IPv4 and TCP headers around them are made up, so that no rights to
//! capture are needed.
//!
//! The format is that of the IETF draft "PCAP Now Generic (pcapng) Capture File
//! Format" (draft-ietf-opsawg-pcapng): a section header, one interface, and an
//! enhanced packet block for each packet.

use std::net::SocketAddrV4;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most bytes of payload in one packet: what an Ethernet frame takes.
const MAX_SEGMENT: usize = 1460;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// A TCP connection in the capture.
pub struct Stream {
    client: SocketAddrV4,
    server: SocketAddrV4,
    /// The next sequence number of the client and of the server.
    next: [u32; 2],
}

/// A capture, in memory.
pub struct Capture {
    bytes: Vec<u8>,
}

impl Capture {
    pub fn new() -> Self {
        let mut capture = Capture { bytes: Vec::new() };
        // The magic number tells the byte order; version 1.0; section of unknown length.
        let mut section = 0x1A2B_3C4D_u32.to_le_bytes().to_vec();
        section.extend([1, 0, 0, 0]);
        section.extend((-1_i64).to_le_bytes());
        capture.block(0x0A0D_0D0A, &section);
        // Link type 1, Ethernet; no limit of length. Times are in microseconds.
        capture.block(1, &[1, 0, 0, 0, 0, 0, 0, 0]);
        capture
    }

    /// The file's contents.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A connection is opened: TCP's three-way handshake.
    pub fn open(&mut self, client: SocketAddrV4, server: SocketAddrV4) -> Stream {
        let mut stream = Stream {
            client,
            server,
            next: [1000, 2000],
        };
        self.packet(&mut stream, Side::Client, SYN, &[]);
        self.packet(&mut stream, Side::Server, SYN | ACK, &[]);
        self.packet(&mut stream, Side::Client, ACK, &[]);
        stream
    }

    /// One side sends, the other acknowledges.
    pub fn data(&mut self, stream: &mut Stream, from: Side, data: &[u8]) {
        for segment in data.chunks(MAX_SEGMENT) {
            self.packet(stream, from, PSH | ACK, segment);
        }
        self.packet(stream, from.other(), ACK, &[]);
    }

    /// One side sends no more.
    pub fn end(&mut self, stream: &mut Stream, from: Side) {
        self.packet(stream, from, FIN | ACK, &[]);
        self.packet(stream, from.other(), ACK, &[]);
    }

    fn packet(&mut self, stream: &mut Stream, from: Side, flags: u8, payload: &[u8]) {
        let packet = stream.packet(from, flags, payload);
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_micros() as u64;
        let length = (packet.len() as u32).to_le_bytes();
        let mut body = vec![0; 4]; // the interface
        body.extend(((now >> 32) as u32).to_le_bytes());
        body.extend((now as u32).to_le_bytes());
        body.extend(length); // as captured
        body.extend(length); // as sent
        body.extend(packet);
        self.block(6, &body);
    }

    /// A block: its type, length, padded body, and length again.
    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(length);
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len() + padded - body.len(), 0);
        self.bytes.extend(length);
    }
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

impl Stream {
    /// A frame from one side to the other; counts its sequence numbers.
    fn packet(&mut self, from: Side, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (source, target) = match from {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        };
        let sequence = self.next[from as usize];
        let acknowledged = match flags & ACK {
            0 => 0,
            _ => self.next[from.other() as usize],
        };
        // SYN and FIN count as a byte (RFC 9293 §3.4).
        let counted = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.next[from as usize] = sequence.wrapping_add(counted);

        let mut tcp = Vec::with_capacity(20 + payload.len());
        tcp.extend(source.port().to_be_bytes());
        tcp.extend(target.port().to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(acknowledged.to_be_bytes());
        tcp.extend([5 << 4, flags, 0xFF, 0xFF]); // five words of header, window 65535
        tcp.extend([0; 4]); // checksum, urgent pointer
        tcp.extend(payload);
        let length = tcp.len() as u16;
        let mut pseudo = [source.ip().octets(), target.ip().octets()].concat();
        pseudo.extend([0, 6]);
        pseudo.extend(length.to_be_bytes());
        let sum = checksum(&[pseudo, tcp.clone()].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());

        let mut ip = vec![0x45, 0]; // IPv4, five words of header
        ip.extend((length + 20).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]); // don't fragment, TTL 64, TCP
        ip.extend(source.ip().octets());
        ip.extend(target.ip().octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        // Locally administered addresses, then the type: IPv4.
        let (a, b) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let ethernet = match from {
            Side::Client => [b, a].concat(),
            Side::Server => [a, b].concat(),
        };
        [ethernet, vec![8, 0], ip, tcp].concat()
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
