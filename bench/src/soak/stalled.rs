//! Peers that stall, silent or a byte at a time, in each phase of a connection.

use super::peer::{connect, is_over, Peer};
use super::target::Target;
use super::{ensure, tls, wire, Fail, Report};
use rustls::{ClientConfig, ClientConnection};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a byte is sent.
const STEP: Duration = Duration::from_secs(1);

/// Where a peer stalls: a name, how it gets there, and whether that is a frame's phase.
type Phase = (
    &'static str,
    fn(&Target, &Arc<ClientConfig>) -> Result<Stalled, Fail>,
    bool,
);

const PHASES: &[Phase] = &[
    ("TCP", |t, _| silent(connect(t.plain)?), false),
    ("TCP to the TLS port", |t, _| silent(connect(t.tls)?), false),
    ("TLS", hello, false),
    (
        "request",
        |t, _| dripping(connect(t.plain)?, request()),
        false,
    ),
    ("request over TLS", request_over_tls, false),
    ("frame header", |t, _| frame(t, 1), true),
    ("frame, silent", |t, _| frame(t, 300), true),
    ("frame, dripping", dripping_frame, true),
];

/// A connection that is stalled.
struct Stalled {
    socket: TcpStream,
    /// What it still sends, a byte at a time.
    rest: std::vec::IntoIter<u8>,
    tls: Option<ClientConnection>,
}

/// `count` peers in each phase; the server has so much time to end the handshake's
/// phases, and so much for a frame's.
pub fn run(target: &Target, count: usize, handshake: Duration, frame: Duration) -> Report {
    let config = tls::client()?;
    let mut alive = Vec::new();
    for (at, (_, stall, _)) in PHASES.iter().enumerate() {
        for _ in 0..count {
            let peer = stall(target, &config)?;
            peer.socket.set_nonblocking(true)?;
            alive.push((at, peer));
        }
    }
    let start = Instant::now();
    let mut ended = [Duration::ZERO; PHASES.len()];
    while !alive.is_empty() && start.elapsed() <= handshake.max(frame) {
        std::thread::sleep(STEP);
        alive.retain_mut(|(at, peer)| {
            peer.drip();
            let over = is_over(&peer.socket);
            if over {
                ended[*at] = ended[*at].max(start.elapsed());
            }
            !over
        });
    }
    let mut told = Vec::new();
    for (at, (name, _, in_frame)) in PHASES.iter().enumerate() {
        let left = alive.iter().filter(|(of, _)| *of == at).count();
        let limit = if *in_frame { frame } else { handshake };
        ensure(left == 0 && ended[at] <= limit, || {
            format!(
                "{name}: {left} of {count} are left, the last ended after {:?}",
                ended[at]
            )
        })?;
        told.push(format!("{name} {:.0} s", ended[at].as_secs_f64()));
    }
    target.settle(Duration::from_secs(5))?;
    Ok(format!(
        "{count} each; the last ended after: {}",
        told.join(", ")
    ))
}

impl Stalled {
    /// Sends one more byte; whether that goes well shows when it is read from.
    fn drip(&mut self) {
        let Some(byte) = self.rest.next() else {
            return;
        };
        let _ = match &mut self.tls {
            None => self.socket.write_all(&[byte]),
            Some(tls) => tls.writer().write_all(&[byte]).and_then(|()| {
                while tls.wants_write() {
                    tls.write_tls(&mut self.socket)?;
                }
                Ok(())
            }),
        };
    }
}

fn silent(socket: TcpStream) -> Result<Stalled, Fail> {
    dripping(socket, Vec::new())
}

fn dripping(socket: TcpStream, rest: Vec<u8>) -> Result<Stalled, Fail> {
    let rest = rest.into_iter();
    Ok(Stalled {
        socket,
        rest,
        tls: None,
    })
}

/// A request that lasts longer than anybody waits.
fn request() -> Vec<u8> {
    format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: {}",
        "a".repeat(4000)
    )
    .into()
}

fn hello(target: &Target, config: &Arc<ClientConfig>) -> Result<Stalled, Fail> {
    let mut hello = Vec::new();
    tls::session(config)?.write_tls(&mut hello)?;
    dripping(connect(target.tls)?, hello)
}

fn request_over_tls(target: &Target, config: &Arc<ClientConfig>) -> Result<Stalled, Fail> {
    let mut session = tls::session(config)?;
    let mut socket = connect(target.tls)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(Stalled {
        tls: Some(session),
        ..dripping(socket, request())?
    })
}

/// A peer that sends so many bytes of a frame.
fn frame(target: &Target, bytes: usize) -> Result<Stalled, Fail> {
    let mut peer = Peer::open(target.plain, "/")?;
    peer.write(&wire::frame(true, wire::BINARY, &[0; 1000])[..bytes])?;
    silent(peer.socket().try_clone()?)
}

fn dripping_frame(target: &Target, _: &Arc<ClientConfig>) -> Result<Stalled, Fail> {
    let peer = Peer::open(target.plain, "/")?;
    let frame = wire::frame(true, wire::BINARY, &[0; 4000]);
    dripping(peer.socket().try_clone()?, frame)
}
