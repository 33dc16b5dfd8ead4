//! Bytes to and from the server.

use crate::programs::{Server, PATIENCE};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

pub const URLENCODED: &str = "application/x-www-form-urlencoded";

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header block of `GET /`, from the static table.
pub fn get_request() -> Vec<u8> {
    b"\x82\x84\x86".to_vec()
}

/// An integer of HPACK in the low `bits` of a byte that starts with `first`, and in as many more as it takes.
pub fn hpack_integer(first: u8, bits: u32, value: u64) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![first | value as u8];
    }
    let mut bytes = vec![first | most as u8];
    let mut rest = value - most;
    while rest > 0x7f {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// What a stream of HTTP/2 came to.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// A response with this status.
    Status(u16),
    Reset,
    GoAway,
    Closed,
    /// The connection is open, but nothing came in time.
    Nothing,
}

/// A connection to the server.
pub struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    pub fn connect(server: &Server) -> Peer {
        let stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the server is gone");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            stream,
            unread: Vec::new(),
        }
    }

    /// A connection that speaks HTTP/2.
    pub fn connect_h2(server: &Server) -> Peer {
        let mut peer = Peer::connect(server);
        peer.send(PREFACE);
        peer.send(&frame(SETTINGS, 0, 0, b""));
        // The server answers with its settings and an acknowledgement of ours; only then does it read on.
        let mut acknowledged = false;
        while !acknowledged {
            let (kind, flags, _, _) = peer.frame().expect("no settings");
            acknowledged = kind == SETTINGS && flags & 1 != 0;
        }
        peer
    }

    /// Sends bytes. The server may close the connection at any time, so an error is none.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Reads until there are `wanted` unread bytes.
    fn fill(&mut self, wanted: usize) -> Result<(), Answer> {
        while self.unread.len() < wanted {
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Answer::Closed),
                Ok(n) => self.unread.extend(&buffer[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Answer::Nothing);
                }
                Err(_) => return Err(Answer::Closed),
            }
        }
        Ok(())
    }

    /// Status and body of a response by HTTP/1.
    pub fn response(&mut self) -> (u16, String) {
        self.try_response().expect("no response")
    }

    fn try_response(&mut self) -> Result<(u16, String), Answer> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill(self.unread.len() + 1)?;
        };
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap_or("0");
        let length = length.parse().unwrap();
        self.fill(length)?;
        Ok((
            status,
            String::from_utf8(self.unread.drain(..length).collect()).unwrap(),
        ))
    }

    /// Posts a form by HTTP/1. `None` if the server closes the connection instead of answering.
    pub fn post_form(mut self, content_type: &str, body: &str) -> Option<(u16, String)> {
        let request = format!(
            "POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(request.as_bytes());
        match self.try_response() {
            Ok(response) => Some(response),
            Err(Answer::Closed) => None,
            Err(other) => panic!("the form came to: {other:?}"),
        }
    }

    /// Kind, flags, stream and payload of the next frame of HTTP/2.
    pub fn frame(&mut self) -> Result<(u8, u8, u32, Vec<u8>), Answer> {
        self.fill(9)?;
        let head: Vec<u8> = self.unread.drain(..9).collect();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        self.fill(length)?;
        Ok((
            head[3],
            head[4],
            stream,
            self.unread.drain(..length).collect(),
        ))
    }

    /// Waits for what becomes of a stream of HTTP/2.
    pub fn stream_answer(&mut self, wanted: u32) -> Answer {
        loop {
            match self.frame() {
                Err(other) => return other,
                Ok((GOAWAY, ..)) => return Answer::GoAway,
                Ok((RST_STREAM, _, stream, _)) if stream == wanted => return Answer::Reset,
                Ok((HEADERS, _, stream, block)) if stream == wanted => {
                    let at = block
                        .windows(8)
                        .position(|w| w == b":status\x03")
                        .expect("no status")
                        + 8;
                    let status = std::str::from_utf8(&block[at..at + 3]).unwrap();
                    return Answer::Status(status.parse().unwrap());
                }
                Ok(_) => {}
            }
        }
    }
}

/// Sees that the server still answers.
pub fn assert_h2_works(server: &Server) {
    let mut peer = Peer::connect_h2(server);
    peer.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &get_request()));
    assert_eq!(
        peer.stream_answer(1),
        Answer::Status(200),
        "the server no longer works"
    );
}
