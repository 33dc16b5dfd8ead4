//! Clients: one outcome for each attempt, whatever goes wrong, and connecting again.

mod common;

use common::peer::patient;
use common::{
    client_context, eventually, free_port, on_thread, probe, serve, Echo, Event, Running, WAIT,
};
use libwebsockets::http::StatusCode;
use libwebsockets::{
    Backoff, Client, CloseCode, ConnectError, Connecting, Connection, Context, Handler, Initiator,
    Message, Refusal,
};
use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

/// Connects, and waits until the attempt has failed; told once, in both ways.
#[track_caller]
fn fails(url: &str) -> ConnectError {
    let client = client_context();
    let (probe, events) = probe();
    let connecting = client
        .handle
        .connect(Client::new(url).unwrap(), probe)
        .unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    assert_eq!(events.connect_error().to_string(), error.to_string());
    events.end();
    assert_eq!(
        connecting.outcome().unwrap().unwrap_err().to_string(),
        error.to_string()
    );
    error
}

#[test]
fn a_refused_port_is_one_error_with_the_url() {
    let port = free_port();
    let error = fails(&format!("ws://127.0.0.1:{port}/path?token=s3cret"));
    assert!(matches!(error, ConnectError::Failed { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&format!("ws://127.0.0.1:{port}/path")),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_name_that_does_not_resolve_is_one_error() {
    // Reserved to never resolve, RFC 6761 section 6.4.
    let error = fails("ws://no-such-host.invalid/");
    assert!(matches!(error, ConnectError::Failed { .. }), "{error}");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[test]
fn another_status_than_101_is_a_rejection_with_it() {
    let server = serve(|vhost| {
        vhost.accept(|request| {
            let status = request.path().trim_start_matches('/').parse().unwrap();
            Err::<Echo, _>(Refusal::new(StatusCode::from_u16(status).unwrap()).body("no"))
        })
    });
    for status in [301, 401, 403, 404, 500, 503] {
        let error = fails(&server.url("ws", &format!("/{status}")));
        match error {
            ConnectError::Rejected {
                status: told,
                url,
                headers,
                ..
            } => {
                assert_eq!(told, status);
                assert_eq!(headers["content-length"], "2");
                assert!(url.ends_with(&format!("/{status}")), "{url}");
            }
            other => panic!("{status}: {other}"),
        }
    }
}

// Lost: where to, with which credentials, or when to try again.
#[test]
fn the_headers_of_a_rejection_are_told() {
    let url = answers(
        b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nX-Reason: one\r\n\
        x-reason: two\r\nLocation: /login\r\nSet-Cookie: id=s3cret\r\nContent-Length: 0\r\n\r\n",
    );
    let error = fails(&url);
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let ConnectError::Rejected {
        status: 401,
        headers,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(headers["www-authenticate"], "Basic realm=\"a\"");
    assert_eq!(headers["location"], "/login");
    assert_eq!(headers["set-cookie"], "id=s3cret");
    let reasons: Vec<_> = headers.get_all("x-reason").iter().collect();
    assert_eq!(reasons, ["one", "two"]);
}

/// Lost: what most servers say of why.
#[cfg(all(target_os = "linux", not(feature = "system")))]
#[test]
fn the_beginning_of_a_rejections_body_is_told() {
    let body = |url: &str| match fails(url) {
        ConnectError::Rejected { body, .. } => body.to_vec(),
        other => panic!("{other}"),
    };
    let chunked = answers(
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nlate\r\n1\r\nr\r\n0\r\n\r\n",
    );
    assert_eq!(body(&chunked), b"later");
    let more = answers(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno, and not this");
    assert_eq!(body(&more), b"no");
    let less = answers(b"HTTP/1.1 403 No\r\nContent-Length: 99\r\n\r\nno");
    assert_eq!(body(&less), b"no");
    assert_eq!(body(&answers(b"HTTP/1.1 404 None\r\n\r\n")), b"");
    let long = || serve(|vhost| vhost.accept(|_| Err::<Echo, _>(refusal())));
    fn refusal() -> Refusal {
        Refusal::forbidden().body("long ".repeat(10_000))
    }
    let got = body(&long().url("ws", "/"));
    assert!("long ".repeat(1000).as_bytes().starts_with(&got));
    assert!(got.len() <= 4096 && got.len() > 1000, "{}", got.len());
    let shown = format!("{:?}", fails(&long().url("ws", "/")));
    assert!(!shown.contains("long"), "{shown}");
}

/// A server that answers a request with these bytes, and closes.
fn answers(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if std::io::Read::read(&mut tcp, &mut byte).unwrap_or(0) == 0 {
                return;
            }
            request.push(byte[0]);
        }
        let _ = tcp.write_all(bytes);
    });
    url
}

#[test]
fn answers_that_are_no_websockets_are_errors() {
    for bytes in [
        &b""[..],
        b"\x00\x01\x02",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: teapot\r\nConnection: Upgrade\r\n\r\n",
    ] {
        fails(&answers(bytes));
    }
}

#[test]
fn a_server_that_takes_the_connection_and_says_nothing_is_left_in_the_end() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let client = Running::start(|| Context::builder().handshake_timeout(Duration::from_secs(1)));
    let (probe, events) = probe();
    let start = Instant::now();
    let connecting = client
        .handle
        .connect(Client::new(&url).unwrap(), probe)
        .unwrap();
    let early = connecting.wait(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(early, ConnectError::TimedOut), "{early}");
    assert!(connecting.outcome().is_none());
    connecting.wait(WAIT).unwrap_err();
    events.connect_error();
    events.end();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    drop(listener);
}

#[test]
fn waiting_on_the_service_thread_is_an_error_and_not_a_deadlock() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    let (error, connecting) = on_thread(&client.handle, move |context| {
        let connecting = context.connect(to, probe).unwrap();
        (connecting.wait(WAIT).unwrap_err(), connecting)
    });
    assert!(matches!(error, ConnectError::OnServiceThread), "{error}");
    // Elsewhere it can be waited for all the same.
    let id = connecting.wait(WAIT).unwrap();
    assert_eq!(events.open(), id);
}

#[test]
fn a_connect_can_be_awaited() {
    use std::future::Future;
    use std::task::{Context as Task, Poll, Wake};
    struct Unparks(std::thread::Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on(mut connecting: Connecting) -> Result<libwebsockets::ConnectionId, ConnectError> {
        let waker = Arc::new(Unparks(std::thread::current())).into();
        let deadline = Instant::now() + WAIT;
        loop {
            let pin = std::pin::Pin::new(&mut connecting);
            if let Poll::Ready(outcome) = pin.poll(&mut Task::from_waker(&waker)) {
                return outcome;
            }
            assert!(Instant::now() < deadline, "it is never ready");
            std::thread::park_timeout(WAIT);
        }
    }
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (good, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    let id = block_on(client.handle.connect(to, good).unwrap()).unwrap();
    assert_eq!(events.open(), id);
    let (bad, _events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{}/", free_port())).unwrap();
    block_on(client.handle.connect(to, bad).unwrap()).unwrap_err();
}

#[test]
fn a_context_that_goes_resolves_what_is_under_way() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let client = client_context();
    let (probe, events) = probe();
    let connecting = client
        .handle
        .connect(Client::new(&url).unwrap(), probe)
        .unwrap();
    let _tcp = listener.accept().unwrap();
    let waiting = std::thread::spawn(move || connecting.wait(WAIT));
    client.stop().unwrap().unwrap();
    let error = waiting.join().unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::ContextGone), "{error}");
    events.connect_error();
    events.end();
}

/// Lost: the one call that a handler gets for each attempt.
#[test]
fn a_context_that_goes_tells_clients_whose_turn_has_not_come() {
    let context = Context::builder().build().unwrap();
    let (probe, events) = probe();
    let to = Client::new("ws://127.0.0.1:1/").unwrap().reconnect(quick());
    let connecting = context.handle().connect(to, probe).unwrap();
    drop(context);
    let error = events.connect_error();
    assert!(matches!(error, ConnectError::ContextGone), "{error}");
    events.end();
    let outcome = connecting.outcome().unwrap();
    assert!(matches!(outcome, Err(ConnectError::ContextGone)));
}

fn quick() -> Backoff {
    Backoff::new().first(Duration::from_millis(20)).jitter(0.0)
}

#[test]
fn attempts_are_made_again_until_it_is_given_up() {
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://127.0.0.1:{}/", free_port()))
        .unwrap()
        .reconnect(quick().attempts(3));
    let start = Instant::now();
    let connecting = client.handle.connect(to, probe).unwrap();
    for _ in 0..4 {
        events.connect_error();
    }
    events.end();
    // 20 + 40 + 80 ms.
    assert!(start.elapsed() >= Duration::from_millis(140));
    assert!(matches!(
        connecting.wait(WAIT),
        Err(ConnectError::Failed { .. })
    ));
}

#[test]
fn each_attempt_fails_with_its_own_reason() {
    let reserved = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = reserved.local_addr().unwrap();
    drop(reserved);
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&format!("ws://{addr}/"))
        .unwrap()
        .reconnect(quick().first(Duration::from_millis(300)).attempts(1));
    let connecting = client.handle.connect(to, probe).unwrap();
    let first = events.connect_error();
    assert!(matches!(first, ConnectError::Failed { .. }), "{first}");
    // In between somebody listens, who refuses.
    let server = Running::start(move || {
        Context::builder().vhost(
            libwebsockets::Vhost::listen(addr)
                .accept(|_| Err::<Echo, _>(Refusal::new(StatusCode::SERVICE_UNAVAILABLE))),
        )
    });
    let second = events.connect_error();
    assert!(
        matches!(second, ConnectError::Rejected { status: 503, .. }),
        "{second}"
    );
    let last = connecting.wait(WAIT).unwrap_err();
    assert!(matches!(last, ConnectError::Rejected { .. }), "{last}");
    drop(server);
}

