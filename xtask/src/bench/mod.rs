//! `cargo xtask bench NAME`: benchmarks, each of which prints ratios of one run.

mod echo;
mod keylog;
mod programs;
mod ratio;
mod tls;
mod verdict;
mod watch;

use crate::error::{Error, Result};

/// A benchmark: its name and what runs it.
type Benchmark = (&'static str, fn(&[String]) -> Result<()>);

const BENCHMARKS: &[Benchmark] = &[
    ("echo", echo::run),
    ("keylog", keylog::run),
    ("tls", tls::run),
];

/// Runs the benchmark that the first argument names.
pub fn run(args: &[String]) -> Result<()> {
    let names: Vec<&str> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
    let which = args.split_first().ok_or_else(|| unknown("none", &names))?;
    let found = BENCHMARKS.iter().find(|(name, _)| name == which.0);
    let (_, benchmark) = found.ok_or_else(|| unknown(which.0, &names))?;
    benchmark(which.1)
}

fn unknown(given: &str, names: &[&str]) -> Error {
    Error::new(format!(
        "which benchmark? `{given}` was given; there are: {}",
        names.join(", ")
    ))
}
