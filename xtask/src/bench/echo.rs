//! `cargo xtask bench echo`: our echo server beside those of others, over a matrix
//! of message sizes, connections and windows, and by connections a second, plain and
//! with TLS.
//!
//! All servers run at once on one core and wait; the load generator has another core
//! and asks them in turns, in another order in each round. The machine's mood is then
//! the same for all, and the ratios of one round can be compared.

use std::path::Path;
use std::process::{Command, Stdio};

use super::cores::Cores;
use super::options;
use super::programs::Programs;
use super::samples::{busier, busy, median, of, ratio, Rounds, Sample};
use super::verdict::Verdicts;
use crate::error::{Error, Result};
use crate::process::{self, Child, MUCH_PATIENCE, PATIENCE};
use crate::{paths, setup, vendor};

pub const HELP: &str = "\
Usage: cargo xtask bench echo [--quick] [--rounds N] [--ms N] [--only TEXT]... [--peer NAME]...
                              [--aws-lc]

  --rounds N   times that each server is asked for each cell (default 15)
  --ms N       milliseconds that are measured at a time (default 120); with 1000
               connections three times as many, and a third of the rounds
  --only TEXT  only cells in whose name TEXT occurs, like `TLS` or `64 KiB`
  --peer NAME  compare with this server only: lws, tungstenite, fastws, fastws-openssl, sockudo
  --aws-lc     ours with AWS-LC instead of OpenSSL; only cells with TLS
  --quick      few cells, short, beside the server in C alone, and a goal that only a
               defect misses: what CI runs
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

/// Connections under way at a time, where they are what is counted.
const PARALLEL: usize = 32;

/// Those that the goal is about: the same C library by hand, and the fastest of the rest.
const RIVALS: [&str; 3] = ["lws", "fastws", "fastws-openssl"];

/// Ours as a multiple of theirs, at least: what differs by less is the machine's noise.
const GOAL: f64 = 0.97;

/// The goal of `--quick`, which is short, and may run beside other programs.
const QUICK_GOAL: f64 = 0.5;

/// A load generator that is busy for more of the time, with one server of a pair, is what
/// decides: then what counts is their CPU time.
const SATURATED: f64 = 0.9;

struct Options {
    rounds: usize,
    ms: u32,
    only: Vec<String>,
    peers: Vec<String>,
    aws_lc: bool,
    quick: bool,
}

struct Cell {
    name: String,
    what: What,
    tls: bool,
}

impl Cell {
    /// Whether connecting alone takes a second.
    fn is_long(&self) -> bool {
        matches!(self.what, What::Echoes { connections, .. } if connections >= 1000)
    }
}

/// What is counted.
#[derive(Clone, Copy)]
enum What {
    /// Messages of a size that come back, on some connections with some under way.
    Echoes {
        size: usize,
        connections: usize,
        window: usize,
    },
    /// Connections that the server agrees to switch to WebSocket, with so many on their way.
    Upgrades { parallel: usize },
}

