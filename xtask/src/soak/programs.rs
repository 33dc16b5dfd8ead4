//! The servers and clients of a soak, each a process of its own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::paths;
use crate::patience::{self, Lines, PATIENCE};

/// A process that doesn't outlive this value.
pub struct Process {
    child: Child,
    name: String,
    printed: Lines,
}

impl Process {
    fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::new(format!("cannot start {name}: {e}")))?;
        let out = child.stdout.take();
        let printed = Lines::of(out.ok_or_else(|| Error::new("no output"))?);
        let name = name.to_owned();
        Ok(Process {
            child,
            name,
            printed,
        })
    }

    /// The next line that it prints; an empty one where its output ends.
    pub fn line(&mut self, limit: Duration) -> Result<String> {
        let line = self.printed.next(&self.name, limit)?;
        Ok(line.unwrap_or_default())
    }

    /// Kills it, as `kill -9` does.
    pub fn kill(&mut self) {
        patience::kill(&mut self.child);
    }

    /// Waits for its end.
    fn end(&mut self, limit: Duration) -> Result<ExitStatus> {
        patience::end(&mut self.child, &self.name, limit)
    }

    /// What a client found, once it has ended; it is killed if that takes too long.
    pub fn verdict(mut self, limit: Duration) -> std::result::Result<String, String> {
        drop(self.child.stdin.take());
        let status = self.end(limit).map_err(|e| e.to_string())?;
        let text = self.printed.rest(&self.name, PATIENCE);
        let text = text.map_err(|e| e.to_string())?;
        let last = text.lines().last().unwrap_or_default();
        match last.split_once(": ") {
            Some(("passed", numbers)) if status.success() => Ok(numbers.to_owned()),
            Some(("FAILED", why)) => Err(why.to_owned()),
            _ => Err(format!("the client ended with {status}, and said {last:?}")),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
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
        command.arg(program("soak_server"));
        let mut process = Process::start("soak_server", command.args(options))?;
        let line = match process.line(PATIENCE) {
            Ok(line) => line,
            Err(why) => return Ok(Err(NotStarted::Hung(why))),
        };
        let words: Vec<_> = line.split(' ').collect();
        let ["listening", plain, tls, pid] = words[..] else {
            let ended = process.end(PATIENCE);
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
