//! Asks an echo server for as much as it can do, and counts.
//!
//! `echo_load --port N --pid N --connections N --window N --size N --ms N [--cert PEM]`
//! keeps `window` messages of `size` bytes under way on each connection, and prints
//! four numbers of the `ms` milliseconds after a warm-up: messages that came back,
//! nanoseconds that went by, CPU nanoseconds of the server with this pid, and its own.

use bench::args::Args;
use bench::frames::{masked, payload, Counter};
use bench::socket::{would_block, UPGRADE};
use bench::{load_tls as tls, Fail, Meter};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::{ClientConfig, ClientConnection};
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, Fail>;

/// The longest that a server may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// As much as is read at once.
const READ: usize = 256 << 10;

/// What every connection sends.
struct Load {
    payload: Vec<u8>,
    frame: usize,
    /// Frames back to back: enough for a window from any place in the first.
    wire: Vec<u8>,
    window: usize,
}

struct Peer {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    counter: Counter,
    /// Bytes that may be sent, and the place in `wire` where they begin.
    unsent: usize,
    at: usize,
}

fn main() -> Result<()> {
    let mut args = Args::from_env();
    let port: u16 = args.required("--port")?;
    let pid: u32 = args.required("--pid")?;
    let connections: usize = args.required("--connections")?;
    let window: usize = args.required("--window")?;
    let payload = payload(args.required("--size")?);
    let time = Duration::from_millis(args.required("--ms")?);
    let tls = match args.value::<String>("--cert")? {
        Some(path) => Some(tls::config(path.as_ref())?),
        None => None,
    };
    args.finish()?;
    let frame = masked(&payload);
    let load = Load {
        payload,
        frame: frame.len(),
        wire: frame.repeat(window + 1),
        window,
    };
    let mut peers = Vec::new();
    for _ in 0..connections {
        peers.push(Peer::connect(port, tls.as_ref(), &load)?);
    }
    measure(&mut peers, &load, Meter::new(pid, time))
}

fn measure(peers: &mut [Peer], load: &Load, mut meter: Meter) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let mut buffers = Buffers::new();
    for (index, peer) in peers.iter_mut().enumerate() {
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut peer.socket, Token(index), both)?;
    }
    let mut messages = 0;
    loop {
        poll.poll(&mut events, Some(PATIENCE))?;
        if events.is_empty() {
            return Err(format!("nothing came back for {PATIENCE:?}").into());
        }
        for event in &events {
            let peer = &mut peers[event.token().0];
            messages += peer.serve(event.is_readable(), load, &mut buffers)? as u64;
        }
        if let Some(line) = meter.look(messages)? {
            println!("{line}");
            return Ok(());
        }
    }
}

struct Buffers {
    socket: Vec<u8>,
    plain: Vec<u8>,
}

impl Buffers {
    fn new() -> Self {
        Buffers {
            socket: vec![0; READ],
            plain: vec![0; READ],
        }
    }
}

impl Peer {
    /// Connects, and switches to WebSocket.
    fn connect(port: u16, tls: Option<&Arc<ClientConfig>>, load: &Load) -> Result<Self> {
        let to = (Ipv4Addr::LOCALHOST, port).into();
        let mut socket = std::net::TcpStream::connect_timeout(&to, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut tls = tls.map(tls::connect).transpose()?;
        match &mut tls {
            None => upgrade(&mut socket)?,
            Some(tls) => upgrade(&mut rustls::Stream::new(tls, &mut socket))?,
        }
        socket.set_nonblocking(true)?;
        Ok(Peer {
            socket: TcpStream::from_std(socket),
            tls,
            counter: Counter::default(),
            unsent: load.window * load.frame,
            at: 0,
        })
    }

    /// Reads what there is, answers each echo with another message.
    fn serve(&mut self, readable: bool, load: &Load, buffers: &mut Buffers) -> Result<usize> {
        let mut messages = 0;
        if !readable {
            self.send(load)?;
            return Ok(messages);
        }
        loop {
            let n = match self.socket.read(&mut buffers.socket) {
                Ok(0) => return Err("the server hung up".into()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            };
            let ended = self.count(n, load, buffers)?;
            messages += ended;
            self.unsent += ended * load.frame;
            self.send(load)?;
            if n < READ {
                break; // The socket is empty, or tells of more (epoll(7)).
            }
        }
        self.send(load)?;
        Ok(messages)
    }

    fn count(&mut self, n: usize, load: &Load, buffers: &mut Buffers) -> Result<usize> {
        let Some(tls) = &mut self.tls else {
            return Ok(self.counter.feed(&buffers.socket[..n], &load.payload)?);
        };
        let (mut wire, mut ended) = (&buffers.socket[..n], 0);
        while !wire.is_empty() {
            tls.read_tls(&mut wire)?;
            tls.process_new_packets()?;
            while let Some(n) = would_block(tls.reader().read(&mut buffers.plain))? {
                ended += self.counter.feed(&buffers.plain[..n], &load.payload)?;
            }
        }
        Ok(ended)
    }

    fn send(&mut self, load: &Load) -> Result<()> {
        while self.unsent > 0 || self.tls.as_ref().is_some_and(|tls| tls.wants_write()) {
            let bytes = &load.wire[self.at..self.at + self.unsent];
            let sent = match &mut self.tls {
                None => match would_block(self.socket.write(bytes))? {
                    Some(sent) => sent,
                    None => return Ok(()),
                },
                // It takes what there is, a socket's worth at a time.
                Some(tls) if !tls.wants_write() => {
                    tls.writer().write(&bytes[..bytes.len().min(READ)])?
                }
                Some(tls) => match would_block(tls.write_tls(&mut self.socket))? {
                    Some(_) => 0,
                    None => return Ok(()),
                },
            };
            self.unsent -= sent;
            self.at = (self.at + sent) % load.frame;
        }
        Ok(())
    }
}

fn upgrade(stream: &mut (impl Read + Write)) -> Result<()> {
    stream.write_all(UPGRADE)?;
    stream.flush()?;
    let mut answer = Vec::new();
    let mut byte = [0];
    // Byte by byte, so that nothing of what follows is taken.
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&answer).into()),
    }
}
