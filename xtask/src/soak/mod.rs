//! `cargo xtask soak`: servers under load and faults, with clients in processes of
//! their own, and a client throughout that measures how long it waits.

mod faults;
mod programs;
mod sizes;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use programs::{Process, Server};
use sizes::Sizes;

use crate::error::{Error, IoContext, Result};
use crate::{bench, paths, process, setup, vendor};

/// Bytes that a connection's queue may hold; more than busy connections have under way.
const QUEUE: &str = "1048576";

/// Pings after 2 s of silence, and an end after 6.
const IMPATIENT: &[&str] = &["--ping", "2", "--idle", "6"];

const NAMES: &[&str] = &[
    "idle",
    "busy",
    "churn",
    "slow",
    "malformed",
    "client-killed",
    "probe",
    "stalled",
    "half-open",
    "exhausted",
    "no-space",
    "server-killed",
    "clock-jumps",
    "no-memory",
];

struct Options {
    quick: bool,
    seed: String,
    only: Vec<String>,
}

struct Soak {
    options: Options,
    sizes: Sizes,
    folder: PathBuf,
    passed: usize,
    failed: Vec<String>,
}

/// What a scenario's numbers are, or why it failed.
type Verdict = std::result::Result<String, String>;

/// A scenario that runs after others.
type Scenario = fn(&mut Soak) -> Result<()>;

/// A scenario that runs beside others.
struct Beside {
    name: &'static str,
    start: Instant,
    server: Server,
    client: Process,
    /// Where its server tells of the faults that it has to meet.
    report: Option<&'static str>,
    /// A healthy client throughout.
    probe: Option<Process>,
}

impl Beside {
    fn new(name: &'static str, server: Server, client: Process) -> Self {
        let start = Instant::now();
        Beside {
            name,
            start,
            server,
            client,
            report: None,
            probe: None,
        }
    }

    fn with_probe(self, probe: Process) -> Self {
        Beside {
            probe: Some(probe),
            ..self
        }
    }

    fn with_faults(self, report: &'static str) -> Self {
        Beside {
            report: Some(report),
            ..self
        }
    }
}

/// Runs the scenarios; a failure of one is an error of the verb, after the others.
pub fn run(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    bench::needs_linux("soak")?;
    setup::run()?;
    vendor::run(&vendor::Options::default())?;
    let peer = build()?;
    let folder = paths::target_dir()
        .join("soak")
        .join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).doing("create", &folder)?;
    let start = Instant::now();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("soak: the load average is {}", load.trim_end());
    let mut soak = Soak {
        sizes: if options.quick {
            Sizes::QUICK
        } else {
            Sizes::FULL
        },
        options,
        folder,
        passed: 0,
        failed: Vec::new(),
    };
    soak.all(peer);
    let _ = std::fs::remove_dir_all(&soak.folder);
    let seconds = start.elapsed().as_secs();
    println!(
        "soak: {} passed, {} failed, {seconds} s",
        soak.passed,
        soak.failed.len()
    );
    match soak.failed.is_empty() {
        true => Ok(()),
        false => Err(Error::new(format!("failed: {}", soak.failed.join("; ")))),
    }
}

