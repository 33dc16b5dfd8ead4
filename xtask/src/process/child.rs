//! Programs that run beside this one, and end with it. Those that are to come to an end have
//! a limit: one that hangs fails its check, and keeps nobody from the next.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{ChildStdin, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// What little takes at most, such as to start and to end, though the machine be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The same for all that a program has to do, unless it is told how long.
pub const MUCH_PATIENCE: Duration = Duration::from_secs(600);

/// A program that is killed when this is dropped.
pub struct Child {
    child: std::process::Child,
    name: String,
    /// What it prints, where that is piped.
    printed: Option<Lines>,
}

impl Child {
    /// Starts a program; `name` is what errors call it.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        let child = command.spawn();
        let mut child = child.map_err(|e| cannot_start(name, &e))?;
        let printed = child.stdout.take().map(Lines::of);
        Ok(Child {
            child,
            name: name.to_owned(),
            printed,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it reads from, if that is piped and wasn't taken before.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The next line that it prints, without its end; `None` where the output ends.
    pub fn line(&self, limit: Duration) -> Result<Option<String>> {
        let printed = self.printed.as_ref();
        printed.map_or(Ok(None), |lines| lines.next(&self.name, limit))
    }

    /// The same for the only one that matters: what it prints then is read, and dropped.
    pub fn only_line(&mut self, limit: Duration) -> Result<Option<String>> {
        let line = self.line(limit);
        self.printed = None;
        line
    }

    /// All that is left of what it prints, until the output ends.
    pub fn rest(&self, limit: Duration) -> Result<String> {
        let printed = self.printed.as_ref();
        printed.map_or(Ok(String::new()), |lines| lines.rest(&self.name, limit))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let ended = self.child.try_wait();
        ended.map_err(|e| cannot_wait(&self.name, &e))
    }

    /// How it ends, whenever that is.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let ended = self.child.wait();
        ended.map_err(|e| cannot_wait(&self.name, &e))
    }

    /// How it ends; one that doesn't within the limit is killed, which is an error.
    pub fn end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.ended()? {
                Some(status) => return Ok(status),
                None if start.elapsed() < limit => thread::sleep(Duration::from_millis(10)),
                None => {
                    self.kill();
                    return Err(too_long(&self.name, "end", limit));
                }
            }
        }
    }

    /// Kills it, as `kill -9` does; one that has ended by itself isn't there any more, which
    /// is as good.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Looks at each line on its way to our output. How it ends, whenever that is.
    pub fn look(&mut self, mut look: impl FnMut(&str)) -> Result<ExitStatus> {
        // Not to the end of the output: what the program leaves running may keep it open.
        let mut ended = None;
        loop {
            let line = match &self.printed {
                Some(Lines(lines)) => lines.recv_timeout(Duration::from_millis(500)),
                None => Err(RecvTimeoutError::Disconnected),
            };
            match line {
                Ok(Ok(line)) => {
                    println!("{}", line.strip_suffix('\n').unwrap_or(&line));
                    look(line.trim_end());
                }
                // Nothing follows, so its end is next.
                Ok(Err(_)) => {}
                Err(RecvTimeoutError::Disconnected) => return self.wait(),
                // What it said last may still be on its way.
                Err(RecvTimeoutError::Timeout) => match ended {
                    Some(status) => return Ok(status),
                    None => ended = self.ended()?,
                },
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a program prints, read by a thread of its own.
struct Lines(Receiver<io::Result<String>>);

impl Lines {
    fn of(out: impl Read + Send + 'static) -> Self {
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
    fn next(&self, name: &str, limit: Duration) -> Result<Option<String>> {
        let line = self.receive(name, limit)?;
        Ok(line.map(|line| line.trim_end().to_owned()))
    }

    /// All that is left, until the output ends.
    fn rest(&self, name: &str, limit: Duration) -> Result<String> {
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

pub fn cannot_start(name: &str, cause: &io::Error) -> Error {
    Error::new(format!("cannot start {name}: {cause}"))
}

fn cannot_wait(name: &str, cause: &io::Error) -> Error {
    Error::new(format!("cannot wait for {name}: {cause}"))
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
    use crate::process::{output_within as output, status_within as status};
    use std::process::Stdio;

    const SHORT: Duration = Duration::from_millis(200);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_come_one_by_one_and_then_the_rest() {
        let mut command = shell("echo one; echo two; printf three");
        let mut child = Child::start("it", command.stdout(Stdio::piped())).unwrap();
        let first = child.line(PATIENCE).unwrap();
        assert_eq!(first.as_deref(), Some("one"));
        assert_eq!(child.rest(PATIENCE).unwrap(), "two\nthree");
        assert_eq!(child.line(PATIENCE).unwrap(), None);
        assert!(child.end(PATIENCE).unwrap().success());
    }

    /// Lost: a program that waits for somebody to read what it prints.
    #[test]
    fn what_follows_the_only_line_is_dropped() {
        let mut command = shell("echo one; yes | head -c 1000000; exit 3");
        let mut child = Child::start("it", command.stdout(Stdio::piped())).unwrap();
        assert_eq!(child.only_line(PATIENCE).unwrap().as_deref(), Some("one"));
        assert_eq!(child.end(PATIENCE).unwrap().code(), Some(3));
        assert_eq!(child.line(PATIENCE).unwrap(), None);
    }

    /// Lost: a processor, to a program that nobody waits for.
    #[test]
    fn a_program_ends_with_its_value() {
        let child = Child::start("it", Command::new("sleep").arg("600")).unwrap();
        let ask = format!("kill -0 {}", child.id());
        let runs = || crate::process::succeeds(&mut shell(&ask));
        assert!(runs());
        drop(child);
        assert!(!runs());
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
        assert!(endless.to_string().contains("`sh` hangs"), "{endless}");
    }

    #[test]
    fn what_was_printed_comes_with_the_status() {
        let (status, text) = output(&mut shell("echo hello; exit 3"), PATIENCE).unwrap();
        assert_eq!((status.code(), &*text), (Some(3), "hello\n"));
    }
}
