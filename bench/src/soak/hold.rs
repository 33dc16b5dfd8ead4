//! A client that is killed: its connections are in every state.

use super::peer::Peer;
use super::target::Target;
use super::{content, tls, wire, Fail};
use std::time::Duration;

/// Opens `count` connections, says so, and waits to be killed.
pub fn run(target: &Target, count: usize) -> Result<(), Fail> {
    let tls = tls::client()?;
    let mut peers = Vec::new();
    for number in 0..count {
        let path = if number % 4 == 3 { "/flood" } else { "/" };
        let mut peer = match number % 10 {
            0 => Peer::open_tls(target.tls, &tls, path)?,
            _ => Peer::open(target.plain, path)?,
        };
        match number % 4 {
            0 => peer.echo(&content::of(number as u64, 0))?,
            1 => peer.send(&content::of_length(number as u64, 0, 30_000))?,
            2 => peer.write(&wire::frame(true, wire::BINARY, &[7; 900])[..450])?,
            _ => {}
        }
        peers.push(peer);
    }
    println!("holding {}", peers.len());
    // Whoever started it kills it; if not, it doesn't stay for ever.
    std::thread::sleep(Duration::from_secs(120));
    Err("nobody killed it".into())
}
