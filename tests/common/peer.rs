//! Peers that aren't this crate: tungstenite, and raw sockets.

use super::WAIT;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::handshake::derive_accept_key;
use tungstenite::{Message, WebSocket};

/// What a WebSocket runs over.
pub trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

pub type Stream = Box<dyn Io>;
pub type Socket = WebSocket<Stream>;

/// A TCP connection that never blocks for longer than [`WAIT`].
pub fn tcp(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&addr, WAIT).expect("the server listens");
    patient(&stream);
    stream
}

/// Bounds the reads and writes of a socket.
pub fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(WAIT)).expect("a socket");
    stream.set_write_timeout(Some(WAIT)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
}

/// Opens a WebSocket at a path.
pub fn open(addr: SocketAddr, path: &str) -> Socket {
    open_over(
        Box::new(tcp(addr)),
        format!("ws://localhost:{}{path}", addr.port()),
    )
    .0
}

/// Opens a WebSocket over a stream.
pub fn open_over(stream: Stream, request: impl IntoClientRequest) -> (Socket, Response) {
    match tungstenite::client(request, stream) {
        Ok(opened) => opened,
        Err(e) => panic!("the server doesn't open a WebSocket: {e}"),
    }
}

/// The next text, binary or close message: tungstenite also shows pongs.
pub fn read(socket: &mut Socket) -> Message {
    socket.read().expect("a message comes")
}

/// Reads until the connection is over; the close frame that came, if one did.
pub fn read_close(socket: &mut Socket) -> Option<(u16, String)> {
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => {
                let frame = frame.map(|f| (u16::from(f.code), f.reason.as_str().to_owned()));
                // The answer goes out with the next read.
                while socket.read().is_ok() {}
                return frame;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(e))
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) =>
            {
                panic!("the connection stays open")
            }
            Err(_) => return None,
        }
    }
}

/// A peer that sends what it is told, right or wrong.
pub struct Raw {
    stream: Stream,
    unread: Vec<u8>,
    /// It is the server's end, which gets masked frames and sends others.
    serves: bool,
}

