//! The service loop: that it never sleeps over what it has to do, and never
//! turns for nothing.

mod common;

use common::peer::Raw;
use common::{loopback, on_thread, probe, probed, serve, Echo, Event, Probe, Running, WAIT};
use libwebsockets::{
    Backoff, Client, CloseCode, Closed, ConnectError, Connection, Context, ContextHandle, Handler,
    Message, WebSocketConfig,
};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The library has a timer of its own every five seconds, which would hide that
/// the loop sleeps over something.
const SOON: Duration = Duration::from_secs(4);

/// Runs `f` on a thread of its own; the test fails if it takes too long.
#[track_caller]
fn in_time<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (report, done) = mpsc::channel();
    thread::spawn(move || report.send(f()));
    done.recv_timeout(SOON).expect("it ends in time")
}

/// A listener that takes connections, and never says anything.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, format!("ws://127.0.0.1:{port}/"))
}

#[test]
fn a_deadline_that_is_near_is_not_slept_over() {
    let turns = in_time(|| {
        let mut context = Context::builder().build().unwrap();
        let mut turns = 0;
        for i in 0..600u64 {
            let until = Instant::now() + Duration::from_micros([1, 50, 100, 1500][i as usize % 4]);
            loop {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                context.service(Some(left)).unwrap();
                turns += 1;
            }
        }
        turns
    });
    assert!(turns < 5000, "it turned {turns} times");
}

/// Does something when its attempt has failed, which the C library finds out
/// right before it sleeps.
struct AtFailure<F>(Option<F>);

impl<F: FnOnce() + 'static> Handler for AtFailure<F> {
    fn on_connect_error(&mut self, _: &ConnectError) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// A client that waits a second for an answer in vain, and does `f` then.
fn at_a_timeout(f: impl FnOnce(&ContextHandle) + Send + 'static) -> (Running, TcpListener) {
    let (listener, url) = silent();
    let client = Running::start(|| Context::builder().handshake_timeout(Duration::from_secs(1)));
    let handle = client.handle.clone();
    let handler = AtFailure(Some(move || f(&handle)));
    let to = Client::new(&url).unwrap();
    drop(client.handle.connect(to, handler).unwrap());
    (client, listener)
}

#[test]
fn a_stop_within_a_timeouts_callback_is_heard() {
    let (client, _listener) = at_a_timeout(ContextHandle::stop);
    in_time(|| client.wait().unwrap().unwrap());
}

#[test]
fn a_closure_of_a_timeouts_callback_runs() {
    let (report, ran) = mpsc::channel();
    let (_client, _listener) = at_a_timeout(move |handle| {
        handle.run(move |_| report.send(()).unwrap()).unwrap();
    });
    ran.recv_timeout(SOON).unwrap();
}

#[test]
fn a_message_of_a_timeouts_callback_is_sent() {
    let (server, at_server) = probed(WebSocketConfig::new());
    let url = server.url("ws", "/");
    let (opened, id) = mpsc::channel();
    let (client, _listener) = at_a_timeout(move |handle| {
        let id = id.recv_timeout(WAIT).unwrap();
        handle.send(id, "from a callback").unwrap();
    });
    let (probe, events) = probe();
    drop(
        client
            .handle
            .connect(Client::new(&url).unwrap(), probe)
            .unwrap(),
    );
    opened.send(events.open()).unwrap();
    at_server.open();
    let message = at_server.next_within(SOON).expect("it is sent");
    assert!(matches!(message, Event::Message(..)), "{message:?}");
}

#[test]
fn a_panic_of_a_timeouts_callback_reaches_run() {
    let (client, _listener) = at_a_timeout(|_| panic!("a test's panic in a callback"));
    in_time(|| client.wait().unwrap_err());
}

#[test]
fn a_client_whose_server_says_nothing_connects_again() {
    let (_listener, url) = silent();
    let client = Running::start(|| Context::builder().handshake_timeout(Duration::from_secs(1)));
    let (probe, events) = probe();
    let backoff = Backoff::new().first(Duration::from_millis(20)).jitter(0.0);
    let to = Client::new(&url).unwrap().reconnect(backoff);
    drop(client.handle.connect(to, probe).unwrap());
    events.connect_error();
    let again = events.next_within(SOON).expect("it connects again");
    assert!(matches!(again, Event::ConnectError(_)), "{again:?}");
}

#[test]
fn a_shutdown_ends_with_the_last_connection() {
    let config = WebSocketConfig::new().close_timeout(Duration::from_millis(300));
    let (server, events) = probed(config);
    // It never answers the close frame, and is dropped by a timer.
    let _silent = Raw::open(server.addr());
    events.open();
    let long = Duration::from_secs(3600);
    server.handle.shutdown(CloseCode::GOING_AWAY, long).unwrap();
    in_time(|| server.wait().unwrap().unwrap());
    events.closed();
}

#[test]
fn a_shutdown_without_connections_is_done_before_the_loop_begins() {
    in_time(|| {
        let mut context = Context::builder().build().unwrap();
        for _ in 0..3 {
            context.service(Some(Duration::from_millis(10))).unwrap();
        }
        let long = Duration::from_secs(3600);
        context.handle().shutdown(CloseCode::NORMAL, long).unwrap();
        context.run().unwrap();
    });
}

