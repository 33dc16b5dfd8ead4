//! The servers and clients of a soak, each a process of its own.

use std::fmt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::paths;
use crate::process::{Child, PATIENCE};

/// A server or a client.
pub struct Process(Child);

impl Process {
    fn start(name: &str, command: &mut Command) -> Result<Self> {
        Child::start(name, command.stdout(Stdio::piped())).map(Process)
    }

    /// The next line that it prints; an empty one where its output ends.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        Ok(self.0.line(limit)?.unwrap_or_default())
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        self.0.kill();
    }

    /// What a client found, once it has ended; it is killed if that takes too long.
    pub fn verdict(mut self, limit: Duration) -> std::result::Result<String, String> {
        drop(self.0.take_input());
        let status = self.0.end(limit).map_err(|e| e.to_string())?;
        let text = self.0.rest(PATIENCE);
        let text = text.map_err(|e| e.to_string())?;
        let last = text.lines().last().unwrap_or_default();
        match last.split_once(": ") {
            Some(("passed", numbers)) if status.success() => Ok(numbers.to_owned()),
            Some(("FAILED", why)) => Err(why.to_owned()),
            _ => Err(format!("the client ended with {status}, and said {last:?}")),
        }
    }
}

/// Why there is no server.
pub enum NotStarted {
    Ended(ExitStatus),
    /// It neither told its ports nor ended.
    Hung(Error),
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotStarted::Ended(status) => write!(f, "it ended with {status}"),
            NotStarted::Hung(why) => why.fmt(f),
        }
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
        started.map_err(|why| Error::new(format!("the server doesn't start: {why}")))
    }

    /// The same for one that may not be able to start: what it did then.
    pub fn try_start(
        shell: &str,
        options: &[&str],
    ) -> Result<std::result::Result<Self, NotStarted>> {
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("{shell}\nexec \"$0\" \"$@\""));
        command.arg(paths::released("soak_server"));
        let mut process = Process::start("soak_server", command.args(options))?;
        let line = match process.line(PATIENCE) {
            Ok(line) => line,
            Err(why) => return Ok(Err(NotStarted::Hung(why))),
        };
        let words: Vec<_> = line.split(' ').collect();
        let ["listening", plain, tls, pid] = words[..] else {
            let ended = process.0.end(PATIENCE);
            return Ok(Err(ended.map_or_else(NotStarted::Hung, NotStarted::Ended)));
        };
        let options = ["--plain", plain, "--tls", tls, "--pid", pid];
        let options = options.map(String::from).to_vec();
        Ok(Ok(Server { process, options }))
    }

    /// Starts one of ours on the port of one that was killed. The system may have lent the
    /// port to a connection of somebody else's, which is over soon.
    pub fn start_at(port: &str) -> Result<Self> {
        let options = ["--port", port];
        for _ in 0..20 {
            match Server::try_start("", &options)? {
                Ok(server) => return Ok(server),
                Err(NotStarted::Ended(_)) => thread::sleep(Duration::from_millis(500)),
                Err(NotStarted::Hung(why)) => return Err(why),
            }
        }
        Server::start("", &options)
    }

    /// Starts the echo server in C, which prints its port alone.
    pub fn start_peer(program: &Path) -> Result<Self> {
        let mut process = Process::start("the server in C", &mut Command::new(program))?;
        let port = process.line(PATIENCE)?;
        let pid = process.0.id().to_string();
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
        let ended = self.process.0.ended().ok().flatten();
        ended.map(|status| format!("the server ended with {status}"))
    }

    /// Starts a client with a scenario's name and options.
    pub fn client(&self, scenario: &str, options: &[&str]) -> Result<Process> {
        let mut command = Command::new(paths::released("soak_client"));
        command
            .args(["--scenario", scenario])
            .args(&self.options)
            .args(options);
        // A probe asks until its input ends; the others don't read it.
        Process::start("soak_client", command.stdin(Stdio::piped()))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn verdict(script: &str, limit: Duration) -> std::result::Result<String, String> {
        let mut command = Command::new("sh");
        let client = Process::start("it", command.args(["-c", script]).stdin(Stdio::piped()));
        client.unwrap().verdict(limit)
    }

    #[test]
    fn a_client_passes_that_says_so_and_ends_well() {
        let passed = verdict("cat; echo something; echo passed: 5 times", PATIENCE);
        assert_eq!(passed, Ok("5 times".into()));
        let failed = verdict("echo FAILED: it was late; exit 1", PATIENCE);
        assert_eq!(failed, Err("it was late".into()));
    }

    /// Lost: what the client's own library does at its end.
    #[test]
    fn a_client_that_passes_and_crashes_has_failed() {
        for end in ["exit 1", "kill -SEGV $$"] {
            let why = verdict(&format!("echo passed: 5 times; {end}"), PATIENCE);
            assert!(why.unwrap_err().contains("passed: 5 times"), "{end}");
        }
        assert!(verdict("exit 0", PATIENCE).is_err());
        let why = verdict("exec sleep 600", Duration::from_millis(100));
        assert!(why.unwrap_err().contains("hangs"));
    }
}
