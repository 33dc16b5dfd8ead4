//! A healthy client, throughout: how long it waits at most.

use super::peer::Peer;
use super::target::Target;
use super::{content, ensure, process, tls, Fail, Report};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);

/// What a client may wait for at most.
const LIMIT: Duration = Duration::from_secs(1);

/// The same, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long something took at most, and how often it was done.
#[derive(Default)]
struct Longest {
    times: u64,
    longest: Duration,
    /// The same without the time in which the server, or this client, could have run
    /// but had no processor.
    served: Duration,
}

impl Longest {
    fn of<T>(&mut self, clock: &Clock, work: impl FnOnce() -> Result<T, Fail>) -> Result<T, Fail> {
        let (start, waited) = (Instant::now(), clock.waited());
        let result = work()?;
        let time = start.elapsed();
        self.times += 1;
        self.longest = self.longest.max(time);
        let served = time.saturating_sub(clock.waited().saturating_sub(waited));
        self.served = self.served.max(served);
        Ok(result)
    }
}

/// Knows how long the server and this thread have waited for a processor so far.
///
/// On a machine that others keep busy that says nothing of the server, however long
/// it is.
struct Clock {
    server: String,
}

impl Clock {
    fn waited(&self) -> Duration {
        process::waited(&self.server) + process::waited("thread-self")
    }
}

/// Asks the server until the standard input ends.
pub fn run(target: &Target) -> Report {
    let ended = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            ended.store(true, Relaxed);
        });
        ask(target, &ended)
    });
    let asked = asked?;
    let names = ["echo", "echo over TLS", "connection", "connection over TLS"];
    let tell = |(name, a): (&&str, &Longest)| {
        let (longest, served) = (a.longest.as_millis(), a.served.as_millis());
        format!("{name} {served} ms ({longest}, {} times)", a.times)
    };
    let told: Vec<_> = names.iter().zip(&asked).map(tell).collect();
    let numbers = format!(
        "at most, without (and with) waits for a processor: {}",
        told.join(", ")
    );
    let longest = asked.iter().map(|a| a.served).max().unwrap_or_default();
    let whole = asked.iter().map(|a| a.longest).max().unwrap_or_default();
    ensure(longest <= LIMIT && whole <= PATIENCE, || numbers.clone())?;
    Ok(numbers)
}

fn ask(target: &Target, ended: &AtomicBool) -> Result<[Longest; 4], Fail> {
    let config = tls::client()?;
    let clock = Clock {
        server: target.pid.to_string(),
    };
    let mut plain = Peer::open(target.plain, "/probe")?;
    let mut tls = Peer::open_tls(target.tls, &config, "/probe")?;
    let mut asked: [Longest; 4] = Default::default();
    let mut number = 0;
    while !ended.load(Relaxed) {
        let message = content::of(2, number);
        asked[0].of(&clock, || plain.echo(&message))?;
        asked[1].of(&clock, || tls.echo(&message))?;
        let new = asked[2].of(&clock, || {
            let mut new = Peer::open(target.plain, "/probe")?;
            new.echo(&message)?;
            Ok(new)
        })?;
        new.close()?;
        if number % 4 == 0 {
            let new = asked[3].of(&clock, || {
                let mut new = Peer::open_tls(target.tls, &config, "/probe")?;
                new.echo(&message)?;
                Ok(new)
            })?;
            new.close()?;
        }
        number += 1;
        std::thread::sleep(PAUSE);
    }
    plain.close()?;
    tls.close()?;
    Ok(asked)
}
