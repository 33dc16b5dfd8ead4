//! `cargo xtask bench [NAME]`: benchmarks, each of which prints ratios of one run.

mod cores;
pub mod echo;
mod keylog;
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

/// A benchmark: its name and what runs it.
type Benchmark = (&'static str, fn(&[String]) -> Result<()>);

const BENCHMARKS: &[Benchmark] = &[
    ("echo", echo::run),
    ("keylog", keylog::run),
    ("tls", tls::run),
];

/// Runs the benchmark that the first argument names; without one, all of them, also after
/// one has missed a goal.
pub fn run(args: &[String]) -> Result<()> {
    let Some((name, rest)) = args.split_first() else {
        return all();
    };
    let found = BENCHMARKS.iter().find(|(known, _)| known == name);
    let (_, benchmark) = found.ok_or_else(|| unknown(name))?;
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
    for (name, benchmark) in BENCHMARKS {
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
    let names: Vec<_> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
    Error::new(format!(
        "no benchmark `{given}`; there are: {}",
        names.join(", ")
    ))
}
