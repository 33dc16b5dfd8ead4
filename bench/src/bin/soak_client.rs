//! Runs one scenario of `cargo xtask soak` against a server: `soak_client --scenario NAME`.
//!
//! It prints `passed: NUMBERS` or `FAILED: WHY`, and exits with 1 in the second case.
//! All take `--plain PORT --pid PID`, most `--tls PORT`; the rest is below.

use bench::args::Args;
use bench::soak::target::Target;
use bench::soak::{
    busy, churn, exhausted, half_open, hold, idle, keylog, malformed, probe, reconnect, slow,
    stalled, starved, Report,
};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(numbers) => {
            println!("passed: {numbers}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Report {
    let mut args = Args::from_env();
    let name: String = args.required("--scenario")?;
    let target = Target::take(&mut args)?;
    let count = args.value("--count")?.unwrap_or(0);
    let seconds = Duration::from_secs(args.value("--seconds")?.unwrap_or(0));
    // In seconds; of slow readers' queues in bytes.
    let limit = args.value("--limit")?.unwrap_or(10);
    let seed = args.value("--seed")?.unwrap_or(1);
    let file: Option<PathBuf> = args.value("--file")?;
    args.finish()?;
    let within = Duration::from_secs(limit);
    match &*name {
        "idle" => idle::run(&target, count),
        "busy" => busy::run(&target, count, seconds),
        "churn" => churn::run(&target, count),
        "slow" => slow::run(&target, count, seconds, limit),
        // `--seconds` for the handshake's phases, `--limit` for a frame's.
        "stalled" => stalled::run(&target, count, seconds, within),
        "half-open" => half_open::run(&target, count, within),
        "malformed" => malformed::run(&target, count, seed),
        "exhausted" => exhausted::run(&target, count, seconds),
        "no-space" => keylog::run(&target, count, file.as_deref()),
        "starved" => starved::run(&target, count, limit),
        "reconnect" => reconnect::run(&target, count),
        "probe" => probe::run(&target),
        "hold" => hold::run(&target, count).map(|()| String::new()),
        "settle" => {
            let took = target.settle(within)?;
            let took = took.as_secs_f64();
            Ok(format!("no connection is left after {took:.2} s"))
        }
        other => Err(format!("no scenario {other:?}").into()),
    }
}
