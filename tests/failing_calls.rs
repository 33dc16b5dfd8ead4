//! Calls of the system that fail, or do a part. The functions are this program's own, which the C
//! library calls in place of the system's; they fail for the thread that asks for it.

#![cfg(target_os = "linux")]

mod common;

use common::peer::{tcp, Raw, TEXT};
use common::{loopback, rests, turn_until, Echo};
use libc::{c_int, c_void, size_t, sockaddr, socklen_t, ssize_t};
use libwebsockets::{Connection, Context, Handler, Message};
use std::cell::Cell;
use std::io;
use std::time::Duration;

thread_local! {
    /// The error of each accept, and how many there were.
    static ACCEPT: Cell<(c_int, usize)> = const { Cell::new((0, 0)) };
    /// How much of what is sent next the socket doesn't take.
    static UNSENT: Cell<usize> = const { Cell::new(0) };
}

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
    let (error, calls) = ACCEPT.get();
    ACCEPT.set((error, calls + 1));
    if error != 0 {
        // SAFETY: it is the thread's own.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = error };
        return -1;
    }
    // SAFETY: as for the caller.
    unsafe { libc::syscall(libc::SYS_accept4, fd, address, len, flags) as c_int }
}

/// # Safety
///
/// As for the system's.
#[no_mangle]
unsafe extern "C" fn send(fd: c_int, data: *const c_void, len: size_t, flags: c_int) -> ssize_t {
    let len = len - UNSENT.take();
    let nobody = std::ptr::null::<sockaddr>();
    // SAFETY: as for the caller.
    unsafe { libc::syscall(libc::SYS_sendto, fd, data, len, flags, nobody, 0) as ssize_t }
}

fn echo() -> Context {
    let vhost = loopback().accept(|_| Ok(Echo));
    Context::builder().vhost(vhost).build().unwrap()
}

// Lost: a processor, and room for the log.
#[test]
fn a_server_that_can_accept_nobody_rests() {
    for error in [libc::ENOMEM, libc::ENOBUFS, libc::EPERM] {
        let mut context = echo();
        let peer = tcp(context.local_addr(0).unwrap());
        ACCEPT.set((error, 0));
        rests(&mut context);
        let (_, calls) = ACCEPT.replace((0, 0));
        let what = io::Error::from_raw_os_error(error);
        assert!((1..10).contains(&calls), "{what}: {calls} calls");

        turn_until(&mut context, || (ACCEPT.get().1 > 0).then_some(()));
        drop(peer);
    }
}

/// Sends two messages for one, the second too large to be gathered with the first, of which
/// the socket takes all but the end.
struct Answers;

impl Handler for Answers {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        UNSENT.set(3);
        conn.send(message).unwrap();
        conn.send(vec![7; 20_000]).unwrap();
    }
}

// Lost: the connection, and what it held.
#[test]
fn a_large_message_goes_out_behind_the_end_of_a_small_one() {
    let vhost = loopback().accept(|_| Ok(Answers));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0).unwrap();
    let peer = std::thread::spawn(move || {
        let mut raw = Raw::open(addr);
        raw.send_frame(0x80 | TEXT, b"hello");
        [raw.frame(), raw.frame()].map(|frame| frame.map(|frame| frame.payload.len()))
    });
    while !peer.is_finished() {
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    assert_eq!(peer.join().unwrap(), [Some(5), Some(20_000)]);
}
