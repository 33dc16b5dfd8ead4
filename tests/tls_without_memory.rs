//! Memory for TLS that can't be had. OpenSSL's is this program's own, and so are the calls that
//! end a socket. OpenSSL asks but once whose memory to use, AWS-LC isn't asked.

#![cfg(all(feature = "tls", not(feature = "aws-lc"), target_os = "linux"))]

mod common;

use common::certs::Ca;
use common::peer::tcp;
use common::{loopback, probe, turn_until, Echo};
use libc::{c_char, c_int, c_void, size_t, sockaddr, socklen_t};
use libwebsockets::{Client, Context};
use std::cell::Cell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    /// The allocation that fails, counted from now; 0: none.
    static FAILS: Cell<usize> = const { Cell::new(0) };
    /// How many connections were accepted.
    static ACCEPTED: Cell<usize> = const { Cell::new(0) };
}

/// The descriptors are the process': one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Descriptors that weren't open when they were closed or shut down.
static WRONG: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// # Safety
///
/// As for the system's.
#[no_mangle]
unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    ACCEPTED.set(ACCEPTED.get() + 1);
    // SAFETY: as for the caller.
    unsafe { libc::syscall(libc::SYS_accept4, fd, address, len, flags) as c_int }
}

fn noted(what: &str, fd: c_int, rc: c_int) -> c_int {
    let error = io::Error::last_os_error();
    if rc != 0 && matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK)) {
        WRONG.lock().unwrap().push(format!("{what}({fd}): {error}"));
    }
    rc
}

#[no_mangle]
extern "C" fn close(fd: c_int) -> c_int {
    // SAFETY: it takes a number; whose it is, is for the caller to know.
    let rc = unsafe { libc::syscall(libc::SYS_close, fd) as c_int };
    noted("close", fd, rc)
}

#[no_mangle]
extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    // SAFETY: it takes numbers alone.
    let rc = unsafe { libc::syscall(libc::SYS_shutdown, fd, how) as c_int };
    noted("shutdown", fd, rc)
}

type Allocate = extern "C" fn(size_t, *const c_char, c_int) -> *mut c_void;
type Reallocate = unsafe extern "C" fn(*mut c_void, size_t, *const c_char, c_int) -> *mut c_void;
type Release = unsafe extern "C" fn(*mut c_void, *const c_char, c_int);

extern "C" {
    fn CRYPTO_set_mem_functions(
        allocate: Allocate,
        reallocate: Reallocate,
        release: Release,
    ) -> c_int;
}

fn fails() -> bool {
    let left = FAILS.get();
    FAILS.set(left.saturating_sub(1));
    left == 1
}

extern "C" fn allocate(len: size_t, _: *const c_char, _: c_int) -> *mut c_void {
    if fails() {
        return std::ptr::null_mut();
    }
    // SAFETY: it takes any length.
    unsafe { libc::malloc(len) }
}

unsafe extern "C" fn reallocate(
    old: *mut c_void,
    len: size_t,
    _: *const c_char,
    _: c_int,
) -> *mut c_void {
    if fails() {
        return std::ptr::null_mut();
    }
    // SAFETY: OpenSSL has it from here.
    unsafe { libc::realloc(old, len) }
}

unsafe extern "C" fn release(old: *mut c_void, _: *const c_char, _: c_int) {
    // SAFETY: OpenSSL has it from here.
    unsafe { libc::free(old) };
}

fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: they are a set of functions that manage memory.
        let rc = unsafe { CRYPTO_set_mem_functions(allocate, reallocate, release) };
        assert_eq!(rc, 1, "OpenSSL has memory already");
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Nothing stays open, and nothing was closed twice.
#[track_caller]
fn is_as_before(context: &mut Context, open: usize, nth: usize) {
    let end = Instant::now() + Duration::from_secs(5);
    while open_descriptors() > open && Instant::now() < end {
        context.service(Some(Duration::from_millis(10))).unwrap();
    }
    assert_eq!(open_descriptors(), open, "allocation {nth}");
    let wrong = std::mem::take(&mut *WRONG.lock().unwrap());
    assert_eq!(wrong, [""; 0], "allocation {nth}");
}

// Lost: a descriptor, or what another thread had opened with its number.
#[test]
fn a_server_without_memory_for_tls_closes_each_connection_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_up();
    let ca = Ca::new();
    let tls = ca.sign(&["localhost"]).server();
    let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0).unwrap();
    context.service(Some(Duration::ZERO)).unwrap();
    let open = open_descriptors();
    // Until a connection gets as far as to wait for its peer, and none has failed.
    for nth in 1.. {
        let peer = tcp(addr);
        let before = ACCEPTED.get();
        FAILS.set(nth);
        turn_until(&mut context, || (ACCEPTED.get() > before).then_some(()));
        let left = FAILS.take();
        drop(peer);
        is_as_before(&mut context, open, nth);
        if left > 0 {
            assert!(nth > 10, "it needed {} allocations", nth - left);
            break;
        }
    }
}

/// Whether a client has begun with its handshake.
fn says_hello(listener: &TcpListener, accepted: &mut Option<TcpStream>) -> bool {
    if accepted.is_none() {
        *accepted = listener.accept().ok().map(|(stream, _)| stream);
    }
    let Some(stream) = accepted else {
        return false;
    };
    stream.set_nonblocking(true).unwrap();
    matches!(stream.peek(&mut [0]), Ok(n) if n > 0)
}

#[test]
fn a_client_without_memory_for_tls_closes_its_connection_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    set_up();
    let ca = Ca::new();
    let mut context = Context::builder().build().unwrap();
    context.service(Some(Duration::ZERO)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("wss://{}/", listener.local_addr().unwrap());
    let to = Client::new(&url).unwrap().tls(ca.trust());
    let mut open = 0;
    // What all of them share is made with the first.
    for nth in 0.. {
        let (probe, events) = probe();
        FAILS.set(nth);
        drop(context.connect(to.clone(), probe).unwrap());
        let mut peer = None;
        let mut told = false;
        turn_until(&mut context, || {
            told = events.try_next().is_some();
            (told || says_hello(&listener, &mut peer)).then_some(())
        });
        let left = FAILS.take();
        drop(peer);
        while listener.accept().is_ok() {}
        if !told {
            turn_until(&mut context, || events.try_next());
        }
        if nth == 0 {
            open = open_descriptors();
        }
        is_as_before(&mut context, open, nth);
        if left > 0 {
            assert!(nth > 20, "it needed {} allocations", nth - left);
            break;
        }
    }
}
