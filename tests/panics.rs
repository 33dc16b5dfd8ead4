//! Panics of the application's code: they reach who runs the context, and end no more than
//! they have to.

mod common;

use common::peer::{self, Raw};
use common::{free_port, loopback, probe, serve, Echo, Events, Probe, Running, WAIT};
use libwebsockets::{
    Backoff, Client, Closed, ConnectError, Connection, Context, ContextHandle, Fragment, Handler,
    Initiator, Message, WebSocketConfig,
};
use log::{Log, Metadata, Record};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{mpsc, Mutex, Once};
use std::thread;
use std::time::Duration;

/// A logger that keeps what is said of panics, of all tests of this program. It panics itself
/// at a line of the C library, and where what is said of a panic has this in it.
struct Logger(Mutex<Vec<String>>);

static LOGGER: Logger = Logger(Mutex::new(Vec::new()));
const LOGGER_TOO: &str = "and so does the logger";

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if text.contains("Control frame") {
            panic!("a logger's panic, which is part of a test");
        }
        if record.target() == "libwebsockets::panic" {
            assert_eq!(record.level(), log::Level::Error);
            let panics = text.contains(LOGGER_TOO);
            self.0.lock().unwrap().push(text);
            assert!(!panics, "a logger's panic, which is part of a test");
        }
    }

    fn flush(&self) {}
}

fn collect() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// How often this was logged.
fn logged(line: &str) -> usize {
    let lines = LOGGER.0.lock().unwrap();
    lines.iter().filter(|own| *own == line).count()
}

/// Panics where it is told to.
struct Panics {
    at: &'static str,
    probe: Probe,
}

impl Panics {
    fn at(&self, here: &str) {
        if self.at == here {
            panic!("a test's panic in {here}");
        }
    }
}

impl Handler for Panics {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.at("on_open");
        self.probe.on_open(conn);
        conn.request_writable();
    }

    fn on_message(&mut self, _: &mut Connection<'_>, _: Message) {
        self.at("on_message");
    }

    fn on_fragment(&mut self, _: &mut Connection<'_>, _: Fragment<'_>) {
        self.at("on_fragment");
    }

    fn on_writable(&mut self, _: &mut Connection<'_>) {
        self.at("on_writable");
    }

    fn on_pong(&mut self, _: &mut Connection<'_>, _: &[u8]) {
        self.at("on_pong");
    }

    fn on_close(&mut self, closed: Closed) {
        self.probe.on_close(closed);
        self.at("on_close");
    }

    fn on_connect_error(&mut self, error: &ConnectError) {
        self.probe.on_connect_error(error);
        self.at("on_connect_error");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        if self.at == "drop" {
            panic!("a test's panic in drop");
        }
    }
}

/// The text of a panic.
fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .expect("a text")
}

/// A context on its thread that reports each panic of `run`, and runs on.
fn stubborn(
    describe: impl FnOnce() -> libwebsockets::ContextBuilder + Send + 'static,
) -> (
    ContextHandle,
    Option<std::net::SocketAddr>,
    mpsc::Receiver<Result<String, bool>>,
) {
    let (built, handle) = mpsc::channel();
    let (report, reports) = mpsc::channel();
    thread::spawn(move || {
        let mut context = describe().build().unwrap();
        built
            .send((context.handle(), context.local_addr(0)))
            .unwrap();
        loop {
            match catch_unwind(AssertUnwindSafe(|| context.run())) {
                Ok(result) => {
                    drop(context);
                    let _ = report.send(Err(result.is_ok()));
                    return;
                }
                Err(panic) => {
                    let _ = report.send(Ok(text(&*panic)));
                }
            }
        }
    });
    let (handle, addr) = handle.recv_timeout(WAIT).unwrap();
    (handle, addr, reports)
}

