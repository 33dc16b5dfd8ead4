//! `cargo xtask ci`: every check apart from the tests themselves.

use std::process::Command;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::sanitize::{self, Outcome};
use crate::tls::Library;
use crate::{
    api, bench, conformance, features, fuzz, msrv, package, process, setup, soak, test, vendor,
    windows,
};

/// A check: its name and what it runs.
type Step = (&'static str, fn() -> Result<Outcome>);

const LIBRARY: &[&str] = &["-p", "libwebsockets"];
const WORKSPACE: &[&str] = &["--workspace"];
const NO_FEATURES: &[&str] = &["--no-default-features"];

/// What each change has to pass.
const STEPS: &[Step] = &[
    ("format", || cargo(&["fmt", "--all", "--", "--check"])),
    ("clippy, with additive features", || {
        let features = ["--features", test::FEATURES, "--features", "bench/keylog"];
        clippy(&[WORKSPACE, &test::NO_PEERS, &features].concat())
    }),
    ("clippy, no feature", || {
        clippy(&[LIBRARY, NO_FEATURES].concat())
    }),
    // What the fuzz targets use is compiled for them alone. With a test, what the library
    // depends on is the same as above.
    ("clippy, for fuzz targets", || {
        let fuzzing = &["--", "--cfg", "fuzzing", "-D", "warnings"];
        let targets = &["--lib", "--test", "addresses"];
        let features = ["--features", test::FEATURES, "--features", "bench/keylog"];
        let chosen = [WORKSPACE, &test::NO_PEERS, &features, targets].concat();
        cargo(&[&["clippy"], &*chosen, fuzzing].concat())
    }),
    // What is refused by builds that lack a feature is tested nowhere else.
    ("tests, no feature", || {
        let tests = &["--test", "addresses", "--test", "websocket"];
        cargo(&[&["test"], LIBRARY, NO_FEATURES, tests].concat())
    }),
    ("documentation", || {
        let mut command = process::cargo();
        command.args(["doc", "--workspace", "--no-deps"]);
        command.args(test::NO_PEERS);
        command.args(["--features", test::FEATURES]);
        passed(command.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("public API", api::check),
    ("package", || package::check().map(|()| Outcome::Passed)),
    ("address sanitizer", || sanitize::address(&[])),
    ("fuzz targets", || fuzz::all(60)),
    (
        "key log tests for Windows, under Wine",
        windows::check_keylog,
    ),
    ("soak, quick", || quick(soak::run)),
    ("bench echo, quick", || quick(bench::echo::run)),
    ("conformance, bounded", || {
        conformance::run(&conformance::Options::quick()).map(|()| Outcome::Passed)
    }),
];

/// What takes too long for each change: `cargo xtask ci --all`.
const MORE: &[Step] = &[
    ("clippy, default features", || {
        clippy(&[WORKSPACE, &test::NO_PEERS].concat())
    }),
    ("clippy, only the feature tls", || {
        clippy(&[LIBRARY, NO_FEATURES, &["--features", "tls"]].concat())
    }),
    ("clippy, AWS-LC", || {
        clippy(&[LIBRARY, NO_FEATURES, &["--features", "aws-lc,keylog"]].concat())
    }),
    ("clippy, all features", || {
        setup::satisfy(&[setup::CXX, setup::PERL, setup::MAKE])?;
        clippy(&[LIBRARY, &["--all-features"]].concat())
    }),
    ("tests, AWS-LC", || {
        Library::AwsLc.test_few().map(|()| Outcome::Passed)
    }),
    ("tests for Windows, under Wine", windows::check),
    ("features, each alone", features::singles),
    ("minimum Rust", msrv::check),
];

/// Runs the checks, also after one has failed, and sums up. `--all` adds those that
/// take long.
pub fn run(args: &[String]) -> Result<()> {
    let more = match args {
        [] => &[][..],
        [all] if all == "--all" => MORE,
        _ => return Err(Error::new("`ci` takes nothing but `--all`")),
    };
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    for (name, step) in STEPS.iter().chain(more) {
        println!("== {name}");
        let start = Instant::now();
        let verdict = match step() {
            Ok(Outcome::Passed) => "passed".to_string(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(why) => {
                failed.push(*name);
                format!("FAILED: {why}")
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("== {name}: {verdict} ({seconds:.1} s)\n");
        summary.push(line(name, seconds, &verdict));
    }
    println!("Summary:\n{}", summary.join("\n"));
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Error::new(format!("failed: {}", failed.join("; "))))
    }
}

fn clippy(args: &[&str]) -> Result<Outcome> {
    let deny = &["--all-targets", "--", "-D", "warnings"];
    cargo(&[&["clippy"], args, deny].concat())
}

/// A verb in the form that it has for CI.
fn quick(verb: fn(&[String]) -> Result<()>) -> Result<Outcome> {
    verb(&["--quick".to_owned()]).map(|()| Outcome::Passed)
}

fn cargo(args: &[&str]) -> Result<Outcome> {
    passed(process::cargo().args(args))
}

fn passed(command: &mut Command) -> Result<Outcome> {
    process::run(command).map(|()| Outcome::Passed)
}

/// One line of the summary.
fn line(name: &str, seconds: f64, verdict: &str) -> String {
    let first = verdict.lines().next().unwrap_or_default();
    format!("  {name:<37} {seconds:>7.1} s  {first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_shows_one_line_per_step() {
        let text = line("package", 12.34, "FAILED: too big\nmore");
        assert!(text.contains("package") && text.contains("12.3 s"));
        assert!(text.ends_with("FAILED: too big"));
    }
}
