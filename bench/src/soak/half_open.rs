//! Peers that are gone without a word, or half gone, beside some that are only quiet.

use super::peer::{is_over, Peer};
use super::target::Target;
use super::{ensure, wire, Fail, Report};
use std::net::Shutdown;
use std::time::{Duration, Instant};

/// `count` of each kind; the server drops those that are silent within `limit`, but
/// none that answers its pings.
pub fn run(target: &Target, count: usize, limit: Duration) -> Report {
    let open = || -> Result<Vec<Peer>, Fail> {
        (0..count).map(|_| Peer::open(target.plain, "/")).collect()
    };
    let (silent, half, reset, mut quiet) = (open()?, open()?, open()?, open()?);
    for peer in &half {
        peer.socket().shutdown(Shutdown::Write)?;
    }
    reset.into_iter().try_for_each(Peer::reset)?;
    for peer in silent.iter().chain(&half).chain(&quiet) {
        peer.socket().set_nonblocking(true)?;
    }
    let start = Instant::now();
    let (mut silent, mut half) = (Waiting::new(silent), Waiting::new(half));
    let mut pings = 0;
    while start.elapsed() < limit + Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(100));
        silent.look(start);
        half.look(start);
        for peer in &mut quiet {
            pings += answer(peer)?;
        }
    }
    ensure(
        half.peers.is_empty() && half.last <= Duration::from_secs(5),
        || {
            format!(
                "of those that had shut down their side {} are left",
                half.peers.len()
            )
        },
    )?;
    ensure(silent.peers.is_empty() && silent.last <= limit, || {
        format!(
            "{} silent ones are left, the last went after {:?}",
            silent.peers.len(),
            silent.last
        )
    })?;
    let alive = target.monitor()?.ask()?.get("echo");
    ensure(alive == count as u64, || {
        format!("{alive} of {count} quiet ones are left")
    })?;
    drop(quiet);
    target.settle(Duration::from_secs(10))?;
    Ok(format!(
        "{count} each; half closed ones were dropped within {:.1} s, silent ones within {:.1} s, \
         and none of those that answered {pings} pings",
        half.last.as_secs_f64(),
        silent.last.as_secs_f64()
    ))
}

/// Connections that the server is to end, and when it ended the last.
struct Waiting {
    peers: Vec<Peer>,
    last: Duration,
}

impl Waiting {
    fn new(peers: Vec<Peer>) -> Self {
        let last = Duration::ZERO;
        Waiting { peers, last }
    }

    fn look(&mut self, start: Instant) {
        let before = self.peers.len();
        self.peers.retain(|peer| !is_over(peer.socket()));
        if self.peers.len() < before {
            self.last = start.elapsed();
        }
    }
}

/// Answers the pings that have come; how many.
fn answer(peer: &mut Peer) -> Result<u64, Fail> {
    let mut pings = 0;
    loop {
        match peer.frame() {
            Ok(frame) if frame.opcode == wire::PING => {
                peer.write(&wire::frame(true, wire::PONG, &frame.payload))?;
                pings += 1;
            }
            Ok(frame) => return Err(format!("a quiet peer was sent {frame:?}").into()),
            Err(e) if is_timeout(&e) => return Ok(pings),
            Err(e) => return Err(format!("a peer that answers pings was dropped: {e}").into()),
        }
    }
}

fn is_timeout(e: &Fail) -> bool {
    let io = e.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
}
