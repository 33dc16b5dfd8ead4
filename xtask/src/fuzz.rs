//! `cargo xtask fuzz`: the fuzz targets, each for some seconds, with the C library
//! compiled by clang so that the fuzzer sees its branches too.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sanitize::Toolchain;
use crate::{paths, process, setup, tools, vendor};

/// How long each target runs unless the arguments say otherwise.
const SECONDS: u64 = 60;

/// The targets: `fuzz/fuzz_targets/NAME.rs`, with a corpus in `fuzz/corpus/NAME`.
const TARGETS: &[&str] = &[
    "builders",
    "client",
    "events",
    "keylog_parse",
    "keylog_template",
    "server",
];

struct Options {
    seconds: u64,
    targets: Vec<String>,
}

/// Runs the verb with its arguments.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    fuzz(&options)
}

/// Runs every target for so many seconds.
pub fn all(seconds: u64) -> Result<()> {
    fuzz(&Options {
        seconds,
        targets: TARGETS.iter().map(ToString::to_string).collect(),
    })
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options {
            seconds: SECONDS,
            targets: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            if arg == "--seconds" {
                let value = args.next().and_then(|value| value.parse().ok());
                options.seconds = value.ok_or_else(|| Error::new("--seconds needs a number"))?;
            } else if TARGETS.contains(&arg.as_str()) {
                options.targets.push(arg.clone());
            } else {
                return Err(Error::new(format!(
                    "no fuzz target `{arg}`; there are: {}",
                    TARGETS.join(", ")
                )));
            }
        }
        if options.targets.is_empty() {
            options.targets = TARGETS.iter().map(ToString::to_string).collect();
        }
        Ok(options)
    }
}

fn fuzz(options: &Options) -> Result<()> {
    let (toolchain, _) = Toolchain::find()?;
    setup::satisfy(&[setup::CLANG])?;
    let tool = tools::obtain("cargo-fuzz")?;
    process::run(command(&tool, toolchain, "build", None)?.args(["--sanitizer", "address"]))?;
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    // As many at a time as there are processors: each has one thread.
    let at_once = std::thread::available_parallelism().map_or(2, usize::from);
    for some in options.targets.chunks(at_once) {
        let started: Vec<(&String, Run)> = some
            .iter()
            .map(|target| {
                Ok((
                    target,
                    Run::start(&tool, toolchain, target, options.seconds)?,
                ))
            })
            .collect::<Result<_>>()?;
        for (target, run) in started {
            match run.wait(options.seconds)? {
                Ok(runs) => summary.push(format!("  {target:<16} {runs:>12} runs, no finding")),
                Err(why) => {
                    summary.push(format!("  {target:<16} FAILED: {why}"));
                    failed.push(target.as_str());
                }
            }
        }
    }
    println!("fuzz: {} s each\n{}", options.seconds, summary.join("\n"));
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("findings in: {}", failed.join(", ")))),
    }
}

/// A target that runs.
struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    fn start(tool: &Path, toolchain: Toolchain, target: &str, seconds: u64) -> Result<Self> {
        let dir = paths::target_dir().join("fuzz-logs");
        // What is found goes to a copy of the corpus, which is part of the repository.
        let corpus = paths::target_dir().join("fuzz-corpus").join(target);
        let seeds = paths::root().join("fuzz/corpus").join(target);
        for dir in [&dir, &corpus] {
            std::fs::create_dir_all(dir)
                .map_err(|e| Error::new(format!("cannot create {}: {e}", dir.display())))?;
        }
        let log = dir.join(format!("{target}.log"));
        let file = std::fs::File::create(&log)
            .map_err(|e| Error::new(format!("cannot create {}: {e}", log.display())))?;
        let mut run = command(tool, toolchain, "run", Some(target))?;
        run.args(["--sanitizer", "address"]).arg(&corpus);
        if seeds.is_dir() {
            run.arg(&seeds);
        }
        run.arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .args([
                "-max_len=4096",
                "-timeout=20",
                "-rss_limit_mb=4096",
                "-print_final_stats=1",
                // After each run that takes tens of milliseconds, and a context may free
                // in one run what it took in another. At the end it is looked for, too.
                "-detect_leaks=0",
            ]);
        let child = run
            .stdout(std::process::Stdio::null())
            .stderr(file)
            .spawn()
            .map_err(|e| Error::new(format!("cannot start cargo-fuzz: {e}")))?;
        Ok(Run { child, log })
    }

    /// The number of runs, or why it failed.
    fn wait(mut self, seconds: u64) -> Result<std::result::Result<u64, String>> {
        let deadline = Instant::now() + Duration::from_secs(seconds + 300);
        let status = loop {
            let status = self.child.try_wait();
            match status.map_err(|e| Error::new(format!("cannot wait for cargo-fuzz: {e}")))? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    return Ok(Err("it didn't end in time".into()));
                }
                None => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let runs = runs(&text).filter(|runs| *runs > 0);
        Ok(match (status.success(), runs) {
            (true, Some(runs)) => Ok(runs),
            _ => {
                let tail: Vec<&str> = text.lines().rev().take(40).collect();
                for line in tail.iter().rev() {
                    println!("{line}");
                }
                Err(format!("{status}, see {}", self.log.display()))
            }
        })
    }
}

/// The number of runs in libFuzzer's closing lines.
fn runs(log: &str) -> Option<u64> {
    let line = log
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("stat::number_of_executed_units:"));
    line?.trim().parse().ok()
}

fn command(tool: &Path, toolchain: Toolchain, verb: &str, target: Option<&str>) -> Result<Command> {
    let mut command = toolchain.cargo(&tool.to_string_lossy())?;
    command.args(["fuzz", verb]).args(target);
    command
        .args(["--fuzz-dir", "fuzz", "--target-dir"])
        .arg(paths::target_dir().join("fuzz"))
        .env("CARGO_BUILD_BUILD_DIR", paths::target_dir())
        // gcc has no instrumentation that the fuzzer understands.
        .env("CC", "clang")
        .env("CFLAGS", "-fsanitize=fuzzer-no-link")
        .env("LWS_SANITIZE", "address,undefined")
        // What is kept until the end of the process is no leak of one input.
        .env("ASAN_OPTIONS", "detect_leaks=1");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_target_has_its_file() {
        let dir = paths::root().join("fuzz/fuzz_targets");
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        files.sort();
        assert_eq!(files, TARGETS);
    }

    #[test]
    fn arguments_choose_targets_and_time() {
        let all = Options::parse(&[]).unwrap();
        assert_eq!((all.seconds, all.targets.len()), (SECONDS, TARGETS.len()));
        let some = Options::parse(&args(&["--seconds", "5", "server"])).unwrap();
        assert_eq!((some.seconds, some.targets), (5, args(&["server"])));
        assert!(Options::parse(&args(&["--seconds"])).is_err());
        assert!(Options::parse(&args(&["nothing"])).is_err());
    }

    #[test]
    fn runs_are_read_from_the_closing_lines() {
        let log = "x\nstat::number_of_executed_units: 1234\nstat::average_exec_per_sec: 5\n";
        assert_eq!(runs(log), Some(1234));
        assert_eq!(runs("crash"), None);
    }
}
