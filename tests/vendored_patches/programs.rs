//! The programs in C that the tests run.

use crate::build::binaries;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long to wait for anything before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// What a program left behind.
#[derive(Debug)]
pub struct Report {
    pub stdout: String,
}

impl Report {
    /// The lengths of the pieces of body that the client was given.
    pub fn read_lengths(&self) -> Vec<u64> {
        self.stdout
            .lines()
            .filter_map(|line| line.strip_prefix("read "))
            .map(|n| n.parse().unwrap())
            .collect()
    }
}

/// A running program, killed when dropped.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Program {
    pub fn start(path: &Path, args: &[&str]) -> Program {
        let mut child = Command::new(path)
            .args(args)
            .env(
                "ASAN_OPTIONS",
                "detect_leaks=0:max_allocation_size_mb=256:allocator_may_return_null=0",
            )
            .env_remove("http_proxy")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", path.display()));
        let (sender, lines) = mpsc::channel();
        let output = child.stdout.take().unwrap();
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                // A program that has run wild must not fill the memory before it is killed.
                if text.len() < 1 << 16 {
                    let line = String::from_utf8_lossy(&line);
                    text += &line;
                    let _ = sender.send(line.trim_end().to_owned());
                }
                line.clear();
            }
            text
        });
        let mut errors = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = errors.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Program {
            stdin: child.stdin.take(),
            child,
            lines,
            stdout: Some(stdout),
            stderr: Some(stderr),
        }
    }

    /// Lets the program end, and fails if it didn't end well.
    pub fn finish(mut self) -> Report {
        drop(self.stdin.take());
        let status = self.wait();
        let stdout = self.stdout.take().unwrap().join().unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        let found = stderr.contains("Sanitizer") || stderr.contains("runtime error:");
        match status {
            Some(status) if status.success() && !found => Report { stdout },
            Some(status) => panic!("the program ended with {status}\n{stdout}{stderr}"),
            None => panic!(
                "the program does not end\n{}\n{stderr}",
                stdout.lines().take(20).collect::<Vec<_>>().join("\n")
            ),
        }
    }

    /// `None` if the program had to be killed.
    fn wait(&mut self) -> Option<ExitStatus> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stdin.take());
        if let Some(stderr) = self.stderr.take() {
            // The test is failing. Say why: the sanitizer's report, if there is one.
            self.wait();
            eprintln!("{}", stderr.join().unwrap_or_default());
        }
    }
}

/// `tests/vendored_patches/server.c`.
pub struct Server {
    program: Program,
    pub port: u16,
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        let program = Program::start(&binaries().join("server"), args);
        let line = program
            .lines
            .recv_timeout(PATIENCE)
            .expect("the server does not start");
        Server {
            port: line.parse().expect("the server's port"),
            program,
        }
    }

    /// Waits until the server prints a line.
    pub fn wait_for(&self, wanted: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.program.lines.recv_timeout(left) {
                Ok(line) if line == wanted => return,
                Ok(_) => {}
                Err(e) => panic!("the server did not print \"{wanted}\": {e}"),
            }
        }
    }

    pub fn finish(self) -> Report {
        self.program.finish()
    }
}

/// Lets `tests/vendored_patches/client.c` make a request and gives it a response.
pub fn fetch(args: &[&str], response: &str) -> Report {
    fetch_several(args, &[response])
}

/// Gives the client one response for each connection that it makes.
pub fn fetch_several(args: &[&str], responses: &[&str]) -> Report {
    let responses = responses
        .iter()
        .map(|response| |_: &str| (*response).to_owned());
    respond_each(args, responses)
}

/// As [`fetch`], for a response that depends on the WebSocket's key, or on "" without one.
/// Its characters are bytes, but for '…': there the client has to send something.
pub fn fetch_with(args: &[&str], response: impl Fn(&str) -> String) -> Report {
    respond_each(args, [response])
}

/// As [`fetch`], over TLS, with a certificate that nobody has signed.
pub fn fetch_tls(args: &[&str], response: &str) -> Report {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()).into(),
        )
        .unwrap();
    let (listener, program) = start_client(args);
    let tls = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = rustls::StreamOwned::new(tls, accepted(&listener));
    // A client that doesn't like the handshake sends no request.
    let _ = stream.read(&mut [0; 4096]);
    let _ = stream.write_all(response.as_bytes());
    drop(stream);
    program.finish()
}

fn start_client(args: &[&str]) -> (TcpListener, Program) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let program = Program::start(
        &binaries().join("client"),
        &[&[port.as_str()], args].concat(),
    );
    (listener, program)
}

fn respond_each(
    args: &[&str],
    responses: impl IntoIterator<Item = impl Fn(&str) -> String>,
) -> Report {
    let (listener, program) = start_client(args);
    for response in responses {
        respond(&listener, response);
    }
    program.finish()
}

fn accepted(listener: &TcpListener) -> TcpStream {
    let end = Instant::now() + PATIENCE;
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(5)),
            Err(e) => panic!("the client does not connect: {e}"),
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn respond(listener: &TcpListener, response: impl Fn(&str) -> String) {
    let mut stream = accepted(listener);
    let mut request: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => request.extend(&buffer[..n]),
            _ => panic!("the client sent no request"),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))
        .unwrap_or("");
    for (i, piece) in response(key).split('…').enumerate() {
        if i > 0 {
            let _ = stream.read(&mut buffer);
        }
        let piece: Vec<u8> = piece.chars().map(|c| c as u8).collect();
        let _ = stream.write_all(&piece);
    }
    let _ = stream.shutdown(Shutdown::Write);
    while matches!(stream.read(&mut buffer), Ok(n) if n > 0) {}
}

/// A file for the client's cookies, removed when dropped.
pub struct Jar(PathBuf);

impl Jar {
    pub fn new() -> Jar {
        let name = format!(
            "cookies-{}-{:?}",
            std::process::id(),
            thread::current().id()
        );
        let jar = Jar(binaries().join(name.replace(['(', ')'], "")));
        let _ = fs::remove_file(&jar.0);
        jar
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The cookies in the file, without the time when they expire.
    pub fn cookies(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let cookies = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        cookies
            .map(|line| {
                let mut parts: Vec<&str> = line.split('\t').collect();
                parts.remove(4);
                parts.join("\t")
            })
            .collect()
    }
}

impl Drop for Jar {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
