//! Many connections at once.

mod common;

use common::{client_context, eventually, probe, serve, Echo, Event};
use libwebsockets::{Client, CloseCode};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The tests are about the whole process: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Each connection has two ends here.
const COUNT: usize = 1000;

/// Set for a child of this test program whose limits were raised.
const RAISED: &str = "LIBWEBSOCKETS_TEST_LIMIT_RAISED";

/// Runs a test of this program again with room for its descriptors, if this
/// process has none; whether it did. A shell can raise the limit up to the hard
/// one, as usual.
#[cfg(unix)]
fn ran_with_a_higher_limit(test: &str) -> bool {
    use std::process::{Command, Stdio};
    if std::env::var_os(RAISED).is_some() {
        return false;
    }
    let wanted = 2 * COUNT + 200;
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!(
            r#"[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge {wanted} ] || ulimit -n {wanted}
            exec "$0" --exact "$1""#
        ))
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(RAISED, "1")
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    true
}

#[cfg(not(unix))]
fn ran_with_a_higher_limit(_: &str) -> bool {
    false
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    // A child takes a lock of its own.
    let _alone = alone();
    if ran_with_a_higher_limit("a_thousand_connections_are_served_at_once") {
        return;
    }
    let count = COUNT;
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (probe, events) = probe();
    let url = server.url("ws", "/");
    for _ in 0..count {
        let to = Client::new(&url).unwrap();
        drop(client.handle.connect(to, probe.clone()).unwrap());
    }
    drop(probe);
    for _ in 0..count {
        events.open();
    }
    assert_eq!(client.handle.connections().len(), count);
    eventually("the server has them all", || {
        server.handle.connections().len() == count
    });
    for round in 0..3 {
        let text = format!("round {round}");
        assert_eq!(client.handle.broadcast(text.as_str()).queued, count);
        let mut answered = std::collections::HashSet::new();
        for _ in 0..count {
            match events.next() {
                Event::Message(id, message) => {
                    assert_eq!(message.as_text(), Some(&*text));
                    answered.insert(id);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(answered.len(), count);
    }
    for id in client.handle.connections() {
        client.handle.close(id, CloseCode::NORMAL).unwrap();
    }
    for _ in 0..count {
        events.closed();
    }
    events.end();
    eventually("the server has none left", || {
        server.handle.connections().is_empty()
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let (mut first, mut last) = (0, 0);
    for round in 0..10 {
        for _ in 0..100 {
            let mut socket = common::peer::open(server.addr(), "/");
            socket.send("x".into()).unwrap();
            common::peer::read(&mut socket);
        }
        eventually("all are gone", || server.handle.connections().is_empty());
        last = descriptors();
        if round == 0 {
            first = last;
        }
    }
    assert!(last <= first + 20, "{first} descriptors became {last}");
}

/// The descriptors that are open in this process.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Connects, and leaves at once without a trace, or the system would run out of ports.
#[cfg(unix)]
fn connects_and_resets(addr: std::net::SocketAddr) -> bool {
    use std::os::fd::AsRawFd;
    let Ok(peer) = std::net::TcpStream::connect(addr) else {
        return false;
    };
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the descriptor is a socket's, and the struct is read by its size.
    let rc = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as libc::socklen_t,
        )
    };
    rc == 0
}

// Lost: all else that a context has to do, for as long as peers come.
#[cfg(unix)]
#[test]
fn peers_that_only_connect_do_not_stop_the_loop() {
    use std::time::{Duration, Instant};
    let _alone = alone();
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let addr = server.addr();
    let end = Instant::now() + Duration::from_secs(8);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            // Until nobody listens any more.
            scope.spawn(|| while Instant::now() < end && connects_and_resets(addr) {});
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            let asked = Instant::now();
            common::on_thread(&server.handle, |_| ());
            let waited = asked.elapsed();
            assert!(waited < Duration::from_secs(1), "{waited:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let asked = Instant::now();
        server.stop().unwrap().unwrap();
        let waited = asked.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    });
}
