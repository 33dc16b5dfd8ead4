//! Makes TLS connections to servers of one kind, and measures what they cost.
//!
//! `--servers PORT/PID,…` the servers, taken in turn · `--count N` connections ·
//! `--parallel N` of them at once (default 1) · `--upgrade` to a WebSocket in each ·
//! `--tls12` instead of 1.3.
//!
//! Prints `handshakes N seconds S cpu S`: the servers' CPU time.

use bench::{args::Args, cpu, socket::UPGRADE, tls, Fail};
use rustls::ClientConfig;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> std::process::ExitCode {
    bench::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut args = Args::from_env();
    let list: String = args.required("--servers")?;
    let count: usize = args.required("--count")?;
    let parallel: usize = args.value("--parallel")?.unwrap_or(1);
    let request = if args.flag("--upgrade") { UPGRADE } else { b"" };
    let config = Arc::new(tls::client(args.flag("--tls12"))?);
    args.finish()?;
    let servers = list.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    let load = Load {
        addresses: servers.iter().map(|(address, _)| *address).collect(),
        config,
        request,
    };

    let before = cpu_time(&servers)?;
    let start = Instant::now();
    load.connect(count, parallel)?;
    let seconds = start.elapsed().as_secs_f64();
    // What a server does after its last answer.
    thread::sleep(Duration::from_millis(10));
    let cpu = (cpu_time(&servers)? - before).as_secs_f64();
    println!("handshakes {count} seconds {seconds:.6} cpu {cpu:.6}");
    Ok(())
}

/// `PORT/PID`.
fn parse(server: &str) -> Result<(SocketAddr, u32), Fail> {
    let (port, pid) = server.split_once('/').ok_or("a server is PORT/PID")?;
    Ok((([127, 0, 0, 1], port.parse()?).into(), pid.parse()?))
}

fn cpu_time(servers: &[(SocketAddr, u32)]) -> Result<Duration, Fail> {
    let times = servers.iter().map(|(_, pid)| cpu::time(*pid));
    let sum: Option<Duration> = times.sum();
    sum.ok_or_else(|| "a server is gone".into())
}

struct Load {
    addresses: Vec<SocketAddr>,
    config: Arc<ClientConfig>,
    request: &'static [u8],
}

impl Load {
    fn connect(&self, count: usize, parallel: usize) -> Result<(), Fail> {
        let next = AtomicUsize::new(0);
        let work = || loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= count {
                return Ok(());
            }
            let to = self.addresses[n % self.addresses.len()];
            tls::connect(to, &self.config, self.request)?;
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..parallel).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })
    }
}
