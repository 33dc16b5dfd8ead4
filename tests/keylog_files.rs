//! The key log's files in real contexts: which connections go where, what is
//! left out, and what goes with the context.

#![cfg(feature = "keylog")]

mod common;

use common::certs::{tls_over, Ca};
use common::peer::{self, tcp};
use common::secrets::{
    labels, lines, logged as server, open_tls, randoms, visit, Remembers, TLS13,
};
use common::temp::TempDir;
use common::{eventually, loopback, probe, Echo, Running};
use libwebsockets::keylog::{AutoOff, Filter, KeyLog, Problem, Retention, Rotation};
use libwebsockets::{Client, Context, Role, Vhost};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};

/// A server with two vhosts on one port, and this log.
fn two_vhosts(ca: &Ca, keylog: KeyLog) -> Running {
    let tls = ["a.test", "b.test"].map(|name| (name, ca.sign(&[name]).server()));
    Running::start(move || {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let mut builder = Context::builder().keylog(keylog);
        for (name, tls) in tls {
            let vhost = Vhost::listen(address).name(name).unwrap();
            builder = builder.vhost(vhost.tls(tls).accept(|_| Ok(Echo)));
        }
        builder
    })
}

/// Makes a TLS connection to a vhost, by its name.
fn shake_hands(server: &Running, ca: &Ca, name: &str) {
    let mut stream = tls_over(tcp(server.addr()), name, ca.rustls_client());
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
}

/// Set for a child of this test program.
#[cfg(unix)]
const INHERITS: &str = "LIBWEBSOCKETS_TEST_INHERITS_A_DESCRIPTOR";

/// Lost: the log of a service that is given its files by who starts it.
#[cfg(unix)]
#[test]
fn a_descriptor_that_a_program_was_started_with_is_written_to() {
    use std::os::fd::AsFd;
    let ca = Ca::new();
    if std::env::var_os(INHERITS).is_some() {
        let inherited = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let server = server(&ca, KeyLog::descriptor(inherited.into()));
        println!("says: {}", visit(&server, &ca));
        return;
    }
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let mut randoms = BTreeSet::new();
    for _ in 0..2 {
        let mut options = std::fs::File::options();
        let file = options.append(true).create(true).open(&path).unwrap();
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["a_descriptor_that_a_program_was_started_with_is_written_to"])
            .args(["--exact", "--nocapture"])
            .env(INHERITS, "1")
            .stdin(file)
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let text = String::from_utf8(child.stdout).unwrap();
        let says = text.split("says: ").nth(1).expect("it says which");
        randoms.insert(says[..64].to_owned());
    }
    assert_eq!(self::randoms(&lines(&path)), randoms);
    assert_eq!(randoms.len(), 2);
}

#[test]
fn each_vhost_that_is_chosen_by_sni_logs_to_its_own_file() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let server = two_vhosts(&ca, KeyLog::file(dir.file("{vhost}.log")));
    for name in ["a.test", "b.test", "a.test"] {
        shake_hands(&server, &ca, name);
    }
    let count = |name: &str| {
        let path = dir.file(name);
        if path.exists() {
            randoms(&lines(&path)).len()
        } else {
            0
        }
    };
    eventually("both have their own", || {
        (count("a.test.log"), count("b.test.log")) == (2, 1)
    });
    assert_eq!(dir.names(), ["a.test.log", "b.test.log"]);
}

#[test]
fn a_filter_sees_the_facts_of_a_real_connection() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let filter = Filter::new().connections(move |facts| {
        let name = facts.server_name.map(str::to_owned);
        let peer = facts.peer.map(|peer| peer.ip().to_string());
        let mut seen = sees.lock().unwrap();
        seen.push((facts.role, facts.vhost.to_owned(), name, peer));
        facts.server_name == Some("b.test")
    });
    let server = two_vhosts(&ca, KeyLog::file(&path).filter(filter));
    shake_hands(&server, &ca, "a.test");
    shake_hands(&server, &ca, "b.test");
    eventually("the second is logged", || randoms(&lines(&path)).len() == 1);
    let facts = |name: &str| {
        (
            Role::Server,
            name.to_owned(),
            Some(name.to_owned()),
            Some("127.0.0.1".to_owned()),
        )
    };
    assert_eq!(*seen.lock().unwrap(), [facts("a.test"), facts("b.test")]);
    assert_eq!(server.keylog.stats().filtered_connections, 1);
}

