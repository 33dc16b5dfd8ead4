//! How TLS connections end, and a process that has some.

#![cfg(all(feature = "_tls", unix))]

mod common;

use common::certs::{tls_stream, Ca};
use common::peer::{self, Raw, CLOSE};
use common::{probe, serve, Events, Running};
use libwebsockets::{CloseCode, Closed, Connection, Handler, Initiator, Message};
use std::time::{Duration, Instant};

/// Ends as its peer asks for.
struct Ends(common::Probe);

impl Handler for Ends {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.0.on_open(conn);
    }
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        match message.as_text() {
            Some("abort") => conn.abort(),
            Some("fill and abort") => {
                conn.send(vec![7; 50 << 20]).unwrap();
                conn.request_writable();
            }
            _ => conn.close(CloseCode::NORMAL),
        }
    }
    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        conn.abort();
    }
    fn on_close(&mut self, closed: Closed) {
        self.0.on_close(closed);
    }
}

/// A TLS server, and a peer that will never close its side.
fn open() -> (Running, Events, Raw) {
    open_with(libwebsockets::WebSocketConfig::new())
}

fn open_with(config: libwebsockets::WebSocketConfig) -> (Running, Events, Raw) {
    let ca = Ca::new();
    let tls = ca.sign(&["localhost"]).server();
    let (probe, events) = probe();
    let server = serve(move |vhost| {
        let config = config.close_timeout(Duration::from_secs(1));
        vhost
            .config(config)
            .tls(tls)
            .accept(move |_| Ok(Ends(probe.clone())))
    });
    let mut raw = Raw::over(tls_stream(server.addr(), "localhost", ca.rustls_client()));
    assert_eq!(raw.ask(&peer::upgrade("/", "")).status, 101);
    events.open();
    (server, events, raw)
}

#[test]
fn an_abort_does_not_wait_for_the_peer() {
    let (_server, events, mut raw) = open();
    raw.send_frame(0x81, b"abort");
    let closed = events.closed();
    assert_eq!(closed.initiator, Initiator::Local);
}

#[test]
fn an_abort_from_outside_does_not_wait_for_the_peer() {
    let (server, events, _raw) = open();
    let id = server.handle.connections()[0];
    server.handle.abort(id).unwrap();
    assert_eq!(events.closed().initiator, Initiator::Local);
}

/// Lost: a connection that is known to be dead, and that messages are queued for, for
/// twenty seconds more.
#[test]
fn a_silent_peer_is_not_waited_for() {
    let config = libwebsockets::WebSocketConfig::new();
    let config = config.ping_after(Duration::from_secs(1));
    let (_server, events, _raw) = open_with(config.idle_timeout(Duration::from_secs(2)));
    assert_eq!(events.closed().initiator, Initiator::Failure);
}

#[test]
fn a_peer_that_closes_the_websocket_but_not_tls_is_not_waited_for_long() {
    let (_server, events, mut raw) = open();
    let start = Instant::now();
    raw.send_frame(0x80 | CLOSE, &1000u16.to_be_bytes());
    assert_eq!(events.closed().initiator, Initiator::Remote);
    assert!(start.elapsed() < Duration::from_secs(8));
}

// AWS-LC frees nothing when a process ends.
#[cfg(not(feature = "aws-lc"))]
mod exit {
    use super::*;
    use common::loopback;
    use libwebsockets::{Client, Context};
    use std::process::Command;

    /// Set in a child process: what it is to do.
    const CHILD: &str = "TEST_OF_ENDINGS";

    /// Leaves the process with another status if OpenSSL has been taken down.
    extern "C" fn is_openssl_there() {
        // SAFETY: it may be called at any time; it fails once OpenSSL has been taken down.
        let there = unsafe { openssl_sys::OPENSSL_init_ssl(0, std::ptr::null()) } == 1;
        if !there {
            // SAFETY: ends the process.
            unsafe { libc::_exit(42) };
        }
    }

    /// Leaves an error on OpenSSL's queue of this thread, as its functions do that fail.
    #[cfg(feature = "keylog")]
    fn leave_an_error() {
        let mut rubbish = [0u8].as_ptr();
        // SAFETY: the pointer is to one byte, and the certificate is wanted nowhere else.
        let none = unsafe { openssl_sys::d2i_X509(std::ptr::null_mut(), &mut rubbish, 1) };
        assert!(none.is_null());
        // SAFETY: it may be called at any time.
        assert_ne!(unsafe { openssl_sys::ERR_peek_last_error() }, 0);
    }

    /// Lost: handshakes of an application whose key log calls OpenSSL.
    #[cfg(feature = "keylog")]
    #[test]
    fn an_error_that_a_key_log_leaves_is_not_the_handshakes() {
        use libwebsockets::keylog::{Filter, KeyLog, MemoryLog};
        use libwebsockets::tls::TlsVersion::{Tls12, Tls13};

        let filtered = || {
            let filter = Filter::new().connections(|_| {
                leave_an_error();
                true
            });
            KeyLog::memory(&MemoryLog::new(1 << 16)).filter(filter)
        };
        let written = || KeyLog::function(|_| leave_an_error());
        for keylog in [filtered as fn() -> KeyLog, written] {
            let ca = Ca::new();
            let tls = ca.sign(&["localhost"]).server();
            let server = Running::start(move || {
                let vhost = loopback().tls(tls).accept(|_| Ok(common::Echo));
                Context::builder().vhost(vhost).keylog(keylog())
            });
            let client = Running::start(move || Context::builder().keylog(keylog()));
            for version in [Tls12, Tls13] {
                let url = format!("wss://localhost:{}/", server.addr().port());
                let to = Client::new(&url).unwrap();
                let to = to.tls(ca.trust().versions(version, version));
                let (probe, events) = probe();
                let connecting = client.handle.connect(to, probe).unwrap();
                connecting.wait(common::WAIT).unwrap();
                events.open();
            }
        }
    }

    #[test]
    fn openssl_stays_until_the_process_is_gone() {
        if std::env::var_os(CHILD).is_some() {
            // Handlers run in reverse: ours comes last.
            // SAFETY: the function is one of this program.
            assert_eq!(unsafe { libc::atexit(is_openssl_there) }, 0);
            let ca = Ca::new();
            let tls = ca.sign(&["localhost"]).server();
            let vhost = loopback().tls(tls).accept(|_| Ok(common::Echo));
            let mut context = Context::builder().vhost(vhost).build().unwrap();
            let url = format!("wss://localhost:{}/", context.local_addr(0).unwrap().port());
            let (probe, events) = probe();
            let to = Client::new(&url).unwrap().tls(ca.trust());
            drop(context.connect(to, probe).unwrap());
            while events.try_next().is_none() {
                context.service(Some(Duration::from_millis(50))).unwrap();
            }
            // The context's connections stay behind, as those of a thread would.
            std::mem::forget(context);
            std::process::exit(0);
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "exit::openssl_stays_until_the_process_is_gone"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
