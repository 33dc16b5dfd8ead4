//! The examples as programs: what they print, how they end, what their options
//! do. Those for TLS and the key log are in `examples_tls.rs`.

#![cfg(unix)]

mod chat;
#[path = "../common/mod.rs"]
mod common;

use common::peer::{self, frame, read, read_close, tcp, upgrade, Raw, BINARY, TEXT};
use common::programs::{example, run, EchoServer, Program};
use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;
use tungstenite::Message;

const NONE: [&str; 0] = [];
const FIN: u8 = 0x80;

/// Runs the client against a server; the lines that it prints.
#[track_caller]
fn echoes(server: &EchoServer, args: &[&str]) -> Vec<String> {
    let ended = run("echo_client", &[&[&*server.url], args].concat());
    assert_eq!(ended.status, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
    ended.stdout
}

#[test]
fn the_servers_first_line_is_a_url_that_the_client_reaches() {
    let server = EchoServer::start(&NONE);
    assert_eq!(
        server.url,
        format!("ws://localhost:{}/", server.addr.port())
    );
    assert_ne!(server.addr.port(), 0);
    assert_eq!(echoes(&server, &[]), ["hello"]);
}

#[test]
fn the_client_prints_what_comes_back_in_its_order() {
    let server = EchoServer::start(&["--port", "0"]);
    let texts = [
        "--message",
        "one",
        "--message",
        "zwei ß",
        "--message",
        "--3",
    ];
    let thrice = [&texts[..], &["--count", "3"]].concat();
    assert_eq!(echoes(&server, &thrice), ["one", "zwei ß", "--3"].repeat(3));
    let sized = ["--size", "70000", "--count", "2"];
    assert_eq!(echoes(&server, &sized), ["(70000 bytes)"; 2]);
}

/// Starts the client, and accepts its connection in a server's place.
fn awaited_client() -> (Program, String, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let client = Program::start(&mut example("echo_client", &[&url]));
    let mut accepted = None;
    common::eventually("the client connects", || {
        accepted = listener.accept().ok();
        accepted.is_some()
    });
    let (tcp, _) = accepted.unwrap();
    tcp.set_nonblocking(false).unwrap();
    peer::patient(&tcp);
    (client, url, tcp)
}

#[test]
fn the_client_fails_where_no_echo_comes() {
    let (client, url, tcp) = awaited_client();
    drop(tcp);
    let ended = client.end();
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0));
    assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    assert!(ended.stderr.contains(&url), "{}", ended.stderr);
}

#[test]
fn the_client_fails_where_something_else_comes_back() {
    let (client, _, tcp) = awaited_client();
    let mut socket = tungstenite::accept(tcp).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    socket.send(Message::text("hullo")).unwrap();
    while socket.read().is_ok() {}
    let ended = client.end();
    assert_eq!(
        (ended.status, &*ended.stdout),
        (Some(1), &["hullo".to_owned()][..])
    );
    assert!(
        ended.stderr.contains("not what was sent"),
        "{}",
        ended.stderr
    );
}

#[test]
fn every_path_and_origin_is_served() {
    let server = EchoServer::start(&NONE);
    for (path, origin) in [
        ("/any/path?at=all", "https://elsewhere.example"),
        ("/", "null"),
    ] {
        let mut raw = Raw::connect(server.addr);
        let answer = raw.ask(&upgrade(path, &format!("Origin: {origin}\r\n")));
        assert_eq!(answer.status, 101, "{answer:?}");
        raw.send_frame(FIN | TEXT, b"hello");
        assert_eq!(raw.frame().unwrap().payload, b"hello");
    }
}

#[test]
fn compression_is_agreed_on_only_where_the_server_was_told_to() {
    let offer = upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    for on in [false, true] {
        let args = if on { &["--deflate"][..] } else { &[] };
        let server = EchoServer::start(args);
        let answer = Raw::connect(server.addr).ask(&offer);
        assert_eq!(answer.status, 101, "{answer:?}");
        let agreed = answer.header("sec-websocket-extensions");
        assert_eq!(
            agreed.is_some_and(|agreed| agreed.contains("permessage-deflate")),
            on && cfg!(feature = "deflate"),
            "{args:?}: {agreed:?}"
        );
        assert_eq!(echoes(&server, &["--deflate"]), ["hello"]);
    }
}

