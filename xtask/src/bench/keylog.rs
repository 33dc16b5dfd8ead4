//! `cargo xtask bench keylog`: what the key log costs a server.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::options;
use super::programs::{Cost, Load, Programs, Server};
use super::ratio::{quartiles, Comparison};
use super::verdict::Verdicts;
use super::watch::{Calls, Watched, Watcher};
use crate::error::{IoContext, Result};
use crate::tls::Library;
use crate::{paths, setup, vendor};

const SERVER: &str = "handshake_server";
const CLIENT: &str = "handshake_client";
const RUSTLS: &str = "rustls_server";

/// Processes that share a file.
const SHARING: usize = 4;

/// Connections between two looks at the clock.
const SLICE: u32 = 200;

/// Connections at once.
const PARALLEL: u32 = 32;

/// Rounds of the clock, unless `--rounds` says otherwise, and at most so many of callgrind.
const ROUNDS: u32 = 40;
const WATCHED_ROUNDS: u32 = 3;

/// System calls that open or close files.
const OPENING: &[&str] = &["open", "openat", "openat2", "creat", "close"];

/// The TLS libraries that the programs can be built with; others are built for tests alone.
const LIBRARIES: [&str; 3] = ["system", "vendored", "aws-lc"];

pub const HELP: &str = "\
Usage: cargo xtask bench keylog [--rounds N] [--tls NAME]

  --rounds N   rounds of the clock (default 40); of callgrind 3 at most
  --tls NAME   with this TLS library: system (the default), vendored, aws-lc
";

/// Runs the benchmark.
pub fn run(args: &[String]) -> Result<()> {
    let (rounds, library) = parse(args)?;
    super::needs_linux("bench")?;
    setup::run()?;
    setup::satisfy(&[setup::STRACE, setup::VALGRIND])?;
    setup::satisfy(library.needs())?;
    vendor::run(&vendor::Options::default())?;
    let feature = library.feature();
    let without = Programs::build(&format!("keylog-out-{feature}"), &[feature], &[SERVER])?;
    let programs = [SERVER, CLIENT, RUSTLS];
    let with = Programs::build(
        &format!("keylog-in-{feature}"),
        &[feature, "keylog"],
        &programs,
    )?;
    let folder = paths::target_dir().join("bench");
    fs::create_dir_all(&folder).doing("create", &folder)?;
    // Another run has its own.
    let dir = tempfile::tempdir_in(&folder).doing("create a folder in", &folder)?;
    let bench = Bench {
        without: without.path(SERVER),
        with: with.path(SERVER),
        rustls: with.path(RUSTLS),
        client: with.path(CLIENT),
        log: dir.path().join("keys.log"),
        dir: dir.path(),
    };
    let mut verdicts = Verdicts::default();
    bench.instructions(rounds, &mut verdicts)?;
    bench.times(rounds, &mut verdicts)?;
    bench.calls(&mut verdicts)?;
    bench.order(&mut verdicts)?;
    verdicts.print()
}

/// The rounds that are asked for, and the TLS library.
fn parse(args: &[String]) -> Result<(u32, Library)> {
    let (mut rounds, mut library) = (ROUNDS, Library::System);
    let mut args = args.iter();
    while let Some(name) = args.next() {
        match name.as_str() {
            "--rounds" => rounds = options::count(name, &mut args)?,
            "--tls" => {
                let taken = LIBRARIES.join(", ");
                let given = options::value(name, &mut args, &taken)?;
                let found = Library::named(given).filter(|_| LIBRARIES.contains(&given));
                library = found.ok_or_else(|| options::not_taken(name, given, &taken))?;
            }
            _ => return Err(options::unknown("keylog", name, "`--rounds` and `--tls`")),
        }
    }
    Ok((rounds, library))
}

/// The programs, and the log that they write.
struct Bench<'a> {
    without: PathBuf,
    with: PathBuf,
    rustls: PathBuf,
    client: PathBuf,
    log: PathBuf,
    dir: &'a Path,
}

