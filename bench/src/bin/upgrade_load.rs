//! Opens WebSocket connections to a server, as many as it can take, and counts.
//!
//! `upgrade_load --port N --pid N --parallel N --ms N [--cert PEM]` has `parallel`
//! connections under way at a time. Each is reset once the server has agreed to
//! WebSocket, and another begins. Prints four numbers of the `ms` milliseconds after a
//! warm-up: connections that were agreed to, nanoseconds that went by, CPU nanoseconds
//! of the server with this pid, and its own.

use bench::args::Args;
use bench::socket::{would_block, UPGRADE};
use bench::{load_tls as tls, Fail, Meter};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, Fail>;

/// What is connected to.
struct Target {
    addr: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection on its way.
struct Attempt {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    /// Bytes of the request that were sent, or given to TLS.
    asked: usize,
    answer: Vec<u8>,
}

fn main() -> Result<()> {
    let mut args = Args::from_env();
    let port: u16 = args.required("--port")?;
    let pid: u32 = args.required("--pid")?;
    let parallel: usize = args.required("--parallel")?;
    let time = Duration::from_millis(args.required("--ms")?);
    let tls = match args.value::<String>("--cert")? {
        Some(path) => Some(tls::config(path.as_ref())?),
        None => None,
    };
    args.finish()?;
    let addr = (Ipv4Addr::LOCALHOST, port).into();
    measure(&Target { addr, tls }, parallel, Meter::new(pid, time))
}

fn measure(target: &Target, parallel: usize, mut meter: Meter) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    let start = |poll: &Poll, slot: usize| -> Result<Attempt> {
        let mut attempt = Attempt::start(target)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut attempt.socket, Token(slot), both)?;
        Ok(attempt)
    };
    let mut attempts = Vec::new();
    for slot in 0..parallel {
        attempts.push(start(&poll, slot)?);
    }
    let mut done = 0;
    loop {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        if events.is_empty() {
            return Err("no server has answered for ten seconds".into());
        }
        for event in &events {
            let slot = event.token().0;
            if attempts[slot].proceed()? {
                attempts[slot] = start(&poll, slot)?;
                done += 1;
            }
        }
        if let Some(line) = meter.look(done)? {
            println!("{line}");
            return Ok(());
        }
    }
}

impl Attempt {
    fn start(target: &Target) -> Result<Self> {
        let socket = TcpStream::connect(target.addr)?;
        let options = socket2::SockRef::from(&socket);
        options.set_tcp_nodelay(true)?;
        // Reset at the end: thousands that wait for late packets would use the ports up.
        options.set_linger(Some(Duration::ZERO))?;
        Ok(Attempt {
            socket,
            tls: target.tls.as_ref().map(tls::connect).transpose()?,
            asked: 0,
            answer: Vec::new(),
        })
    }

    /// Does what can be done now; whether the server has agreed.
    fn proceed(&mut self) -> Result<bool> {
        match self.tls {
            None => self.proceed_plain()?,
            Some(_) => self.proceed_tls()?,
        }
        match (
            self.answer.ends_with(b"\r\n\r\n"),
            self.answer.starts_with(b"HTTP/1.1 101 "),
        ) {
            (true, false) => Err(String::from_utf8_lossy(&self.answer).into()),
            (whole, _) => Ok(whole),
        }
    }

    fn proceed_plain(&mut self) -> Result<()> {
        while self.asked < UPGRADE.len() {
            match would_block(self.socket.write(&UPGRADE[self.asked..]))? {
                Some(n) => self.asked += n,
                None => return Ok(()),
            }
        }
        let mut buf = [0; 1024];
        while let Some(n) = would_block(self.socket.read(&mut buf))? {
            if n == 0 {
                return Err("the server hung up".into());
            }
            self.answer.extend_from_slice(&buf[..n]);
        }
        Ok(())
    }

    fn proceed_tls(&mut self) -> Result<()> {
        let tls = self.tls.as_mut().ok_or("no TLS")?;
        let mut buf = [0; 1024];
        loop {
            while tls.wants_write() {
                if would_block(tls.write_tls(&mut self.socket))?.is_none() {
                    return Ok(());
                }
            }
            if !tls.is_handshaking() && self.asked == 0 {
                tls.writer().write_all(UPGRADE)?;
                self.asked = UPGRADE.len();
                continue;
            }
            match would_block(tls.read_tls(&mut self.socket))? {
                None => return Ok(()),
                Some(0) => return Err("the server hung up".into()),
                Some(_) => {}
            }
            tls.process_new_packets()?;
            while let Some(n) = would_block(tls.reader().read(&mut buf))? {
                self.answer.extend_from_slice(&buf[..n]);
            }
        }
    }
}
