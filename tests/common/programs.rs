//! Programs, the examples above all. Each is waited for no longer than [`WAIT`],
//! and killed when its test is over.

use super::{eventually, WAIT};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, SystemTime};

/// A program that runs.
pub struct Program {
    child: Child,
    /// Its lines, as they come.
    stdout: Receiver<String>,
    /// All of it, at its end.
    stderr: Receiver<String>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None`: a signal ended it.
    pub status: Option<i32>,
    /// The lines that weren't taken before.
    pub stdout: Vec<String>,
    pub stderr: String,
}

impl Program {
    #[track_caller]
    pub fn start(command: &mut Command) -> Program {
        match Program::try_start(command) {
            Ok(program) => program,
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    /// As [`start`](Program::start), of a program that may not be there.
    pub fn try_start(command: &mut Command) -> std::io::Result<Program> {
        let (mut program, out) = Program::spawn(command)?;
        let (tell, stdout) = mpsc::channel();
        program.stdout = stdout;
        let out = BufReader::new(out);
        thread::spawn(move || {
            // To the end, also when nobody listens any more.
            for line in out.lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        Ok(program)
    }

    /// As [`start`](Program::start), but nobody reads its standard output.
    #[track_caller]
    pub fn start_unread(command: &mut Command) -> (Program, ChildStdout) {
        match Program::spawn(command) {
            Ok(started) => started,
            Err(error) => panic!("{command:?}: {error}"),
        }
    }

    fn spawn(command: &mut Command) -> std::io::Result<(Program, ChildStdout)> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let out = child.stdout.take().unwrap();
        let mut err = child.stderr.take().unwrap();
        let (tell, stderr) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = err.read_to_end(&mut bytes);
            let _ = tell.send(String::from_utf8_lossy(&bytes).into_owned());
        });
        let (_, stdout) = mpsc::channel();
        let program = Program {
            child,
            stdout,
            stderr,
        };
        Ok((program, out))
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&self) -> String {
        self.line_within(WAIT)
    }

    /// As [`line`](Program::line), of a program that takes its time.
    #[track_caller]
    pub fn line_within(&self, time: Duration) -> String {
        match self.stdout.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("the program prints nothing"),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the program ends: {:?}", self.stderr.recv_timeout(WAIT))
            }
        }
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").expect("the program reads");
    }

    /// Writes bytes to its standard input.
    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(bytes).expect("the program reads");
        stdin.flush().expect("the program reads");
    }

    /// Ends its standard input.
    pub fn hang_up(&mut self) {
        self.child.stdin = None;
    }

    /// Sends it a signal, "INT" or "TERM".
    pub fn signal(&self, name: &str) {
        // The shell has a kill of its own, where there is no such program.
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("there is a shell").success(), "{kill}");
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let stderr = self.stderr.recv_timeout(WAIT).expect("the program ends");
        let mut stdout = Vec::new();
        loop {
            match self.stdout.recv_timeout(WAIT) {
                Ok(line) => stdout.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the program holds its output open"),
            }
        }
        let mut status = None;
        eventually("the program ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended {
            status: status.unwrap().code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An example of this crate with these arguments, and without variables that
/// ask for a key log.
#[track_caller]
pub fn example<A: AsRef<OsStr>>(name: &str, args: &[A]) -> Command {
    let mut command = Command::new(built(name));
    command
        .args(args)
        .env_remove("LWS_SSLKEYLOGFILE")
        .env_remove("SSLKEYLOGFILE");
    #[cfg(feature = "keylog")]
    if let Some(name) = libwebsockets::keylog::env_name() {
        command.env_remove(name);
    }
    command
}

/// Runs an example to its end.
#[track_caller]
pub fn run<A: AsRef<OsStr>>(name: &str, args: &[A]) -> Ended {
    Program::start(&mut example(name, args)).end()
}

/// Where cargo puts an example: `cargo test` builds them, with all the tests.
#[track_caller]
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).expect("target/debug");
    let examples = profile.join("examples");
    let program = examples.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let Some(built) = modified(&program) else {
        panic!("{program:?} is missing: `cargo build --examples` makes it");
    };
    // One test alone doesn't build them; an old one would tell nothing.
    let sources = std::fs::read_to_string(examples.join(format!("{name}.d"))).unwrap_or_default();
    for source in sources.split_whitespace() {
        let newer = modified(Path::new(source)).is_some_and(|time| time > built);
        assert!(
            !newer,
            "{program:?} is older than {source}: run `cargo build --examples`"
        );
    }
    program
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// The example `echo_server`, on a free port.
pub struct EchoServer {
    pub program: Program,
    pub url: String,
    pub addr: SocketAddr,
}

impl EchoServer {
    /// Starts it with these arguments; the URL that its first line tells.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(args: &[A]) -> EchoServer {
        EchoServer::of(&mut example("echo_server", args))
    }

    #[track_caller]
    pub fn of(command: &mut Command) -> EchoServer {
        let program = Program::start(command);
        let line = program.line();
        let url = line
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("it doesn't listen: {line:?}"));
        let port = url
            .trim_end_matches('/')
            .rsplit(':')
            .next()
            .and_then(|port| port.parse::<u16>().ok())
            .unwrap_or_else(|| panic!("there is no port: {line:?}"));
        EchoServer {
            url: url.to_owned(),
            addr: ([127, 0, 0, 1], port).into(),
            program,
        }
    }
}