#[test]
fn a_subprotocol_is_served_beside_clients_that_offer_none() {
    let server = EchoServer::start(&["--subprotocol", "chat.v1"]);
    let answer =
        Raw::connect(server.addr).ask(&upgrade("/", "Sec-WebSocket-Protocol: other, chat.v1\r\n"));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), Some("chat.v1"));
    let answer = Raw::connect(server.addr).ask(&upgrade("/", ""));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), None);

    assert_eq!(echoes(&server, &[]), ["hello"]);
    let ended = run("echo_client", &[&server.url, "--subprotocol", "chat.v1"]);
    assert_eq!(
        (ended.status, &*ended.stderr),
        (Some(0), "subprotocol: chat.v1\n")
    );
    assert_eq!(ended.stdout, ["hello"]);
}

#[test]
fn longer_messages_and_frames_than_allowed_are_closed_with_1009() {
    let server = EchoServer::start(&["--max-message", "1000"]);
    let mut raw = Raw::open(server.addr);
    raw.send_frame(FIN | BINARY, &[1; 1000]);
    assert_eq!(raw.frame().unwrap().payload, [1; 1000]);
    raw.send_frame(FIN | BINARY, &[1; 1001]);
    assert_eq!(raw.close_code(), Some(1009));

    // In frames that are short enough.
    let mut raw = Raw::open(server.addr);
    raw.send_frame(BINARY, &[1; 600]);
    raw.send_frame(FIN, &[1; 600]);
    assert_eq!(raw.close_code(), Some(1009));

    let ended = run("echo_client", &[&server.url, "--size", "1001"]);
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0));
    assert!(ended.stderr.contains("1009"), "{}", ended.stderr);
}

/// More than the server's send queue takes.
const MUCH: usize = 96 << 20;

#[test]
fn a_peer_that_sends_much_before_it_reads_gets_all_of_it_back() {
    let server = EchoServer::start(&NONE);
    let mut stream = tcp(server.addr);
    let mut raw = Raw::over(Box::new(stream.try_clone().unwrap()));
    assert_eq!(raw.ask(&upgrade("/", "")).status, 101);
    let payload = vec![b'x'; 1 << 20];
    let one = frame(FIN | BINARY, &payload);
    let count = MUCH / payload.len();
    // Until the server takes no more, or would have to be full.
    let all = one.repeat(count);
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut sent = 0;
    while sent < all.len() {
        match stream.write(&all[sent..]) {
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => panic!("cut off after {sent} bytes: {e}"),
        }
    }
    assert!(sent > payload.len());
    stream.set_write_timeout(Some(common::WAIT)).unwrap();
    let rest = std::thread::spawn(move || stream.write_all(&all[sent..]).unwrap());
    for i in 0..count {
        let echo = raw.frame().unwrap_or_else(|| panic!("only {i} came back"));
        assert!(echo.payload == payload, "{i}");
    }
    rest.join().unwrap();
}

#[cfg(target_os = "linux")] // which has all of 127.0.0.0/8
#[test]
fn the_port_and_the_interface_are_those_given() {
    const OTHER: &str = "127.0.0.77";
    // Taken on 127.0.0.1, and free on an address that nobody else uses.
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let args = ["--iface", OTHER, "--port", &port.to_string()];
    let server = EchoServer::start(&args);
    assert_eq!(server.url, format!("ws://{OTHER}:{port}/"));
    let there = SocketAddr::new(OTHER.parse().unwrap(), port);
    let mut socket = peer::open(there, "/");
    socket.send("hello".into()).unwrap();
    assert_eq!(read(&mut socket), "hello".into());
    assert_eq!(echoes(&server, &[]), ["hello"]);
    // A second one is refused.
    let ended = run("echo_server", &args);
    assert_eq!((ended.status, ended.stdout.len()), (Some(1), 0));
    assert!(ended.stderr.contains(&port.to_string()), "{}", ended.stderr);
}

#[test]
fn signals_end_the_server_well() {
    for signal in ["INT", "TERM"] {
        let server = EchoServer::start(&NONE);
        server.program.signal(signal);
        let ended = server.program.end();
        assert_eq!(ended.status, Some(0), "{signal}: {ended:?}");
        assert_eq!((ended.stdout.len(), &*ended.stderr), (0, ""));
    }
}

#[test]
fn signals_end_the_server_well_while_a_client_is_there() {
    for signal in ["INT", "TERM"] {
        let server = EchoServer::start(&NONE);
        let mut socket = peer::open(server.addr, "/");
        socket.send("hello".into()).unwrap();
        assert_eq!(read(&mut socket), "hello".into());
        server.program.signal(signal);
        assert_eq!(read_close(&mut socket).map(|(code, _)| code), Some(1001));
        assert_eq!(server.program.end().status, Some(0), "{signal}");
    }
}