#[test]
fn a_client_comes_back_after_its_server_with_a_new_id_and_the_same_handler() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let addr = server.addr();
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/"))
        .unwrap()
        .reconnect(quick());
    let connecting = client.handle.connect(to, probe).unwrap();
    let first = events.open();
    assert_eq!(connecting.wait(WAIT).unwrap(), first);
    server.stop().unwrap().unwrap();
    let closed = events.closed();
    assert_eq!((closed.id, closed.initiator), (first, Initiator::Failure));

    let server = Running::start(move || {
        Context::builder().vhost(libwebsockets::Vhost::listen(addr).accept(|_| Ok(Echo)))
    });
    let second = loop {
        match events.next() {
            Event::ConnectError(_) => {}
            Event::Open { id, .. } => break id,
            other => panic!("{other:?}"),
        }
    };
    assert_ne!(first, second);
    client.handle.send(second, "back again").unwrap();
    assert_eq!(events.message().as_text(), Some("back again"));
    // Closed by this side, it stays closed.
    client.handle.close(second, CloseCode::NORMAL).unwrap();
    assert_eq!(events.closed().initiator, Initiator::Local);
    events.end();
    drop(server);
}

#[test]
fn a_client_that_the_server_closes_comes_back() {
    struct Dismisses(Arc<AtomicUsize>);
    impl Handler for Dismisses {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            if self.0.fetch_add(1, Ordering::SeqCst) < 2 {
                conn.close(CloseCode::SERVICE_RESTART);
            }
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&count);
    let server = serve(move |vhost| vhost.accept(move |_| Ok(Dismisses(Arc::clone(&own)))));
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/"))
        .unwrap()
        .reconnect(quick());
    drop(client.handle.connect(to, probe).unwrap());
    for _ in 0..2 {
        events.open();
        assert_eq!(events.closed().initiator, Initiator::Remote);
    }
    events.open();
    eventually("three came", || count.load(Ordering::SeqCst) == 3);
}

