//! Programs that run beside this one, and what they print.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, IoContext, Result};
use crate::process::Child;

/// A program with a log, whose end is told where it fails.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program; what it prints goes to a log.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::create(log).doing("create", log)?;
        let err = out.try_clone().doing("open", log)?;
        command.stdout(out).stderr(err);
        Self::spawn(name, command, log)
    }

    /// As [`start`](Running::start), and returns the program's first line, which has to come
    /// within the limit.
    pub fn start_and_read(
        name: &str,
        command: &mut Command,
        log: &Path,
        limit: Duration,
    ) -> Result<(Self, String)> {
        let err = File::create(log).doing("create", log)?;
        command.stdout(Stdio::piped()).stderr(err);
        let mut running = Self::spawn(name, command, log)?;
        match running.child.only_line(limit) {
            Ok(Some(line)) => Ok((running, line)),
            Ok(None) => Err(running.failed("ended before it was ready")),
            Err(_) => Err(running.failed("is not ready in time")),
        }
    }

    fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        Ok(Running {
            child: Child::start(name, command.stdin(Stdio::null()))?,
            log: log.to_owned(),
        })
    }

    /// Waits until the log holds a text.
    pub fn wait_for(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !fs::read_to_string(&self.log).is_ok_and(|log| log.contains(text)) {
            if self.child.ended()?.is_some() {
                return Err(self.failed("ended before it was ready"));
            }
            if Instant::now() > deadline {
                return Err(self.failed("is not ready in time"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until the program ends; whether it succeeded.
    pub fn wait(mut self, limit: Duration) -> Result<bool> {
        match self.child.end(limit) {
            Ok(status) => Ok(status.success()),
            Err(_) => Err(self.failed(&format!("doesn't end within {} s", limit.as_secs()))),
        }
    }

    /// An error with the end of the log.
    pub fn failed(&self, what: &str) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let end = &log[log.len().saturating_sub(2000)..];
        let end = String::from_utf8_lossy(end);
        Error::new(format!(
            "{} {what}; its output ends:\n{end}",
            self.child.name()
        ))
    }
}
