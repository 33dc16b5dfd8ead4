//! What a load generator prints: what was done in a time, and what it took.

use crate::{cpu, Fail};
use std::time::{Duration, Instant};

/// Time in which buffers grow and nothing is counted.
const WARM_UP: Duration = Duration::from_millis(150);

/// Counts what is done in a time that begins after a warm-up.
#[derive(Debug)]
pub struct Meter {
    /// The server.
    pid: u32,
    time: Duration,
    start: Instant,
    first: Option<Sample>,
}

/// The clocks at one moment.
#[derive(Debug)]
struct Sample {
    done: u64,
    at: Instant,
    server: Duration,
    own: Duration,
}

impl Meter {
    /// For a server with this process id.
    pub fn new(pid: u32, time: Duration) -> Self {
        Meter {
            pid,
            time,
            start: Instant::now(),
            first: None,
        }
    }

    /// Is told how much was done since the start. Once the time is over, the four numbers:
    /// what was done in it, nanoseconds, CPU nanoseconds of the server, and our own.
    pub fn look(&mut self, done: u64) -> Result<Option<String>, Fail> {
        match &self.first {
            None if self.start.elapsed() > WARM_UP => {
                self.first = Some(Sample::take(self.pid, done)?);
            }
            Some(first) if first.at.elapsed() > self.time => {
                let now = Sample::take(self.pid, done)?;
                return Ok(Some(format!(
                    "{} {} {} {}",
                    now.done - first.done,
                    (now.at - first.at).as_nanos(),
                    now.server.saturating_sub(first.server).as_nanos(),
                    now.own.saturating_sub(first.own).as_nanos()
                )));
            }
            _ => {}
        }
        Ok(None)
    }
}

impl Sample {
    fn take(pid: u32, done: u64) -> Result<Self, Fail> {
        Ok(Sample {
            done,
            at: Instant::now(),
            server: cpu::time(pid).ok_or("the server is gone")?,
            own: cpu::time(std::process::id()).ok_or("no own CPU time")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_in_the_warm_up_does_not_count() {
        let mut meter = Meter::new(std::process::id(), Duration::from_millis(20));
        let line = (1..)
            .find_map(|done| {
                std::thread::sleep(Duration::from_millis(5));
                meter.look(done).unwrap()
            })
            .unwrap();
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        assert!((1..=5).contains(&numbers[0]), "{line}");
        assert!(numbers[1] >= 20_000_000, "{line}");
        assert_eq!(numbers.len(), 4);
    }
}
