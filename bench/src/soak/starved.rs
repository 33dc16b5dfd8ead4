//! A server whose allocations fail now and then: what it can't serve it drops, and it
//! serves the next.

use super::peer::{connect, Peer};
use super::target::Target;
use super::{content, ensure, tls, Fail, Report};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// A connection that gets no answer for so long is hanging.
const ANSWER: Duration = Duration::from_secs(5);

/// `count` connections, plain and over TLS in turns, of which at most `limit` may fail.
pub fn run(target: &Target, count: usize, limit: u64) -> Report {
    let tls = tls::client()?;
    let (mut failed, mut hanging) = (0, 0);
    for number in 0..count as u64 {
        match one(target, &tls, number) {
            Ok(()) => {}
            Err(e) if is_timeout(&e) => hanging += 1,
            Err(_) => failed += 1,
        }
    }
    ensure(failed + hanging <= limit, || {
        format!("of {count} connections {failed} failed, and {hanging} got no answer")
    })?;
    // Whoever asks for the counts may be hit as well.
    let mut settled = target.settle(Duration::from_secs(25));
    for _ in 0..20 {
        if settled.is_ok() {
            break;
        }
        settled = target.settle(Duration::from_secs(25));
    }
    settled?;
    Ok(format!(
        "{count} connections, of which {failed} failed and {hanging} got no answer within {} s; \
         none is left",
        ANSWER.as_secs()
    ))
}

fn one(target: &Target, tls: &Arc<ClientConfig>, number: u64) -> Result<(), Fail> {
    let mut peer = match number % 2 {
        0 => {
            let socket = connect(target.plain)?;
            socket.set_read_timeout(Some(ANSWER))?;
            Peer::upgrade(socket, "/")?
        }
        _ => Peer::open_tls(target.tls, tls, "/")?,
    };
    peer.socket().set_read_timeout(Some(ANSWER))?;
    for sequence in 0..4 {
        let message = content::of(number, sequence);
        peer.send_in_pieces(&message)?;
        content::check(&peer.message()?, &message)?;
    }
    peer.close()
}

fn is_timeout(e: &Fail) -> bool {
    let io = e.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::TimedOut)
}
