//! Clients that connect again: for how long, who ends it, and what comes first on each
//! connection.

mod common;

use common::{client_context, eventually, loopback, on_thread, probe, serve, Echo, Running, WAIT};
use libwebsockets::http::StatusCode;
use libwebsockets::{
    Backoff, Client, CloseCode, Closed, ConnectError, Connecting, Connection, Context, Handler,
    Initiator, Message, Refusal,
};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc};
use std::thread;
use std::time::{Duration, Instant};

fn quick() -> Backoff {
    Backoff::new().first(Duration::from_millis(20)).jitter(0.0)
}

/// A server whose connections have this handler, and a context with what it takes to stay
/// connected to it.
fn pair(
    handler: impl Handler + Clone + Send + 'static,
    backoff: Backoff,
) -> (Running, Running, Client) {
    let server = serve(move |vhost| vhost.accept(move |_| Ok(handler.clone())));
    let to = Client::new(&server.url("ws", "/")).unwrap();
    (server, client_context(), to.reconnect(backoff))
}

/// Says good-bye to everybody.
#[derive(Clone)]
struct Dismisses;

impl Handler for Dismisses {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.send("bye").unwrap();
        conn.close(CloseCode::TRY_AGAIN_LATER);
    }
}

/// Lost: the end of a client that closes at the same time as its server.
#[test]
fn a_client_that_closes_stays_closed_whose_ever_frame_is_the_first() {
    struct Leaves(mpsc::Sender<Closed>);
    impl Handler for Leaves {
        fn on_message(&mut self, conn: &mut Connection<'_>, _: Message) {
            conn.close(CloseCode::NORMAL);
        }
        fn on_close(&mut self, closed: Closed) {
            let _ = self.0.send(closed);
        }
    }
    let server = serve(|vhost| vhost.accept(|_| Ok(Dismisses)));
    let client = client_context();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    // Which frame is the first is a matter of luck.
    for _ in 0..10 {
        let (tell, closed) = mpsc::channel();
        let to = to.clone().reconnect(quick());
        drop(client.handle.connect(to, Leaves(tell)).unwrap());
        closed.recv_timeout(WAIT).unwrap();
        let more = closed.recv_timeout(WAIT);
        assert_eq!(more, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}

/// Lost: the server's rest. It accepts, and closes at once, as one does that has no room.
#[test]
fn a_server_that_lets_in_and_closes_is_asked_less_and_less_often() {
    let (_server, client, to) = pair(
        Dismisses,
        quick().first(Duration::from_millis(500)).attempts(2),
    );
    let (probe, events) = probe();
    let start = Instant::now();
    drop(client.handle.connect(to, probe).unwrap());
    for _ in 0..3 {
        events.open();
        assert_eq!(events.message().as_text(), Some("bye"));
        events.closed();
    }
    events.end();
    // 500 + 1000 ms.
    assert!(start.elapsed() >= Duration::from_millis(1500));
}

/// A connection that lasted begins anew: else a client would be at its end after some
/// restarts of its server, however long they are apart.
#[test]
fn a_connection_that_lasted_is_no_failure() {
    #[derive(Clone)]
    struct Lasts;
    impl Handler for Lasts {
        fn on_pong(&mut self, conn: &mut Connection<'_>, _: &[u8]) {
            conn.close(CloseCode::SERVICE_RESTART);
        }
    }
    let (_server, client, to) = pair(Lasts, quick().attempts(1));
    let (probe, events) = probe();
    drop(client.handle.connect(to, probe).unwrap());
    for _ in 0..4 {
        let id = events.open();
        thread::sleep(Duration::from_millis(60));
        client.handle.send(id, Message::Pong("x".into())).unwrap();
        events.closed();
    }
    events.open();
}

/// Lost: a way to give up what waiting doesn't mend.
#[test]
fn a_handler_decides_whether_to_connect_again() {
    struct Decides(mpsc::Sender<Option<ConnectError>>);
    impl Handler for Decides {
        fn wants_reconnect(&mut self, error: Option<&ConnectError>) -> bool {
            let _ = self.0.send(error.cloned());
            !matches!(error, Some(ConnectError::Rejected { status: 401, .. }))
        }
    }
    let count = AtomicUsize::new(0);
    let server = serve(move |vhost| {
        vhost.accept(move |_| -> Result<Box<dyn Handler>, _> {
            match count.fetch_add(1, SeqCst) {
                0 => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE)),
                1 => Ok(Box::new(Dismisses)),
                _ => Err(Refusal::new(StatusCode::UNAUTHORIZED)),
            }
        })
    });
    let client = client_context();
    let (tell, asked) = mpsc::channel();
    let to = Client::new(&server.url("ws", "/"))
        .unwrap()
        .reconnect(quick());
    drop(client.handle.connect(to, Decides(tell)).unwrap());
    let next = || asked.recv_timeout(WAIT);
    let status = |error| match error {
        Ok(Some(ConnectError::Rejected { status, .. })) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(status(next()), 503);
    assert!(matches!(next(), Ok(None)), "a connection ended");
    assert_eq!(status(next()), 401);
    assert!(matches!(next(), Err(mpsc::RecvTimeoutError::Disconnected)));
}

#[test]
fn a_client_that_waits_to_connect_again_can_be_cancelled() {
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{}/", common::free_port()))
        .unwrap()
        .reconnect(quick().first(Duration::from_secs(3600)));
    let connecting = client.handle.connect(to, probe).unwrap();
    events.connect_error();
    connecting.cancel();
    let error = connecting.wait(WAIT).unwrap_err();
    assert!(matches!(error, ConnectError::Cancelled), "{error}");
    events.end();
    // It may be asked for twice, and after the context has gone.
    connecting.cancel();
    client.stop().unwrap().unwrap();
    connecting.cancel();
}

/// Lost: the outcome that is promised, where it is cancelled before the wait has begun.
#[test]
fn a_client_can_be_cancelled_while_it_hears_of_a_failure() {
    struct Cancels(mpsc::Receiver<Arc<Connecting>>);
    impl Handler for Cancels {
        fn on_connect_error(&mut self, _: &ConnectError) {
            self.0.recv_timeout(WAIT).unwrap().cancel();
        }
    }
    let client = client_context();
    let to = Client::new(&format!("ws://127.0.0.1:{}/", common::free_port()))
        .unwrap()
        .reconnect(quick());
    let (tell, told) = mpsc::channel();
    let connecting = Arc::new(client.handle.connect(to, Cancels(told)).unwrap());
    tell.send(Arc::clone(&connecting)).unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    assert!(matches!(error, ConnectError::Cancelled), "{error}");
}

#[test]
fn an_attempt_that_is_under_way_can_be_cancelled() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&url).unwrap().reconnect(quick());
    let connecting = client.handle.connect(to, probe).unwrap();
    let _silent = listener.accept().unwrap();
    connecting.cancel();
    let error = events.connect_error();
    assert!(matches!(error, ConnectError::Cancelled), "{error}");
    events.end();
    assert!(matches!(
        connecting.wait(WAIT),
        Err(ConnectError::Cancelled)
    ));
}

