//! Faults that come from the C library's functions: `bench/csrc/faults.c` is put before
//! them.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use super::programs::{NotStarted, Server};
use super::{Beside, Soak, Verdict, IMPATIENT};
use crate::error::Result;
use crate::{paths, process};

/// Of the allocations of the C library, and of the TLS library, one in so many fails.
const EACH: [(&str, &str); 2] = [
    ("SOAK_FAIL_EACH=40", "the C library's"),
    ("SOAK_FAIL_TLS=1 SOAK_FAIL_EACH=1500", "the TLS library's"),
];

/// Where servers tell of their faults.
const CLOCK: &str = "clock.count";
const MEMORY: &str = "memory.count";

/// How a Rust program ends that has panicked.
const PANICKED: i32 = 101;

/// Clients of a server of which one allocation fails, and how many that may hit.
const FEW: &[&str] = &["--count", "6", "--limit", "2"];

impl Soak {
    /// Silent and quiet peers of a server whose wall clock jumps by days.
    pub(super) fn clock_jumps(&mut self, options: &[&str]) -> Result<Option<Beside>> {
        if !self.options.wants("clock-jumps") {
            return Ok(None);
        }
        let shell = self.faults(CLOCK, "SOAK_CLOCK=1")?;
        let server = Server::start(&shell, IMPATIENT)?;
        let client = server.client("half-open", options)?;
        let beside = Beside::new("clock-jumps", server, client);
        Ok(Some(beside.with_faults(CLOCK)))
    }

    /// A verdict on a server that has to have met faults.
    pub(super) fn with_hits(&self, verdict: Verdict, report: &str) -> Verdict {
        verdict.and_then(|numbers| match self.hits(report)? {
            0 => Err("the fault never happened".into()),
            hits => Ok(format!("{numbers}; {hits} faults")),
        })
    }

    /// Servers of which one of the first allocations fails, and some of which one in so
    /// many does.
    pub(super) fn no_memory(&mut self) -> Result<()> {
        if !self.options.wants("no-memory") {
            return Ok(());
        }
        let start = Instant::now();
        let verdict = self.first_allocations()?;
        self.note("no-memory", start, None, verdict);
        let (_, count, most) = self.sizes.no_memory;
        for (which, whose) in EACH {
            let start = Instant::now();
            let shell = self.faults(MEMORY, which)?;
            // It may not be able to start: then it is asked once more.
            let mut started = Server::try_start(&shell, &[])?;
            for _ in 1..10 {
                if let Err(NotStarted::Ended(_)) = started {
                    started = Server::try_start(&shell, &[])?;
                }
            }
            let mut server = match started {
                Ok(server) => server,
                Err(why) => {
                    let why = format!("{whose}: it never started: {why}");
                    self.note("no-memory", start, None, Err(why));
                    continue;
                }
            };
            let options = ["--count", count, "--limit", most];
            let client = server.client("starved", &options)?;
            let verdict = self.with_hits(client.verdict(self.options.limit()), MEMORY);
            let verdict = verdict.map(|numbers| format!("{whose}: {numbers}"));
            self.note("no-memory", start, server.end(), verdict);
        }
        Ok(())
    }

    /// A server for each of them, which has to end with an error or serve on.
    fn first_allocations(&mut self) -> Result<Verdict> {
        let (count, ..) = self.sizes.no_memory;
        // The quick form picks some out of the same range.
        let step = if self.options.quick { 6 } else { 1 };
        let (mut refused, mut hit, mut bad) = (0, 0, Vec::new());
        for number in (0..count).map(|n| 1 + n * step) {
            let shell = self.faults(MEMORY, &format!("SOAK_FAIL_AT={number}"))?;
            // That it says why it can't start is expected.
            let shell = format!("{shell}\nexec 2>/dev/null");
            let end = match Server::try_start(&shell, &[])? {
                Ok(mut server) => {
                    let verdict = server.client("starved", FEW)?;
                    let verdict = verdict.verdict(self.options.limit());
                    server.end().or(verdict.err())
                }
                Err(NotStarted::Ended(status))
                    if status.code().is_some_and(|c| c != 0 && c != PANICKED) =>
                {
                    refused += 1;
                    None
                }
                Err(why) => Some(why.to_string()),
            };
            bad.extend(end.map(|end| format!("allocation {number}: {end}")));
            match self.hits(MEMORY) {
                Ok(hits) => hit += hits,
                Err(why) => bad.push(format!("allocation {number}: {why}")),
            }
        }
        if refused == 0 || hit * 2 < u64::from(count) {
            bad.push(format!(
                "{hit} allocations failed, {refused} servers didn't start"
            ));
        }
        if !bad.is_empty() {
            return Ok(Err(bad.join("; ")));
        }
        Ok(Ok(format!(
            "of {count} runs one of the first {} allocations failed in {hit}: {refused} servers \
             didn't start, the others served on",
            count * step
        )))
    }

    /// What a shell has to do for a server to have these faults.
    fn faults(&self, report: &str, which: &str) -> Result<String> {
        let library = self.folder.join("faults.so");
        if !library.exists() {
            process::run(&mut compile(&library))?;
        }
        let report = self.folder.join(report);
        // Of another server.
        let _ = std::fs::remove_file(&report);
        let (library, report) = (library.display(), report.display());
        Ok(format!(
            "export LD_PRELOAD='{library}' SOAK_REPORT='{report}' {which}"
        ))
    }

    /// How often the server that was started last has met a fault.
    fn hits(&self, report: &str) -> std::result::Result<u64, String> {
        let read =
            std::fs::read(self.folder.join(report)).map_err(|e| format!("no report: {e}"))?;
        let bytes = <[u8; 8]>::try_from(read).map_err(|_| "a report that is cut".to_owned())?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

fn compile(to: &PathBuf) -> Command {
    let mut command = Command::new("cc");
    command
        .args(["-O2", "-Wall", "-shared", "-fPIC", "-o"])
        .arg(to);
    command.arg(paths::root().join("bench/csrc/faults.c"));
    command
}
