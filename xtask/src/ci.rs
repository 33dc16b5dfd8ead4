//! `cargo xtask ci`: every check apart from the tests themselves.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::tls::Library;
use crate::{
    api, bench, conformance, features, fuzz, msrv, package, process, sanitize, setup, soak, test,
    vendor, windows,
};

/// A check: its name and what it runs.
type Step = (&'static str, fn() -> Result<()>);

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
        process::run(command.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("public API", api::check),
    ("package", package::check),
    ("address sanitizer", || sanitize::address(&[])),
    ("fuzz targets", || fuzz::all(60)),
    (
        "key log tests for Windows, under Wine",
        windows::check_keylog,
    ),
    ("soak, quick", || quick(soak::run)),
    ("bench echo, quick", || quick(bench::echo::run)),
    ("conformance, bounded", || {
        conformance::run(&conformance::Options::quick())
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
    ("tests, AWS-LC", || Library::AwsLc.test_few()),
    ("tests for Windows, under Wine", windows::check),
    ("features, each alone", features::singles),
    ("minimum Rust", msrv::check),
];

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Options {
    all: bool,
    allow_skips: bool,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options::default();
        for arg in args {
            match arg.as_str() {
                "--all" => options.all = true,
                "--allow-skips" => options.allow_skips = true,
                _ => {
                    let why = "`ci` takes nothing but `--all` and `--allow-skips`";
                    return Err(Error::new(why));
                }
            }
        }
        Ok(options)
    }
}

/// Runs the checks, also after one has failed, and sums up. `--all` adds those that
/// take long.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    let more = if options.all { MORE } else { &[] };
    if options.allow_skips {
        test::allow_skips();
    }
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let mut summary = Summary::default();
    for (name, step) in STEPS.iter().chain(more) {
        println!("== {name}");
        let start = Instant::now();
        let result = step();
        summary.add(name, start.elapsed().as_secs_f64(), result);
    }
    println!("Summary:\n{}", summary.lines.join("\n"));
    summary.verdict(options.allow_skips)
}

/// What became of the checks.
#[derive(Default)]
struct Summary {
    lines: Vec<String>,
    failed: Vec<&'static str>,
    /// Those that machines of this kind can run, and this one didn't.
    skipped: Vec<&'static str>,
}

impl Summary {
    fn add(&mut self, name: &'static str, seconds: f64, result: Result<()>) {
        let verdict = match result {
            Ok(()) => "passed".to_string(),
            Err(Error::NotHere(why)) => format!("not here: {why}"),
            Err(Error::Lacking(why)) => {
                self.skipped.push(name);
                format!("SKIPPED: {why}")
            }
            Err(why) => {
                self.failed.push(name);
                format!("FAILED: {why}")
            }
        };
        println!("== {name}: {verdict} ({seconds:.1} s)\n");
        self.lines.push(line(name, seconds, &verdict));
    }

    /// An error if a check failed, or was skipped without leave: what was skipped unseen
    /// would count as passed for ever.
    fn verdict(&self, allow_skips: bool) -> Result<()> {
        let mut why = Vec::new();
        if !self.failed.is_empty() {
            why.push(format!("failed: {}", self.failed.join("; ")));
        }
        if !self.skipped.is_empty() && !allow_skips {
            why.push(format!(
                "skipped, for this machine lacks what it takes: {}; see the summary for what \
                 would bring it, or pass --allow-skips",
                self.skipped.join("; ")
            ));
        }
        match why.is_empty() {
            true => Ok(()),
            false => Err(Error::new(why.join("\n"))),
        }
    }
}

fn clippy(args: &[&str]) -> Result<()> {
    let deny = &["--all-targets", "--", "-D", "warnings"];
    cargo(&[&["clippy"], args, deny].concat())
}

/// A verb in the form that it has for CI.
fn quick(verb: fn(&[String]) -> Result<()>) -> Result<()> {
    verb(&["--quick".to_owned()])
}

fn cargo(args: &[&str]) -> Result<()> {
    process::run(process::cargo().args(args))
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
    fn what_a_machine_lacks_is_an_error_unless_skips_are_allowed() {
        let summary = |result| {
            let mut summary = Summary::default();
            summary.add("step", 1.0, result);
            [false, true].map(|allowed| summary.verdict(allowed).map_err(|why| why.to_string()))
        };
        assert_eq!(summary(Ok(())), [Ok(()), Ok(())]);
        assert_eq!(summary(Err(Error::NotHere("x".into()))), [Ok(()), Ok(())]);
        let [refused, allowed] = summary(Err(Error::Lacking("x".into())));
        assert!(refused.unwrap_err().contains("step; see"));
        assert_eq!(allowed, Ok(()));
        for why in [Error::new("x"), Error::Exit(2)] {
            assert!(summary(Err(why)).iter().all(|verdict| verdict.is_err()));
        }
    }

    #[test]
    fn switches_are_read() {
        let parse = |list: &[&str]| {
            let list: Vec<String> = list.iter().map(ToString::to_string).collect();
            Options::parse(&list)
        };
        let both = parse(&["--allow-skips", "--all"]).unwrap();
        assert!(both.all && both.allow_skips);
        assert_eq!(parse(&[]).unwrap(), Options::default());
        assert!(parse(&["--some"]).is_err());
    }

    #[test]
    fn summary_shows_one_line_per_step() {
        let text = line("package", 12.34, "FAILED: too big\nmore");
        assert!(text.contains("package") && text.contains("12.3 s"));
        assert!(text.ends_with("FAILED: too big"));
    }
}
