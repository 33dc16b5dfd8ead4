//! Waits for other programs that come to an end: one that hangs fails its check, and keeps
//! nobody from the next.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What little takes at most, such as to start and to end, though the machine be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The same for all that a program has to do, unless it is told how long.
pub const MUCH_PATIENCE: Duration = Duration::from_secs(600);

/// What a program prints, read by a thread of its own.
pub struct Lines(Receiver<io::Result<String>>);

impl Lines {
    pub fn of(out: impl Read + Send + 'static) -> Self {
        let (tell, lines) = mpsc::channel();
        let mut out = BufReader::new(out);
        thread::spawn(move || loop {
            let mut line = Vec::new();
            let read = out.read_until(b'\n', &mut line);
            let read = read.map(|_| String::from_utf8_lossy(&line).into_owned());
            // To the end, also when nobody listens any more: the program is never to wait.
            match read {
                Ok(line) if line.is_empty() => return,
                Ok(line) => drop(tell.send(Ok(line))),
                Err(error) => return drop(tell.send(Err(error))),
            }
        });
        Lines(lines)
    }

    /// The next line, without its end; `None` where the output ends.
    pub fn next(&self, name: &str, limit: Duration) -> Result<Option<String>> {
        let line = self.receive(name, limit)?;
        Ok(line.map(|line| line.trim_end().to_owned()))
    }

    /// All that is left, until the output ends.
    pub fn rest(&self, name: &str, limit: Duration) -> Result<String> {
        let deadline = Instant::now() + limit;
        let mut text = String::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.receive(name, left)? {
                Some(_) if left.is_zero() => return Err(too_long(name, "end", limit)),
                Some(line) => text.push_str(&line),
                None => return Ok(text),
            }
        }
    }

    fn receive(&self, name: &str, limit: Duration) -> Result<Option<String>> {
        match self.0.recv_timeout(limit) {
            Ok(Ok(line)) => Ok(Some(line)),
            Ok(Err(e)) => Err(Error::new(format!("cannot read from {name}: {e}"))),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(too_long(name, "print", limit)),
        }
    }
}

/// How a program ends; one that doesn't within the limit is killed, which is an error.
pub fn end(child: &mut Child, name: &str, limit: Duration) -> Result<ExitStatus> {
    let start = Instant::now();
    loop {
        let ended = child.try_wait();
        match ended.map_err(|e| Error::new(format!("cannot wait for {name}: {e}")))? {
            Some(status) => return Ok(status),
            None if start.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
            None => {
                kill(child);
                return Err(too_long(name, "end", limit));
            }
        }
    }
}

/// Runs a command with the terminal inherited.
pub fn status(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let name = name(command);
    end(&mut spawn(command, &name)?, &name, limit)
}

/// Runs a command, and returns what it printed, too.
pub fn output(command: &mut Command, limit: Duration) -> Result<(ExitStatus, String)> {
    let name = name(command);
    let mut child = spawn(command.stdout(Stdio::piped()), &name)?;
    let printed = child.stdout.take().map(Lines::of);
    // Not by looking each few milliseconds: that could disturb what is measured.
    let printed = printed.map_or(Ok(String::new()), |lines| lines.rest(&name, limit));
    let ended = match &printed {
        Ok(_) => end(&mut child, &name, limit),
        Err(_) => end(&mut child, &name, Duration::ZERO),
    };
    let text = printed?;
    Ok((ended?, text))
}

/// Kills a program; one that has ended by itself isn't there any more, which is as good.
pub fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn spawn(command: &mut Command, name: &str) -> Result<Child> {
    let child = command.spawn();
    child.map_err(|e| Error::new(format!("cannot start `{name}`: {e}")))
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn too_long(name: &str, what: &str, limit: Duration) -> Error {
    let seconds = limit.as_secs_f64();
    Error::new(format!(
        "{name} hangs: it doesn't {what} within {seconds:.0} s"
    ))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_rest() {
        let mut child = shell("echo one; echo two; printf three")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let first = lines.next("it", PATIENCE).unwrap();
        assert_eq!(first.as_deref(), Some("one"));
        assert_eq!(lines.rest("it", PATIENCE).unwrap(), "two\nthree");
        assert_eq!(lines.next("it", PATIENCE).unwrap(), None);
        assert!(end(&mut child, "it", PATIENCE).unwrap().success());
    }

    /// Lost: a CI that waits until somebody looks.
    #[test]
    fn a_program_that_hangs_is_killed() {
        // The shell becomes the program, so that no other is left.
        let silent = output(&mut shell("exec sleep 600"), SHORT).unwrap_err();
        assert!(silent.to_string().contains("doesn't print"), "{silent}");
        let endless = output(&mut shell("exec >&-; exec sleep 600"), SHORT).unwrap_err();
        assert!(endless.to_string().contains("doesn't end"), "{endless}");
        let endless = status(&mut shell("exec sleep 600"), SHORT).unwrap_err();
        assert!(endless.to_string().contains("sh hangs"), "{endless}");
    }

    #[test]
    fn what_was_printed_comes_with_the_status() {
        let (status, text) = output(&mut shell("echo hello; exit 3"), PATIENCE).unwrap();
        assert_eq!((status.code(), &*text), (Some(3), "hello\n"));
    }
}
