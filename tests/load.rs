//! Many connections at once.

mod common;

use common::{client_context, eventually, probe, serve, Echo, Event};
use libwebsockets::{Client, CloseCode};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Both tests are about the whole process: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As many as the process may have, up to a thousand: each has two ends here.
fn connections() -> usize {
    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|l| l.starts_with("Max open files"));
        let soft = line.unwrap().split_whitespace().nth(3).unwrap();
        let open_already = 200;
        if let Ok(soft) = soft.parse::<usize>() {
            return 1000.min(soft.saturating_sub(open_already) / 2);
        }
        1000
    }
    #[cfg(not(target_os = "linux"))]
    100
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    let _alone = alone();
    let count = connections();
    assert!(
        count >= 100,
        "`ulimit -n` allows too few descriptors for this test"
    );
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
