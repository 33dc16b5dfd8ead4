//! `cargo xtask sanitize`: the tests under AddressSanitizer, which includes
//! LeakSanitizer, under ThreadSanitizer, or under UndefinedBehaviorSanitizer, which
//! is for C alone. The build script instruments the C library as well when
//! `LWS_SANITIZE` is set.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::error::{Error, Result};
use crate::std_sources::Library;
use crate::{compiler_cache, paths, process, setup, test, tools, vendor};

/// Runs the verb with its arguments.
pub fn run(args: &[String]) -> Result<()> {
    let (kind, rest) = match args.split_first() {
        Some((kind, rest)) if kind == "address" => (address as fn(&[String]) -> _, rest),
        Some((kind, rest)) if kind == "thread" => (thread as fn(&[String]) -> _, rest),
        Some((kind, rest)) if kind == "undefined" => (undefined as fn(&[String]) -> _, rest),
        Some((other, _)) => {
            return Err(Error::new(format!(
                "no sanitizer `{other}`: use `address`, `thread` or `undefined`"
            )))
        }
        None => {
            return Err(Error::new(
                "which sanitizer? `address`, `thread` or `undefined`",
            ))
        }
    };
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let rest = rest.strip_prefix(&["--".to_string()]).unwrap_or(rest);
    kind(rest)
}

/// Suites that have nothing that is instrumented.
const ELSEWHERE: &[&str] = &[
    // Builds of their own, with settings of their own.
    "aws_lc",
    "build_variables",
    "compile_fail",
    "known",
    "sources",
    "symbols",
    // The C library alone, which they instrument themselves.
    "vendored_patches",
    // They run the examples, which would need the flags too; `cargo xtask valgrind` looks at
    // these.
    "examples",
    "examples_tls",
    "keylog_doctor",
    "other_languages",
];

/// Runs the tests under AddressSanitizer; `args` go to the test programs. What is undefined
/// in C ends a program there, too, without a word (SIGILL): `undefined` says what it was.
pub fn address(args: &[String]) -> Result<()> {
    let (toolchain, host) = Toolchain::find()?;
    println!("sanitize: using {}, target {host}", toolchain.name());
    let mut command = tests(toolchain.cargo("cargo")?, "address", &host)?;
    if env::var_os("ASAN_OPTIONS").is_none() {
        // LeakSanitizer is part of it on Linux only.
        let leaks = u8::from(cfg!(target_os = "linux"));
        command.env("ASAN_OPTIONS", format!("detect_leaks={leaks}"));
    }
    process::run(command.arg("--").args(args))
}

/// Tests that are left out under ThreadSanitizer.
const NOT_UNDER_THREAD: &[&str] = &[
    // It measures memory, of which ThreadSanitizer takes a multiple.
    "a_slow_reader_costs_no_more_than_its_queue",
    // ThreadSanitizer ends a child that has to do with its parent's threads.
    "fork_tests",
];

/// Suites that are left out under ThreadSanitizer.
const SUITES_NOT_UNDER_THREAD: &[&str] = &[
    // It has a sysconf() of its own, which ThreadSanitizer calls before anything can run.
    "descriptor_table",
];

/// Runs the tests under ThreadSanitizer; `args` go to the test programs.
///
/// The standard library is compiled with it too: it would be taken for racing
/// otherwise, for its locks and channels would go unseen.
fn thread(args: &[String]) -> Result<()> {
    let host = Toolchain::Current.host("tsan");
    let host = host.ok_or_else(|| missing("ThreadSanitizer"))?;
    let library = Library::obtain()?;
    let mut command = tests(Toolchain::Current.cargo("cargo")?, "thread", &host)?;
    library.enable(&mut command).arg("-Zbuild-std");
    if env::var_os("TSAN_OPTIONS").is_none() {
        let known = paths::root().join("xtask/tsan-suppressions.txt");
        command.env("TSAN_OPTIONS", format!("suppressions={}", known.display()));
    }
    let skipped = NOT_UNDER_THREAD.iter().flat_map(|name| ["--skip", name]);
    process::run(command.arg("--").args(skipped).args(args))
}

/// Runs the tests with the C code under UndefinedBehaviorSanitizer, which ends the
/// program at what it finds; `args` go to the test programs.
fn undefined(args: &[String]) -> Result<()> {
    // Its runtime is the C compiler's, so any toolchain will do.
    let host = process::host().ok_or_else(|| Error::new("`rustc -vV` names no host"))?;
    let mut command = tests(process::cargo(), "undefined", &host)?;
    if env::var_os("UBSAN_OPTIONS").is_none() {
        command.env("UBSAN_OPTIONS", "print_stacktrace=1");
    }
    process::run(command.arg("--").args(args))
}

