//! A process that is forked from one with contexts. One test, so that no other thread
//! holds a lock when it forks.

#![cfg(target_os = "linux")]

mod common;

use common::child::in_a_child;
use common::peer::{Raw, TEXT};
use common::{loopback, Echo};
#[cfg(feature = "unix-sockets")]
use libwebsockets::Vhost;
use libwebsockets::{Client, Context, Error};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

// Lost: the parent's connections, which it would hear nothing of any more; the file of its
// socket, so that nobody could connect to it.
#[test]
fn a_child_that_drops_its_parents_context_leaves_the_parents_connections_and_socket() {
    let vhost = loopback().accept(|_| Ok(Echo));
    let builder = Context::builder().vhost(vhost);
    #[cfg(feature = "unix-sockets")]
    let dir = common::temp::TempDir::new();
    #[cfg(feature = "unix-sockets")]
    let builder = builder.vhost(Vhost::listen_unix(dir.file("socket")).accept(|_| Ok(Echo)));
    let mut context = builder.build().unwrap();
    let addr = context.local_addr(0).unwrap();
    let client = std::thread::spawn(move || Raw::open(addr));
    while !client.is_finished() {
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    let mut raw = client.join().unwrap();

    // This process has no other thread now but the harness', which waits.
    let mut context = Some(context);
    in_a_child(|| {
        let mut context = context.take().unwrap();
        let moment = Some(Duration::from_millis(20));
        assert!(matches!(context.service(moment), Err(Error::Forked)));
        assert!(matches!(context.run(), Err(Error::Forked)));
        let client = Client::new("ws://127.0.0.1:1/").unwrap();
        let refused = context.connect(client, common::probe().0);
        assert!(matches!(refused, Err(Error::Forked)));
        // Its own is served.
        let own = Context::builder().vhost(loopback().accept(|_| Ok(Echo)));
        own.build().unwrap().service(moment).unwrap();
        drop(context);
    });
    let mut context = context.unwrap();

    let client = std::thread::spawn(move || {
        raw.send_frame(0x80 | TEXT, b"still there?");
        raw.frame().map(|frame| frame.payload)
    });
    while !client.is_finished() {
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    assert_eq!(
        client.join().unwrap().as_deref(),
        Some(&b"still there?"[..])
    );
    #[cfg(feature = "unix-sockets")]
    {
        assert_eq!(dir.names(), ["socket"]);
        drop(context);
        assert!(dir.names().is_empty());
    }
    a_child_that_a_closure_makes_services_nothing();
}

// Lost: what the parent had yet to read, to a child that was made between two events.
fn a_child_that_a_closure_makes_services_nothing() {
    let mut context = Context::builder().build().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let run = context.handle().run(move |_| {
        // SAFETY: no other thread of this process holds a lock that the child takes.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: alarm() has no precondition; its signal ends the child.
            unsafe { libc::alarm(30) };
        }
        tell.send(child).unwrap();
    });
    assert!(run.is_ok());
    let turn = || context.service(Some(Duration::from_millis(20)));
    // The harness takes a panic in the child for the end of a test, which has another process.
    let done = catch_unwind(AssertUnwindSafe(turn));
    match told.try_recv() {
        Ok(0) => {
            let refused = matches!(done, Ok(Err(Error::Forked)));
            // SAFETY: ends the child without running what is the parent's.
            unsafe { libc::_exit(if refused { 0 } else { 101 }) }
        }
        Ok(child) => {
            assert!(child > 0);
            assert!(matches!(done, Ok(Ok(()))));
            let mut status = 0;
            // SAFETY: `status` is valid for the write.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0);
        }
        Err(e) => panic!("the closure isn't run: {e}"),
    }
}
