//! The example server with clients of other languages, where they are installed.
//! What isn't, is told on standard output.

#![cfg(unix)]

mod common;

use common::programs::{EchoServer, Program};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A client's script.
fn script(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/other_languages");
    folder.join(name)
}

/// Tells that a test did nothing. `println!` would show it only if the test failed.
fn skipped(test: &str, why: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "skipped: {test}: {why}").unwrap();
}

/// Runs a client to its end, which must be a good one; its line.
#[track_caller]
fn talk(client: &mut Command) -> String {
    let ended = Program::start(client).end();
    assert_eq!(ended.status, Some(0), "{client:?}: {ended:?}");
    ended.stdout.concat()
}

/// The same conversation with servers of several kinds. `client` makes a command
/// of a URL, a file of CA certificates (empty: none), and a subprotocol or nothing.
fn talk_to_servers(client: impl Fn(&str, &Path, &[&str]) -> Command) {
    let no_ca = Path::new("");
    let plain = EchoServer::start(&["--subprotocol", "v1"]);
    talk(&mut client(&plain.url, no_ca, &[]));
    talk(&mut client(&plain.url, no_ca, &["v1"]));

    let compressing = EchoServer::start(&["--deflate"]);
    talk(&mut client(&compressing.url, no_ca, &[]));

    #[cfg(feature = "_tls")]
    {
        let dir = common::temp::TempDir::new();
        let authority = common::certs::Ca::new();
        let identity = authority.sign(&["localhost"]);
        let files = ["ca.pem", "cert.pem", "key.pem"].map(|name| dir.file(name));
        let [ca, cert, key] = &files;
        let contents = [&authority.pem, &identity.cert, &identity.key];
        for (file, content) in files.iter().zip(contents) {
            std::fs::write(file, content).unwrap();
        }
        for version in ["1.2", "1.3"] {
            let own = ["--tls", "--tls-max", version, "--cert"].map(Path::new);
            let args = [&own[..], &[cert, Path::new("--key"), key]].concat();
            let server = EchoServer::start(&args);
            talk(&mut client(&server.url, ca, &[]));
        }
    }
}

/// The options with which node has a WebSocket, or why it has none.
fn node_options() -> Result<&'static [&'static str], String> {
    // Node 22 has it, Node 20 on demand.
    for options in [&[][..], &["--experimental-websocket"]] {
        let mut node = Command::new("node");
        let asked = Program::try_start(node.args(options).args(["-p", "typeof WebSocket"]));
        let answer = asked.map_err(|e| format!("node can't be run: {e}"))?.end();
        if answer.stdout == ["function"] {
            return Ok(options);
        }
    }
    Err("this node has no WebSocket".into())
}

#[test]
fn node_talks_to_echo_server_where_node_has_a_websocket() {
    let options = match node_options() {
        Ok(options) => options,
        Err(why) => return skipped("node_talks_to_echo_server", &why),
    };
    talk_to_servers(|url, ca, subprotocol| {
        let mut node = Command::new("node");
        if !ca.as_os_str().is_empty() {
            node.env("NODE_EXTRA_CA_CERTS", ca);
        }
        node.args(options).arg(script("echo.js")).arg(url);
        node.args(subprotocol);
        node
    });
}

#[test]
fn python_talks_to_echo_server_where_there_is_python3() {
    let asked = Program::try_start(Command::new("python3").arg("--version"));
    if let Err(why) = asked.map(Program::end) {
        let why = format!("python3 can't be run: {why}");
        return skipped("python_talks_to_echo_server", &why);
    }
    talk_to_servers(|url, ca, subprotocol| {
        let mut python = Command::new("python3");
        python.arg(script("echo.py")).args([Path::new(url), ca]);
        python.args(subprotocol);
        python
    });
}
