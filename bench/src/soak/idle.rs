//! Connections that do nothing: what each costs, and that all still work.

use super::peer::Peer;
use super::target::{mib, Target};
use super::{content, in_threads, process, Fail, Report};
use std::net::SocketAddr;
use std::time::Duration;

const THREADS: usize = 4;

/// Connections that each thread has in their handshakes at once.
const BATCH: usize = 16;

/// Opens `count` plain connections; the line begins with the bytes that each costs.
pub fn run(target: &Target, count: usize) -> Report {
    // What the first connection brings about is no cost of each.
    Peer::open(target.plain, "/")?.echo(&content::of(0, 0))?;
    let before = target.resident()?;
    let peers = open(target.plain, count)?;
    std::thread::sleep(Duration::from_secs(1));
    let during = target.resident()?;
    let descriptors = process::descriptors(target.pid)?;
    super::ensure(descriptors >= count, || {
        format!("the server has {descriptors} descriptors for {count} connections")
    })?;
    in_threads(peers, |_, mut peers| {
        let message = |number: usize| content::of_length(number as u64, 0, 100);
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(&message(number))?;
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            content::check(&peer.message()?, &message(number))?;
        }
        Ok(())
    })?;
    let used = target.resident()?;
    let each = |now: u64| now.saturating_sub(before) / count as u64;
    Ok(format!(
        "{} bytes a connection, {} once each had echoed; {count} connections, {} before them",
        each(during),
        each(used),
        mib(before)
    ))
}

/// `count` connections to the path `/`, in groups of about the same size.
pub fn open(to: SocketAddr, count: usize) -> Result<Vec<Vec<Peer>>, Fail> {
    let share = |n: usize| (count * (n + 1)) / THREADS - (count * n) / THREADS;
    in_threads((0..THREADS).map(share).collect(), |_, share| {
        let mut peers = Vec::with_capacity(share);
        while peers.len() < share {
            let first = peers.len();
            for _ in first..share.min(first + BATCH) {
                peers.push(Peer::begin(to, "/")?);
            }
            peers[first..].iter_mut().try_for_each(Peer::upgraded)?;
        }
        Ok(peers)
    })
}
