//! What reaches the application's logger, under which target, and that nothing
//! is printed without one.

#![cfg(feature = "keylog")]

mod common;

use common::certs::Ca;
use common::machine::removed_files_keep_their_names;
use common::peer::{self, Raw};
use common::secrets::{lines, open_tls};
use common::temp::TempDir;
use common::{client_context, free_port, loopback, probe, serve, Echo, Running};
use libwebsockets::keylog::KeyLog;
use libwebsockets::{Client, Context, Refusal};
use log::{Level, Log, Metadata, Record};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, Once, PoisonError};

/// One line that was logged.
#[derive(Clone, Debug)]
struct Line {
    target: String,
    level: Level,
    text: String,
}

/// A logger that keeps everything, of all tests of this program.
struct Collector(Mutex<Vec<Line>>);

static COLLECTOR: Collector = Collector(Mutex::new(Vec::new()));

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = Line {
            target: record.target().to_owned(),
            level: record.level(),
            text: record.args().to_string(),
        };
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.clone());
        drop(lines);
        if line.level == Level::Error && line.text.contains(PANICS) {
            panic!("a logger's panic, which is part of a test");
        }
    }

    fn flush(&self) {}
}

fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&COLLECTOR).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// An error with this in its text makes the logger panic.
const PANICS: &str = "the-logger-panics";

/// The lines that hold this text.
fn logged(text: &str) -> Vec<Line> {
    let lines = COLLECTOR.0.lock().unwrap();
    let holds = lines.iter().filter(|line| line.text.contains(text));
    holds.cloned().collect()
}

fn tls_server(ca: &Ca, keylog: impl Fn() -> KeyLog + Send + 'static) -> Running {
    let tls = ca.sign(&["localhost"]).server();
    Running::start(move || {
        let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
        Context::builder().vhost(vhost).keylog(keylog())
    })
}

fn visit(server: &Running, ca: &Ca) {
    let (mut socket, _) = open_tls(server.addr(), ca.rustls_client());
    socket.send("hello".into()).unwrap();
    assert_eq!(peer::read(&mut socket), "hello".into());
}

/// A control frame with an extended length: the C library warns of it.
fn offend(server: &Running) {
    let mut raw = Raw::open(server.addr());
    raw.send(b"\x89\xfe\x00\x7e");
    assert_eq!(raw.close_code(), Some(1002));
}

#[test]
fn the_c_library_speaks_through_the_logger_under_its_own_target() {
    collect();
    offend(&serve(|vhost| vhost.accept(|_| Ok(Echo))));
    let warned = logged("Control frame");
    let line = warned.first().expect("the C library's warning");
    assert_eq!(line.level, Level::Warn);
    assert_eq!(line.target, "libwebsockets::lws");
    assert!(!line.text.ends_with('\n'));
}

/// Lost: hours, for the answer alone doesn't say which rule it was.
#[test]
fn a_refused_request_is_logged_with_its_reason_and_nothing_secret() {
    collect();
    let server = serve(|vhost| {
        vhost.accept(|request| match request.path() {
            "/ours" => Ok(Echo),
            _ => Err(Refusal::forbidden().body("a-secret of the application")),
        })
    });
    let headers = "Authorization: Bearer a-secret\r\n";
    for (path, lines, status, why) in [
        ("/log-403/%1B%7F", headers, 403, "the application"),
        ("/log-400", "Connection: , Upgrade\r\n", 400, "Connection"),
        (
            "/log-401",
            "Sec-WebSocket-Protocol: a,,b\r\n",
            400,
            "Protocol",
        ),
    ] {
        let target = format!("{path}?token=a-secret");
        let answer = Raw::connect(server.addr()).ask(&peer::upgrade(&target, lines));
        assert_eq!(answer.status, status, "{path}");
        let told = logged(&path[..8]);
        assert_eq!(told.len(), 1, "{path}: {told:?}");
        let line = &told[0];
        assert_eq!(line.level, Level::Debug);
        assert_eq!(line.target, "libwebsockets::server");
        assert!(!line.text.contains(char::is_control), "{:?}", line.text);
        assert!(!line.text.contains("a-secret"), "{}", line.text);
        for part in ["vhost localhost", "127.0.0.1", &status.to_string(), why] {
            assert!(line.text.contains(part), "{part}: {}", line.text);
        }
    }
    // No WebSocket at all.
    let plain = "GET /log-426 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(Raw::connect(server.addr()).ask(plain).status, 426);
    assert_eq!(logged("/log-426").len(), 1);
    // Of what isn't read as a request no header is asked.
    let query = "&".repeat(520);
    let long = format!("GET /log-414?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(Raw::connect(server.addr()).ask(&long).status, 414);
    let told = logged("request with status 414: the request's target is too long");
    assert_eq!(told.len(), 1);
    assert_eq!(logged("/log-414").len(), 0);
}

#[test]
fn the_c_librarys_words_for_a_failed_connect_are_logged() {
    collect();
    let context = client_context();
    let url = format!("ws://127.0.0.1:{}/log-client?a-secret", free_port());
    let (probe, events) = probe();
    drop(context.handle.connect(Client::new(&url).unwrap(), probe));
    events.connect_error();
    let told = logged("/log-client");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].target, "libwebsockets::client");
    assert!(told[0].text.contains("conn fail"), "{}", told[0].text);
    assert!(!told[0].text.contains("a-secret"), "{}", told[0].text);
}