/// Lost: a client's connections, for whoever looks for them by what they are.
#[test]
fn a_filter_and_a_template_see_the_facts_of_a_clients_connection() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let peer = server(&ca, KeyLog::off());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let filter = Filter::new().vhost("client").connections(move |facts| {
        let name = facts.server_name.map(str::to_owned);
        let mut seen = sees.lock().unwrap();
        seen.push((facts.role, facts.vhost.to_owned(), name, facts.peer));
        true
    });
    let keylog = KeyLog::file(dir.file("{vhost}.log")).filter(filter);
    let client = Running::start(move || Context::builder().keylog(keylog));
    let (probe, events) = probe();
    let url = format!("wss://localhost:{}/", peer.addr().port());
    let to = Client::new(&url).unwrap().tls(ca.trust());
    drop(client.handle.connect(to, probe).unwrap());
    events.open();
    eventually("it is logged", || client.keylog.stats().written == 5);
    let (role, vhost) = (Role::Client, "client".to_owned());
    let facts = (role, vhost, Some("localhost".to_owned()), Some(peer.addr()));
    assert_eq!(*seen.lock().unwrap(), [facts]);
    assert_eq!(dir.names(), ["client.log"]);
}

/// The vhosts whose connections are logged, of one to each; and the labels that are
/// in the file.
fn logged(ca: &Ca, filter: Filter) -> (Vec<&'static str>, Vec<String>) {
    let dir = TempDir::new();
    let path = dir.file("keys.log");
    let server = two_vhosts(ca, KeyLog::file(&path).filter(filter));
    let stats = || server.keylog.stats();
    let mut names = Vec::new();
    for name in ["a.test", "b.test"] {
        let before = stats();
        shake_hands(&server, ca, name);
        eventually("it is logged or left out", || {
            let now = stats();
            now.connections + now.filtered_connections
                > before.connections + before.filtered_connections
        });
        if stats().connections > before.connections {
            names.push(name);
        }
    }
    let labels: BTreeSet<_> = lines(&path).into_iter().map(|l| l.label).collect();
    (names, labels.into_iter().collect())
}

/// Lost: a small log of what one looks for, instead of the secrets of everybody.
#[test]
fn filter_by_vhost_role_peer_name_and_label() {
    let ca = Ca::new();
    let new = Filter::new;
    let net = |net: &str| net.parse().unwrap();
    let both = ["a.test", "b.test"];
    for (filter, expected) in [
        (new(), &both[..]),
        (new().vhost("a.test"), &both[..1]),
        (new().role(Role::Server), &both),
        (new().role(Role::Client), &[]),
        (new().peer(net("127.0.0.0/8")), &both),
        (new().peer(net("192.0.2.0/24")), &[]),
        (new().server_name("b.test"), &both[1..]),
        (new().server_name("*.test"), &both),
        (
            new().connections(|facts| facts.vhost == "b.test"),
            &both[1..],
        ),
    ] {
        let shown = format!("{filter:?}");
        let (names, labels) = logged(&ca, filter);
        assert_eq!(names, expected, "{shown}");
        let all = if expected.is_empty() { &[][..] } else { &TLS13 };
        assert_eq!(labels, all, "{shown}");
    }
    let (_, labels) = logged(&ca, new().without_label("EXPORTER_SECRET"));
    assert_eq!(labels.len(), 4);
    let (_, labels) = logged(&ca, new().label("EXPORTER_SECRET"));
    assert_eq!(labels, ["EXPORTER_SECRET"]);
}