/// A response to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// A frame as it came.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A request that opens a WebSocket; `extra` are more header lines, each with its CRLF.
pub fn upgrade(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

/// The answer to a request, and that the connection ends after it.
#[track_caller]
pub fn ask(addr: SocketAddr, request: &str) -> Answer {
    let mut raw = Raw::connect(addr);
    let answer = raw.ask(request);
    if answer.status != 101 {
        assert!(raw.is_over());
    }
    answer
}

/// An upgrade request with a line replaced or, by "", taken out.
pub fn altered(line: &str, by: &str) -> String {
    let request = upgrade("/", "");
    assert!(request.contains(line), "{line:?}");
    request.replace(line, by)
}

impl Raw {
    pub fn connect(addr: SocketAddr) -> Raw {
        Raw::over(Box::new(tcp(addr)))
    }

    pub fn over(stream: Stream) -> Raw {
        Raw {
            stream,
            unread: Vec::new(),
            serves: false,
        }
    }

    /// Takes a client's connection, and opens a WebSocket; `extra` are more
    /// header lines of the answer, each with its CRLF.
    pub fn accept(listener: &TcpListener, extra: &str) -> Raw {
        let (tcp, _) = listener.accept().expect("a client connects");
        patient(&tcp);
        Raw::serve(Box::new(tcp), extra)
    }

    /// The same over a stream that is there already.
    pub fn serve(stream: Stream, extra: &str) -> Raw {
        let mut raw = Raw::over(stream);
        raw.serves = true;
        let request = raw.head();
        let key = accept_key(&request);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\n{extra}\r\n"
        );
        raw.send(answer.as_bytes());
        raw
    }

    /// Connects, and opens a WebSocket.
    pub fn open(addr: SocketAddr) -> Raw {
        let mut raw = Raw::connect(addr);
        let answer = raw.ask(&upgrade("/", ""));
        assert_eq!(answer.status, 101, "{answer:?}");
        raw
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the peer reads");
        self.stream.flush().expect("the peer reads");
    }

    /// Sends as much as the peer takes; whether that was all.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a request, and reads the response.
    pub fn ask(&mut self, request: &str) -> Answer {
        self.send(request.as_bytes());
        self.answer()
    }

    /// Reads a request or a response up to the empty line.
    fn head(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(
                self.fill(),
                "the connection ends within a head: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        String::from_utf8(head).expect("a head is ASCII")
    }

    /// Reads a response.
    pub fn answer(&mut self) -> Answer {
        let head = self.head();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("no status: {head:?}"));
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: String::new(),
        };
        if status != 101 {
            let length: usize = answer
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a number"));
            while self.unread.len() < length {
                assert!(self.fill(), "the connection ends within a body");
            }
            let body = self.unread.drain(..length).collect();
            answer.body = String::from_utf8(body).expect("a body is UTF-8");
        }
        answer
    }

    /// Sends a frame as this end has to; `first` is its first byte.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let frame = self.framed(first, payload);
        self.send(&frame);
    }

    /// A frame as this end has to send it.
    pub fn framed(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self.serves {
            true => unmasked(first, payload),
            false => frame(first, payload),
        }
    }

    /// The next frame, which is long, with a wait before each read.
    pub fn frame_by(&mut self, mut wait: impl FnMut()) -> Option<Frame> {
        assert!(self.fill_to(10), "a frame comes");
        let length = self.unread[2..10].try_into().expect("8 bytes");
        let length = usize::try_from(u64::from_be_bytes(length)).expect("it fits");
        while self.unread.len() < length {
            wait();
            assert!(self.fill(), "the connection ends within a frame");
        }
        self.frame()
    }

    /// Waits until the head of a frame is there.
    pub fn wait(&mut self) {
        assert!(self.fill_to(2), "the connection is over");
    }

    /// The next frame; `None`: the connection is over.
    pub fn frame(&mut self) -> Option<Frame> {
        if !self.fill_to(2) {
            return None;
        }
        let (first, second) = (self.unread[0], self.unread[1]);
        let is_masked = second & 0x80 != 0;
        assert_eq!(is_masked, self.serves, "a client masks, a server doesn't");
        let (mut head, length) = match second & 0x7f {
            126 => {
                assert!(self.fill_to(4), "a cut frame");
                let length = u16::from_be_bytes([self.unread[2], self.unread[3]]);
                (4, usize::from(length))
            }
            127 => {
                assert!(self.fill_to(10), "a cut frame");
                let length: [u8; 8] = self.unread[2..10].try_into().expect("8 bytes");
                (
                    10,
                    usize::try_from(u64::from_be_bytes(length)).expect("it fits"),
                )
            }
            short => (2, usize::from(short)),
        };
        let mut mask = [0; 4];
        if is_masked {
            assert!(self.fill_to(head + 4), "a cut frame");
            mask.copy_from_slice(&self.unread[head..head + 4]);
            head += 4;
        }
        assert!(self.fill_to(head + length), "a cut frame");
        let payload = self.unread[head..head + length].iter();
        let payload = payload.zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        let payload = payload.collect();
        self.unread.drain(..head + length);
        Some(Frame {
            fin: first & 0x80 != 0,
            rsv: (first >> 4) & 7,
            opcode: first & 0xf,
            payload,
        })
    }

    /// The code of the close frame that comes next, and that then the
    /// connection ends; `None`: it ends without one.
    pub fn close_code(&mut self) -> Option<u16> {
        let code = loop {
            match self.frame() {
                Some(Frame {
                    opcode: CLOSE,
                    payload,
                    ..
                }) => break payload.get(..2).map(|c| u16::from_be_bytes([c[0], c[1]])),
                Some(_) => {}
                None => return None,
            }
        };
        let answer = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
        let answer = self.framed(0x80 | CLOSE, &answer);
        self.try_send(&answer);
        assert_eq!(self.frame(), None, "nothing follows a close frame");
        code
    }

    /// All that comes until the connection is over.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.unread)
    }

    /// Whether the peer has closed the connection, which is waited for.
    pub fn is_over(&mut self) -> bool {
        while self.fill() {}
        true
    }

    fn fill_to(&mut self, len: usize) -> bool {
        while self.unread.len() < len {
            if !self.fill() {
                assert!(self.unread.is_empty(), "the connection ends within a frame");
                return false;
            }
        }
        true
    }

    /// Reads something; false at the end. A peer that stays silent is a panic.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.unread.extend_from_slice(&buffer[..n]);
                true
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("the peer is silent"),
            Err(e) if e.kind() == std::io::ErrorKind::TimedOut => panic!("the peer is silent"),
            Err(_) => false,
        }
    }
}

/// A masked frame, as a client sends it; `first` is its first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
    let mut frame = head(first, 0x80, payload.len());
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// A frame as a server sends it; `first` is its first byte.
pub fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    [&head(first, 0, payload.len()), payload].concat()
}

/// The bytes up to a frame's length, in the shortest form that holds it.
fn head(first: u8, mask: u8, length: usize) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        short @ 0..=125 => head.push(mask | short as u8),
        medium @ 126..=0xffff => {
            head.push(mask | 126);
            head.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            head.push(mask | 127);
            head.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    head
}

/// A server on this vhost that gives a handshake a second; a peer that begins
/// with `bytes` and sends no more is left after it.
#[track_caller]
pub fn is_not_waited_for(vhost: fn() -> libwebsockets::Vhost, bytes: &[u8]) {
    let server = super::Running::start(move || {
        libwebsockets::Context::builder()
            .handshake_timeout(Duration::from_secs(1))
            .vhost(vhost().accept(|_| Ok(super::Echo)))
    });
    let mut raw = Raw::connect(server.addr());
    raw.send(bytes);
    let start = Instant::now();
    assert!(raw.is_over());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

/// What answers the key of a client's request (RFC 6455, section 4.2.2).
pub fn accept_key(request: &str) -> String {
    let mut fields = request.lines().filter_map(|line| line.split_once(": "));
    let key = fields.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let (_, key) = key.unwrap_or_else(|| panic!("no key: {request}"));
    derive_accept_key(key.as_bytes())
}

/// The head of a request or an answer: reads one byte at a time up to an empty line,
/// and so nothing behind it.
#[track_caller]
pub fn http_head(stream: &mut (impl Read + ?Sized)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