#[test]
fn a_connection_that_is_open_is_the_last_once_its_client_is_cancelled() {
    let (server, client, to) = pair(Echo, quick());
    let (probe, events) = probe();
    let connecting = client.handle.connect(to, probe).unwrap();
    let id = events.open();
    connecting.cancel();
    assert_eq!(connecting.wait(WAIT).unwrap(), id);
    client.handle.send(id, "still here").unwrap();
    assert_eq!(events.message().as_text(), Some("still here"));
    server.stop().unwrap().unwrap();
    events.closed();
    events.end();
}

#[test]
fn a_shutdown_of_a_client_that_reconnects_is_its_end() {
    let (_server, client, to) = pair(Echo, Backoff::new().first(Duration::from_millis(1)));
    let (probe, events) = probe();
    drop(client.handle.connect(to, probe).unwrap());
    events.open();
    client.handle.shutdown(CloseCode::GOING_AWAY, WAIT).unwrap();
    client.wait().unwrap().unwrap();
    assert_eq!(events.closed().initiator, Initiator::Local);
    events.end();
}

/// Lost: the order in which a handler counts on being the first to send.
#[test]
fn what_others_send_comes_after_what_on_open_sends() {
    struct First(mpsc::Sender<()>);
    impl Handler for First {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            let _ = self.0.send(());
            thread::sleep(Duration::from_millis(50));
            conn.send("first").unwrap();
            conn.handle().send(conn.id(), "second").unwrap();
        }
    }
    let (probe, received) = probe();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(probe.clone())));
    let client = client_context();
    let (tell, opens) = mpsc::channel();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    let connecting = client.handle.connect(to, First(tell)).unwrap();
    opens.recv_timeout(WAIT).unwrap();
    assert_eq!(client.handle.broadcast("third").queued, 1);
    let id = connecting.wait(WAIT).unwrap();
    client.handle.send(id, "fourth").unwrap();
    received.open();
    for expected in ["first", "second", "third", "fourth"] {
        assert_eq!(received.message().as_text(), Some(expected));
    }
}