/// How often `service` returns in a third of a second, which it should not.
fn turns(context: &mut Context) -> u32 {
    let until = Instant::now() + Duration::from_millis(300);
    let mut turns = 0;
    while Instant::now() < until {
        context.service(Some(Duration::from_millis(300))).unwrap();
        turns += 1;
    }
    turns
}

#[test]
fn a_loop_of_ones_own_does_not_turn_faster_after_a_stop() {
    let mut context = Context::builder().build().unwrap();
    context.handle().stop();
    assert!(turns(&mut context) < 20);
    assert!(context.take_stop());
    assert!(!context.take_stop());
}

/// Lost: a program that is to end, and sleeps.
#[test]
fn a_stop_between_two_turns_is_not_slept_over() {
    in_time(|| {
        let mut context = Context::builder().build().unwrap();
        let handle = context.handle();
        context.service(Some(Duration::ZERO)).unwrap();
        handle.stop();
        context.service(None).unwrap();
        assert!(context.take_stop());
    });
}

#[test]
fn a_loop_of_ones_own_does_not_turn_faster_after_a_shutdown_and_may_go_on() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let mut context = Context::builder().build().unwrap();
    let handle = context.handle();
    let timeout = Duration::from_millis(1);
    handle.shutdown(CloseCode::NORMAL, timeout).unwrap();
    assert!(turns(&mut context) < 20);
    // Until it was asked for, the shutdown stands.
    let connect = |context: &mut Context| {
        let (probe, events) = probe();
        let to = Client::new(&server.url("ws", "/")).unwrap();
        drop(context.connect(to, probe).unwrap());
        let until = Instant::now() + WAIT;
        loop {
            context.service(Some(Duration::from_millis(20))).unwrap();
            if let Some(event) = events.try_next() {
                break event;
            }
            assert!(Instant::now() < until, "nothing happens");
        }
    };
    let refused = connect(&mut context);
    assert!(
        matches!(refused, Event::ConnectError(ConnectError::ShuttingDown)),
        "{refused:?}"
    );
    assert!(context.take_stop());
    let open = connect(&mut context);
    assert!(matches!(open, Event::Open { .. }), "{open:?}");
}

/// Services a context as an application may, until it is told to stop.
fn own_loop(mut context: Context) {
    while !context.take_stop() {
        context.service(None).unwrap();
    }
}

#[test]
fn a_loop_of_ones_own_is_told_of_a_stop_wherever_it_comes_from() {
    in_time(|| {
        let context = Context::builder().build().unwrap();
        let handle = context.handle();
        context.handle().run(move |_| handle.stop()).unwrap();
        own_loop(context);
    });
    let (report, handle) = mpsc::channel();
    let thread = thread::spawn(move || {
        let context = Context::builder().build().unwrap();
        report.send(context.handle()).unwrap();
        own_loop(context);
    });
    handle.recv_timeout(WAIT).unwrap().stop();
    in_time(|| thread.join().unwrap());
}

#[test]
fn a_loop_of_ones_own_goes_on_when_a_timeout_was_told_to_a_handler() {
    let (listener, url) = silent();
    in_time(move || {
        let seconds = Duration::from_secs(1);
        let mut context = Context::builder()
            .handshake_timeout(seconds)
            .build()
            .unwrap();
        let failed = Rc::new(Cell::new(false));
        let told = Rc::clone(&failed);
        let handler = AtFailure(Some(move || told.set(true)));
        drop(
            context
                .connect(Client::new(&url).unwrap(), handler)
                .unwrap(),
        );
        while !failed.get() {
            context.service(None).unwrap();
        }
    });
    drop(listener);
}

#[test]
fn a_loop_of_ones_own_is_told_when_a_shutdown_is_over() {
    // Without connections, and with one whose peer never closes.
    for silent in [false, true] {
        in_time(move || {
            let (probe, events) = probe();
            let vhost = loopback().accept(move |_| Ok(probe.clone()));
            let mut context = Context::builder().vhost(vhost).build().unwrap();
            let addr = context.local_addr(0).unwrap();
            let peer = silent.then(|| thread::spawn(move || Raw::open(addr)));
            while silent && !matches!(events.try_next(), Some(Event::Open { .. })) {
                context.service(Some(Duration::from_millis(10))).unwrap();
            }
            let timeout = Duration::from_millis(if silent { 200 } else { 3_600_000 });
            context
                .handle()
                .shutdown(CloseCode::NORMAL, timeout)
                .unwrap();
            own_loop(context);
            drop(peer);
        });
    }
}

#[test]
fn a_closure_that_runs_its_context_sees_the_commands_behind_it() {
    in_time(|| {
        let mut context = Context::builder().build().unwrap();
        let handle = context.handle();
        let outer = handle.clone();
        handle
            .run(move |context| {
                context.run().unwrap();
                outer.stop();
            })
            .unwrap();
        let inner = handle.clone();
        handle.run(move |_| inner.stop()).unwrap();
        context.run().unwrap();
    });
}