impl Bench<'_> {
    /// Compiled out, and disabled: instructions in user mode.
    fn instructions(&self, rounds: u32, verdicts: &mut Verdicts) -> Result<()> {
        println!("\nInstructions in user mode for each handshake (callgrind)");
        let watcher = self.watcher([20, 120]);
        let out = self.watched(&self.without, &[], false);
        let args = self.log_args();
        let off = self.watched(&self.with, &args, false);
        let on = self.watched(&self.with, &args, true);
        let mut counted = Vec::new();
        for _ in 0..WATCHED_ROUNDS.min(rounds) {
            let [out, off, on] = [&out, &off, &on].map(|server| watcher.instructions(server));
            counted.push((out?, off?, on?));
        }
        let median = |value: fn(&(f64, f64, f64)) -> f64| quartiles(counted.iter().map(value))[1];
        let disabled = median(|(out, off, _)| out / off);
        println!("  {:<28} {:>10.0}", "compiled out", median(|c| c.0));
        for (name, count, ratio) in [
            ("disabled", median(|c| c.1), disabled),
            ("on", median(|c| c.2), median(|(out, _, on)| out / on)),
        ] {
            println!("  {name:<28} {count:>10.0}   ratio {ratio:.4}");
        }
        verdicts.at_least(
            "disabled, of compiled out, by instructions",
            0.995,
            disabled,
        );
        Ok(())
    }

    /// CPU time and handshakes per second.
    fn times(&self, rounds: u32, verdicts: &mut Verdicts) -> Result<()> {
        println!(
            "\n{rounds} rounds of {SLICE} handshakes, {PARALLEL} at once, in turn: medians, and in \
             brackets the quartiles, of the ratios\n  {:<28} {:>15} {:>24} {:>31}",
            "", "server CPU, µs", "ratio of CPU", "ratio of handshakes/s"
        );
        let load = self.load(PARALLEL);
        let args = self.log_args();
        let out = [Server::start(&mut Command::new(&self.without))?];
        let mut one = [Server::start(Command::new(&self.with).args(&args))?];
        let disabled = Comparison::measure(rounds, |log| load.run(if log { &one } else { &out }))?;
        row("compiled out → disabled", &disabled);
        let on = Comparison::measure(rounds, |log| switched(&load, &mut one, log))?;
        row("off → on", &on);
        drop(out);

        // The TLS library makes lines, and nobody takes them.
        let mut ignoring = [Server::start(
            Command::new(&self.with).args(&args).arg("--ignore"),
        )?];
        let made = Comparison::measure(rounds, |log| switched(&load, &mut ignoring, log))?;
        row("off → lines made, not taken", &made);
        let taken_too = Comparison::measure(rounds, |log| match log {
            false => switched(&load, &mut ignoring, true),
            true => switched(&load, &mut one, true),
        })?;
        row("lines made → on", &taken_too);
        drop((one, ignoring));

        let start = |_| Server::start(Command::new(&self.with).args(&args));
        let mut many: Vec<Server> = (0..SHARING).map(start).collect::<Result<_>>()?;
        let shared = Comparison::measure(rounds, |log| switched(&load, &mut many, log))?;
        row(&format!("off → on, {SHARING} processes"), &shared);
        drop(many);

        let plain = [Server::start(&mut Command::new(&self.rustls))?];
        let mut command = Command::new(&self.rustls);
        let logging = [Server::start(command.env("SSLKEYLOGFILE", &self.log))?];
        let rustls =
            Comparison::measure(rounds, |log| load.run(if log { &logging } else { &plain }))?;
        row("rustls → rustls, KeyLogFile", &rustls);
        let taken = |c: &Comparison| c.times()[0] * (1.0 / c.cpu()[1] - 1.0);
        println!(
            "  the log takes {:.1} µs of a handshake, {:.1} of them the TLS library's, to make lines; \
             {:.1} where {SHARING} processes share it; rustls' KeyLogFile takes {:.1}",
            taken(&on),
            taken(&made),
            taken(&shared),
            taken(&rustls)
        );
        verdicts.at_least("on, of off, by the server's CPU time", 0.98, on.cpu()[1]);
        verdicts.at_least(
            "on, of lines made but not taken, the same way",
            0.98,
            taken_too.cpu()[1],
        );
        verdicts.at_least(
            &format!("on, of off, in {SHARING} processes that share a file"),
            0.98,
            shared.cpu()[1],
        );
        Ok(())
    }

    /// System calls: all, and those that concern the log.
    fn calls(&self, verdicts: &mut Verdicts) -> Result<()> {
        println!("\nSystem calls for each handshake (strace)");
        let watcher = self.watcher([20, 220]);
        let args = self.log_args();
        let env = [("SSLKEYLOGFILE", OsString::from(&self.log))];
        let off = self.watched(&self.with, &args, false);
        let on = self.watched(&self.with, &args, true);
        let plain = self.watched(&self.rustls, &[], false);
        let logging = Watched { env: &env, ..plain };
        let mut of_log = Calls::new();
        for (name, off, on) in [("this crate", &off, &on), ("rustls", &plain, &logging)] {
            let all = |server| Ok(watcher.calls(server, None)?.values().sum::<f64>());
            let (without, with): (f64, f64) = (all(off)?, all(on)?);
            let on_file = watcher.calls(on, Some(&self.log))?;
            println!(
                "  {name:<11} off {without:>6.2}   on {with:>6.2}   on the file: {}",
                list(&on_file)
            );
            if name == "this crate" {
                of_log = on_file;
            }
        }
        let count = |names: &[&str]| {
            let counts = names.iter().filter_map(|name| of_log.get(*name));
            counts.sum::<f64>()
        };
        verdicts.exactly(
            "writes to the file for a handshake",
            1.0,
            count(&["write", "writev"]),
        );
        verdicts.exactly("opens and closes for a handshake", 0.0, count(OPENING));
        Ok(())
    }

    /// Whether a connection's records are in the file when its request is delivered.
    fn order(&self, verdicts: &mut Verdicts) -> Result<()> {
        let mut command = Command::new(&self.with);
        let own = self.dir.join("order.log");
        let args = [OsString::from("--keylog"), own.into(), "--check".into()];
        let mut server = [Server::start(command.args(args))?];
        server[0].tell("on")?;
        let load = Load {
            options: &["--upgrade"],
            ..self.load(1)
        };
        load.run(&server)?;
        let [server] = server;
        let said = server.end()?;
        let checked = said.lines().find_map(|line| line.strip_prefix("checked "));
        let checked = super::programs::number(checked.unwrap_or_default())?;
        verdicts.exactly(
            &format!("requests, of {SLICE}, that came after their records"),
            f64::from(SLICE),
            checked,
        );
        Ok(())
    }

    fn log_args(&self) -> [OsString; 2] {
        ["--keylog".into(), self.log.clone().into()]
    }

    fn load(&self, parallel: u32) -> Load<'_> {
        Load {
            client: &self.client,
            count: SLICE,
            parallel,
            options: &[],
        }
    }

    fn watcher(&self, counts: [u32; 2]) -> Watcher<'_> {
        Watcher {
            client: &self.client,
            counts,
            dir: self.dir,
        }
    }

    fn watched<'w>(&self, program: &'w Path, args: &'w [OsString], on: bool) -> Watched<'w> {
        Watched {
            program,
            args,
            env: &[],
            on,
        }
    }
}

