//! `cargo xtask conformance`: Autobahn's cases against our server and our client.

mod cases;
mod child;
mod report;
mod run;
mod suite;

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::{process, setup, test, vendor};
use cases::Selection;
use report::Report;
use run::{Bench, Role};
use suite::{Kind, Suite};

pub use suite::find_python3;

/// What the caller asks for.
#[derive(Debug, Default)]
pub struct Options {
    selection: Selection,
    suite: Option<Kind>,
}

impl Options {
    /// The bounded form.
    pub fn quick() -> Self {
        let mut options = Options::default();
        options.selection.quick = true;
        options
    }

    pub fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || {
                let none = || Error::new(format!("`{arg}` needs a value"));
                args.next().ok_or_else(none)
            };
            match arg.as_str() {
                "--quick" => options.selection.quick = true,
                "--suite" => options.suite = Some(Kind::parse(value()?)?),
                "--cases" => options.selection.only = cases::patterns(value()?)?,
                other => return Err(Error::new(format!("`conformance` takes no `{other}`"))),
            }
        }
        Ok(options)
    }
}

/// Sets everything up, runs the cases against both roles, plain and over TLS, and
/// prints the verdict.
pub fn run(options: &Options) -> Result<()> {
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let quick = options.selection.quick;
    build(quick)?;
    let suite = Suite::prepare(options.suite, quick)?;
    let bench = Bench {
        suite: &suite,
        selection: &options.selection,
        programs: run::programs(quick),
        parallel: if quick { 8 } else { 1 },
        limit: Duration::from_secs(if quick { 600 } else { 3600 }),
    };
    bench.prepare()?;
    let start = Instant::now();
    let reports = both_roles(&bench)?;
    let seconds = start.elapsed().as_secs();
    verdict(&reports, &options.selection, seconds)
}

/// Builds our ends: with the tests' own settings for the bounded form, whose
/// results are there already in CI.
fn build(quick: bool) -> Result<()> {
    let mut command = process::cargo_for_host();
    command.args(["build", "--workspace", "--features", test::FEATURES]);
    command.args(["--example", "echo_server", "--bin", "conformance"]);
    if !quick {
        command.arg("--release");
    }
    process::run(&mut command)
}

/// The roles at the same time, for much of what a case takes is waiting.
fn both_roles(bench: &Bench<'_>) -> Result<Vec<Report>> {
    let runs =
        |role| -> Result<[Report; 2]> { Ok([bench.run(role, false)?, bench.run(role, true)?]) };
    let (server, client) = std::thread::scope(|scope| {
        let server = scope.spawn(|| runs(Role::Server));
        let client = runs(Role::Client);
        (server.join(), client)
    });
    let server = server.map_err(|_| Error::new("the server's runs panicked"))?;
    Ok(server?.into_iter().chain(client?).collect())
}

fn verdict(reports: &[Report], selection: &Selection, seconds: u64) -> Result<()> {
    println!("\n{}\n", report::table(reports));
    let faults: Vec<String> = reports.iter().flat_map(|r| r.faults(selection)).collect();
    for report in reports {
        println!(
            "details of {}: {}",
            report.name,
            report.dir.join("index.html").display()
        );
    }
    if faults.is_empty() {
        println!("\nconformance: passed in {seconds} s: no case failed, was not strict or not implemented");
        return Ok(());
    }
    println!();
    for fault in &faults {
        println!("{fault}");
    }
    Err(Error::new(format!("conformance: {} faults", faults.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options> {
        let args: Vec<String> = args.iter().map(|s| (*s).to_owned()).collect();
        Options::parse(&args)
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--quick", "--suite", "kosoku", "--cases", "6.4.*,7.1.1"]).unwrap();
        assert!(options.selection.quick);
        assert_eq!(options.suite, Some(Kind::Kosoku));
        assert_eq!(options.selection.patterns(), ["6.4.*", "7.1.1"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, named) in [
            (&["--cases"][..], "--cases"),
            (&["--suite", "other"], "other"),
            (&["--cases", "6.4.*,8.1"], "8.1"),
            (&["--fast"], "--fast"),
        ] {
            let error = parse(args).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
