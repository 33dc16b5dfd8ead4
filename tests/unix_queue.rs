//! A client of a Unix domain socket whose server is behind: the queue of those who wait to be
//! accepted is full.

#![cfg(all(feature = "unix-sockets", target_os = "linux"))]

mod common;

use common::temp::TempDir;
use common::{client_context, probe, Events, Running, WAIT};
use libwebsockets::client::ConnectStep;
use libwebsockets::{Backoff, Client, CloseCode, ConnectError, ConnectFailure, Connecting};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

/// A server that accepts nobody yet.
struct Behind {
    listener: UnixListener,
    /// Who has the one place in its queue.
    waits: UnixStream,
    dir: TempDir,
}

impl Behind {
    fn new() -> Self {
        let dir = TempDir::new();
        let path = dir.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: the descriptor is a listener's.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let waits = UnixStream::connect(&path).unwrap();
        Behind {
            listener,
            waits,
            dir,
        }
    }

    fn client(&self) -> Client {
        Client::unix(&self.dir.file("socket"), "/").unwrap()
    }

    /// A client that waits for room.
    fn waiting(&self, client: Client) -> (Running, Connecting, Events) {
        let context = client_context();
        let (probe, events) = probe();
        let connecting = context.handle.connect(client, probe).unwrap();
        thread::sleep(Duration::from_millis(300));
        assert!(connecting.outcome().is_none(), "{:?}", connecting.outcome());
        (context, connecting, events)
    }

    /// Catches up, and echoes one message.
    fn echo(self) {
        let Behind {
            listener, waits, ..
        } = self;
        drop(waits);
        drop(listener.accept().unwrap());
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        let message = socket.read().unwrap();
        socket.send(message).unwrap();
        let _ = socket.read();
    }
}

// Lost: the connection, where a server is behind for a moment.
#[test]
fn a_client_waits_for_its_place() {
    let server = Behind::new();
    let (client, connecting, events) = server.waiting(server.client());
    let server = thread::spawn(|| server.echo());
    let id = connecting.wait(WAIT).unwrap();
    assert_eq!(events.open(), id);
    client.handle.send(id, "hello").unwrap();
    assert_eq!(events.message().as_text(), Some("hello"));
    drop(client);
    server.join().unwrap();
    events.closed();
    events.end();
}

#[test]
fn it_waits_no_longer_than_it_may() {
    let server = Behind::new();
    let start = Instant::now();
    let limited = server.client().connect_timeout(Duration::from_secs(2));
    let (_client, connecting, events) = server.waiting(limited);
    let error = connecting.wait(WAIT).unwrap_err();
    let waited = start.elapsed();
    let ConnectError::Failed { failure, .. } = &error else {
        panic!("{error:?}");
    };
    let on_time = matches!(failure, ConnectFailure::TimedOut(ConnectStep::Transport));
    assert!(on_time, "{failure:?}");
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    assert_eq!(events.connect_error().to_string(), error.to_string());
    events.end();
}

#[test]
fn each_attempt_has_the_whole_time() {
    let server = Behind::new();
    let backoff = Backoff::new().first(Duration::from_millis(1));
    let limited = server.client().connect_timeout(Duration::from_secs(2));
    let start = Instant::now();
    let (_client, _connecting, events) = server.waiting(limited.reconnect(backoff));
    for nth in 1..=2 {
        events.connect_error();
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(2 * nth), "{nth}: {waited:?}");
    }
}

/// One that waits is told once that it doesn't any more, and why.
#[track_caller]
fn ends(connecting: &Connecting, events: &Events, as_told: impl Fn(&ConnectError) -> bool) {
    let error = connecting.wait(WAIT).unwrap_err();
    assert!(as_told(&error), "{error:?}");
    let error = events.connect_error();
    assert!(as_told(&error), "{error:?}");
    events.end();
}

#[test]
fn it_can_be_cancelled() {
    let server = Behind::new();
    let (_client, connecting, events) = server.waiting(server.client());
    connecting.cancel();
    ends(&connecting, &events, |error| {
        matches!(error, ConnectError::Cancelled)
    });
}

#[test]
fn a_shutdown_ends_the_wait() {
    let server = Behind::new();
    let (client, connecting, events) = server.waiting(server.client());
    let shutdown = client.handle.shutdown(CloseCode::GOING_AWAY, WAIT);
    assert!(shutdown.is_ok());
    ends(&connecting, &events, |error| {
        matches!(error, ConnectError::ShuttingDown)
    });
}

#[test]
fn the_end_of_its_context_ends_the_wait() {
    let server = Behind::new();
    let (client, connecting, events) = server.waiting(server.client());
    let handle = client.handle.clone();
    drop(client);
    ends(&connecting, &events, |error| {
        matches!(error, ConnectError::ContextGone)
    });
    drop(handle);
}