#[test]
fn a_client_that_does_not_answer_does_not_keep_the_server() {
    let server = EchoServer::start(&NONE);
    let raw = Raw::open(server.addr);
    server.program.signal("TERM");
    assert_eq!(server.program.end().status, Some(0));
    drop(raw);
}

/// An example with these arguments ends at once, and says this.
#[track_caller]
fn refuses<A: AsRef<OsStr>>(name: &str, args: &[A], says: &str) {
    let ended = run(name, args);
    assert_eq!(
        (ended.status, ended.stdout.len()),
        (Some(1), 0),
        "{ended:?}"
    );
    let line = ended.stderr.strip_prefix("error: ");
    assert!(line.is_some_and(|l| l.contains(says)), "{says}: {ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[test]
fn a_wrong_option_is_an_error_that_names_it() {
    for name in ["echo_server", "chat"] {
        refuses(name, &["--nonsense"], "\"--nonsense\"");
        refuses(name, &["nonsense"], "\"nonsense\"");
        refuses(name, &["--port"], "--port needs a value");
        refuses(name, &["--port", "x"], "--port x");
        refuses(name, &["--port", "65536"], "--port 65536");
        refuses(
            name,
            &["--port", "0", "--port", "0"],
            "--port is given 2 times",
        );
        refuses(name, &["--iface", "nowhere"], "--iface nowhere");
    }
    refuses("echo_server", &["--deflate", "--deflate"], "--deflate");
    refuses("echo_server", &["--max-message", "-1"], "--max-message -1");
    refuses("echo_server", &["--subprotocol", "a b"], "\"a b\"");

    let url = "ws://127.0.0.1:1/";
    refuses("echo_client", &NONE, "the URL is missing");
    // It may hold anything, a password for one, and isn't shown.
    refuses("echo_client", &["nonsense"], "must begin with ws://");
    refuses("echo_client", &[url, url], url);
    refuses(
        "echo_client",
        &[url, "--message"],
        "--message needs a value",
    );
    refuses(
        "echo_client",
        &[url, "--count", "0"],
        "--count is at least 1",
    );
    refuses(
        "echo_client",
        &[url, "--size", "3000000000"],
        "--size is at most",
    );
    refuses(
        "echo_client",
        &[url, "--size", "1", "--message", "x"],
        "--size",
    );
}

#[test]
fn an_argument_that_is_not_utf8_is_an_error() {
    let bad = OsStr::from_bytes(b"\xff");
    let url = OsStr::new("ws://127.0.0.1:1/");
    refuses("echo_server", &[bad], "\"\\xFF\"");
    refuses("echo_server", &["--port".as_ref(), bad], "--port \"\\xFF\"");
    refuses("echo_client", &[bad], "\"\\xFF\" isn't UTF-8");
    refuses(
        "echo_client",
        &[url, "--message".as_ref(), bad],
        "--message \"\\xFF\"",
    );
}

#[test]
fn help_tells_each_option_on_a_line() {
    let mut options = vec![
        (
            "echo_server",
            vec![
                "--port N",
                "--iface ADDR",
                "--deflate",
                "--subprotocol NAME",
            ],
        ),
        (
            "echo_client",
            vec![
                "--message TEXT",
                "--count N",
                "--size BYTES",
                "--subprotocol NAME",
            ],
        ),
        ("chat", vec!["--port N", "--iface ADDR"]),
    ];
    if cfg!(feature = "_tls") {
        options[0]
            .1
            .extend(["--tls", "--cert PEM", "--key PEM", "--tls-max 1.2|1.3"]);
        options[1].1.extend(["--ca PEM", "--insecure"]);
        options[2].1.push("--tls");
    }
    if cfg!(feature = "keylog") {
        options[0].1.extend(["--keylog PATH", "--keylog-off"]);
        options[2].1.extend(["--keylog PATH", "--keylog-off"]);
        options[1].1.push("--keylog PATH");
        options.push(("keylog", vec!["--keep"]));
    }
    for (name, options) in options {
        let ended = run(name, &["--help"]);
        assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{name}");
        for option in options {
            let start = format!("  {option} ");
            let told = ended.stdout.iter().any(|line| line.starts_with(&start));
            assert!(told, "{name} {option}: {:?}", ended.stdout);
        }
        assert!(ended.stdout[0].starts_with(name), "{:?}", ended.stdout);
    }
}
