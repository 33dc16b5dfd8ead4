//! The server that is under load, as `soak_server` describes itself.

use super::peer::Peer;
use super::{process, Fail};
use crate::args::Args;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Where the server is.
pub struct Target {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub pid: u32,
}

/// What the server tells of itself: counts by name.
#[derive(Debug)]
pub struct Stats(HashMap<String, u64>);

impl Target {
    /// Takes the options that say where it is.
    pub fn take(args: &mut Args) -> Result<Self, Fail> {
        let at = |host: u8, port: u16| SocketAddr::from(([127, 0, 0, host], port));
        Ok(Target {
            plain: at(1, args.required("--plain")?),
            tls: at(2, args.value("--tls")?.unwrap_or(0)),
            pid: args.required("--pid")?,
        })
    }

    /// Bytes of its memory that are resident.
    pub fn resident(&self) -> Result<u64, Fail> {
        process::resident(self.pid)
    }

    /// A connection that asks for its counts.
    pub fn monitor(&self) -> Result<Monitor, Fail> {
        Ok(Monitor(Peer::open(self.plain, "/stats")?))
    }

    /// Waits until only monitors and probes are connected; how long that took.
    pub fn settle(&self, limit: Duration) -> Result<Duration, Fail> {
        let mut monitor = self.monitor()?;
        let start = Instant::now();
        loop {
            let stats = monitor.ask()?;
            if stats.is_settled() {
                return Ok(start.elapsed());
            }
            if start.elapsed() > limit {
                return Err(format!("connections are left after {limit:?}: {stats:?}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// See [`Target::monitor`].
pub struct Monitor(Peer);

impl Monitor {
    /// Its present counts.
    pub fn ask(&mut self) -> Result<Stats, Fail> {
        self.0.send(b"?")?;
        let text = String::from_utf8(self.0.message()?)?;
        let mut words = text.split_ascii_whitespace();
        let mut stats = HashMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            stats.insert(name.to_owned(), value.parse()?);
        }
        Ok(Stats(stats))
    }
}

impl Stats {
    /// A count; 0 if the server knows no such.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Neither handlers nor connections of a load are left.
    fn is_settled(&self) -> bool {
        self.get("echo") == 0
            && self.get("flood") == 0
            && self.get("all") == self.get("probe") + self.get("stats")
    }
}

/// Bytes, for people.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