/// Builds the programs; the C library's echo server too, where it is in this checkout.
fn build() -> Result<Option<PathBuf>> {
    let mut command = process::cargo_for_host();
    command.args(["build", "--release"]).args(bench::PROGRAMS);
    command.args([
        "-p",
        "bench",
        "--bin",
        "soak_server",
        "--bin",
        "soak_client",
    ]);
    let peers = paths::root().join("bench/peers/Cargo.toml").is_file();
    if peers {
        command.args(["-p", "peers", "--bin", "peer_lws"]);
    }
    process::run(&mut command)?;
    Ok(peers.then(|| paths::released("peer_lws")))
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Options {
            quick: false,
            seed: "1".into(),
            only: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--quick" => options.quick = true,
                "--seed" => {
                    let seed = args.next().filter(|seed| seed.parse::<u64>().is_ok());
                    let seed = seed.ok_or_else(|| Error::new("--seed needs a number"))?;
                    options.seed.clone_from(seed);
                }
                name if NAMES.contains(&name) => options.only.push(name.into()),
                other => {
                    let names = NAMES.join(", ");
                    return Err(Error::new(format!(
                        "no scenario `{other}`; there are: {names}"
                    )));
                }
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// No client has more to do than this.
    fn limit(&self) -> Duration {
        Duration::from_secs(if self.quick { 60 } else { 1200 })
    }
}

impl Soak {
    /// All of them, those that mostly wait beside the others. One that can't be carried out
    /// has failed, and the others go on.
    fn all(&mut self, peer: Option<PathBuf>) {
        let [count, frame] = self.sizes.stalled;
        let stalled = ["--count", count, "--seconds", "30", "--limit", frame];
        let server: &[&str] = if self.options.quick { IMPATIENT } else { &[] };
        let half_open = ["--count", self.sizes.half_open, "--limit", "12"];
        let begun = [
            ("stalled", self.beside("stalled", server, &stalled)),
            ("half-open", self.beside("half-open", IMPATIENT, &half_open)),
            ("clock-jumps", self.clock_jumps(&half_open)),
        ];
        let beside = begun.map(|(name, begun)| self.carried_out(name, begun));
        let done = self.one_server(peer);
        self.carried_out("one server", done);
        let alone: [(&str, Scenario); 4] = [
            ("exhausted", Self::exhausted),
            ("no-space", Self::no_space),
            ("server-killed", Self::server_killed),
            ("no-memory", Self::no_memory),
        ];
        for (name, scenario) in alone {
            let done = scenario(self);
            self.carried_out(name, done);
        }
        for scenario in beside.into_iter().flatten().flatten() {
            let mut verdict = scenario.client.verdict(self.options.limit());
            if let Some(probe) = scenario.probe {
                let healthy = probe.verdict(self.options.limit());
                verdict = verdict.and_then(|numbers| {
                    healthy.map(|served| format!("{numbers}; a healthy client meanwhile: {served}"))
                });
            }
            if let Some(report) = scenario.report {
                verdict = self.with_hits(verdict, report);
            }
            self.tell(scenario.name, scenario.start, scenario.server, verdict);
        }
    }

    /// What came of a scenario, unless it couldn't be carried out: then it has failed.
    fn carried_out<T>(&mut self, name: &str, result: Result<T>) -> Option<T> {
        let why = match result {
            Ok(done) => return Some(done),
            Err(why) => format!("not carried out: {why}"),
        };
        self.note(name, Instant::now(), None, Err(why));
        None
    }

    /// What one server has to go through, with a probe throughout.
    fn one_server(&mut self, peer: Option<PathBuf>) -> Result<()> {
        let mut server = Server::start("", &["--write-buffer", QUEUE])?;
        let start = Instant::now();
        let probe = server.client("probe", &[])?;
        let done = self.idle(&mut server, peer);
        self.carried_out("idle", done);
        let s = &self.sizes;
        let [slow, slow_seconds] = s.slow;
        let scenarios: [(&str, Vec<&str>); 4] = [
            ("busy", vec!["--count", "1000", "--seconds", s.busy_seconds]),
            ("churn", vec!["--count", s.churn]),
            (
                "slow",
                vec!["--count", slow, "--seconds", slow_seconds, "--limit", QUEUE],
            ),
            ("malformed", vec!["--count", s.malformed]),
        ];
        let seed = self.options.seed.clone();
        for (name, mut options) in scenarios {
            if name == "malformed" {
                options.extend(["--seed", &seed]);
            }
            let done = self.scenario(name, &mut server, &options);
            self.carried_out(name, done);
        }
        let done = self.client_killed(&mut server);
        self.carried_out("client-killed", done);
        let verdict = probe.verdict(self.options.limit());
        if self.options.wants("probe") {
            self.tell("probe", start, server, verdict);
        }
        Ok(())
    }

    /// Idle connections, at ours and at the C library's own server.
    fn idle(&mut self, server: &mut Server, peer: Option<PathBuf>) -> Result<()> {
        let options = ["--count", self.sizes.idle];
        let ours = self.scenario("idle", server, &options)?;
        let Some(ours) = ours else {
            return Ok(());
        };
        let Some(peer) = peer else {
            println!("  (this checkout has no server in C to compare with: bench/peers)");
            return Ok(());
        };
        let start = Instant::now();
        let server = Server::start_peer(&peer)?;
        let verdict = server
            .client("idle", &options)?
            .verdict(self.options.limit());
        let verdict = verdict.map(|theirs| match (bytes(&ours), bytes(&theirs)) {
            (Some(our), Some(their)) => format!("{theirs}; ours {:.2} times that", our / their),
            _ => theirs,
        });
        self.tell("idle, in C", start, server, verdict);
        Ok(())
    }

    /// A client is killed; the server has to notice.
    fn client_killed(&mut self, server: &mut Server) -> Result<()> {
        if !self.options.wants("client-killed") {
            return Ok(());
        }
        let start = Instant::now();
        let mut client = server.client("hold", &["--count", self.sizes.killed])?;
        let line = client.line(self.options.limit())?;
        client.kill();
        let settled = server.client("settle", &["--limit", "10"])?;
        let verdict = match line.strip_prefix("holding ") {
            Some(count) => settled
                .verdict(self.options.limit())
                .map(|numbers| format!("{count} connections; {numbers}")),
            None => Err(format!("the client that was to be killed said {line:?}")),
        };
        self.note("client-killed", start, server.end(), verdict);
        Ok(())
    }

    /// A server that runs out of descriptors.
    fn exhausted(&mut self) -> Result<()> {
        let [descriptors, peers, seconds] = self.sizes.exhausted;
        let limit = format!("ulimit -n {descriptors}");
        let options = ["--count", peers, "--seconds", seconds];
        self.alone(["exhausted"; 2], &limit, &[], &options)
    }

    /// A key log on a full device, and one in a file that may grow no further.
    fn no_space(&mut self) -> Result<()> {
        let count = ["--count", self.sizes.keylog];
        self.alone(
            ["no-space", "full device"],
            "",
            &["--keylog", "full"],
            &count,
        )?;
        let file = self.folder.join("keys.log").display().to_string();
        // A POSIX shell counts in blocks of 512 bytes. The signal that comes with it must not
        // end the server.
        let limit = "ulimit -f 8";
        let options = [&count[..], &["--file", &file]].concat();
        self.alone(
            ["no-space", "file limit"],
            limit,
            &["--keylog", &file],
            &options,
        )
    }

    /// A server is killed, and comes back on its port; its clients do, too.
    fn server_killed(&mut self) -> Result<()> {
        if !self.options.wants("server-killed") {
            return Ok(());
        }
        let start = Instant::now();
        let mut server = Server::start("", &[])?;
        let mut client = server.client("reconnect", &["--count", self.sizes.reconnect])?;
        let line = client.line(self.options.limit())?;
        let verdict = if line == "connected" {
            server.kill();
            std::thread::sleep(Duration::from_secs(1));
            server = Server::start_at(server.port())?;
            client.verdict(self.options.limit())
        } else {
            Err(line)
        };
        self.tell("server-killed", start, server, verdict);
        Ok(())
    }

    /// A scenario with a server of its own: its name, and how it is called in the table.
    fn alone(
        &mut self,
        [name, shown]: [&str; 2],
        shell: &str,
        server: &[&str],
        options: &[&str],
    ) -> Result<()> {
        if !self.options.wants(name) {
            return Ok(());
        }
        let start = Instant::now();
        let server = Server::start(shell, server)?;
        let verdict = server.client(name, options)?.verdict(self.options.limit());
        self.tell(shown, start, server, verdict);
        Ok(())
    }

    /// A scenario with a server that goes on; the numbers, if it passed.
    fn scenario(
        &mut self,
        name: &str,
        server: &mut Server,
        options: &[&str],
    ) -> Result<Option<String>> {
        if !self.options.wants(name) {
            return Ok(None);
        }
        let start = Instant::now();
        let verdict = server.client(name, options)?.verdict(self.options.limit());
        let numbers = verdict.as_ref().ok().cloned();
        self.note(name, start, server.end(), verdict);
        Ok(numbers)
    }

    fn beside(
        &mut self,
        name: &'static str,
        server: &[&str],
        options: &[&str],
    ) -> Result<Option<Beside>> {
        if !self.options.wants(name) {
            return Ok(None);
        }
        let server = Server::start("", server)?;
        let probe = server.client("probe", &[])?;
        let client = server.client(name, options)?;
        Ok(Some(Beside::new(name, server, client).with_probe(probe)))
    }

    /// Prints a verdict on a server that isn't needed any more.
    fn tell(&mut self, name: &str, start: Instant, mut server: Server, verdict: Verdict) {
        self.note(name, start, server.end(), verdict);
    }

    fn note(&mut self, name: &str, start: Instant, ended: Option<String>, verdict: Verdict) {
        let verdict = match (verdict, ended) {
            (Ok(numbers), None) => Ok(numbers),
            (Ok(_), Some(ended)) => Err(ended),
            (Err(why), Some(ended)) => Err(format!("{ended}; {why}")),
            (Err(why), None) => Err(why),
        };
        let (word, text) = match &verdict {
            Ok(numbers) => ("passed", numbers),
            Err(why) => ("FAILED", why),
        };
        let seconds = start.elapsed().as_secs_f64();
        println!("{name:<14} {word} {seconds:>6.1} s  {text}");
        match verdict {
            Ok(_) => self.passed += 1,
            Err(_) => self.failed.push(name.to_owned()),
        }
    }
}

/// The number that a text begins with.
fn bytes(text: &str) -> Option<f64> {
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &[&str]) -> Result<Options> {
        Options::parse(&list.iter().map(|arg| arg.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn scenarios_are_chosen_by_name() {
        let all = parse(&["--quick"]).unwrap();
        assert!(all.quick && all.wants("idle") && all.wants("churn"));
        let one = parse(&["churn", "--seed", "7"]).unwrap();
        assert!(!one.quick && one.wants("churn") && !one.wants("idle"));
        assert!(parse(&["nothing"]).is_err());
        assert!(parse(&["--seed", "x"]).is_err());
    }

    /// Lost: the verdicts on the scenarios beside it.
    #[test]
    fn a_scenario_that_cannot_be_carried_out_has_failed() {
        let mut soak = Soak {
            options: parse(&["--quick"]).unwrap(),
            sizes: Sizes::QUICK,
            folder: PathBuf::new(),
            passed: 0,
            failed: Vec::new(),
        };
        assert_eq!(soak.carried_out("busy", Ok(1)), Some(1));
        let failed: Result<()> = Err(Error::new("no port"));
        assert_eq!(soak.carried_out("churn", failed), None);
        assert_eq!((soak.passed, &*soak.failed), (0, &["churn".to_owned()][..]));
    }

    #[test]
    fn what_a_connection_costs_is_the_first_number() {
        assert_eq!(bytes("1234 bytes a connection, 5 once"), Some(1234.0));
        assert_eq!(bytes("nothing"), None);
    }
}
