//! Connections that come and go, and end in every way: nothing of them may stay.

use super::peer::Peer;
use super::target::{mib, Target};
use super::{content, in_threads, process, tls, wire, Fail, Report};
use rustls::ClientConfig;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

const THREADS: usize = 8;

/// One connection in so many is over TLS.
const TLS: usize = 16;

/// What the resident memory may grow by after the first tenth, by fragmentation.
const SLACK: u64 = 4 << 20;

/// After the first tenth of them memory and descriptors have to stay as they are.
pub fn run(target: &Target, count: usize) -> Report {
    let tls = tls::client()?;
    let start = Instant::now();
    let before = usage(target)?;
    go(target, &tls, count / 10)?;
    let first = usage(target)?;
    go(target, &tls, count - count / 10)?;
    let last = usage(target)?;
    let seconds = start.elapsed().as_secs_f64();
    let numbers = format!(
        "{count} connections, {:.0} a second; memory {} before, {} after a tenth, {} after all; \
         descriptors {}, {}, {}",
        count as f64 / seconds,
        mib(before.0),
        mib(first.0),
        mib(last.0),
        before.1,
        first.1,
        last.1
    );
    super::ensure(last.0 <= first.0 + SLACK && last.1 <= first.1 + 4, || {
        format!("a leak: {numbers}")
    })?;
    Ok(numbers)
}

/// Memory and descriptors once all connections are gone.
fn usage(target: &Target) -> Result<(u64, usize), Fail> {
    target.settle(Duration::from_secs(30))?;
    Ok((target.resident()?, process::descriptors(target.pid)?))
}

fn go(target: &Target, tls: &Arc<ClientConfig>, count: usize) -> Result<(), Fail> {
    in_threads(vec![(); THREADS], |thread, ()| {
        (thread..count)
            .step_by(THREADS)
            .try_for_each(|number| one(target, tls, number))
    })?;
    Ok(())
}

/// A connection that echoes, and its end.
fn one(target: &Target, tls: &Arc<ClientConfig>, number: usize) -> Result<(), Fail> {
    let turn = number / THREADS;
    let mut peer = match turn % TLS {
        0 => Peer::open_tls(target.tls, tls, "/")?,
        _ => Peer::open(target.plain, "/")?,
    };
    peer.echo(&content::of_length(number as u64, 0, 64))?;
    match turn / TLS % 5 {
        0 => peer.close()?,
        1 => drop(peer),
        2 => peer.reset()?,
        3 => {
            // In the midst of a frame.
            let frame = wire::frame(true, wire::BINARY, &[1; 1000]);
            peer.write(&frame[..500])?;
        }
        _ => {
            // With an answer under way that nobody reads.
            peer.send(&[2; 50_000])?;
            peer.socket().shutdown(Shutdown::Write)?;
        }
    }
    Ok(())
}
