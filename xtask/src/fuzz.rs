//! `cargo xtask fuzz`: the fuzz targets, each for some seconds, with the C library
//! compiled by clang so that the fuzzer sees its branches too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::error::{Error, IoContext, Result};
use crate::process::{self, Child};
use crate::sanitize::Toolchain;
use crate::{paths, setup, tools, vendor};

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
    let (toolchain, host) = Toolchain::find()?;
    setup::satisfy(&[setup::CLANG])?;
    let tool = tools::obtain("cargo-fuzz")?;
    build(&tool, toolchain)?;
    let programs = paths::target_dir().join("fuzz").join(host).join("release");
    let folder = Sockets::new()?;
    let mut summary = Vec::new();
    let mut failed = Vec::new();
    // As many at a time as there are processors: each has one thread.
    let at_once = std::thread::available_parallelism().map_or(2, usize::from);
    for some in options.targets.chunks(at_once) {
        let started: Vec<(&String, Run)> = some
            .iter()
            .map(|target| {
                let program = programs.join(target);
                let run = Run::start(&program, &folder, target, options.seconds);
                Ok((target, run?))
            })
            .collect::<Result<_>>()?;
        for (target, run) in started {
            match run.wait(options.seconds) {
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

/// Where the targets have their sockets, which nobody else removes: not in the folder for
/// temporary files, unless a socket's path would be too long.
struct Sockets(Option<PathBuf>);

impl Sockets {
    /// The path of a socket has 107 bytes at most, of which a name takes 30.
    const LONGEST: usize = 77;

    fn new() -> Result<Self> {
        let name = std::process::id().to_string();
        let folder = paths::target_dir().join("fuzz-sockets").join(name);
        if folder.as_os_str().len() > Self::LONGEST {
            return Ok(Sockets(None));
        }
        std::fs::create_dir_all(&folder).doing("create", &folder)?;
        Ok(Sockets(Some(folder)))
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// A target that runs.
struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    /// Starts the program itself: cargo-fuzz would put cargo between, and to kill these two
    /// ends neither of the others.
    fn start(program: &Path, sockets: &Sockets, target: &str, seconds: u64) -> Result<Self> {
        let dir = paths::target_dir().join("fuzz-logs");
        // What is found goes to a copy of the corpus, which is part of the repository.
        let corpus = paths::target_dir().join("fuzz-corpus").join(target);
        let seeds = paths::root().join("fuzz/corpus").join(target);
        let artifacts = paths::root().join("fuzz/artifacts").join(target);
        for dir in [&dir, &corpus, &artifacts] {
            std::fs::create_dir_all(dir).doing("create", dir)?;
        }
        let log = dir.join(format!("{target}.log"));
        let file = std::fs::File::create(&log).doing("create", &log)?;
        let mut run = Command::new(program);
        run.current_dir(paths::root()).arg(&corpus);
        if seeds.is_dir() {
            run.arg(&seeds);
        }
        if let Some(folder) = &sockets.0 {
            run.env("TMPDIR", folder);
        }
        // What is kept until the end of the process is no leak of one input. The other is
        // cargo-fuzz's own.
        run.env("ASAN_OPTIONS", "detect_leaks=1:detect_odr_violation=0");
        run.arg(format!("-artifact_prefix={}/", artifacts.display()))
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
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child = Child::start(target, &mut run)?;
        Ok(Run { child, log })
    }

    /// The number of runs, or why it failed.
    fn wait(mut self, seconds: u64) -> std::result::Result<u64, String> {
        let limit = Duration::from_secs(seconds + 300);
        let status = match self.child.end(limit) {
            Ok(status) => status,
            Err(why) => return Err(why.to_string()),
        };
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let runs = runs(&text).filter(|runs| *runs > 0);
        match (status.success(), runs) {
            (true, Some(runs)) => Ok(runs),
            _ => {
                let tail: Vec<&str> = text.lines().rev().take(40).collect();
                for line in tail.iter().rev() {
                    println!("{line}");
                }
                Err(format!("{status}, see {}", self.log.display()))
            }
        }
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

/// Builds all targets.
fn build(tool: &Path, toolchain: Toolchain) -> Result<()> {
    let mut command = toolchain.cargo(&tool.to_string_lossy())?;
    command.args(["fuzz", "build", "--sanitizer", "address"]);
    command
        .args(["--fuzz-dir", "fuzz", "--target-dir"])
        .arg(paths::target_dir().join("fuzz"))
        .env("CARGO_BUILD_BUILD_DIR", paths::target_dir())
        // gcc has no instrumentation that the fuzzer understands.
        .env("CC", "clang")
        .env("CFLAGS", "-fsanitize=fuzzer-no-link")
        .env("LWS_SANITIZE", "address,undefined");
    process::run(&mut command)
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
