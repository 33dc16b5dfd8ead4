//! Readers that are slower than what they are sent, and some that don't read at all.

use super::peer::Peer;
use super::target::{mib, Target};
use super::{content, ensure, in_threads, Fail, Report};
use std::time::{Duration, Instant};

const THREADS: usize = 4;

/// Messages that each reader takes in a round, and the pause between rounds.
const TAKEN: u64 = 4;
const PAUSE: Duration = Duration::from_millis(100);

/// Connections that send and never read.
const DEAF: usize = 8;

/// What the kernel may hold of a deaf connection's messages, at most.
const KERNEL: u64 = 32 << 20;

/// `count` readers for so long; the server's queues hold `limit` bytes each.
pub fn run(target: &Target, count: usize, time: Duration, limit: u64) -> Report {
    let before = target.resident()?;
    let until = Instant::now() + time;
    let shares = vec![count / THREADS; THREADS];
    let readers = std::thread::scope(|scope| {
        let readers = scope.spawn(|| in_threads(shares, |_, share| read(target, share, until)));
        let deaf = in_threads(vec![(); DEAF], |_, ()| deafen(target, limit));
        let read = readers.join().map_err(|_| "a thread panicked")??;
        deaf.map(|sent| (read, sent))
    });
    let (read, sent) = readers?;
    let during = read
        .iter()
        .map(|(_, resident)| *resident)
        .max()
        .unwrap_or(0);
    let queued = target.monitor()?.ask()?.get("queued_max");
    target.settle(Duration::from_secs(10))?;
    // An empty queue takes one message of any size, with what it costs beside.
    ensure(queued <= limit.max(64 << 10) + 64, || {
        format!("a queue of {queued} bytes, and the limit is {limit}")
    })?;
    let grown = during.saturating_sub(before);
    let most = count as u64 * (limit + (256 << 10)) + (64 << 20);
    ensure(grown <= most, || format!("memory grew by {}", mib(grown)))?;
    Ok(format!(
        "{} readers got {} messages in order; the longest queue {queued} bytes of {limit}; memory \
         grew by {}; {DEAF} that never read were dropped after at most {}",
        count / THREADS * THREADS,
        read.iter().map(|(messages, _)| messages).sum::<u64>(),
        mib(grown),
        mib(sent.into_iter().max().unwrap_or(0))
    ))
}

/// Messages that were read, and the server's memory at the end.
fn read(target: &Target, share: usize, until: Instant) -> Result<(u64, u64), Fail> {
    let open = |_| Peer::open(target.plain, "/flood");
    let mut peers: Vec<_> = (0..share).map(open).collect::<Result<_, _>>()?;
    let mut next = 0;
    while Instant::now() < until {
        for peer in &mut peers {
            for number in next..next + TAKEN {
                let expected = content::of_length(0, number, 4096);
                content::check(&peer.message()?, &expected)?;
            }
        }
        next += TAKEN;
        std::thread::sleep(PAUSE);
    }
    Ok((next * share as u64, target.resident()?))
}

/// Sends without reading until the server has had enough; what it had been sent then.
fn deafen(target: &Target, limit: u64) -> Result<u64, Fail> {
    let mut peer = Peer::open(target.plain, "/")?;
    let message = [9; 16 << 10];
    let mut sent = 0;
    while sent <= limit + KERNEL {
        if let Err(e) = peer.send(&message) {
            let dropped = e.kind() != std::io::ErrorKind::WouldBlock;
            ensure(dropped, || "the server neither reads nor drops it".into())?;
            return Ok(sent);
        }
        sent += message.len() as u64;
    }
    Err(format!(
        "the server took {} for a peer that reads nothing",
        mib(sent)
    )
    .into())
}
