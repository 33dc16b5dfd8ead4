//! The runs: our server and our client, each plain and over TLS.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cases::Selection;
use super::child::Running;
use super::report::Report;
use super::suite::{home, Kind, Suite};
use crate::error::{Error, IoContext, Result};
use crate::paths;

/// How soon a program is ready; the first start of a Python compiles a lot.
const START: Duration = Duration::from_secs(60);

/// The TLS relay for a suite that has none.
const RELAY: &str = include_str!("relay.py");

/// The name under which our ends are reported.
const AGENT: &str = "libwebsockets";

/// Who is examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

/// What all runs share.
pub struct Bench<'a> {
    pub suite: &'a Suite,
    pub selection: &'a Selection,
    /// Where Cargo put our programs.
    pub programs: PathBuf,
    /// Cases at a time, where the suite can do several.
    pub parallel: usize,
    /// How long one run may take.
    pub limit: Duration,
}

impl Bench<'_> {
    /// Makes what all runs need, and forgets what earlier ones found.
    pub fn prepare(&self) -> Result<()> {
        let relay = home().join("relay.py");
        fs::write(&relay, RELAY).doing("write", &relay)?;
        let mut command = Command::new(self.programs.join("conformance"));
        command.arg("certificate").arg(home());
        crate::process::run(&mut command)
    }

    /// Runs the cases against one end.
    pub fn run(&self, role: Role, tls: bool) -> Result<Report> {
        let over = if tls { "TLS" } else { "plain" };
        let name = match role {
            Role::Server => format!("server, {over}"),
            Role::Client => format!("client, {over}"),
        };
        let dir = home().join(format!(
            "{}-{}",
            self.suite.kind.name(),
            name.replace(", ", "-")
        ));
        paths::remove(&dir)?;
        fs::create_dir_all(&dir).doing("create", &dir)?;
        match role {
            Role::Server => self.server(tls, &dir)?,
            Role::Client => self.client(tls, &dir)?,
        }
        Report::read(&name, &dir)
    }

    /// The suite is the client.
    fn server(&self, tls: bool, dir: &Path) -> Result<()> {
        let mut server = Command::new(self.programs.join("examples/echo_server"));
        server.args(["--port", "0", "--deflate"]);
        if tls {
            server.arg("--tls");
        }
        let (_server, line) =
            Running::start_and_read("echo_server", &mut server, &dir.join("server.log"), START)?;
        let port = line
            .rsplit_once(':')
            .and_then(|(_, port)| port.trim_end_matches('/').parse::<u16>().ok())
            .ok_or_else(|| Error::new(format!("echo_server says: {line}")))?;
        let log = &dir.join("suite.log");
        match self.suite.kind {
            Kind::Autobahn => {
                let scheme = if tls { "wss" } else { "ws" };
                let url = format!("{scheme}://127.0.0.1:{port}");
                let mut spec = self.spec(dir);
                spec["servers"] = serde_json::json!([{ "url": url, "agent": AGENT }]);
                let mut fuzzer = self.wstest("fuzzingclient", spec, dir)?;
                self.end(Running::start("wstest", &mut fuzzer, log)?)
            }
            Kind::Kosoku => {
                let relay = tls.then(|| self.relay(&["to-tls", &port.to_string()], dir));
                let (_relay, port) = relay
                    .transpose()?
                    .map_or((None, port), |(r, p)| (Some(r), p));
                let mut fuzzer = self.kosoku("fuzzingclient", port, dir);
                fuzzer.args(["--parallelism", &self.parallel.to_string()]);
                self.end(Running::start("kosoku", &mut fuzzer, log)?)
            }
        }
    }

    /// The suite is the server.
    fn client(&self, tls: bool, dir: &Path) -> Result<()> {
        let port = free_port()?;
        let (cert, key) = (home().join("cert.pem"), home().join("key.pem"));
        let scheme = if tls { "wss" } else { "ws" };
        let url = |port: u16| format!("{scheme}://127.0.0.1:{port}");
        let log = &dir.join("suite.log");
        match self.suite.kind {
            Kind::Autobahn => {
                let mut spec = self.spec(dir);
                spec["url"] = url(port).into();
                if tls {
                    spec["cert"] = serde_json::json!(cert);
                    spec["key"] = serde_json::json!(key);
                }
                let mut fuzzer = self.wstest("fuzzingserver", spec, dir)?;
                fuzzer.args(["--webport", "0"]);
                let mut fuzzer = Running::start("wstest", &mut fuzzer, log)?;
                // It prints that last, once it listens.
                fuzzer.wait_for("Cases = ", START)?;
                wait_for_port(port)?;
                self.drive(&url(port), dir)
            }
            Kind::Kosoku => {
                let mut fuzzer = self.kosoku("fuzzingserver", port, dir);
                let mut fuzzer = Running::start("kosoku", &mut fuzzer, log)?;
                fuzzer.wait_for("listening on", START)?;
                let (cert, key) = (cert.display().to_string(), key.display().to_string());
                let relay =
                    tls.then(|| self.relay(&["from-tls", &port.to_string(), &cert, &key], dir));
                let (_relay, port) = relay
                    .transpose()?
                    .map_or((None, port), |(r, p)| (Some(r), p));
                self.drive(&url(port), dir)?;
                self.end(fuzzer)
            }
        }
    }

    /// Runs our client until it has done all cases.
    fn drive(&self, url: &str, dir: &Path) -> Result<()> {
        let mut client = Command::new(self.programs.join("conformance"));
        client.args(["client", url, AGENT]);
        let log = &dir.join("client.log");
        let client = Running::start("our client", &mut client, log)?;
        match client.wait(self.limit)? {
            true => Ok(()),
            false => Err(Error::new(format!(
                "our client failed: {}",
                fs::read_to_string(log).unwrap_or_default()
            ))),
        }
    }

    /// Waits for a suite that ends by itself. Its status says whether all cases
    /// passed, which the report says more exactly.
    fn end(&self, fuzzer: Running) -> Result<()> {
        fuzzer.wait(self.limit).map(drop)
    }

    fn spec(&self, dir: &Path) -> serde_json::Value {
        serde_json::json!({
            "outdir": dir,
            "cases": self.selection.patterns(),
            "exclude-cases": [],
            "exclude-agent-cases": {},
        })
    }

    fn wstest(&self, mode: &str, spec: serde_json::Value, dir: &Path) -> Result<Command> {
        let file = dir.join("spec.json");
        fs::write(&file, spec.to_string()).doing("write", &file)?;
        let mut command = self.suite.command("wstest");
        command.args(["--mode", mode, "--spec"]).arg(file);
        // It leaves files where it is started.
        command.current_dir(dir);
        Ok(command)
    }

    fn kosoku(&self, mode: &str, port: u16, dir: &Path) -> Command {
        let mut command = self.suite.command("kosoku");
        command.args(["--mode", mode, "--outdir"]).arg(dir);
        for pattern in self.selection.patterns() {
            command.args(["--include", &pattern]);
        }
        command.arg(format!("127.0.0.1:{port}"));
        command
    }

    /// Starts a TLS relay; the port to come to.
    fn relay(&self, args: &[&str], dir: &Path) -> Result<(Running, u16)> {
        let mut command = self.suite.command("python");
        command.arg(home().join("relay.py")).args(args);
        let log = dir.join("relay.log");
        let (relay, port) = Running::start_and_read("the TLS relay", &mut command, &log, START)?;
        match port.parse() {
            Ok(port) => Ok((relay, port)),
            Err(_) => Err(relay.failed("names no port")),
        }
    }
}

/// A port that nobody listens on at present.
fn free_port() -> Result<u16> {
    let address = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let address = address.map_err(|e| Error::new(format!("cannot find a free port: {e}")))?;
    Ok(address.port())
}

/// Waits until somebody listens there.
fn wait_for_port(port: u16) -> Result<()> {
    let deadline = std::time::Instant::now() + START;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if std::time::Instant::now() > deadline {
            return Err(Error::new(format!("nobody listens on port {port}")));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Where Cargo puts programs of a profile.
pub fn programs(quick: bool) -> PathBuf {
    paths::target_dir().join(if quick { "debug" } else { "release" })
}
