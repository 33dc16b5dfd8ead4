//! The servers and clients of a soak, each a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::paths;

/// A process that doesn't outlive this value.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::new(format!("cannot start {name}: {e}")))?;
        let name = name.to_owned();
        Ok(Process { child, name })
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> Result<String> {
        // Byte by byte, so that nothing is read that somebody else is to read later.
        let mut line = String::new();
        let out = self.child.stdout.as_mut();
        let out = out.ok_or_else(|| Error::new("no output"))?;
        let read = BufReader::with_capacity(1, out).read_line(&mut line);
        read.map_err(|e| Error::new(format!("cannot read from {}: {e}", self.name)))?;
        Ok(line.trim_end().to_owned())
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for its end.
    fn end(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait();
        status.map_err(|e| Error::new(format!("cannot wait for {}: {e}", self.name)))
    }

    /// What a client found, once it has ended; it is killed if that takes too long.
    pub fn verdict(mut self, limit: Duration) -> std::result::Result<String, String> {
        drop(self.child.stdin.take());
        let start = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(_)) => break,
                Ok(None) if start.elapsed() < limit => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Ok(None) => return Err(format!("not done after {} s", limit.as_secs())),
                Err(e) => return Err(e.to_string()),
            }
        }
        let mut text = String::new();
        if let Some(out) = &mut self.child.stdout {
            out.read_to_string(&mut text).map_err(|e| e.to_string())?;
        }
        let last = text.lines().last().unwrap_or_default();
        match last.split_once(": ") {
            Some(("passed", numbers)) => Ok(numbers.to_owned()),
            Some(("FAILED", why)) => Err(why.to_owned()),
            _ => Err(format!("the client ended without a verdict: {last:?}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server, and what clients have to know of it.
pub struct Server {
    process: Process,
    options: Vec<String>,
}

impl Server {
    /// Starts ours with these options. `shell` is done by a shell before, such as
    /// lowering a limit.
    pub fn start(shell: &str, options: &[&str]) -> Result<Self> {
        let started = Server::try_start(shell, options)?;
        started.map_err(|status| Error::new(format!("the server doesn't start: {status}")))
    }

    /// The same for one that may not be able to start: how it ended then.
    pub fn try_start(
        shell: &str,
        options: &[&str],
    ) -> Result<std::result::Result<Self, ExitStatus>> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{shell}\nexec \"$0\" \"$@\""));
        command.arg(program("soak_server"));
        let mut process = Process::start("soak_server", command.args(options))?;
        let line = process.line()?;
        let words: Vec<_> = line.split(' ').collect();
        let ["listening", plain, tls, pid] = words[..] else {
            return process.end().map(Err);
        };
        let options = ["--plain", plain, "--tls", tls, "--pid", pid];
        let options = options.map(String::from).to_vec();
        Ok(Ok(Server { process, options }))
    }

    /// Starts the echo server in C, which prints its port alone.
    pub fn start_peer(program: &Path) -> Result<Self> {
        let mut process = Process::start("the server in C", &mut Command::new(program))?;
        let port = process.line()?;
        let pid = process.child.id().to_string();
        let options = ["--plain", &port, "--pid", &pid].map(String::from).to_vec();
        Ok(Server { process, options })
    }

    /// The port without TLS.
    pub fn port(&self) -> &str {
        &self.options[1]
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// How it ended, if it has.
    pub fn end(&mut self) -> Option<String> {
        let ended = self.process.child.try_wait().ok().flatten();
        ended.map(|status| format!("the server ended with {status}"))
    }

    /// Starts a client with a scenario's name and options.
    pub fn client(&self, scenario: &str, options: &[&str]) -> Result<Process> {
        let mut command = Command::new(program("soak_client"));
        command
            .args(["--scenario", scenario])
            .args(&self.options)
            .args(options);
        // A probe asks until its input ends; the others don't read it.
        Process::start("soak_client", command.stdin(Stdio::piped()))
    }
}

/// A program that was built for this.
pub fn program(name: &str) -> PathBuf {
    paths::target_dir().join("release").join(name)
}