#[test]
fn a_panic_of_a_handler_reaches_run_ends_its_connection_and_no_other() {
    for at in [
        "on_open",
        "on_message",
        "on_fragment",
        "on_writable",
        "on_pong",
        "on_close",
        "drop",
    ] {
        let (probe, events) = probe();
        let (handle, addr, reports) = stubborn(move || {
            let config = WebSocketConfig::new().fragments(at == "on_fragment");
            Context::builder().vhost(loopback().config(config).accept(move |request| {
                let at = match request.path() {
                    "/calm" => "",
                    _ => at,
                };
                Ok(Panics {
                    at,
                    probe: probe.clone(),
                })
            }))
        });
        let addr = addr.unwrap();
        let mut calm = peer::open(addr, "/calm");
        let calm_id = events.open();
        let mut raw = Raw::connect(addr);
        raw.send(peer::upgrade("/", "").as_bytes());
        assert_eq!(raw.answer().status, 101, "{at}");
        if at != "on_open" {
            events.open();
        }
        match at {
            "on_message" | "on_fragment" => raw.send_frame(0x81, b"boom"),
            "on_pong" => raw.send_frame(0x8a, b"boom"),
            "on_close" | "drop" => raw.send_frame(0x88, &[]),
            _ => {}
        }
        let panic = reports.recv_timeout(WAIT).unwrap().unwrap();
        assert_eq!(panic, format!("a test's panic in {at}"));
        assert!(raw.is_over());
        let closed = events.closed();
        assert_ne!(closed.id, calm_id);
        if !matches!(at, "on_close" | "drop") {
            assert_eq!(closed.initiator, Initiator::Local, "{at}");
        }
        // The context goes on, and so does the other connection.
        handle.send(calm_id, "still here").unwrap();
        assert_eq!(peer::read(&mut calm), "still here".into(), "{at}");
        handle.stop();
        assert_eq!(reports.recv_timeout(WAIT).unwrap(), Err(true));
    }
}

#[test]
fn a_panic_of_a_factory_is_answered_with_500_and_reaches_run() {
    let (handle, addr, reports) = stubborn(|| {
        Context::builder().vhost(loopback().accept(|request| match request.path() {
            "/" => panic!("a test's panic in a factory"),
            _ => Ok(Echo),
        }))
    });
    let mut raw = Raw::connect(addr.unwrap());
    assert_eq!(raw.ask(&peer::upgrade("/", "")).status, 500);
    assert!(raw.is_over());
    let panic = reports.recv_timeout(WAIT).unwrap().unwrap();
    assert_eq!(panic, "a test's panic in a factory");
    let mut socket = peer::open(addr.unwrap(), "/calm");
    socket.send("hello".into()).unwrap();
    assert_eq!(peer::read(&mut socket), "hello".into());
    handle.stop();
    assert_eq!(reports.recv_timeout(WAIT).unwrap(), Err(true));
}

#[test]
fn a_panic_of_a_closure_reaches_run_and_later_closures_still_run() {
    let (handle, _, reports) = stubborn(Context::builder);
    let (report, ran) = mpsc::channel();
    // Asked for within one closure, so that all are taken in one turn.
    let inner = handle.clone();
    handle
        .run(move |_| {
            inner
                .run(|_| panic!("a test's panic in a closure"))
                .unwrap();
            inner.run(move |_| report.send(()).unwrap()).unwrap();
        })
        .unwrap();
    let panic = reports.recv_timeout(WAIT).unwrap().unwrap();
    assert_eq!(panic, "a test's panic in a closure");
    ran.recv_timeout(WAIT).unwrap();
    handle.stop();
    assert_eq!(reports.recv_timeout(WAIT).unwrap(), Err(true));
}