/// Lost: handlers that pass on what they receive, and wait for others with it.
#[test]
fn reading_is_paused_and_resumed_from_another_thread() {
    struct PassesOn(mpsc::Sender<(libwebsockets::ConnectionId, Message)>);
    impl Handler for PassesOn {
        fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
            conn.pause_reading();
            let _ = self.0.send((conn.id(), message));
        }
    }
    let (tell, passed) = mpsc::channel();
    let server = Running::start(move || {
        let vhost = loopback().accept(move |_| Ok(PassesOn(tell.clone())));
        Context::builder().vhost(vhost)
    });
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    drop(client.handle.connect(to, probe).unwrap());
    let sender = events.open();
    for n in 0..5 {
        client.handle.send(sender, format!("{n}")).unwrap();
        // Apart, so that they aren't read at once.
        thread::sleep(Duration::from_millis(30));
    }
    let mut last = None;
    for n in 0..5 {
        let (id, message) = passed.recv_timeout(WAIT).unwrap();
        assert_eq!(message.as_text(), Some(&*n.to_string()));
        server.handle.resume_reading(id).unwrap();
        last = Some(id);
    }
    let id = last.unwrap();
    client.handle.send(sender, "one more").unwrap();
    passed.recv_timeout(WAIT).unwrap();
    server.handle.resume_reading(id).unwrap();
    server.handle.pause_reading(id).unwrap();
    on_thread(&server.handle, |_| ());
    client.handle.send(sender, "unread").unwrap();
    assert!(passed.recv_timeout(Duration::from_millis(300)).is_err());
    server.handle.resume_reading(id).unwrap();
    passed.recv_timeout(WAIT).unwrap();
    client.handle.close(sender, CloseCode::NORMAL).unwrap();
    server.handle.resume_reading(id).unwrap();
    events.closed();
    eventually("it is gone", || server.handle.resume_reading(id).is_err());
}

/// Lost: clients whose server is connected, and doesn't answer.
#[test]
fn a_connection_that_is_given_up_is_followed_by_another() {
    struct GivesUp {
        tell: mpsc::Sender<&'static str>,
        left: usize,
    }
    impl Handler for GivesUp {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.tell.send("open").unwrap();
            match self.left {
                0 => conn.abort(),
                1 => {
                    // The last word counts.
                    conn.close(CloseCode::NORMAL);
                    conn.abort();
                    conn.reconnect();
                }
                _ => conn.reconnect(),
            }
            self.left = self.left.saturating_sub(1);
        }
        fn on_close(&mut self, closed: Closed) {
            assert_eq!(closed.initiator, Initiator::Local);
            self.tell.send("closed").unwrap();
        }
        fn wants_reconnect(&mut self, error: Option<&ConnectError>) -> bool {
            assert!(error.is_none());
            self.tell.send("asked").unwrap();
            true
        }
    }
    let (_server, client, to) = pair(Echo, quick());
    let (tell, told) = mpsc::channel();
    let start = Instant::now();
    let handler = GivesUp { tell, left: 2 };
    drop(client.handle.connect(to, handler).unwrap());
    let all: Vec<_> = std::iter::from_fn(|| told.recv_timeout(WAIT).ok()).collect();
    let again = ["open", "closed", "asked"];
    assert_eq!(all, [&again[..], &again, &again[..2]].concat());
    // 20 + 40 ms, for connections that end at once are failures, too.
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[test]
fn another_thread_gives_a_connection_up() {
    let (_server, client, to) = pair(Echo, quick());
    let (probe, events) = probe();
    drop(client.handle.connect(to, probe).unwrap());
    let first = events.open();
    client.handle.reconnect(first).unwrap();
    assert_eq!(events.closed().initiator, Initiator::Local);
    let second = events.open();
    assert!(second > first);
    client.handle.reconnect(first).unwrap_err();
    client.handle.send(second, "hello").unwrap();
    assert_eq!(events.message().as_text(), Some("hello"));
    client.handle.abort(second).unwrap();
    events.closed();
    events.end();
}

/// A client that doesn't reconnect, and a panic, are the end as before.
#[test]
fn giving_a_connection_up_is_no_more_than_an_abort_where_nothing_reconnects() {
    struct Panics;
    impl Handler for Panics {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            conn.reconnect();
            panic!("a handler's panic, which is part of a test");
        }
        fn wants_reconnect(&mut self, _: Option<&ConnectError>) -> bool {
            unreachable!("it isn't asked");
        }
    }
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    drop(client.handle.connect(to.clone(), probe).unwrap());
    client.handle.reconnect(events.open()).unwrap();
    events.closed();
    events.end();
    drop(
        client
            .handle
            .connect(to.reconnect(quick()), Panics)
            .unwrap(),
    );
    let panic = client.wait().unwrap_err();
    let text = panic.downcast_ref::<&str>().unwrap();
    assert!(text.contains("part of a test"), "{text}");
}
