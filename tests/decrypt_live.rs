//! A tshark that reads a capture as it grows, and follows the key log's path
//! while the log is rotated.
//!
//! Wireshark opens the path anew when another file stands there, and never reads
//! the rest of the old one. What it hadn't read by then is lost to it, unless the
//! new file has it too.

#![cfg(all(feature = "keylog", unix))]

mod common;

use common::capture::{self, Conversation, Relay};
use common::certs::{tls_stream, Ca};
use common::peer::{open_over, read, read_close};
use common::programs::Program;
use common::secrets::logged as server;
use common::temp::TempDir;
use common::Running;
use libwebsockets::keylog::{KeyLog, Rotation};
use std::path::Path;
use std::time::Duration;

/// A file holds three handshakes: one with TLS 1.3 adds 778 or 938 bytes.
const THREE_HANDSHAKES: u64 = 3_000;

/// The new file begins with the last handshake of the old one.
const ONE_HANDSHAKE: u64 = 1_500;

const ROUNDS: usize = 4;

/// tshark takes seconds to start, and more on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a text that comes back, on a connection of its own.
fn talk(server: &Running, ca: &Ca, text: &str) -> Conversation {
    let relay = Relay::to(server.addr());
    let stream = tls_stream(relay.addr, "localhost", ca.rustls_client());
    let (mut socket, _) = open_over(stream, "wss://localhost/");
    socket.send(text.into()).unwrap();
    assert_eq!(read(&mut socket), text.into());
    socket.close(None).unwrap();
    read_close(&mut socket);
    drop(socket);
    relay.finish()
}

/// A tshark that reads packets from its standard input, as `dumpcap -w - |
/// tshark -i -` has it, and prints what WebSockets carry.
struct Live {
    tshark: Program,
    port: u16,
}

impl Live {
    fn start(dir: &TempDir, log: &Path) -> Live {
        let mut command = capture::tshark(dir.path());
        command
            .args(["-n", "-l", "-i", "-", "-Y", "websocket.opcode == 1"])
            .args(["-T", "fields", "-e", "websocket.payload.text", "-o"])
            .arg(format!("tls.keylog_file:{}", log.display()));
        let mut tshark = Program::try_start(&mut command)
            .unwrap_or_else(|e| panic!("tshark ({e}): `cargo xtask setup` installs it"));
        tshark.feed(&capture::header());
        Live {
            tshark,
            port: 50_000,
        }
    }

    /// Shows it a connection.
    fn see(&mut self, said: &Conversation) {
        self.port += 1;
        self.tshark.feed(&said.packets(self.port));
    }

    /// What it has printed when it has printed this text both ways.
    fn prints(&self, text: &str) -> Vec<String> {
        let mut printed = Vec::new();
        while printed.iter().filter(|line| *line == text).count() < 2 {
            printed.push(self.tshark.line_within(PATIENCE));
        }
        printed
    }

    fn end(mut self) {
        self.tshark.hang_up();
        let ended = self.tshark.end();
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    }
}

/// Rounds of two connections, which tshark sees when both are over: the first of
/// a round may be in an older file by then. What it couldn't read.
fn unread(rotation: Rotation) -> Vec<String> {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let log = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&log).rotation(rotation));
    let last = format!("the last of {ROUNDS} rounds");
    let mut live = Live::start(&dir, &log);
    // So that tshark has the first file open, and that it is full in the midst of a round.
    for text in ["before", "before all rounds"] {
        live.see(&talk(&server, &ca, text));
        live.prints(text);
    }
    let mut unread = Vec::new();
    for round in 1..=ROUNDS {
        let texts = [
            format!("round {round}, first"),
            format!("round {round}, second"),
        ];
        let said = texts.each_ref().map(|text| talk(&server, &ca, text));
        said.iter().for_each(|said| live.see(said));
        let printed = live.prints(&texts[1]);
        if !printed.contains(&texts[0]) {
            unread.push(texts[0].clone());
        }
    }
    assert!(server.keylog.stats().rotations >= 3, "it was rotated");
    live.see(&talk(&server, &ca, &last));
    live.prints(&last);
    live.end();
    unread
}

/// Lost: connections in a live Wireshark, some at each rotation.
#[test]
fn a_live_tshark_that_follows_the_path_loses_no_connection_to_a_rotation() {
    let rotation = Rotation::new().max_size(THREE_HANDSHAKES);
    assert_eq!(unread(rotation.overlap(ONE_HANDSHAKE)), [""; 0]);
}

/// That the test above can fail: it is the overlap that saves them.
#[test]
fn without_the_overlap_it_would_lose_some() {
    let rotation = Rotation::new().max_size(THREE_HANDSHAKES);
    assert!(!unread(rotation.overlap(0)).is_empty());
}

/// Lost: the same, where the application asks for new files.
#[test]
fn a_live_tshark_loses_nothing_when_the_application_rotates() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let log = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&log));
    let mut live = Live::start(&dir, &log);
    live.see(&talk(&server, &ca, "before"));
    live.prints("before");
    let early = talk(&server, &ca, "early");
    server.keylog.rotate().unwrap();
    server.keylog.rotate().unwrap();
    let late = talk(&server, &ca, "late");
    live.see(&early);
    live.see(&late);
    assert!(live.prints("late").contains(&"early".to_owned()));
    live.end();
}
