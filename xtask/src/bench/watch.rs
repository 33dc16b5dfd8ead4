//! Servers that are watched while they work: their instructions and system calls.
//!
//! Each is started anew for few connections and for many. The difference is what the
//! connections take, without the start and the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::{number, Load, Server};
use crate::error::{Error, IoContext, Result};

/// A server to be watched.
pub struct Watched<'a> {
    pub program: &'a Path,
    pub args: &'a [OsString],
    pub env: &'a [(&'a str, OsString)],
    /// Whether its log is switched on.
    pub on: bool,
}

/// How often each system call was made.
pub type Calls = BTreeMap<String, f64>;

/// A client for those who are watched, and where their watchers write.
pub struct Watcher<'a> {
    pub client: &'a Path,
    /// Few connections and many.
    pub counts: [u32; 2],
    pub dir: &'a Path,
}

impl Watcher<'_> {
    /// Instructions in user mode, for each connection.
    pub fn instructions(&self, server: &Watched<'_>) -> Result<f64> {
        let [few, many] = self.each(server, |report| {
            let mut command = Command::new("valgrind");
            command.args(["--quiet", "--tool=callgrind"]);
            command.arg(option("--callgrind-out-file=", report));
            command
        })?;
        Ok((instructions(&many)? - instructions(&few)?) / self.between())
    }

    /// System calls, for each connection; `on` a file if one is given.
    pub fn calls(&self, server: &Watched<'_>, on: Option<&Path>) -> Result<Calls> {
        let [few, many] = self.each(server, |report| {
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-c", "-U", "calls,name", "-o"]);
            command.arg(report);
            if let Some(path) = on {
                command.arg("-P").arg(path);
            }
            command
        })?;
        let few = calls(&few)?;
        let many = calls(&many)?.into_iter().map(|(name, count)| {
            let more = count - few.get(&name).copied().unwrap_or(0.0);
            (name, more / self.between())
        });
        Ok(many.filter(|(_, count)| *count != 0.0).collect())
    }

    fn between(&self) -> f64 {
        f64::from(self.counts[1] - self.counts[0])
    }

    /// The watcher's reports of few connections and of many.
    fn each(
        &self,
        server: &Watched<'_>,
        watcher: impl Fn(&Path) -> Command,
    ) -> Result<[String; 2]> {
        let [few, many] = self.counts;
        Ok([
            self.run(few, server, &watcher)?,
            self.run(many, server, &watcher)?,
        ])
    }

    fn run(
        &self,
        count: u32,
        server: &Watched<'_>,
        watcher: impl Fn(&Path) -> Command,
    ) -> Result<String> {
        let report: PathBuf = self.dir.join("report");
        let mut command = watcher(&report);
        command.arg(server.program).args(server.args);
        command.envs(server.env.iter().cloned());
        let mut running = [Server::start(&mut command)?];
        if server.on {
            running[0].tell("on")?;
        }
        // One at a time, so that every connection takes the same way.
        let load = Load {
            client: self.client,
            count,
            parallel: 1,
            options: &[],
        };
        load.run(&running)?;
        let [running] = running;
        running.end()?;
        fs::read_to_string(&report).doing("read", &report)
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// What callgrind counted: its last line says it.
fn instructions(report: &str) -> Result<f64> {
    let line = report
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("totals: "));
    number(line.ok_or_else(|| Error::new("callgrind has counted nothing"))?)
}

/// What strace counted: lines of a number and a name, between a head and a sum.
fn calls(report: &str) -> Result<Calls> {
    let mut calls = Calls::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [count, name] if count.bytes().all(|b| b.is_ascii_digit()) && name != "total" => {
                calls.insert(name.to_owned(), number(count)?);
            }
            _ => {}
        }
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        let callgrind = "fn=(1)\n1 5\n\ntotals: 1234\n";
        assert_eq!(instructions(callgrind).unwrap(), 1234.0);
        assert!(instructions("").is_err());
        let strace = "    calls syscall\n--------- ----------------\n      610 write\n\
                            1 openat\n--------- ----------------\n      611 total\n";
        let calls = calls(strace).unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(calls["write"], 610.0);
    }
}