/// Lost: a disk that fills, or a log that was forgotten and goes on for ever.
#[test]
fn rotation_retention_auto_off() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let keylog = KeyLog::file(dir.file("k"))
        .rotation(Rotation::new().max_size(1))
        .retention(Retention::new().max_files(2))
        .auto_off(AutoOff::new().after_connections(5));
    let server = server(&ca, keylog);
    let seen: Vec<_> = (0..7).map(|_| visit(&server, &ca)).collect();
    assert_eq!(dir.names(), ["k", "k.1", "k.2", "k.lock"]);
    for (name, random) in [("k", &seen[4]), ("k.1", &seen[3]), ("k.2", &seen[2])] {
        assert_eq!(randoms(&lines(&dir.file(name))), [random.clone()].into());
    }
    let stats = server.keylog.stats();
    assert_eq!((stats.rotations, stats.connections), (4, 5));
    assert!(matches!(stats.problem, Some(Problem::LimitReached { .. })));
    assert!(!server.keylog.is_enabled());
}

#[test]
fn a_context_with_both_roles_can_log_one_of_them() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    for role in [Role::Server, Role::Client] {
        let path = dir.file("keys.log");
        let _ = std::fs::remove_file(&path);
        let server = server(&ca, KeyLog::file(&path).filter(Filter::new().role(role)));
        let (probe, events) = probe();
        let to = Client::new(&server.url("wss", "/"))
            .unwrap()
            .tls(ca.trust());
        drop(server.handle.connect(to, probe).unwrap());
        events.open();
        // Unfiltered, both ends would have logged the same lines.
        eventually("one end's records", || server.keylog.stats().written == 5);
        assert_eq!(server.keylog.stats().filtered_connections, 1);
        assert_eq!(randoms(&lines(&path)).len(), 1);
    }
}

/// The client doesn't trust the server: the handshake that one debugs.
#[test]
fn the_secrets_of_a_handshake_that_fails_are_in_the_file() {
    let (ca, other, dir) = (Ca::new(), Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&path));
    let mut stream = tls_over(tcp(server.addr()), "localhost", other.rustls_client());
    stream.conn.complete_io(&mut stream.sock).unwrap_err();
    drop(stream);
    eventually("they are written", || !lines(&path).is_empty());
    let found: Vec<_> = lines(&path).into_iter().map(|line| line.label).collect();
    assert!(
        found.contains(&"SERVER_HANDSHAKE_TRAFFIC_SECRET".to_owned()),
        "{found:?}"
    );
}

/// Whether the TLS library tells the secrets after a KeyUpdate: OpenSSL does since 3.0,
/// and AWS-LC doesn't.
fn tells_of_updates() -> bool {
    #[cfg(not(feature = "aws-lc"))]
    // SAFETY: the function has no precondition.
    return unsafe { openssl_sys::OpenSSL_version_num() } >= 0x3000_0000;
    #[cfg(feature = "aws-lc")]
    return false;
}

/// A client that asks for new keys in the midst of the connection.
#[test]
fn the_secrets_after_a_late_key_update_are_in_the_file() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let server = server(&ca, KeyLog::file(&path));
    let mut stream = tls_over(tcp(server.addr()), "localhost", ca.rustls_client());
    stream.write_all(peer::upgrade("/", "").as_bytes()).unwrap();
    let answers = |stream: &mut dyn Read, end: &[u8]| {
        let mut answer = vec![0];
        while !answer.ends_with(end) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    };
    answers(&mut stream, b"\r\n\r\n");
    for updates in 1..=2 {
        stream.conn.refresh_traffic_keys().unwrap();
        let text = format!("after update {updates}");
        let frame = peer::frame(0x80 | peer::TEXT, text.as_bytes());
        stream.write_all(&frame).unwrap();
        answers(&mut stream, text.as_bytes());
    }
    // Both ends have had two more, each of which Wireshark derives or reads here.
    let found: Vec<_> = lines(&path).into_iter().map(|line| line.label).collect();
    let late = ["CLIENT_TRAFFIC_SECRET_N", "SERVER_TRAFFIC_SECRET_N"];
    let mut expected: Vec<_> = TLS13.into_iter().chain(late).chain(late).collect();
    if !tells_of_updates() {
        expected.truncate(TLS13.len());
    }
    expected.sort_unstable();
    let mut found: Vec<_> = found.iter().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(server.keylog.stats().connections, 1);
}