/// Connections to servers whose log is switched first.
fn switched(load: &Load<'_>, servers: &mut [Server], on: bool) -> Result<Cost> {
    for server in &mut *servers {
        server.tell(if on { "on" } else { "off" })?;
    }
    load.run(servers)
}

pub fn row(name: &str, measured: &Comparison) {
    let ratio = |[low, median, high]: [f64; 3]| format!("{median:.3} [{low:.3}–{high:.3}]");
    let arrow = |[from, to]: [f64; 2]| format!("{from:.0} → {to:.0}");
    println!(
        "  {name:<28} {:>15} {:>24} {:>31}",
        arrow(measured.times()),
        ratio(measured.cpu()),
        format!("{} {}", arrow(measured.rates()), ratio(measured.rate()))
    );
}

fn list(calls: &Calls) -> String {
    let each = calls
        .iter()
        .map(|(name, count)| format!("{name} {count:.2}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(list: &[&str]) -> std::result::Result<(u32, Library), String> {
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        parse(&list).map_err(|why| why.to_string())
    }

    #[test]
    fn options_come_in_pairs() {
        assert_eq!(parsed(&[]), Ok((ROUNDS, Library::System)));
        let both = parsed(&["--tls", "aws-lc", "--rounds", "3"]);
        assert_eq!(both, Ok((3, Library::AwsLc)));
        let why = parsed(&["--round", "3"]).unwrap_err();
        assert!(
            why.contains("`--round`") && why.contains("`--rounds`"),
            "{why}"
        );
    }

    /// Lost: figures of the system's OpenSSL, under another's name.
    #[test]
    fn libraries_that_are_built_for_tests_alone_are_refused() {
        for wrong in ["openssl-1.1.1", "openssl-sslkeylog", "gnutls"] {
            let why = parsed(&["--tls", wrong]).unwrap_err();
            assert!(why.contains("takes system, vendored, aws-lc"), "{why}");
        }
        for name in LIBRARIES {
            assert!(parsed(&["--tls", name]).is_ok() && HELP.contains(name));
        }
    }
}