#[test]
fn a_rejection_is_tried_again_as_well() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = serve(move |vhost| {
        vhost.accept(move |_| match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE)),
            _ => Ok(Echo),
        })
    });
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/"))
        .unwrap()
        .reconnect(quick());
    let connecting = client.handle.connect(to, probe).unwrap();
    for _ in 0..2 {
        let error = events.connect_error();
        assert!(
            matches!(error, ConnectError::Rejected { status: 503, .. }),
            "{error}"
        );
    }
    let id = events.open();
    assert_eq!(
        connecting.wait(WAIT).unwrap(),
        id,
        "the first connection is the outcome"
    );
}

#[test]
fn many_failures_leave_nothing_behind() {
    let client = client_context();
    let port = free_port();
    let (probe, events) = probe();
    for _ in 0..200 {
        let to = Client::new(&format!("ws://127.0.0.1:{port}/")).unwrap();
        drop(client.handle.connect(to, probe.clone()).unwrap());
    }
    drop(probe);
    for _ in 0..200 {
        events.connect_error();
    }
    events.end();
    let shown = on_thread(&client.handle, |context| format!("{context:?}"));
    assert!(shown.contains("connections: 0"), "{shown}");
}

#[test]
fn a_client_connects_from_within_a_handler() {
    struct Chains(mpsc::Sender<Message>, String);
    impl Handler for Chains {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            struct Last(mpsc::Sender<Message>);
            impl Handler for Last {
                fn on_open(&mut self, conn: &mut Connection<'_>) {
                    conn.send("from the second").unwrap();
                }
                fn on_message(&mut self, _: &mut Connection<'_>, message: Message) {
                    self.0.send(message).unwrap();
                }
            }
            let to = Client::new(&self.1).unwrap();
            drop(conn.handle().connect(to, Last(self.0.clone())).unwrap());
        }
    }
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (report, seen) = mpsc::channel();
    let url = server.url("ws", "/");
    let to = Client::new(&url).unwrap();
    drop(client.handle.connect(to, Chains(report, url)).unwrap());
    let message = seen.recv_timeout(WAIT).unwrap();
    assert_eq!(message.as_text(), Some("from the second"));
}