#[test]
fn a_key_log_that_starts_is_a_warning_with_its_path_and_who_asked() {
    collect();
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("keys.log");
    let own = path.clone();
    let server = tls_server(&ca, move || KeyLog::file(&own));
    let warned = logged(&format!("{path:?}"));
    assert_eq!(warned.len(), 1, "{warned:?}");
    let line = &warned[0];
    assert_eq!(line.level, Level::Warn);
    assert_eq!(line.target, "libwebsockets::keylog");
    for part in ["RFC 9850", "the application", "not for production"] {
        assert!(line.text.contains(part), "{}", line.text);
    }
    drop(server);
}

#[test]
fn a_log_that_cannot_be_written_is_an_error_told_once() {
    if removed_files_keep_their_names() {
        return;
    }
    collect();
    let (ca, dir) = (Ca::new(), TempDir::new());
    let folder = dir.file("folder");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("vanished.log");
    let own = path.clone();
    let server = tls_server(&ca, move || KeyLog::file(&own));
    std::fs::remove_dir_all(&folder).unwrap();
    visit(&server, &ca);
    visit(&server, &ca);
    assert!(server.keylog.stats().failed >= 10);
    let told: Vec<_> = logged("vanished.log");
    let errors: Vec<_> = told.iter().filter(|l| l.level == Level::Error).collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    assert_eq!(errors[0].target, "libwebsockets::keylog");
}

#[test]
fn no_secret_is_in_any_line_nor_in_the_debug_output_of_what_holds_it() {
    collect();
    let (ca, dir) = (Ca::new(), TempDir::new());
    let path = dir.file("secret.log");
    let own = path.clone();
    let server = tls_server(&ca, move || KeyLog::file(&own));
    visit(&server, &ca);
    let shown = format!(
        "{:?} {:#?} {:?}",
        server.keylog,
        server.keylog.stats(),
        server.handle
    );
    let secrets: Vec<String> = lines(&path).into_iter().map(|line| line.secret).collect();
    assert_eq!(secrets.len(), 5);
    for secret in secrets {
        // Any part of it would help an attacker.
        let part = &secret[..16];
        assert!(logged(part).is_empty());
        assert!(!shown.contains(part));
    }
}

/// Set for a child of this test program, which then has no logger.
const CHILD: &str = "LIBWEBSOCKETS_TEST_LOGS_TO";

/// Not a test of its own: what the child does.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let ca = Ca::new();
    let own = path.clone();
    let server = tls_server(&ca, move || KeyLog::file(&own));
    visit(&server, &ca);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    visit(&server, &ca);
    assert!(server.keylog.stats().failed > 0);
    offend(&serve(|vhost| vhost.accept(|_| Ok(Echo))));
}

#[test]
fn nothing_is_printed_by_a_program_without_a_logger() {
    if removed_files_keep_their_names() {
        return;
    }
    let dir = TempDir::new();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--quiet"])
        .env(CHILD, dir.file("keys.log"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let ours = stdout.lines().filter(|line| {
        // What the test harness itself says.
        !line.is_empty()
            && *line != "."
            && !line.starts_with("running ")
            && !line.contains("test result")
    });
    assert_eq!(ours.collect::<Vec<_>>(), [""; 0]);
    assert!(Path::new(&dir.file("keys.log")).is_dir(), "it did its part");
}

/// A context whose key log can't be removed, which is an error that is logged.
#[cfg(unix)]
fn unremovable(dir: &TempDir) -> Context {
    let path = dir.file(PANICS);
    let keylog = KeyLog::file(&path).remove_on_drop(true);
    let context = Context::builder().keylog(keylog).build().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    context
}

/// Lost: a program that is aborted, for its logger panics while it unwinds already.
#[cfg(unix)]
#[test]
fn a_logger_that_panics_as_a_context_goes_is_told_by_its_drop() {
    collect();
    let message = |result: std::thread::Result<()>| {
        let panic = result.unwrap_err();
        *panic.downcast::<&'static str>().unwrap()
    };
    let dir = TempDir::new();
    let dropped = std::panic::catch_unwind(|| drop(unremovable(&dir)));
    assert!(message(dropped).starts_with("a logger's panic"));

    let dir = TempDir::new();
    let unwound = std::panic::catch_unwind(|| {
        let _context = unremovable(&dir);
        panic!("another panic, which is part of a test");
    });
    assert!(message(unwound).starts_with("another panic"));
    assert_eq!(
        logged(PANICS)
            .iter()
            .filter(|l| l.level == Level::Error)
            .count(),
        2
    );
}
