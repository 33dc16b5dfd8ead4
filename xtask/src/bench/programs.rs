//! The programs of the package `bench`: built, and those of them that serve.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};

use crate::error::{Error, IoContext, Result};
use crate::paths;
use crate::process::{self, Child, MUCH_PATIENCE, PATIENCE};

/// The programs as they were built with some features.
pub struct Programs(PathBuf);

impl Programs {
    /// Builds all that these features of `bench` allow, and puts those that are named in
    /// a folder of their own: the next build replaces what Cargo has put into its own.
    pub fn build(name: &str, features: &[&str], programs: &[&str]) -> Result<Self> {
        println!("bench: building: {name} ...");
        let mut command = process::cargo_for_host();
        command.args(["build", "--quiet", "--release", "-p", "bench", "--bins"]);
        command.args(["--no-default-features", "--features", &features.join(",")]);
        process::run(&mut command)?;
        let to = paths::target_dir().join("bench").join(name);
        fs::create_dir_all(&to).doing("create", &to)?;
        for program in programs {
            let built = paths::released(program);
            fs::copy(&built, to.join(program)).doing("copy", &built)?;
        }
        Ok(Programs(to))
    }

    /// One of them.
    pub fn path(&self, program: &str) -> PathBuf {
        self.0.join(program)
    }
}

/// A server that runs until this is dropped.
pub struct Server {
    child: Child,
    input: Option<ChildStdin>,
    port: u16,
    /// Of the server itself, though something that watches it was started.
    pid: u32,
}

impl Server {
    /// Starts a program, and waits until it says `listening PORT PID`.
    pub fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::start("a server", command)?;
        let mut server = Server {
            input: child.take_input(),
            child,
            port: 0,
            pid: 0,
        };
        let line = server.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        let ["listening", port, pid] = words[..] else {
            return Err(Error::new(format!("{command:?} says {line:?}")));
        };
        (server.port, server.pid) = (number(port)?, number(pid)?);
        Ok(server)
    }

    /// Gives a command, and waits until it is done.
    pub fn tell(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().ok_or_else(Server::silent)?;
        writeln!(input, "{word}").map_err(|_| Server::silent())?;
        match self.line()? {
            line if line == word => Ok(()),
            line => Err(Error::new(format!("a server answers {word:?} by {line:?}"))),
        }
    }

    /// Ends it; what it printed last.
    pub fn end(mut self) -> Result<String> {
        drop(self.input.take());
        let status = self.child.end(PATIENCE)?;
        if !status.success() {
            return Err(Error::new(format!("a server has failed: {status}")));
        }
        self.child.rest(PATIENCE)
    }

    fn line(&self) -> Result<String> {
        let line = self.child.line(PATIENCE)?;
        line.ok_or_else(Server::silent)
    }

    fn silent() -> Error {
        Error::new("a server has ended too early")
    }
}

/// What handshakes took.
pub struct Cost {
    /// How many there were each second.
    pub rate: f64,
    /// The servers' CPU time for each, in microseconds.
    pub cpu: f64,
}

/// Connections that a client makes.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    pub client: &'a Path,
    /// How many.
    pub count: u32,
    /// How many at once.
    pub parallel: u32,
    /// Further options of the client.
    pub options: &'a [&'a str],
}

impl Load<'_> {
    /// Makes them, to these servers in turn.
    pub fn run(&self, servers: &[Server]) -> Result<Cost> {
        let list: Vec<String> = servers
            .iter()
            .map(|server| format!("{}/{}", server.port, server.pid))
            .collect();
        let mut command = Command::new(self.client);
        command.args(["--servers", &list.join(",")]);
        command.args(["--count", &self.count.to_string()]);
        command.args(["--parallel", &self.parallel.to_string()]);
        command.args(self.options).stdin(Stdio::null());
        let (status, text) = process::output_within(&mut command, MUCH_PATIENCE)?;
        if !status.success() {
            return Err(Error::new("a client has failed"));
        }
        cost(&text)
    }
}

fn cost(text: &str) -> Result<Cost> {
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    let ["handshakes", count, "seconds", seconds, "cpu", cpu] = words[..] else {
        return Err(Error::new(format!("a client says {text:?}")));
    };
    let count: f64 = number(count)?;
    Ok(Cost {
        rate: count / number::<f64>(seconds)?,
        cpu: number::<f64>(cpu)? * 1e6 / count,
    })
}

/// A number in what a program printed.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    let parsed = text.parse();
    parsed.map_err(|_| Error::new(format!("no number: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_for_one_handshake() {
        let cost = cost("handshakes 200 seconds 0.5 cpu 0.1\n").unwrap();
        assert_eq!((cost.rate, cost.cpu), (400.0, 500.0));
        assert!(super::cost("error").is_err());
    }

    /// Lost: a benchmark that waits forever for a server that couldn't start.
    #[cfg(unix)]
    #[test]
    fn a_server_that_ends_too_early_is_an_error() {
        let started = Server::start(Command::new("sh").args(["-c", "exit 3"]));
        assert!(started.is_err_and(|e| e.to_string().contains("too early")));
        let script = "echo listening 7 8; read line; echo $line; cat; echo last";
        let mut server = Server::start(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!((server.port, server.pid), (7, 8));
        server.tell("on").unwrap();
        assert_eq!(server.end().unwrap(), "last\n");
    }
}