#[test]
fn a_panic_of_on_connect_error_reaches_run() {
    let (handle, _, reports) = stubborn(Context::builder);
    let (probe, events) = probe();
    let closed_port = free_port();
    let backoff = Backoff::new().first(Duration::from_millis(1));
    let to = Client::new(&format!("ws://127.0.0.1:{closed_port}/")).unwrap();
    let to = to.reconnect(backoff);
    let handler = Panics {
        at: "on_connect_error",
        probe,
    };
    let connecting = handle.connect(to, handler).unwrap();
    let panic = reports.recv_timeout(WAIT).unwrap().unwrap();
    assert_eq!(panic, "a test's panic in on_connect_error");
    events.connect_error();
    assert!(connecting.wait(WAIT).is_err());
    // It was the last attempt.
    events.end();
    handle.stop();
    assert_eq!(reports.recv_timeout(WAIT).unwrap(), Err(true));
}

/// A server whose handlers panic when their connection is closed.
fn panics_on_close() -> (Running, Events) {
    let (probe, events) = probe();
    let server = serve(move |vhost| {
        vhost.accept(move |_| {
            Ok(Panics {
                at: "on_close",
                probe: probe.clone(),
            })
        })
    });
    (server, events)
}

#[test]
fn a_panic_of_on_close_while_the_context_is_dropped_reaches_who_drops_it() {
    let (server, events) = panics_on_close();
    let _raws = [Raw::open(server.addr()), Raw::open(server.addr())];
    events.open();
    events.open();
    let panic = server.stop().unwrap_err();
    assert_eq!(text(&*panic), "a test's panic in on_close");
    // The first one's panic doesn't keep the second from being told.
    events.closed();
    events.closed();
    events.end();
}

#[test]
fn a_panic_while_panicking_does_not_abort() {
    let (server, events) = panics_on_close();
    let _raw = Raw::open(server.addr());
    events.open();
    server.handle.run(|_| panic!("the first panic")).unwrap();
    let panic = server.wait().unwrap_err();
    assert_eq!(text(&*panic), "the first panic");
    events.closed();
}

/// Lost: what went wrong, where the panic hook's text is seen by nobody.
#[test]
fn each_panic_that_is_not_resumed_is_logged() {
    collect();
    let last = format!("three, {LOGGER_TOO}");
    let context = Context::builder().build().unwrap();
    for text in ["one", "two", &last] {
        struct Dropped(String);
        impl Handler for Dropped {}
        impl Drop for Dropped {
            fn drop(&mut self) {
                panic!("a test's panic: {}", self.0);
            }
        }
        let to = Client::new("ws://127.0.0.1:1/").unwrap();
        let connecting = context.handle().connect(to, Dropped(text.to_owned()));
        drop(connecting.unwrap());
    }
    let panic = catch_unwind(AssertUnwindSafe(|| drop(context))).unwrap_err();
    assert_eq!(self::text(&*panic), "a test's panic: one");
    assert_eq!(logged("a further panic: a test's panic: two"), 1);
    assert_eq!(
        logged(&format!("a further panic: a test's panic: {last}")),
        1
    );
    assert_eq!(logged("a further panic: a test's panic: one"), 0);
}

/// The thread's own panic is the first.
#[test]
fn panics_of_a_context_that_is_dropped_by_a_panic_are_logged() {
    collect();
    struct Dropped;
    impl Drop for Dropped {
        fn drop(&mut self) {
            panic!("a test's panic while panicking");
        }
    }
    let context = Context::builder().build().unwrap();
    let dropped = Dropped;
    let asked = context.handle().run(move |_| drop(dropped));
    asked.unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let _context = context;
        panic!("the thread's own panic");
    }));
    assert_eq!(text(&*panic.unwrap_err()), "the thread's own panic");
    assert_eq!(logged("a further panic: a test's panic while panicking"), 1);
}

#[test]
fn a_logger_that_panics_at_a_line_of_the_c_library_is_told_of() {
    collect();
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let mut raw = Raw::open(server.addr());
    // A control frame with an extended length: the C library warns of it.
    raw.send(b"\x89\xfe\x00\x7e");
    assert_eq!(raw.close_code(), Some(1002));
    let told = "the logger panicked: a logger's panic, which is part of a test";
    assert!(logged(told) > 0);
}
