//! Demonstrates the key log: which context logs what, how the log is switched at run
//! time, and what Wireshark decrypts with it. `--help` lists the options.

mod common;

use common::folder::Folder;
use common::pcapng::Capture;
use common::relay::Relay;
use common::tshark::{Texts, Tshark};
use common::{Args, Fail};
use libwebsockets::keylog::{KeyLog, KeyLogHandle};
use libwebsockets::tls::{ClientTls, Pem, ServerTls, TlsVersion};
use libwebsockets::{
    Client, CloseCode, Closed, Connection, Context, ContextBuilder, ContextHandle, Handler,
    Message, Vhost,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

fn main() -> std::process::ExitCode {
    common::exit(run())
}

const HELP: &str = "\
keylog: logs the TLS secrets of some connections and not of others, and decrypts
a capture of them all with tshark, where that is installed

  --keep   leave the capture and the key logs in place, and print their paths

The variable TSHARK may name another tshark than the one in the path.
";

const INTRODUCTION: &str = "\
Three contexts, each on a thread of its own:
  server   echoes, over TLS            key log: server.keys
  client   talks to the server         key log: client.keys
  private  echoes and talks to itself  key log: KeyLog::off()
All that passes between them goes through a relay, into capture.pcapng. The key
logs of server and client are switched off and on again between connections.";

/// How long to wait for anything here.
const TIMEOUT: Duration = Duration::from_secs(20);

fn run() -> Result<(), Fail> {
    let mut args = Args::new(HELP)?;
    let keep = args.flag("--keep")?;
    args.finish()?;
    common::show_log();

    let folder = Folder::create("keylog-demo")?;
    if !keep {
        folder.remove_on_signals()?;
    }
    let files = Files::below(folder.path());
    let result = show(&files);
    if keep {
        println!("\nKept:");
        for file in [&files.capture, &files.server, &files.client] {
            println!("  {}", file.display());
        }
        folder.keep();
    }
    result
}

/// The files that are written.
struct Files {
    capture: PathBuf,
    server: PathBuf,
    client: PathBuf,
}

impl Files {
    fn below(folder: &Path) -> Self {
        Files {
            capture: folder.join("capture.pcapng"),
            server: folder.join("server.keys"),
            client: folder.join("client.keys"),
        }
    }
}

fn show(files: &Files) -> Result<(), Fail> {
    println!("{INTRODUCTION}\n");
    let certificate = common::self_signed()?;
    let tls = ClientTls::new().ca(Pem::memory(certificate.0.clone()));
    let own = certificate.clone();
    let (server_file, client_file) = (files.server.clone(), files.client.clone());
    let server = Service::start(|| Ok(echo(own).keylog(KeyLog::file(server_file))))?;
    let client = Service::start(|| Ok(Context::builder().keylog(KeyLog::file(client_file))))?;
    let private = Service::start(|| Ok(echo(certificate).keylog(KeyLog::off())))?;

    let capture = Arc::new(Mutex::new(Capture::new()));
    // At port 443 Wireshark expects TLS; the addresses are for documentation (RFC 5737).
    let shown = |last| SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, last), 443);
    let relay = Relay::start(server.address()?, shown(10), Arc::clone(&capture))?;
    let private_relay = Relay::start(private.address()?, shown(20), Arc::clone(&capture))?;

    let mut exchanges = Exchanges {
        tls,
        logs: [server.keylog.clone(), client.keylog.clone()],
        done: Vec::new(),
    };
    exchanges.both_versions("client", &client, relay.port(), true)?;
    exchanges.both_versions("private", &private, private_relay.port(), false)?;
    server.keylog.disable();
    client.keylog.disable();
    exchanges.both_versions("client", &client, relay.port(), false)?;
    server.keylog.enable()?;
    client.keylog.enable()?;
    exchanges.both_versions("client", &client, relay.port(), true)?;

    let logs = [server.stop()?, client.stop()?, private.stop()?];
    relay.finish()?;
    private_relay.finish()?;
    let capture = capture.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::write(&files.capture, capture.as_bytes())?;

    check_exchanges(&exchanges.done)?;
    check_records(files, &logs)?;
    check_capture(files, &exchanges.done)
}

/// A context with an echo server.
fn echo((certificate, key): (String, String)) -> ContextBuilder {
    let tls = ServerTls::new(Pem::memory(certificate), Pem::memory(key));
    let vhost = Vhost::listen((Ipv4Addr::LOCALHOST, 0))
        .accept(|_| Ok(Echo))
        .tls(tls);
    Context::builder().vhost(vhost)
}

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        if conn.send(message).is_err() {
            conn.abort();
        }
    }
}

