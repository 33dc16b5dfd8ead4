//! Sockets, and what children of the process get of them. The calls that make them are this
//! program's own, which the C library makes in place of the system's.

#![cfg(target_os = "linux")]

mod common;

use common::peer::Raw;
use common::{client_context, probe, serve, Echo, WAIT};
use libc::{c_int, c_void, sockaddr, socklen_t};
use libwebsockets::Client;
use std::io;
use std::sync::Mutex;

/// What is wrong with calls that were made.
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn wrong(what: String) {
    WRONG.lock().unwrap().push(what);
}

#[no_mangle]
extern "C" fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int {
    if kind & libc::SOCK_CLOEXEC == 0 {
        wrong(format!("socket({domain}, {kind}, {protocol})"));
    }
    // SAFETY: it takes numbers alone.
    unsafe { libc::syscall(libc::SYS_socket, domain, kind, protocol) as c_int }
}

/// # Safety
///
/// As for the system's.
#[no_mangle]
unsafe extern "C" fn accept(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int {
    wrong(format!("accept({fd})"));
    // SAFETY: as for the caller.
    unsafe { libc::accept4(fd, address, len, 0) }
}

/// # Safety
///
/// As for the system's.
#[no_mangle]
unsafe extern "C" fn setsockopt(
    fd: c_int,
    level: c_int,
    name: c_int,
    value: *const c_void,
    len: socklen_t,
) -> c_int {
    // SAFETY: as for the caller.
    let rc = unsafe { libc::syscall(libc::SYS_setsockopt, fd, level, name, value, len) };
    if rc != 0 {
        let error = io::Error::last_os_error();
        wrong(format!("setsockopt({fd}, {level}, {name}): {error}"));
    }
    rc as c_int
}

/// The sockets that listen, and wait for a connection where there is none.
fn blocking_listeners() -> Vec<c_int> {
    let listens = |fd: c_int| {
        let mut value: c_int = 0;
        let mut len = size_of::<c_int>() as socklen_t;
        let to = (&raw mut value).cast();
        // SAFETY: both are valid for writing; what is no socket, or not open, is an error.
        let rc =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, to, &mut len) };
        rc == 0 && value == 1
    };
    // SAFETY: F_GETFL takes no argument.
    let blocks = |fd: &c_int| unsafe { libc::fcntl(*fd, libc::F_GETFL) } & libc::O_NONBLOCK == 0;
    (0..1024).filter(|fd| listens(*fd)).filter(blocks).collect()
}

/// What was wrong with calls since it was asked last.
fn took() -> Vec<String> {
    std::mem::take(&mut *WRONG.lock().unwrap())
}

// Lost: the end of a connection, which a child's program kept open: one that was started by
// another thread between the call that made the socket and the one that marked it.
#[test]
fn sockets_are_made_so_that_children_do_not_get_them() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("ws", "/")).unwrap();
    let connecting = client.handle.connect(to, probe).unwrap();
    connecting.wait(WAIT).unwrap();
    events.open();
    drop(Raw::open(server.addr()));
    assert_eq!(took(), [""; 0]);
    assert_eq!(blocking_listeners(), []);
    drop(server);

    #[cfg(feature = "unix-sockets")]
    {
        let dir = common::temp::TempDir::new();
        let path = dir.file("socket");
        let at = path.clone();
        let _server = common::Running::start(|| {
            let vhost = libwebsockets::Vhost::listen_unix(at).accept(|_| Ok(Echo));
            libwebsockets::Context::builder().vhost(vhost)
        });
        let (probe, events) = common::probe();
        let to = Client::unix(&path, "/").unwrap();
        client
            .handle
            .connect(to, probe)
            .unwrap()
            .wait(WAIT)
            .unwrap();
        events.open();
        assert_eq!(took(), [""; 0]);
        assert_eq!(blocking_listeners(), []);
    }
}