#[test]
fn a_panic_of_the_filter_reaches_the_application_and_not_the_file() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let filter = Filter::new().connections(|_| panic!("the filter's own panic"));
    let server = server(&ca, KeyLog::file(&path).filter(filter));
    let mut stream = tls_over(tcp(server.addr()), "localhost", ca.rustls_client());
    let _ = stream.conn.complete_io(&mut stream.sock);
    let panic = server.wait().unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the filter's own panic"));
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}

#[test]
fn a_log_that_is_to_be_removed_goes_with_its_context_also_when_a_handler_panics() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let keylog = KeyLog::file(dir.file("keys.log"))
        .rotation(Rotation::new().max_size(1))
        .remove_on_drop(true);
    let first = server(&ca, keylog.clone());
    visit(&first, &ca);
    visit(&first, &ca);
    assert_eq!(dir.names(), ["keys.log", "keys.log.1", "keys.log.lock"]);
    first.stop().unwrap().unwrap();
    assert!(dir.names().is_empty());

    let tls = ca.sign(&["localhost"]).server();
    let second = Running::start(move || {
        let vhost = loopback()
            .tls(tls)
            .accept(|_| -> Result<Echo, _> { panic!("a factory's own panic") });
        Context::builder().vhost(vhost).keylog(keylog)
    });
    let config = ca.rustls_client();
    let _ = std::panic::catch_unwind(AssertUnwindSafe(|| open_tls(second.addr(), config)));
    second.wait().unwrap_err();
    assert!(dir.names().is_empty());
}

/// A request that comes with the end of its handshake, and names the client random as its
/// path.
fn ask_with_the_handshake(server: SocketAddr, config: rustls::ClientConfig) -> String {
    let stream = Remembers::new(tcp(server));
    let mut stream = tls_over(stream, "localhost", config);
    stream.conn.write_tls(&mut stream.sock).unwrap();
    let random = stream.sock.client_random();
    // Kept until the handshake is done, and then sent in one piece with its end.
    let request = peer::upgrade(&format!("/{random}"), "");
    stream.conn.writer().write_all(request.as_bytes()).unwrap();
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let head = peer::http_head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    random
}

/// Lost: connections whose data is in a capture, and whose secrets are nowhere.
#[test]
fn a_handshakes_records_are_there_before_its_request_is_delivered_whatever_else_ends_then() {
    const THREADS: usize = 16;
    const EACH: usize = 10;
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let own = path.clone();
    let tls = ca.sign(&["localhost"]).server();
    let (tell, told) = std::sync::mpsc::channel();
    let keylog = KeyLog::file(&path);
    let server = Running::start(move || {
        let vhost = loopback().tls(tls).accept(move |request| {
            // The request is the first that the peer sends over TLS.
            let random = request.path().trim_start_matches('/').to_owned();
            tell.send(labels(&lines(&own), &random) == TLS13).unwrap();
            Ok(Echo)
        });
        Context::builder().vhost(vhost).keylog(keylog)
    });
    let address = server.addr();
    let randoms: BTreeSet<String> = std::thread::scope(|scope| {
        let client = || {
            let one = || ask_with_the_handshake(address, ca.rustls_client());
            std::iter::repeat_with(one).take(EACH).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(client)).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().collect()
    });
    let in_time: Vec<bool> = told.try_iter().collect();
    assert_eq!(in_time, vec![true; THREADS * EACH]);
    assert_eq!(common::secrets::randoms(&lines(&path)), randoms);
}