/// A context on a thread of its own, and its handles.
struct Service {
    handle: ContextHandle,
    keylog: KeyLogHandle,
    address: Option<SocketAddr>,
    thread: JoinHandle<Result<(), Fail>>,
}

impl Service {
    /// A context can't leave its thread, so it is described and built there.
    fn start(
        describe: impl FnOnce() -> Result<ContextBuilder, Fail> + Send + 'static,
    ) -> Result<Service, Fail> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || -> Result<(), Fail> {
            let mut context = describe()?.build()?;
            let keylog = context.keylog().clone();
            sender.send((context.handle(), keylog, context.local_addr(0)))?;
            drop(sender);
            context.run()?;
            Ok(())
        });
        match receiver.recv() {
            Ok((handle, keylog, address)) => Ok(Service {
                handle,
                keylog,
                address,
                thread,
            }),
            Err(_) => Err(join(thread).err().unwrap_or("a context ended".into())),
        }
    }

    fn address(&self) -> Result<SocketAddr, Fail> {
        self.address.ok_or("the context doesn't listen".into())
    }

    /// Ends the context, and returns its log's handle, which still has the statistics.
    fn stop(self) -> Result<KeyLogHandle, Fail> {
        self.handle.stop();
        join(self.thread)?;
        Ok(self.keylog)
    }
}

fn join(thread: JoinHandle<Result<(), Fail>>) -> Result<(), Fail> {
    thread.join().map_err(|_| "a context's thread panicked")?
}

/// Makes connections, one after the other, and exchanges a message on each.
struct Exchanges {
    tls: ClientTls,
    /// The server's and the client's.
    logs: [KeyLogHandle; 2],
    done: Vec<Exchange>,
}

/// The message that was exchanged on one connection.
struct Exchange {
    from: &'static str,
    version: TlsVersion,
    text: String,
    /// Whether the key logs were on.
    logged: bool,
    /// How many records were added to the server's and the client's.
    records: [u64; 2],
}

impl Exchanges {
    fn both_versions(
        &mut self,
        from: &'static str,
        service: &Service,
        port: u16,
        logged: bool,
    ) -> Result<(), Fail> {
        for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
            let (number, log) = (self.done.len(), switch(logged));
            let text = format!("secret {number} (TLS {version}, log {log})");
            let before = self.written();
            let client = Client::new(&format!("wss://localhost:{port}/"))?
                .tls(self.tls.clone().versions(version, version));
            exchange(service, client, &text)?;
            let after = self.written();
            self.done.push(Exchange {
                from,
                version,
                text,
                logged,
                records: [after[0] - before[0], after[1] - before[1]],
            });
        }
        Ok(())
    }

    fn written(&self) -> [u64; 2] {
        self.logs.each_ref().map(|log| log.stats().written)
    }
}

/// Connects, sends a text, and waits until its echo has arrived and the
/// connection is closed.
fn exchange(service: &Service, client: Client, text: &str) -> Result<(), Fail> {
    let (sender, receiver) = mpsc::channel();
    let session = Session {
        text: text.to_owned(),
        echo: None,
        sender,
    };
    service.handle.connect(client, session)?.wait(TIMEOUT)?;
    let echo = receiver
        .recv_timeout(TIMEOUT)
        .map_err(|_| format!("no echo of {text:?} within {TIMEOUT:?}"))?;
    match echo.as_deref() == Some(text) {
        true => Ok(()),
        false => Err(format!("the echo of {text:?} was {echo:?}").into()),
    }
}

/// The client's handler.
struct Session {
    text: String,
    echo: Option<String>,
    sender: mpsc::Sender<Option<String>>,
}

impl Handler for Session {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        if conn.send(self.text.as_str()).is_err() {
            conn.abort();
        }
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        self.echo = message.as_text().map(str::to_owned);
        conn.close(CloseCode::NORMAL);
    }

    fn on_close(&mut self, _: Closed) {
        // After a timeout there is no receiver any more.
        let _ = self.sender.send(self.echo.take());
    }
}

fn switch(on: bool) -> &'static str {
    if on {
        "on"
    } else {
        "off"
    }
}

