//! Requests and frames that are damaged at random, the same ones with the same seed.

use super::peer::{connect, Peer};
use super::random::Random;
use super::target::{mib, Target};
use super::{ensure, in_threads, wire, Fail, Report};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const THREADS: usize = 4;

/// How long an answer is waited for: most damage ends a connection at once.
const ANSWER: Duration = Duration::from_millis(10);

/// What a leak of each connection's buffers would exceed.
const SLACK: u64 = 32 << 20;

/// `count` connections that each send something damaged.
pub fn run(target: &Target, count: usize, seed: u64) -> Report {
    target.settle(Duration::from_secs(10))?;
    let before = target.resident()?;
    let ended = in_threads(vec![(); THREADS], |thread, ()| {
        let mut ended = 0;
        for number in (thread..count).step_by(THREADS) {
            ended += u64::from(one(target, seed ^ (number as u64) << 20)?);
        }
        Ok(ended)
    })?;
    target.settle(Duration::from_secs(30))?;
    let after = target.resident()?;
    ensure(after <= before + SLACK, || {
        format!("memory grew from {} to {}", mib(before), mib(after))
    })?;
    Ok(format!(
        "{count} connections with seed {seed}, of which the server ended {}; memory {} before, {} after",
        ended.iter().sum::<u64>(),
        mib(before),
        mib(after)
    ))
}

/// One of them; whether the server ended it at once.
fn one(target: &Target, seed: u64) -> Result<bool, Fail> {
    let mut random = Random::new(seed);
    let socket = match random.below(8) {
        0 => {
            let request = damaged(wire::request("/").into(), &mut random);
            send(connect(target.plain)?, &request)
        }
        1 => send(connect(target.plain)?, &noise(&mut random)),
        2 => send(connect(target.tls)?, &noise(&mut random)),
        _ => {
            let peer = Peer::open(target.plain, "/")?;
            send(peer.socket().try_clone()?, &frames(&mut random))
        }
    }?;
    Ok(is_ended(socket))
}

fn noise(random: &mut Random) -> Vec<u8> {
    let length = random.below(5000);
    random.bytes(length)
}

/// A few frames, and damage.
fn frames(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..1 + random.below(5) {
        let length = [0, 1, 2, 125, 126, 200, 70_000][random.below(7)];
        let payload = random.bytes(length);
        let opcode = [0, 1, 2, 8, 9, 10, 3, 15][random.below(8)];
        bytes.extend(wire::frame(random.below(3) > 0, opcode, &payload));
    }
    damaged(bytes, random)
}

/// Changes, inserts, or cuts some bytes, most of them near the beginning.
fn damaged(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..random.below(6) {
        let near = if random.below(3) > 0 { 16 } else { bytes.len() };
        let at = random.below(near.min(bytes.len()));
        match random.below(4) {
            0 => bytes.insert(at, random.number() as u8),
            1 => bytes.truncate(bytes.len() - at),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.number() as u8;
                }
            }
        }
    }
    bytes
}

/// Sends it; that the server hangs up meanwhile is no error.
fn send(mut socket: TcpStream, bytes: &[u8]) -> Result<TcpStream, Fail> {
    socket.set_read_timeout(Some(ANSWER))?;
    let _ = socket.write_all(bytes);
    Ok(socket)
}

/// Reads until the server ends the connection, or says nothing for a while.
fn is_ended(mut socket: TcpStream) -> bool {
    let mut room = [0; 4096];
    loop {
        match socket.read(&mut room) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