#[test]
fn a_stop_before_an_inner_loop_takes_its_wake_up_is_still_heard() {
    in_time(|| {
        let mut context = Context::builder().build().unwrap();
        let handle = context.handle();
        let stop = handle.clone();
        handle
            .run(move |context| {
                stop.stop();
                context.service(Some(Duration::ZERO)).unwrap();
            })
            .unwrap();
        context.run().unwrap();
    });
}

#[test]
fn a_context_is_dropped_with_the_variables_of_its_thread() {
    thread_local! {
        static CONTEXT: RefCell<Option<Context>> = const { RefCell::new(None) };
    }
    thread::spawn(|| {
        CONTEXT.with(|slot| {
            let vhost = loopback().accept(|_| Ok(Echo));
            let context = Context::builder().vhost(vhost).build().unwrap();
            *slot.borrow_mut() = Some(context);
        });
    })
    .join()
    .unwrap();
}

#[test]
fn a_queue_that_is_filled_all_the_time_leaves_others_their_turn() {
    let (server, events) = probed(WebSocketConfig::new());
    // Reads faster than it is sent to.
    let mut tcp = common::peer::tcp(server.addr());
    let request = common::peer::upgrade("/", "");
    tcp.write_all(request.as_bytes()).unwrap();
    let id = events.open();
    let over = AtomicBool::new(false);
    let message = Message::binary(vec![0; 100]);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if server.handle.send(id, message.clone()).is_err() {
                    thread::yield_now();
                }
            }
        });
        scope.spawn(|| {
            let mut buffer = vec![0; 1 << 20];
            while tcp.read(&mut buffer).is_ok_and(|n| n > 0) {}
        });
        let asked: Vec<_> = (0..20)
            .map(|_| {
                let (report, ran) = mpsc::channel();
                server
                    .handle
                    .run(move |_| report.send(()).unwrap())
                    .unwrap();
                ran.recv_timeout(SOON)
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        // Ends the reader, too.
        server.handle.abort(id).unwrap();
        assert!(asked.iter().all(Result::is_ok), "a closure never runs");
    });
}

/// The handler of a client that must not be opened.
struct NeverOpen(Probe);

impl Handler for NeverOpen {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        panic!("opened after the shutdown; open: {}", conn.is_open());
    }
    fn on_close(&mut self, closed: Closed) {
        self.0.on_close(closed);
    }
    fn on_connect_error(&mut self, error: &ConnectError) {
        self.0.on_connect_error(error);
    }
}

/// A shutdown that comes right after a connect.
fn shut_down_while_connecting(url: &str) {
    let to = Client::new(url).unwrap();
    in_time(move || {
        let mut context = Context::builder().build().unwrap();
        let (probe, events) = probe();
        let connecting = context.connect(to, NeverOpen(probe)).unwrap();
        let long = Duration::from_secs(3600);
        context.handle().shutdown(CloseCode::NORMAL, long).unwrap();
        context.run().unwrap();
        let error = events.connect_error();
        assert!(matches!(error, ConnectError::ShuttingDown), "{error}");
        let outcome = connecting.outcome().unwrap();
        assert!(
            matches!(outcome, Err(ConnectError::ShuttingDown)),
            "{outcome:?}"
        );
        events.end();
    });
}

#[test]
fn a_shutdown_ends_clients_that_still_connect() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    shut_down_while_connecting(&server.url("ws", "/"));
    let (listener, url) = silent();
    shut_down_while_connecting(&url);
    drop(listener);
}

#[cfg(feature = "_tls")]
#[test]
fn a_shutdown_ends_clients_in_their_tls_handshake() {
    let (listener, url) = silent();
    let to = Client::new(&url.replace("ws:", "wss:")).unwrap();
    let client = common::client_context();
    let (probe, events) = probe();
    let connecting = client.handle.connect(to, NeverOpen(probe)).unwrap();
    // The handshake has begun.
    let (mut tcp, _) = listener.accept().unwrap();
    common::peer::patient(&tcp);
    tcp.read_exact(&mut [0]).unwrap();
    let long = Duration::from_secs(3600);
    client.handle.shutdown(CloseCode::NORMAL, long).unwrap();
    client.wait().unwrap().unwrap();
    let error = events.connect_error();
    assert!(matches!(error, ConnectError::ShuttingDown), "{error}");
    assert!(connecting.outcome().unwrap().is_err());
    events.end();
}

#[test]
fn no_client_connects_while_the_context_shuts_down() {
    let (server, events) = probed(WebSocketConfig::new());
    let _silent = Raw::open(server.addr());
    events.open();
    let timeout = Duration::from_secs(2);
    server.handle.shutdown(CloseCode::NORMAL, timeout).unwrap();
    on_thread(&server.handle, |_| ());
    let (probe, late) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    let connecting = server.handle.connect(to, NeverOpen(probe)).unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    assert!(matches!(error, ConnectError::ShuttingDown), "{error}");
    late.connect_error();
    late.end();
    server.wait().unwrap().unwrap();
}
