//! `cargo xtask bench echo`: our echo server beside those of others, over a matrix
//! of message sizes, connections and windows, plain and with TLS.
//!
//! All servers run at once on one core and wait; the load generator has another core
//! and asks them in turns, in another order in each round. The machine's mood is then
//! the same for all, and the ratios of one round can be compared.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::programs::Programs;
use crate::error::{Error, Result};
use crate::{paths, process, setup, vendor};

const HELP: &str = "\
Usage: cargo xtask bench echo [--rounds N] [--ms N] [--only TEXT]... [--peer NAME]... [--aws-lc]

  --rounds N   times that each server is asked for each cell (default 5)
  --ms N       milliseconds that are measured at a time (default 400)
  --only TEXT  only cells in whose name TEXT occurs, like `TLS` or `64 KiB`
  --peer NAME  compare with this server only: lws, tungstenite, fastws, fastws-openssl, sockudo
  --aws-lc     ours with AWS-LC instead of OpenSSL; only cells with TLS
";

/// Ours, then those it is compared with: a name, a program, and what makes it speak
/// TLS by OpenSSL as ours does, where rustls is its habit.
const SERVERS: [(&str, &str, &[&str]); 6] = [
    ("ours", "echo_server", &[]),
    ("lws", "peer_lws", &[]),
    ("tungstenite", "peer_tungstenite", &[]),
    ("fastws", "peer_fastwebsockets", &[]),
    ("fastws-openssl", "peer_fastwebsockets", &["--openssl"]),
    ("sockudo", "peer_sockudo", &[]),
];

const SIZES: [(&str, usize); 3] = [("64 B", 64), ("1 KiB", 1 << 10), ("64 KiB", 64 << 10)];

/// Connections, and messages under way on each.
const LOADS: [(usize, usize); 4] = [(1, 1), (1, 16), (64, 4), (1000, 1)];

/// The core of the servers, and that of the load generator.
const CORES: [&str; 2] = ["0", "1"];

struct Options {
    rounds: usize,
    ms: u32,
    only: Vec<String>,
    peers: Vec<String>,
    aws_lc: bool,
}

struct Cell {
    name: String,
    size: usize,
    connections: usize,
    window: usize,
    tls: bool,
}

/// What one server did in one round.
#[derive(Clone, Copy)]
struct Sample {
    /// Messages a second.
    rate: f64,
    /// Messages a second of the server's CPU time.
    per_cpu: f64,
    /// The part of the time in which the load generator was at work.
    load: f64,
}

/// Runs the benchmark.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let build = ["build", "--release", "-p", "bench", "-p", "peers"];
    process::run(process::cargo().args(build))?;
    let folder = paths::target_dir().join("bench");
    std::fs::create_dir_all(&folder).map_err(|e| Error::new(format!("{folder:?}: {e}")))?;
    process::run(Command::new(program("certificate")).arg(&folder))?;

    println!(
        "ours: messages a second. Others: ours as a multiple of theirs, of messages a \
         second / of messages a CPU second; medians of {} rounds. load: the part of the \
         time that the load generator was busy.",
        options.rounds
    );
    let ours = match options.aws_lc {
        true => {
            setup::satisfy(&[setup::CXX])?;
            Programs::build("echo-aws-lc", &["aws-lc"], &["echo_server"])?.path("echo_server")
        }
        false => program("echo_server"),
    };
    print!("{}", row("", SERVERS.map(|(name, ..)| name.into()), "load"));
    for tls in [false, true] {
        if options.aws_lc && !tls {
            continue;
        }
        let cells: Vec<_> = cells(tls).filter(|cell| options.wants(cell)).collect();
        if cells.is_empty() {
            continue;
        }
        let servers = options.start(&ours, tls.then_some(&*folder))?;
        for cell in &cells {
            print!("{}", measure(&options, cell, &servers, &folder)?);
        }
    }
    Ok(())
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options {
            rounds: 5,
            ms: 400,
            only: Vec::new(),
            peers: Vec::new(),
            aws_lc: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--aws-lc" {
                options.aws_lc = true;
                continue;
            }
            let value = args.next().ok_or_else(|| Error::new(HELP))?;
            let number = || value.parse::<u32>().map_err(|_| Error::new(HELP));
            match name.as_str() {
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--ms" => options.ms = number()?,
                "--only" => options.only.push(value.clone()),
                "--peer" => options.peers.push(value.clone()),
                _ => return Err(Error::new(HELP)),
            }
        }
        let known = |peer: &String| SERVERS.iter().any(|(name, ..)| name == peer);
        match options.peers.iter().all(known) {
            true => Ok(options),
            false => Err(Error::new(HELP)),
        }
    }

    fn wants(&self, cell: &Cell) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| cell.name.contains(text))
    }

    /// Starts the servers, with TLS if there is a folder with a certificate.
    fn start(&self, ours: &Path, tls: Option<&Path>) -> Result<Vec<Option<Server>>> {
        let start = |(name, file, openssl): (&str, &str, &[&str])| {
            let asked = |peer: &String| peer == name || name == SERVERS[0].0;
            let wanted = self.peers.is_empty() || self.peers.iter().any(asked);
            // Without TLS it would be the same server twice.
            let wanted = wanted && (openssl.is_empty() || tls.is_some());
            let program = match name == SERVERS[0].0 {
                true => ours.to_owned(),
                false => program(file),
            };
            wanted
                .then(|| Server::start(&program, tls, openssl))
                .transpose()
        };
        SERVERS.into_iter().map(start).collect()
    }
}

