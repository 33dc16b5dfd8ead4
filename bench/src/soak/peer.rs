//! A client's connection that blocks, and does no more than it is told.

use super::wire::{self, Frame};
use super::Fail;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The longest that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Addresses that clients come from: one alone has no more than 28,000 ports, and
/// keeps those of connections that it closed for a minute.
const SOURCES: u32 = 64;

/// A TCP connection from the next of the sources 127.0.1.1, 127.0.1.2 and so on.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    connect_within(to, PATIENCE)
}

/// The same, with a limit.
pub fn connect_within(to: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed) % SOURCES;
    let from = SocketAddr::from(([127, 0, 1, 1 + number as u8], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), limit)?;
    let stream: TcpStream = socket.into();
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A WebSocket client.
pub struct Peer {
    stream: Stream,
    input: Vec<u8>,
}

impl Peer {
    /// A plain connection, upgraded.
    pub fn open(to: SocketAddr, path: &str) -> Result<Self, Fail> {
        Peer::upgrade(connect(to)?, path)
    }

    /// One over TLS, upgraded.
    pub fn open_tls(to: SocketAddr, tls: &Arc<ClientConfig>, path: &str) -> Result<Self, Fail> {
        let stream = StreamOwned::new(super::tls::session(tls)?, connect(to)?);
        Peer::handshake(Stream::Tls(Box::new(stream)), path)
    }

    /// Upgrades a connection.
    pub fn upgrade(stream: TcpStream, path: &str) -> Result<Self, Fail> {
        Peer::handshake(Stream::Plain(stream), path)
    }

    fn handshake(stream: Stream, path: &str) -> Result<Self, Fail> {
        let mut peer = Peer::ask(stream, path)?;
        peer.upgraded()?;
        Ok(peer)
    }

    /// A plain connection that has asked to be upgraded.
    pub fn begin(to: SocketAddr, path: &str) -> Result<Self, Fail> {
        Peer::ask(Stream::Plain(connect(to)?), path)
    }

    fn ask(stream: Stream, path: &str) -> Result<Self, Fail> {
        let mut peer = Peer {
            stream,
            input: Vec::new(),
        };
        peer.write(wire::request(path).as_bytes())?;
        Ok(peer)
    }

    /// Reads the answer to the request to upgrade.
    pub fn upgraded(&mut self) -> Result<(), Fail> {
        loop {
            let end = self.input.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.input.drain(..end + 4).collect();
                if head.starts_with(b"HTTP/1.1 101 ") {
                    return Ok(());
                }
                return Err(format!("refused: {}", head.escape_ascii()).into());
            }
            self.fill()?;
        }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Sends a message in one frame.
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write(&wire::frame(true, wire::BINARY, message))
    }

    /// Sends a message in three frames with a ping between them.
    pub fn send_in_pieces(&mut self, message: &[u8]) -> io::Result<()> {
        let (first, rest) = message.split_at(message.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);
        let mut bytes = wire::frame(false, wire::BINARY, first);
        bytes.extend(wire::frame(true, wire::PING, b"between"));
        bytes.extend(wire::frame(false, wire::CONTINUATION, second));
        bytes.extend(wire::frame(true, wire::CONTINUATION, third));
        self.write(&bytes)
    }

    /// The next message; pings are answered meanwhile.
    pub fn message(&mut self) -> Result<Vec<u8>, Fail> {
        let mut message = Vec::new();
        loop {
            let frame = self.frame()?;
            match frame.opcode {
                wire::PING => self.write(&wire::frame(true, wire::PONG, &frame.payload))?,
                wire::PONG => {}
                wire::CLOSE => {
                    let code = frame.payload.first_chunk().map(|c| u16::from_be_bytes(*c));
                    return Err(format!("closed with {code:?}").into());
                }
                _ => {
                    message.extend(frame.payload);
                    if frame.last {
                        return Ok(message);
                    }
                }
            }
        }
    }

    /// The next frame.
    pub fn frame(&mut self) -> Result<Frame, Fail> {
        loop {
            if let Some(frame) = wire::take(&mut self.input)? {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// Sends a message and checks that it comes back.
    pub fn echo(&mut self, message: &[u8]) -> Result<(), Fail> {
        self.send(message)?;
        super::content::check(&self.message()?, message)
    }

    /// Closes with a handshake; the server ends the connection.
    pub fn close(mut self) -> Result<(), Fail> {
        self.write(&wire::frame(true, wire::CLOSE, &1000u16.to_be_bytes()))?;
        while self.frame()?.opcode != wire::CLOSE {}
        match self.fill() {
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(()),
            Err(e) => Err(e.into()),
            Ok(()) => Err("more came after the close frame".into()),
        }
    }

    /// Ends the connection with a reset.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO))
    }

    /// Reads what there is, at least a byte, into the buffer.
    fn fill(&mut self) -> io::Result<()> {
        let mut room = [0; 16 << 10];
        let got = match &mut self.stream {
            Stream::Plain(socket) => socket.read(&mut room),
            Stream::Tls(stream) => stream.read(&mut room),
        };
        match got {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.input.extend_from_slice(&room[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            Err(e) => Err(e),
        }
    }
}

/// Whether the server has ended a connection whose socket doesn't block; what it sent
/// before is thrown away.
pub fn is_over(mut socket: &TcpStream) -> bool {
    let mut room = [0; 4096];
    loop {
        match socket.read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => return false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}
