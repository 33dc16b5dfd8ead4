//! What is left of secrets in memory that was given back: nothing of what this
//! crate had of them.

#![cfg(feature = "keylog")]

mod common;

use common::certs::{tls_over, Ca};
use common::peer::{self, tcp};
use common::secrets::{lines, open_tls};
use common::temp::TempDir;
use common::watched::Watching;
use common::{loopback, Echo, Running};
use libwebsockets::keylog::{
    parse, AutoOff, Connections, Filter, Input, KeyLog, MemoryLog, Rotation,
};
use libwebsockets::Context;
use rustls::version::{TLS12, TLS13};
use std::fs::File;
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: Watching = Watching::new(|bytes| has_record(bytes) || has_secret(bytes));

/// A secret in binary, as whoever reads a log has it.
static SECRET: OnceLock<[u8; 32]> = OnceLock::new();

/// Whether there is a client random and a half of a secret behind it, which is in
/// every line of a key log, and nowhere else in this program.
fn has_record(bytes: &[u8]) -> bool {
    let (mut random, mut run) = (false, 0);
    for byte in bytes {
        run = match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => run + 1,
            _ => {
                random = *byte == b' ' && run == 64;
                0
            }
        };
        if random && run == 32 {
            return true;
        }
    }
    false
}

fn has_secret(bytes: &[u8]) -> bool {
    let secret = SECRET.get();
    secret.is_some_and(|secret| bytes.windows(secret.len()).any(|part| part == secret))
}

/// A file that nothing can be written to.
fn full() -> File {
    let dir = TempDir::new();
    std::fs::write(dir.file("read-only"), "").unwrap();
    File::open(dir.file("read-only")).unwrap()
}

/// Connections of both versions, one that fails, and the end of the context. What
/// was written.
fn log_some(ca: &Ca, keylog: KeyLog) -> u64 {
    let tls = ca.sign(&["localhost"]).server();
    let server = Running::start(move || {
        let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
        Context::builder().vhost(vhost).keylog(keylog)
    });
    for version in [&TLS13, &TLS12, &TLS13] {
        let (mut socket, _) = open_tls(server.addr(), ca.rustls_client_of(&[version]));
        socket.send("hello".into()).unwrap();
        assert_eq!(peer::read(&mut socket), "hello".into());
    }
    let stranger = Ca::new().rustls_client();
    let mut failing = tls_over(tcp(server.addr()), "localhost", stranger);
    failing.conn.complete_io(&mut failing.sock).unwrap_err();
    let log = server.keylog.clone();
    server.stop().unwrap().unwrap();
    log.disable();
    log.stats().written
}

/// Lost: secrets that a core dump, a swapped page or a bug that shows freed memory
/// gives away, long after the log was switched off.
#[test]
fn no_secret_stays_in_memory_that_is_given_back() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let memory = MemoryLog::new(2_000);
    let file = |name: &str| KeyLog::file(dir.file(name));
    let logs = [
        ("a file", file("plain")),
        ("a queue", file("queued").queue(1 << 20)),
        ("a queue that is full", file("full").queue(1_000)),
        ("pcapng", file("pcapng").pcapng(true)),
        (
            "a rotation",
            file("rotated").rotation(Rotation::new().max_size(2_000)),
        ),
        (
            "a limit",
            file("limited").auto_off(AutoOff::new().after_connections(1)),
        ),
        (
            "a filter",
            file("filtered").filter(Filter::new().without_label("EXPORTER_SECRET")),
        ),
        ("memory", KeyLog::memory(&memory)),
        (
            "a function",
            KeyLog::function(|lines| assert!(has_record(lines))),
        ),
        ("what can't be written", KeyLog::descriptor(full())),
    ];
    for (name, keylog) in logs {
        let mut written = 0;
        let found = ALLOCATOR.watch(|| written = log_some(&ca, keylog));
        assert_eq!(found, 0, "blocks with secrets of {name}");
        assert_eq!(written > 0, name != "what can't be written", "{name}");
    }
    assert!(!memory.is_empty());
    let found = ALLOCATOR.watch(|| {
        memory.write_to(std::io::sink()).unwrap();
        memory.clear();
    });
    assert_eq!(found, 0, "blocks with secrets of memory");
    // Lines, and records that have their secrets in binary.
    let records = || parse(Input::open(dir.file("plain")).unwrap()).filter_map(Result::ok);
    let mut secrets = records().map(|record| record.secret()[..32].try_into().unwrap());
    SECRET.set(secrets.next().unwrap()).unwrap();
    let found = ALLOCATOR.watch(|| drop(records().next().unwrap().secret()[..32].to_vec()));
    assert_eq!(found, 1, "a secret would be found");
    for name in ["plain", "pcapng"] {
        let found = ALLOCATOR.watch(|| {
            let input = Input::open(dir.file(name)).unwrap();
            let read: Connections = parse(input).filter_map(Result::ok).collect();
            assert!(read.len() > 3);
            read.save(dir.file(&format!("{name}-again"))).unwrap();
        });
        assert_eq!(found, 0, "blocks with secrets that were read from {name}");
    }
    assert!(lines(&dir.file("plain")).len() > 11);
    // That it would be found.
    let line = std::fs::read(dir.file("plain")).unwrap();
    assert_eq!(ALLOCATOR.watch(|| drop(line)), 1);
}
