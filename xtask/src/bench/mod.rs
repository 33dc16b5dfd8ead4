//! `cargo xtask bench [NAME]`: benchmarks, each of which prints ratios of one run.

mod cores;
pub mod echo;
mod keylog;
mod options;
mod programs;
mod ratio;
mod samples;
mod tls;
mod verdict;
mod watch;

use crate::error::{Error, Result};

/// How cargo builds the programs that CI runs, for `soak` and `bench echo` alike: then it
/// compiles them once.
pub const PROGRAMS: [&str; 3] = [
    "--no-default-features",
    "--features",
    "bench/tls,bench/keylog",
];

/// A benchmark: its name, what it says of itself, and what runs it.
type Benchmark = (&'static str, &'static str, fn(&[String]) -> Result<()>);

const BENCHMARKS: &[Benchmark] = &[
    ("echo", echo::HELP, echo::run),
    ("keylog", keylog::HELP, keylog::run),
    ("tls", tls::HELP, tls::run),
];

/// Runs the benchmark that the first argument names; without one, all of them, also after
/// one has missed a goal.
pub fn run(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return all();
    };
    let found = BENCHMARKS.iter().find(|(known, ..)| known == name);
    let (_, help, benchmark) = found.ok_or_else(|| unknown(name))?;
    if rest
        .first()
        .is_some_and(|arg| arg == "--help" || arg == "-h")
    {
        print!("{help}");
        return Ok(());
    }
    benchmark(rest)
}

/// Refuses to run where there is no Linux, for which the programs are made.
pub fn needs_linux(verb: &str) -> Result<()> {
    match cfg!(target_os = "linux") {
        true => Ok(()),
        false => Err(Error::NotHere(format!(
            "`{verb}` runs on Linux alone: its programs read of each other below /proc"
        ))),
    }
}

fn all() -> Result<()> {
    let mut failed = Vec::new();
    for (name, _, benchmark) in BENCHMARKS {
        println!("== bench {name}");
        if let Err(why) = benchmark(&[]) {
            println!("{why}");
            failed.push(*name);
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("bench: see {}", failed.join(", ")))),
    }
}

fn unknown(given: &str) -> Error {
    let names: Vec<_> = BENCHMARKS.iter().map(|(name, ..)| *name).collect();
    Error::new(format!(
        "no benchmark `{given}`; there are: {}",
        names.join(", ")
    ))
}
