//! What the key log is for: a capture that can be decrypted with it, and with
//! nothing else.

#![cfg(feature = "keylog")]

mod common;

use common::capture::{self, Relay};
use common::certs::{tls_stream, Ca};
use common::peer::{open_over, read, read_close};
use common::temp::TempDir;
use common::{loopback, probe, Event, Running};
use libwebsockets::keylog::KeyLog;
use libwebsockets::tls::TlsVersion;
use libwebsockets::{Client, CloseCode, Connection, Context, Handler, Message};
use std::io::ErrorKind;
use std::path::Path;

const QUESTION: &str = "what is hidden in the first message";
const ANSWER: &str = "nothing is hidden in the second one";

/// Answers, whatever is asked.
struct Answers;

impl Handler for Answers {
    fn on_message(&mut self, conn: &mut Connection<'_>, _: Message) {
        conn.send(ANSWER).unwrap();
    }
}

fn server(ca: &Ca, keylog: KeyLog) -> Running {
    let tls = ca.sign(&["localhost"]).server();
    Running::start(move || {
        let vhost = loopback().tls(tls).accept(|_| Ok(Answers));
        Context::builder().vhost(vhost).keylog(keylog)
    })
}

/// What tshark shows of the WebSocket frames in a capture.
fn dissect(dir: &TempDir, file: &Path, log: Option<&Path>) -> String {
    let mut tshark = capture::tshark(dir.path());
    tshark.args(["-n", "-r"]).arg(file);
    tshark.args(["-V", "-Y", "websocket"]);
    if let Some(log) = log {
        tshark.arg("-o");
        tshark.arg(format!("tls.keylog_file:{}", log.display()));
    }
    let output = match tshark.output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("tshark is missing: `cargo xtask setup` installs it")
        }
        Err(e) => panic!("tshark can't be run: {e}"),
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The capture shows both messages with this log, and none without or with
/// another connection's.
#[track_caller]
fn check(dir: &TempDir, capture: &Path, log: &Path) {
    let shown = dissect(dir, capture, Some(log));
    assert!(shown.contains(QUESTION), "{shown}");
    assert!(shown.contains(ANSWER), "{shown}");

    assert_eq!(dissect(dir, capture, None), "");

    // The same lines with every secret altered.
    let text = std::fs::read_to_string(log).unwrap();
    let wrong: String = text
        .lines()
        .map(|line| {
            let (start, secret) = line.rsplit_once(' ').unwrap();
            let secret: String = secret.chars().rev().collect();
            format!("{start} {secret}\n")
        })
        .collect();
    let path = dir.file("wrong.log");
    std::fs::write(&path, wrong).unwrap();
    assert_eq!(dissect(dir, capture, Some(&path)), "");
}

/// A server of this crate logs; the client is another implementation.
fn by_the_servers_log(version: &'static rustls::SupportedProtocolVersion) {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (log, capture) = (dir.file("keys.log"), dir.file("capture.pcap"));
    let server = server(&ca, KeyLog::file(&log));
    let relay = ask(&server, ca.rustls_client_of(&[version]));
    relay.write_capture(&capture);
    check(&dir, &capture, &log);
}

/// One question, its answer and an end, through a relay.
fn ask(server: &Running, client: rustls::ClientConfig) -> Relay {
    let relay = Relay::to(server.addr());
    let stream = tls_stream(relay.addr, "localhost", client);
    let (mut socket, _) = open_over(stream, "wss://localhost/");
    socket.send(QUESTION.into()).unwrap();
    assert_eq!(read(&mut socket), ANSWER.into());
    socket.close(None).unwrap();
    read_close(&mut socket);
    relay
}

/// Lost: a capture that one can give to somebody who has nothing else.
#[test]
fn a_capture_carries_its_own_keys_after_cat() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let keys = dir.file("keys.pcapng");
    let server = server(&ca, KeyLog::file(&keys).pcapng(true));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let plain = ask(&server, ca.rustls_client_of(&[version]))
            .finish()
            .pcapng();
        let (capture, both) = (dir.file("capture.pcapng"), dir.file("both.pcapng"));
        std::fs::write(&capture, &plain).unwrap();
        assert_eq!(dissect(&dir, &capture, None), "");
        // What `cat keys.pcapng capture.pcapng > both.pcapng` does.
        std::fs::write(&both, [std::fs::read(&keys).unwrap(), plain].concat()).unwrap();
        let shown = dissect(&dir, &both, None);
        assert!(shown.contains(QUESTION), "{shown}");
        assert!(shown.contains(ANSWER), "{shown}");
    }
}

/// A client of this crate logs; the server has its log off.
fn by_the_clients_log(version: TlsVersion) {
    let ca = Ca::new();
    let dir = TempDir::new();
    let (log, capture) = (dir.file("keys.log"), dir.file("capture.pcap"));
    let server = server(&ca, KeyLog::off());
    let relay = Relay::to(server.addr());
    let own = log.clone();
    let client = Running::start(move || Context::builder().keylog(KeyLog::file(own)));
    let (probe, events) = probe();
    let to = Client::new(&format!("wss://localhost:{}/", relay.addr.port()))
        .unwrap()
        .tls(ca.trust().versions(version, version));
    drop(client.handle.connect(to, probe).unwrap());
    let id = events.open();
    client.handle.send(id, QUESTION).unwrap();
    let answer = events.next();
    assert!(
        matches!(&answer, Event::Message(_, m) if m.as_text() == Some(ANSWER)),
        "{answer:?}"
    );
    client.handle.close(id, CloseCode::NORMAL).unwrap();
    events.closed();
    relay.write_capture(&capture);
    check(&dir, &capture, &log);
}

#[test]
fn a_servers_log_decrypts_tls_1_2() {
    by_the_servers_log(&rustls::version::TLS12);
}

#[test]
fn a_servers_log_decrypts_tls_1_3() {
    by_the_servers_log(&rustls::version::TLS13);
}

#[test]
fn a_clients_log_decrypts_tls_1_2() {
    by_the_clients_log(TlsVersion::Tls12);
}

#[test]
fn a_clients_log_decrypts_tls_1_3() {
    by_the_clients_log(TlsVersion::Tls13);
}