/// Prints and checks what each connection added to the key logs.
fn check_exchanges(exchanges: &[Exchange]) -> Result<(), Fail> {
    println!("\nThe connections, and the records that each added to the key logs:");
    println!("  stream  TLS  from     log  server.keys  client.keys");
    for (stream, exchange) in exchanges.iter().enumerate() {
        let ([server, client], log) = (exchange.records, switch(exchange.logged));
        println!(
            "  {stream:>6}  {}  {:<7}  {log:<3}  {server:>11}  {client:>11}",
            exchange.version, exchange.from
        );
    }
    let is_right = |e: &Exchange| e.records.iter().all(|count| (*count > 0) == e.logged);
    match exchanges.iter().find(|exchange| !is_right(exchange)) {
        Some(wrong) => Err(format!("{:?} added other records", wrong.text).into()),
        None => Ok(()),
    }
}

/// Compares what is in the files with the logs' statistics.
fn check_records(files: &Files, logs: &[KeyLogHandle; 3]) -> Result<(), Fail> {
    let server = std::fs::read_to_string(&files.server)?;
    let client = std::fs::read_to_string(&files.client)?;
    let (in_server, in_client) = (labels(&server), labels(&client));
    println!("\nThe records, by label:");
    println!("                                   server.keys  client.keys  private");
    let all: BTreeSet<_> = in_server.keys().chain(in_client.keys()).collect();
    for label in all {
        let count = |counts: &BTreeMap<&str, u64>| counts.get(label).copied().unwrap_or(0);
        let (server, client) = (count(&in_server), count(&in_client));
        println!("  {label:<31}  {server:>11}  {client:>11}  {:>7}", "-");
    }
    let totals = [in_server.values().sum(), in_client.values().sum(), 0_u64];
    let stats = logs.each_ref().map(KeyLogHandle::stats);
    let written = stats.each_ref().map(|stats| stats.written);
    let row = |name, [a, b, c]: [u64; 3]| println!("  {name:<31}  {a:>11}  {b:>11}  {c:>7}");
    row("in the file", totals);
    row("stats().written", written);
    row("stats().failed", stats.each_ref().map(|stats| stats.failed));
    if let Some(problem) = &stats[2].problem {
        println!("  private, stats().problem: {problem}");
    }
    ensure(totals == written, "a file holds what stats() doesn't tell")?;
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    ensure(
        lines(&server) == lines(&client),
        "server and client logged different secrets of the same connections",
    )?;
    println!("  Both ends of each connection logged the same secrets.");
    Ok(())
}

/// How many records of each label a key log holds.
fn labels(keylog: &str) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for (label, _) in keylog.lines().filter_map(|line| line.split_once(' ')) {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

/// Checks what tshark decrypts in the capture with each file, and with none.
fn check_capture(files: &Files, exchanges: &[Exchange]) -> Result<(), Fail> {
    println!();
    let Some(tshark) = Tshark::find() else {
        println!("There is no tshark here, so the capture isn't decrypted. To do that,");
        println!("install tshark, or run this with --keep and open the capture in Wireshark.");
        return Ok(());
    };
    println!("What {} reads in the capture:", tshark.version);
    println!("  $ {}", tshark.shown(&files.capture, &files.server));
    let with = |keys| tshark.texts(&files.capture, keys);
    let (server, client) = (with(Some(&files.server))?, with(Some(&files.client))?);
    let encrypted = tshark.encrypted(&files.capture)?;
    let nothing = Vec::new();
    for (stream, exchange) in exchanges.iter().enumerate() {
        let found = server.get(&stream).unwrap_or(&nothing);
        match found.first() {
            Some(text) => println!("  stream {stream}: {text:?}, {} times", found.len()),
            None => println!("  stream {stream}: encrypted data"),
        }
        ensure(
            encrypted.contains(&stream),
            &format!("stream {stream} isn't in the capture, or isn't TLS"),
        )?;
        // Once from the client, once from the server.
        let expected = if exchange.logged { 2 } else { 0 };
        let text = &exchange.text;
        ensure(
            found.len() == expected && found.iter().all(|found| found == text),
            &format!("stream {stream}: {text:?} was sent, {found:?} found"),
        )?;
    }
    ensure(server == client, "the two key logs don't decrypt the same")?;
    println!("  With client.keys it is the same.");
    let without: Texts = with(None)?;
    ensure(without.is_empty(), "without a key log something was read")?;
    println!("  Without a key log all of it is encrypted data.");
    println!("\nWhat was logged could be read, and nothing else.");
    Ok(())
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), Fail> {
    match holds {
        true => Ok(()),
        false => Err(otherwise.into()),
    }
}
