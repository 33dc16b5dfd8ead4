//! Nothing that the crate says holds a secret: neither what it logs, at whatever
//! level, nor what its types show of themselves.

#![cfg(feature = "keylog")]

mod common;

use common::certs::{tls_over, Ca};
use common::machine::removed_files_keep_their_names;
use common::peer::{self, tcp};
use common::secrets::{lines, logged as server, open_tls, Line};
use common::temp::TempDir;
use common::{probe, Running};
use libwebsockets::keylog::{AutoOff, Filter, KeyLog, MemoryLog, Retention, Rotation};
use libwebsockets::{Client, Context};
use rustls::version::{TLS12, TLS13};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// All that was logged, of every crate in this program.
struct Collector(Mutex<String>);

static COLLECTOR: Collector = Collector(Mutex::new(String::new()));

impl log::Log for Collector {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!(
            "{} {}: {}\n",
            record.level(),
            record.target(),
            record.args()
        );
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_str(&line);
    }

    fn flush(&self) {}
}

/// What types show of themselves.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn see(&mut self, value: &impl Debug) {
        self.0 += &format!("{value:?} {value:#?}\n");
    }
}

/// The bytes that a secret's digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// The secrets of which a text holds a half, or all: in either case of letters, or as the
/// numbers by which a derived Debug shows the bytes, or those of the letters.
fn leaked(text: &str, secrets: &BTreeSet<Line>) -> usize {
    // The pretty form has a line for each number.
    let text = text.to_ascii_lowercase().replace(char::is_whitespace, "");
    let numbers = |bytes: &[u8]| {
        let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
        format!(",{},", numbers.join(","))
    };
    let shapes = |half: &str| {
        let digits = half.as_bytes();
        [half.to_owned(), numbers(&bytes(half)), numbers(digits)]
    };
    let leaks = |line: &&Line| {
        let secret = line.secret.to_ascii_lowercase();
        let (start, end) = secret.split_at(secret.len() / 2);
        // Without what stands first or last in a list.
        let inner = [&start[2..start.len() - 2], &end[2..end.len() - 2]];
        let mut shapes = inner.into_iter().flat_map(shapes);
        shapes.any(|shape| text.contains(&shape))
    };
    secrets.iter().filter(leaks).count()
}

/// A connection by each version, one that fails, and what the log then says.
fn use_it(ca: &Ca, shown: &mut Shown, name: &str, keylog: KeyLog) {
    shown.see(&keylog);
    shown.see(&Context::builder().keylog(keylog.clone()));
    let server = server(ca, keylog);
    for version in [&TLS12, &TLS13] {
        let (mut socket, _) = open_tls(server.addr(), ca.rustls_client_of(&[version]));
        socket.send(name.into()).unwrap();
        assert_eq!(peer::read(&mut socket), name.into());
    }
    let stranger = Ca::new().rustls_client();
    let mut failing = tls_over(tcp(server.addr()), "localhost", stranger);
    failing.conn.complete_io(&mut failing.sock).unwrap_err();
    if let Err(error) = server.keylog.rotate() {
        shown.see(&error);
        shown.0 += &error.to_string();
    }
    let log = server.keylog.clone();
    let error = log.set_path("/missing/missing/keys.log").unwrap_err();
    shown.see(&error);
    shown.0 += &error.to_string();
    shown.see(&log);
    shown.see(&log.stats());
    if let Some(problem) = log.stats().problem {
        shown.0 += &problem.to_string();
    }
    server.stop().unwrap().unwrap();
    shown.see(&log);
}

/// A client of this crate, whose context logs too.
fn connect(ca: &Ca, shown: &mut Shown, path: &Path, memory: &MemoryLog) {
    let server = server(ca, KeyLog::memory(memory));
    let own = KeyLog::file(path);
    let client = Running::start(move || Context::builder().keylog(own));
    let (probe, events) = probe();
    let to = Client::new(&server.url("wss", "/"))
        .unwrap()
        .tls(ca.trust());
    shown.see(&to);
    drop(client.handle.connect(to, probe).unwrap());
    let id = events.open();
    shown.see(&id);
    client.handle.send(id, "hello").unwrap();
    shown.see(&events.message());
    shown.see(&client.keylog);
    shown.see(&client.handle);
}

/// Lost: secrets in the logs that a service collects, where more people read them
/// than may read its connections.
#[test]
fn no_secret_is_in_any_log_message_or_debug_output() {
    if removed_files_keep_their_names() {
        return;
    }
    log::set_logger(&COLLECTOR).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let (ca, dir) = (Ca::new(), TempDir::new());
    let mut shown = Shown::default();
    let memory = MemoryLog::new(1 << 20);
    let function: Arc<Mutex<Vec<u8>>> = Arc::default();
    let own = Arc::clone(&function);
    let filter = Filter::new()
        .server_name("localhost")
        .connections(|facts| format!("{facts:?}").contains("localhost"));
    let file = |name: &str| KeyLog::file(dir.file(name));
    let logs = [
        ("plain", file("plain")),
        ("filtered", file("filtered").filter(filter)),
        ("queued", file("queued").queue(1 << 20)),
        (
            "limited",
            file("limited").auto_off(AutoOff::new().after_connections(1)),
        ),
        (
            "rotated",
            file("rotated")
                .rotation(Rotation::new().max_size(1))
                .retention(Retention::new().max_files(9)),
        ),
        ("memory", KeyLog::memory(&memory)),
        (
            "function",
            KeyLog::function(move |lines| own.lock().unwrap().extend_from_slice(lines)),
        ),
    ];
    for (name, keylog) in logs {
        use_it(&ca, &mut shown, name, keylog);
    }
    connect(&ca, &mut shown, &dir.file("client"), &memory);
    shown.see(&memory);
    // Records that don't reach their file.
    let gone = dir.file("gone");
    std::fs::create_dir(&gone).unwrap();
    let failing = server(&ca, KeyLog::file(gone.join("keys.log")));
    std::fs::remove_dir_all(&gone).unwrap();
    open_tls(failing.addr(), ca.rustls_client());
    assert!(failing.keylog.stats().failed > 0);
    shown.see(&failing.keylog.stats());
    drop(failing);

    let mut rest = function.lock().unwrap().clone();
    memory.write_to(&mut rest).unwrap();
    std::fs::write(dir.file("rest"), rest).unwrap();
    let secrets: BTreeSet<_> = dir
        .names()
        .iter()
        .filter(|name| !name.ends_with(".lock"))
        .flat_map(|name| lines(&dir.file(name)))
        .collect();
    let logged = COLLECTOR.0.lock().unwrap().clone();
    assert!(secrets.len() > 40, "{}", secrets.len());
    for (said, something) in [
        (&logged, "TLS secrets are being written"),
        (&shown.0, "KeyLog"),
    ] {
        assert!(said.contains(something));
        assert_eq!(leaked(said, &secrets), 0, "{said}");
    }
    // That it would be found.
    let first = secrets.first().unwrap();
    let secret = first.secret.to_ascii_uppercase();
    let bytes = bytes(&secret);
    for shown in [
        secret[secret.len() / 2..].to_owned(),
        format!("{bytes:?}"),
        format!("{bytes:#?}"),
        format!("{:?}", first.secret.as_bytes()),
    ] {
        assert_eq!(leaked(&format!("{logged}{shown}"), &secrets), 1);
    }
}
