//! What clients make up has to differ from process to process.

mod common;

use common::{client_context, probe, WAIT};
use libwebsockets::Client;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Set for a child of this test program: what it connects to.
const URL: &str = "LIBWEBSOCKETS_TEST_URL";

/// Not a test of its own: what the children do.
#[test]
fn child() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let client = client_context();
    let (probe, events) = probe();
    drop(client.handle.connect(Client::new(&url).unwrap(), probe));
    events.connect_error();
}

/// The key of a process' first request.
fn first_key() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact"])
        .env(URL, url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(WAIT)).unwrap();
    let mut lines = BufReader::new(&peer).lines().map(Result::unwrap);
    let key = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.to_owned())
    });
    drop(peer);
    assert!(child.wait().unwrap().success());
    key.expect("a request has a key")
}

/// Lost: masking keys that a page can't foresee (RFC 6455, section 10.3), where
/// they come from a generator that starts the same way in every process.
#[test]
fn two_processes_send_different_keys() {
    assert_ne!(first_key(), first_key());
}
