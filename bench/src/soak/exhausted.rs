//! A server without descriptors left: it serves whom it has, and then the others.

use super::peer::{connect_within, Peer};
use super::target::Target;
use super::{content, ensure, wire, Fail, Report};
use crate::cpu;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// `count` peers ask for more connections than the server has descriptors.
pub fn run(target: &Target, count: usize, time: Duration) -> Report {
    let mut monitor = target.monitor()?;
    let mut old = Peer::open(target.plain, "/probe")?;
    let mut waiting = Vec::new();
    for _ in 0..count {
        // A full backlog lets connections time out.
        if let Ok(socket) = connect_within(target.plain, Duration::from_millis(500)) {
            waiting.push(ask(socket)?);
        }
    }
    let connected = waiting.len();
    let start = Instant::now();
    let busy = cpu::time(target.pid).ok_or("the server is gone")?;
    let mut slowest = Duration::ZERO;
    let mut number = 0;
    while start.elapsed() < time {
        let asked = Instant::now();
        old.echo(&content::of(1, number))?;
        slowest = slowest.max(asked.elapsed());
        number += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let busy = cpu::time(target.pid).ok_or("the server is gone")? - busy;
    let part = busy.as_secs_f64() / start.elapsed().as_secs_f64();
    ensure(part < 0.5, || {
        format!("the server was busy for {part:.2} of the time")
    })?;
    ensure(slowest < Duration::from_secs(1), || {
        format!("an echo took {slowest:?}")
    })?;

    let (served, waiting) = answered(waiting, Duration::from_millis(5));
    ensure(!served.is_empty() && !waiting.is_empty(), || {
        format!(
            "{} were served and {} not: descriptors never ran out",
            served.len(),
            waiting.len()
        )
    })?;
    let first = served.len();
    drop(served);
    let freed = Instant::now();
    let limit = Duration::from_secs(5);
    let (mut late, mut waiting) = (0, waiting);
    while !waiting.is_empty() && freed.elapsed() < limit {
        let (now, rest) = answered(waiting, Duration::from_millis(5));
        late += now.len();
        waiting = rest;
    }
    ensure(waiting.is_empty(), || {
        format!("{} are still not served", waiting.len())
    })?;
    let recovered = freed.elapsed();
    Peer::open(target.plain, "/")?.echo(b"0123456789abcdef")?;
    drop(monitor.ask()?);
    drop(old);
    target.settle(Duration::from_secs(10))?;
    Ok(format!(
        "{connected} connected, {first} were served at once, {late} within {:.2} s after those had \
         gone; meanwhile the slowest of {number} echoes of an old connection took {} ms, and the \
         server used {:.0} % of a core",
        recovered.as_secs_f64(),
        slowest.as_millis(),
        part * 100.0
    ))
}

fn ask(mut socket: TcpStream) -> Result<TcpStream, Fail> {
    socket.write_all(wire::request("/").as_bytes())?;
    Ok(socket)
}

/// Those that got an answer, and those that wait.
fn answered(sockets: Vec<TcpStream>, each: Duration) -> (Vec<TcpStream>, Vec<TcpStream>) {
    sockets.into_iter().partition(|socket| {
        let mut socket = socket;
        let set = socket.set_read_timeout(Some(each));
        set.is_ok() && matches!(socket.read(&mut [0; 512]), Ok(n) if n > 0)
    })
}