/// A running server.
struct Server {
    child: Child,
    port: String,
}

impl Server {
    fn start(program: &Path, tls: Option<&Path>, options: &[&str]) -> Result<Self> {
        let mut command = pinned(CORES[0], program);
        if let Some(folder) = tls {
            command.arg("--cert").arg(folder.join("cert.pem"));
            command.arg("--key").arg(folder.join("key.pem"));
            command.args(options);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::new(format!("cannot start taskset: {e}")))?;
        let mut port = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut port);
        }
        let server = Server {
            child,
            port: port.trim().to_owned(),
        };
        match server.port.is_empty() {
            false => Ok(server),
            true => Err(Error::new(format!(
                "{} doesn't tell its port",
                program.display()
            ))),
        }
    }

    fn ask(&self, options: &Options, cell: &Cell, folder: &Path) -> Result<Sample> {
        let mut command = pinned(CORES[1], &program("echo_load"));
        let numbers = [
            ("--pid", self.child.id().to_string()),
            ("--connections", cell.connections.to_string()),
            ("--window", cell.window.to_string()),
            ("--size", cell.size.to_string()),
            ("--ms", options.ms.to_string()),
            ("--port", self.port.clone()),
        ];
        command.args(numbers.iter().flat_map(|(name, value)| [name, &**value]));
        if cell.tls {
            command.arg("--cert").arg(folder.join("cert.pem"));
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::new(format!("cannot start taskset: {e}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Sample::parse(&text).ok_or_else(|| Error::new(format!("the load of {} failed", cell.name)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sample {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|n| n.parse::<f64>().ok());
        let (messages, time) = (numbers.next()??, numbers.next()??);
        let (cpu, own) = (numbers.next()??, numbers.next()??);
        Some(Sample {
            rate: messages / time * 1e9,
            per_cpu: messages / cpu * 1e9,
            load: own / time,
        })
    }
}

/// Asks every server in every round; the line of the table.
fn measure(
    options: &Options,
    cell: &Cell,
    servers: &[Option<Server>],
    folder: &Path,
) -> Result<String> {
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        let mut samples = vec![None; servers.len()];
        for turn in 0..servers.len() {
            let which = (round + turn) % servers.len();
            if let Some(server) = &servers[which] {
                samples[which] = Some(server.ask(options, cell, folder)?);
            }
        }
        rounds.push(samples);
    }
    let of = |which: usize, what: fn(&Sample) -> f64| {
        let all = rounds.iter().filter_map(|samples| samples[which].as_ref());
        all.map(what).collect::<Vec<_>>()
    };
    let ratio = |which: usize, what: fn(&Sample) -> f64| {
        let pairs = of(0, what).into_iter().zip(of(which, what));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    };
    let column = |which: usize| match (which, &servers[which]) {
        (_, None) => String::new(),
        (0, _) => format!("{:.0}", median(of(0, |s| s.rate))),
        _ => format!(
            "{:.2} / {:.2}",
            ratio(which, |s| s.rate),
            ratio(which, |s| s.per_cpu)
        ),
    };
    let busy = (0..servers.len()).flat_map(|which| of(which, |s| s.load));
    let busy = format!("{:.0} %", median(busy.collect()) * 100.0);
    Ok(row(&cell.name, std::array::from_fn(column), &busy))
}

fn cells(tls: bool) -> impl Iterator<Item = Cell> {
    SIZES.into_iter().flat_map(move |(text, size)| {
        LOADS.into_iter().map(move |(connections, window)| Cell {
            name: format!(
                "{text} × {connections} × {window}{}",
                if tls { " TLS" } else { "" }
            ),
            size,
            connections,
            window,
            tls,
        })
    })
}

fn row(name: &str, columns: [String; SERVERS.len()], load: &str) -> String {
    let [ours, others @ ..] = columns;
    let others: String = others.iter().map(|text| format!(" {text:>14}")).collect();
    format!("{name:<24} {ours:>9}{others} {load:>6}\n")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => numbers[middle],
        _ => (numbers[middle - 1] + numbers[middle]) / 2.0,
    }
}

fn program(name: &str) -> PathBuf {
    paths::target_dir().join("release").join(name)
}

/// A command that stays on one core.
fn pinned(core: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", core]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn samples_are_rates() {
        let sample = Sample::parse("100 500000000 250000000 50000000\n").unwrap();
        assert_eq!((sample.rate, sample.per_cpu), (200.0, 400.0));
        assert!((sample.load - 0.1).abs() < 1e-9);
        assert!(Sample::parse("1 2 3").is_none());
    }

    #[test]
    fn unknown_peers_are_refused() {
        let args = |name: &str| vec!["--peer".to_string(), name.to_string()];
        assert!(Options::parse(&args("lws")).is_ok());
        assert!(Options::parse(&args("nginx")).is_err());
    }
}