/// The command that runs the tests under a sanitizer, up to their arguments.
fn tests(mut cargo: Command, sanitizer: &str, host: &str) -> Result<Command> {
    let own = match sanitizer {
        "thread" => SUITES_NOT_UNDER_THREAD,
        _ => &[],
    };
    let suites = test::suites(&[ELSEWHERE, own].concat())?;
    // `--target` keeps the flags away from build scripts and procedural macros.
    // Documentation tests would need flags of their own.
    cargo
        .args(["test", "-p", "libwebsockets", "--no-fail-fast"])
        .args(["--target", host])
        .args(["--features", test::FEATURES, "--lib"])
        .args(suites.iter().flat_map(|suite| ["--test", suite]))
        .env(
            "RUSTFLAGS",
            rustflags(sanitizer, env::var("RUSTFLAGS").ok().as_deref()),
        )
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        // Looking up names takes longer there than a test waits for what panics.
        .env("RUST_BACKTRACE", "0")
        .env(
            "LWS_SANITIZE",
            match sanitizer {
                "address" => "address,undefined",
                other => other,
            },
        );
    Ok(cargo)
}

fn rustflags(sanitizer: &str, given: Option<&str>) -> String {
    let own = match sanitizer {
        // Of C alone: what the C compiler's code calls is in a library of its own.
        "undefined" => "-Clink-arg=-lubsan".to_owned(),
        _ => format!("{OPTION}={sanitizer} -Cforce-frame-pointers=yes"),
    };
    match given.map(str::trim).filter(|flags| !flags.is_empty()) {
        Some(flags) => format!("{flags} {own}"),
        None => own,
    }
}

/// The compiler's option for sanitizers, which isn't a stable one.
const OPTION: &str = "-Zsanitizer";

/// Why a sanitizer can't be had. Rust comes with the runtimes of both for these alone.
fn missing(sanitizer: &str) -> Error {
    let brought = cfg!(all(
        any(
            all(target_os = "linux", target_env = "gnu"),
            target_os = "macos"
        ),
        any(target_arch = "x86_64", target_arch = "aarch64"),
    ));
    match brought {
        true => Error::Lacking(format!(
            "no Rust toolchain here can link {sanitizer}; \
             `rustup toolchain install nightly` brings one"
        )),
        false => Error::NotHere(format!("Rust has no {sanitizer} for this platform")),
    }
}

/// A toolchain that accepts `-Zsanitizer`.
#[derive(Clone, Copy)]
pub enum Toolchain {
    Nightly,
    /// The current one, told to accept unstable options.
    Current,
}

impl Toolchain {
    /// The first toolchain that works, and the host it compiles for. By the current one, build
    /// scripts and what they need are there already.
    pub fn find() -> Result<(Self, String)> {
        [Self::Current, Self::Nightly]
            .into_iter()
            .find_map(|toolchain| Some((toolchain, toolchain.host("asan")?)))
            .ok_or_else(|| missing("AddressSanitizer"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nightly => "the nightly toolchain",
            Self::Current => "the current toolchain, told to take -Zsanitizer",
        }
    }

    /// A cargo of this toolchain, or a program that runs one, in the root of the repository.
    /// The compiler takes [`OPTION`] from it.
    pub fn cargo(self, program: &str) -> Result<Command> {
        let mut command = self.program(program);
        if matches!(self, Self::Current) {
            command.env("RUSTC", tools::permissive("rustc", Some(OPTION))?);
        }
        compiler_cache::enable(&mut command);
        Ok(command)
    }

    fn program(self, name: &str) -> Command {
        let mut command;
        match self {
            Self::Nightly => {
                command = Command::new("rustup");
                command.args(["run", "nightly", name]);
            }
            Self::Current => command = Command::new(name),
        }
        command.current_dir(paths::root());
        command.env("CARGO_TARGET_DIR", paths::target_dir());
        command
    }

    /// The host triple, if this toolchain works and has this sanitizer's runtime.
    fn host(self, runtime: &str) -> Option<String> {
        let ask = |args: &[&str]| process::output(self.program("rustc").args(args)).ok()?;
        let host = process::host_line(&ask(&["-vV"])?)?;
        let libs = ask(&["--print", "target-libdir"])?;
        let entries = Path::new(libs.trim()).read_dir().ok()?;
        let has_runtime = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .any(|name| name.contains(&format!("rt.{runtime}")));
        has_runtime.then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_appended() {
        let flags = |given| rustflags("address", given);
        assert!(flags(None).starts_with("-Zsanitizer=address"));
        assert!(flags(Some(" ")).starts_with("-Zsanitizer=address"));
        assert!(flags(Some("-Dwarnings")).starts_with("-Dwarnings -Zsanitizer"));
    }

    #[test]
    fn only_known_sanitizers() {
        let why = run(&["memory".to_string()]).unwrap_err().to_string();
        assert!(why.contains("no sanitizer `memory`"));
    }
}