/// Runs the benchmark.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    options.check()?;
    super::needs_linux("bench")?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let mut build = process::cargo_for_host();
    build.args(["build", "--release", "-p", "bench", "-p", "peers"]);
    if options.quick {
        build.args(super::PROGRAMS);
    }
    process::run(&mut build)?;
    let folder = paths::target_dir().join("bench");
    std::fs::create_dir_all(&folder).map_err(|e| Error::new(format!("{folder:?}: {e}")))?;
    process::run(Command::new(paths::released("certificate")).arg(&folder))?;

    println!(
        "ours: messages, or handshakes, a second. Others: ours as a multiple of theirs, by \
         seconds / by CPU seconds; medians of {} rounds. load: the part of the time that \
         the load generator was busy.",
        options.rounds
    );
    let ours = match options.aws_lc {
        true => {
            setup::satisfy(&[setup::CXX])?;
            Programs::build("echo-aws-lc", &["aws-lc"], &["echo_server"])?.path("echo_server")
        }
        false => paths::released("echo_server"),
    };
    print!("{}", row("", SERVERS.map(|(name, ..)| name.into()), "load"));
    let cores = Cores::find();
    let mut verdicts = Verdicts::default();
    for tls in [false, true] {
        let cells: Vec<_> = cells(tls).filter(|cell| options.wants(cell)).collect();
        if cells.is_empty() {
            continue;
        }
        let servers = options.start(&cores, &ours, tls.then_some(&*folder))?;
        for cell in &cells {
            let rounds = measure(&options, cell, &cores, &servers, &folder)?;
            print!("{}", line(cell, &rounds));
            judge(&mut verdicts, cell, &rounds, options.goal());
        }
    }
    verdicts.print()
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options {
            // Short and often: what disturbs the machine lasts for seconds, and then hits
            // all servers.
            rounds: 15,
            ms: 120,
            only: Vec::new(),
            peers: Vec::new(),
            aws_lc: false,
            quick: false,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--aws-lc" => options.aws_lc = true,
                "--quick" => {
                    options.quick = true;
                    options.rounds = 3;
                    options.ms = 150;
                    options.peers = vec!["lws".to_owned()];
                }
                "--rounds" => options.rounds = options::count(name, &mut args)? as usize,
                "--ms" => options.ms = options::count(name, &mut args)?,
                "--only" => {
                    let text = options::value(name, &mut args, "a part of cells' names")?;
                    options.only.push(text.to_owned());
                }
                "--peer" => {
                    let taken = SERVERS[1..].iter().map(|(name, ..)| *name);
                    let taken = taken.collect::<Vec<_>>().join(", ");
                    let peer = options::value(name, &mut args, &taken)?;
                    if !SERVERS.iter().any(|(known, ..)| *known == peer) {
                        return Err(options::not_taken(name, peer, &taken));
                    }
                    options.peers.push(peer.to_owned());
                }
                _ => {
                    let taken = "`--quick`, `--rounds`, `--ms`, `--only`, `--peer` and `--aws-lc`";
                    return Err(options::unknown("echo", name, taken));
                }
            }
        }
        Ok(options)
    }

    /// Refuses a choice of cells that names none, for nothing would fail then.
    fn check(&self) -> Result<()> {
        let all = || {
            cells(false)
                .chain(cells(true))
                .filter(|cell| self.can(cell))
        };
        let names_none = |text: &&String| !all().any(|cell| cell.name.contains(*text));
        match self.only.iter().find(names_none) {
            None => Ok(()),
            Some(text) => {
                let names: Vec<_> = all().map(|cell| cell.name).collect();
                Err(Error::new(format!(
                    "no cell has `{text}` in its name; there are: {}",
                    names.join(", ")
                )))
            }
        }
    }

    /// Whether the other options leave a cell to choose.
    fn can(&self, cell: &Cell) -> bool {
        !(self.quick && cell.is_long()) && (cell.tls || !self.aws_lc)
    }

    fn wants(&self, cell: &Cell) -> bool {
        self.can(cell)
            && (self.only.is_empty() || self.only.iter().any(|text| cell.name.contains(text)))
    }

    fn goal(&self) -> f64 {
        match self.quick {
            true => QUICK_GOAL,
            false => GOAL,
        }
    }

    /// Starts the servers, with TLS if there is a folder with a certificate.
    fn start(&self, cores: &Cores, ours: &Path, tls: Option<&Path>) -> Result<Vec<Option<Server>>> {
        let start = |(name, file, openssl): (&str, &str, &[&str])| {
            let asked = |peer: &String| peer == name || name == SERVERS[0].0;
            let wanted = self.peers.is_empty() || self.peers.iter().any(asked);
            // Without TLS it would be the same server twice.
            let wanted = wanted && (openssl.is_empty() || tls.is_some());
            let program = match name == SERVERS[0].0 {
                true => ours.to_owned(),
                false => paths::released(file),
            };
            wanted
                .then(|| Server::start(cores.server(&program), tls, openssl))
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
    fn start(mut command: Command, tls: Option<&Path>, options: &[&str]) -> Result<Self> {
        if let Some(folder) = tls {
            command.arg("--cert").arg(folder.join("cert.pem"));
            command.arg("--key").arg(folder.join("key.pem"));
            command.args(options);
        }
        let name = format!("{command:?}");
        let mut child = Child::start(&name, command.stdout(Stdio::piped()))?;
        let port = child.only_line(PATIENCE)?;
        let port = port.ok_or_else(|| Error::new(format!("{name} doesn't tell its port")))?;
        Ok(Server { child, port })
    }

    fn ask(&self, cores: &Cores, ms: u32, cell: &Cell, folder: &Path) -> Result<Sample> {
        let (load, numbers) = match cell.what {
            What::Echoes {
                size,
                connections,
                window,
            } => (
                "echo_load",
                vec![
                    ("--size", size),
                    ("--connections", connections),
                    ("--window", window),
                ],
            ),
            What::Upgrades { parallel } => ("upgrade_load", vec![("--parallel", parallel)]),
        };
        let mut command = cores.client(&paths::released(load));
        command.args(["--port", &self.port]);
        command.args(["--pid", &self.child.id().to_string()]);
        command.args(["--ms", &ms.to_string()]);
        for (name, number) in numbers {
            command.arg(name).arg(number.to_string());
        }
        if cell.tls {
            command.arg("--cert").arg(folder.join("cert.pem"));
        }
        let (_, text) = process::output_within(&mut command, MUCH_PATIENCE)?;
        Sample::parse(&text).ok_or_else(|| Error::new(format!("the load of {} failed", cell.name)))
    }
}

/// Asks every server in every round.
fn measure(
    options: &Options,
    cell: &Cell,
    cores: &Cores,
    servers: &[Option<Server>],
    folder: &Path,
) -> Result<Rounds> {
    let mut rounds = Vec::new();
    let (count, ms) = match cell.is_long() {
        true => (options.rounds.div_ceil(3), options.ms * 3),
        false => (options.rounds, options.ms),
    };
    for round in 0..count {
        let mut samples = vec![None; servers.len()];
        for turn in 0..servers.len() {
            let which = (round + turn) % servers.len();
            // Back and forth, so that none has the same one before it each time.
            let which = match round % 2 {
                0 => which,
                _ => servers.len() - 1 - which,
            };
            if let Some(server) = &servers[which] {
                samples[which] = Some(server.ask(cores, ms, cell, folder)?);
            }
        }
        rounds.push(samples);
    }
    Ok(rounds)
}

/// The line of the table.
fn line(cell: &Cell, rounds: &Rounds) -> String {
    let column = |which: usize| match which {
        0 => format!("{:.0}", median(of(rounds, 0, |s| s.rate))),
        _ => [|s: &Sample| s.rate, |s: &Sample| s.per_cpu]
            .into_iter()
            .filter_map(|what| Some(format!("{:.2}", ratio(rounds, which, what)?)))
            .collect::<Vec<_>>()
            .join(" / "),
    };
    let busy = format!("{:.0} %", busy(rounds) * 100.0);
    row(&cell.name, std::array::from_fn(column), &busy)
}

fn judge(verdicts: &mut Verdicts, cell: &Cell, rounds: &Rounds, goal: f64) {
    for (which, (name, ..)) in SERVERS.iter().enumerate() {
        let (by, what): (_, fn(&Sample) -> f64) = match busier(rounds, which) > SATURATED {
            true => ("CPU seconds", |s| s.per_cpu),
            false => ("seconds", |s| s.rate),
        };
        // What is there has to have a number.
        let found = RIVALS.contains(name).then(|| ratio(rounds, which, what));
        if let Some(found) = found.flatten() {
            verdicts.at_least(&format!("{}, {name}, by {by}", cell.name), goal, found);
        }
    }
}

fn cells(tls: bool) -> impl Iterator<Item = Cell> {
    let echoes = SIZES.into_iter().flat_map(|(text, size)| {
        LOADS.into_iter().map(move |(connections, window)| {
            let what = What::Echoes {
                size,
                connections,
                window,
            };
            (format!("{text} × {connections} × {window}"), what)
        })
    });
    let upgrades = What::Upgrades { parallel: PARALLEL };
    let upgrades = (format!("handshakes × {PARALLEL}"), upgrades);
    echoes.chain([upgrades]).map(move |(name, what)| Cell {
        name: name + if tls { " TLS" } else { "" },
        what,
        tls,
    })
}

fn row(name: &str, columns: [String; SERVERS.len()], load: &str) -> String {
    let [ours, others @ ..] = columns;
    let others: String = others.iter().map(|text| format!(" {text:>14}")).collect();
    format!("{name:<24} {ours:>9}{others} {load:>6}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_looked_at_for_the_rivals_that_were_asked() {
        let sample = |rate, per_cpu, load| Sample {
            rate,
            per_cpu,
            load,
        };
        let verdict = |ours, theirs| {
            let mut samples = vec![None; SERVERS.len()];
            samples[0] = Some(sample(96.0, 100.0, ours));
            samples[1] = Some(sample(100.0, 100.0, theirs));
            // One that the generator waits for says nothing of the pair.
            samples[2] = Some(sample(50.0, 50.0, 0.1));
            let mut verdicts = Verdicts::default();
            let cell = cells(false).next().unwrap();
            judge(&mut verdicts, &cell, &vec![samples], GOAL);
            verdicts.print().is_ok()
        };
        assert!(!verdict(0.5, 0.5), "by seconds");
        assert!(verdict(0.95, 0.95), "by CPU seconds");
        assert!(verdict(0.5, 0.95), "by CPU seconds, for one is held back");
        assert!(verdict(0.95, 0.5), "the same the other way round");
    }

    #[test]
    fn a_rival_without_a_number_misses_its_goal() {
        let sample = |rate| Sample {
            rate,
            per_cpu: 1.0,
            load: 0.5,
        };
        let mut samples = vec![None; SERVERS.len()];
        (samples[0], samples[1]) = (Some(sample(0.0)), Some(sample(0.0)));
        let mut verdicts = Verdicts::default();
        let cell = cells(false).next().unwrap();
        judge(&mut verdicts, &cell, &vec![samples], GOAL);
        let why = verdicts.print().unwrap_err().to_string();
        assert!(why.contains("1 goals"), "{why}");
    }

    #[test]
    fn a_choice_that_names_no_cell_is_refused() {
        let check = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            Options::parse(&args).unwrap().check()
        };
        assert!(check(&[]).is_ok() && check(&["--only", "TLS"]).is_ok());
        assert!(check(&["--only", "TLS", "--only", "65 KiB"]).is_err());
        let plain = ["--only", "64 B × 1 × 1"];
        assert!(check(&plain).is_ok());
        let long = ["--quick", "--only", "× 1000"];
        assert!(check(&long).is_err() && check(&long[1..]).is_ok());
    }

    #[test]
    fn unknown_peers_are_refused() {
        let args = |name: &str| vec!["--peer".to_string(), name.to_string()];
        assert!(Options::parse(&args("lws")).is_ok());
        let why = Options::parse(&args("nginx")).err().unwrap().to_string();
        assert!(why.contains("`nginx`") && why.contains("lws, tun"), "{why}");
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for wrong in [&["--ms"][..], &["--ms", "0"], &["--many"]] {
            let args: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            let why = Options::parse(&args).err().unwrap().to_string();
            assert!(why.contains(&format!("`{}`", wrong[0])), "{why}");
            assert_eq!(why.lines().count(), 1, "{why}");
        }
    }
}
