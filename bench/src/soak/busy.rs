//! Many connections that all talk at once; every message is compared.

use super::peer::Peer;
use super::target::{mib, Target};
use super::{content, idle, in_threads, Fail, Report};
use std::time::{Duration, Instant};

/// Messages under way on a connection.
const WINDOW: u64 = 4;

/// So many connections talk for so long, and then close in an orderly way.
pub fn run(target: &Target, count: usize, time: Duration) -> Report {
    let groups = idle::open(target.plain, count)?;
    let start = Instant::now();
    let done = in_threads(groups, |number, peers| {
        talk(number as u64, peers, start + time)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let messages: u64 = done.iter().map(|(messages, _)| messages).sum();
    let bytes: u64 = done.iter().map(|(_, bytes)| bytes).sum();
    target.settle(Duration::from_secs(10))?;
    Ok(format!(
        "{count} connections echoed {messages} messages, {} ({:.0} a second), all as sent and in order",
        mib(bytes),
        messages as f64 / seconds
    ))
}

/// One group of them, in rounds: each sends, then each receives.
fn talk(group: u64, mut peers: Vec<Peer>, until: Instant) -> Result<(u64, u64), Fail> {
    let (mut messages, mut bytes) = (0, 0);
    let mut sequence = 0;
    let id = |at: usize| group << 32 | at as u64;
    while Instant::now() < until {
        for (at, peer) in peers.iter_mut().enumerate() {
            for n in sequence..sequence + WINDOW {
                let message = content::of(id(at), n);
                match n % 7 {
                    3 => peer.send_in_pieces(&message)?,
                    _ => peer.send(&message)?,
                }
            }
        }
        for (at, peer) in peers.iter_mut().enumerate() {
            for n in sequence..sequence + WINDOW {
                let message = peer.message()?;
                content::check(&message, &content::of(id(at), n))
                    .map_err(|e| format!("connection {:#x}: {e}", id(at)))?;
                messages += 1;
                bytes += message.len() as u64;
            }
        }
        sequence += WINDOW;
    }
    peers.into_iter().try_for_each(Peer::close)?;
    Ok((messages, bytes))
}
