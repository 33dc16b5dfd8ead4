//! Waiting by epoll: an event library of our own, by lws' `event_lib_custom`.
//!
//! lws tells what it waits for through one callback, [`io`], for each descriptor. Changes
//! are collected and told to the kernel when the loop is about to wait, for most are taken
//! back before that. Readiness is level-triggered, as with poll.
//!
//! Beside 5,000 idle connections an echo server makes 16 times the messages of one that
//! waits by poll with one busy connection (64 B), and 4.9 times with 64; without idle ones
//! there is no difference.

mod descriptors;

use super::super::kept::Kept;
use super::super::log::{send, TARGET};
use super::super::sys;
use crate::error::Error;
use descriptors::{Descriptors, Token};
use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_uint, c_void};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, NonNull};
use std::rc::Rc;
use std::time::Duration;

/// Descriptors that one wait reports at most; the kernel goes round among the others.
const AT_ONCE: usize = 512;

/// What the kernel reports whether it was asked to or not.
const HUNG_UP: u32 = (libc::EPOLLHUP | libc::EPOLLERR) as u32;

/// How long a turn lasts if nothing bounds it: lws counts milliseconds in an `int`.
const LONGEST: c_int = 2_000_000_000;

/// How soon the kernel is told again what it had no memory for, in milliseconds.
const AGAIN: c_int = 100;

/// What a context waits with.
pub(in crate::ffi) struct EventLoop {
    epoll: Rc<Epoll>,
    /// What lws keeps pointers to as long as the context lives.
    library: Kept<Library>,
}

/// What the callback of the event library reaches.
struct Epoll {
    fd: OwnedFd,
    /// Who made it. A process that was forked from that one shares it, and is to leave it
    /// as it is.
    owner: u32,
    descriptors: RefCell<Descriptors>,
    /// Whether the last turn could not tell all changes, and has said so.
    complained: Cell<bool>,
    /// Memory for what a wait reports.
    events: RefCell<Vec<libc::epoll_event>>,
}

struct Library {
    plugin: sys::lws_plugin_evlib,
    ops: sys::lws_event_loop_ops,
    /// The loops of the threads of a context, of which there is one.
    loops: [*mut c_void; 1],
}

impl EventLoop {
    pub fn new() -> Result<Self, Error> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::System {
                what: "an epoll descriptor",
                source: io::Error::last_os_error(),
            });
        }
        let epoll = Rc::new(Epoll {
            // SAFETY: the descriptor was just made, and nothing else owns it.
            fd: unsafe { OwnedFd::from_raw_fd(fd) },
            owner: std::process::id(),
            descriptors: RefCell::default(),
            complained: Cell::new(false),
            events: RefCell::new(Vec::with_capacity(AT_ONCE)),
        });
        let library = Kept::new(Library {
            plugin: sys::lws_plugin_evlib {
                hdr: sys::lws_plugin_header {
                    name: c"epoll".as_ptr(),
                    _class: c"lws_evlib_plugin".as_ptr(),
                    lws_build_hash: c"".as_ptr(),
                    api_magic: sys::LWS_PLUGIN_API_MAGIC,
                },
                ops: null(),
            },
            ops: sys::lws_event_loop_ops {
                name: c"epoll".as_ptr(),
                init_pt: Some(init_pt),
                io: Some(io),
                // What is to be sent still goes out before a socket is closed.
                flags: sys::lws_event_lib_ops_flags::LELOF_ISPOLL.0 as u8,
                evlib_size_pt: size_of::<*const Epoll>() as u16,
                ..Default::default()
            },
            loops: [Rc::as_ptr(&epoll).cast_mut().cast()],
        });
        let memory = library.as_ptr();
        // SAFETY: the memory is ours as long as `library` lives.
        let ops = unsafe { &raw const (*memory).ops };
        // SAFETY: as above; nobody reads it yet.
        unsafe { (*memory).plugin.ops = ops };
        Ok(EventLoop { epoll, library })
    }

    /// Says in what a context is created with that this is its event loop.
    #[doc(alias = "event_lib_custom")]
    pub fn describe(&self, info: &mut sys::lws_context_creation_info) {
        let memory = self.library.as_ptr();
        // SAFETY: the memory is ours as long as this lives.
        info.event_lib_custom = unsafe { &raw const (*memory).plugin };
        // SAFETY: as above; lws takes an array, of which there is one element.
        info.foreign_loops = unsafe { &raw mut (*memory).loops }.cast();
    }

    /// Waits for events, at most for `timeout`, calls `woken`, and handles them. `false`:
    /// the context is beyond use.
    ///
    /// # Safety
    ///
    /// The context is alive, was created with this event loop, and isn't being serviced.
    #[doc(alias = "lws_service_fd")]
    #[doc(alias = "lws_service_adjust_timeout")]
    pub unsafe fn turn(
        &self,
        context: NonNull<sys::lws_context>,
        timeout: Option<Duration>,
        woken: impl FnOnce(),
    ) -> bool {
        let context = context.as_ptr();
        let wait = timeout.map_or(LONGEST, milliseconds);
        // SAFETY: the context is alive (contract). This runs the timers that are due, and
        // says how long there is until the next, or 0 if something needs no descriptor.
        let wait = unsafe { sys::lws_service_adjust_timeout(context, wait, 0) };
        let forced = wait == 0;
        let wait = match self.epoll.tell_changes() {
            true => wait,
            false => wait.min(AGAIN),
        };

        // Taken out, for what is called may come back here with another context only, but
        // nothing has to rely on that.
        let mut events = self.epoll.events.take();
        self.epoll.wait(&mut events, wait);
        woken();
        // SAFETY: the context is alive.
        unsafe { sys::lwsrs_turn(context, 1) };
        for event in &events {
            let token = Token::from_bits(event.u64);
            // An earlier one of these may have closed it.
            let Some(wanted) = self.epoll.descriptors.borrow().wanted(token) else {
                continue;
            };
            // The bits of poll(2) and epoll(7) are the same, in the lower half.
            let mut fd = pollfd(token.fd(), wanted, event.events as i16);
            // SAFETY: the context is alive, and the struct valid for the call.
            if unsafe { sys::lws_service_fd(context, &mut fd) } < 0 {
                return false;
            }
            if event.events & HUNG_UP != 0 && wanted & libc::POLLIN == 0 {
                self.epoll.descriptors.borrow_mut().hung_up(token);
            }
        }
        *self.epoll.events.borrow_mut() = events;

        // What was read already, and waited for its turn.
        // SAFETY: the context is alive, and its thread number 0 is this one.
        if forced && unsafe { sys::_lws_plat_service_forced_tsi(context, 0) } < 0 {
            return false;
        }
        // SAFETY: as above.
        unsafe { sys::lwsrs_turn(context, 0) };
        true
    }

    /// Before the context is destroyed.
    pub fn stop(&self) {}
}

impl Epoll {
    /// Tells the kernel what changed since the last turn. `false`: not all of it, for it
    /// has no memory for that now.
    fn tell_changes(&self) -> bool {
        let mut failed = Vec::new();
        let mut descriptors = self.descriptors.borrow_mut();
        while let Some(change) = descriptors.next_change() {
            let operation = match (change.known, change.wanted) {
                (true, Some(_)) => libc::EPOLL_CTL_MOD,
                (false, _) => libc::EPOLL_CTL_ADD,
                (true, None) => libc::EPOLL_CTL_DEL,
            };
            match self.control(operation, change.token, change.wanted.unwrap_or(0)) {
                Ok(()) => descriptors.told(change.token, change.wanted),
                Err(error) => failed.push((change.token, error)),
            }
        }
        for (token, _) in &failed {
            descriptors.again(*token);
        }
        // An application's logger may do anything.
        drop(descriptors);
        let before = self.complained.replace(!failed.is_empty());
        if let (Some((_, error)), false) = (failed.first(), before) {
            complain(&format!("epoll_ctl, to be tried again: {error}"));
        }
        failed.is_empty()
    }

    fn control(&self, operation: c_int, token: Token, wanted: i16) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: wanted as u32,
            u64: token.to_bits(),
        };
        // SAFETY: the struct is valid for the call; both descriptors are plain numbers.
        let rc = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, token.fd(), &mut event) };
        match rc {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Fills `events` with what there is; a signal ends the wait with nothing.
    fn wait(&self, events: &mut Vec<libc::epoll_event>, milliseconds: c_int) {
        events.clear();
        events.reserve(AT_ONCE);
        let room = events.spare_capacity_mut();
        let (start, len) = (room.as_mut_ptr(), room.len().min(AT_ONCE) as c_int);
        // SAFETY: the kernel writes at most `len` structs, for which there is room.
        let count =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), start.cast(), len, milliseconds) };
        // SAFETY: so many were written.
        unsafe { events.set_len(usize::try_from(count).unwrap_or(0)) };
    }
}

/// Logs what went wrong, as a message of the library.
fn complain(line: &str) {
    send(TARGET, log::Level::Error, line);
}

fn pollfd(fd: RawFd, events: i16, revents: i16) -> sys::pollfd {
    sys::pollfd {
        fd,
        events,
        revents,
    }
}

/// Whole milliseconds, rounded up: who waits for a timer shall find it due.
fn milliseconds(timeout: Duration) -> c_int {
    let up = timeout.as_micros().div_ceil(1000);
    c_int::try_from(up).unwrap_or(LONGEST).min(LONGEST)
}

/// lws gives a new context the loop that it is to have.
unsafe extern "C" fn init_pt(
    context: *mut sys::lws_context,
    epoll: *mut c_void,
    tsi: c_int,
) -> c_int {
    // SAFETY: the context is being created, and has this thread.
    let slot = unsafe { sys::lws_evlib_tsi_to_evlib_pt(context, tsi) };
    // SAFETY: `evlib_size_pt` bytes are there, of any alignment.
    unsafe { slot.cast::<*mut c_void>().write_unaligned(epoll) };
    0
}

/// lws begins or ends to wait for something.
unsafe extern "C" fn io(wsi: *mut sys::lws, flags: c_uint) {
    // SAFETY: lws calls this with a connection of a context that has an event loop.
    let slot = unsafe { sys::lws_evlib_wsi_to_evlib_pt(wsi) };
    // SAFETY: `init_pt` wrote it there, before any connection.
    let epoll = unsafe { slot.cast::<*const Epoll>().read_unaligned() };
    // SAFETY: `EventLoop` keeps it until its context is destroyed.
    let epoll = unsafe { &*epoll };
    // SAFETY: as above; a connection in the table of descriptors has one.
    let fd = unsafe { sys::lws_get_socket_fd(wsi) };
    let mut bits = 0;
    if flags & sys::LWS_EV_READ.0 != 0 {
        bits |= libc::POLLIN;
    }
    if flags & sys::LWS_EV_WRITE.0 != 0 {
        bits |= libc::POLLOUT;
    }
    let mut descriptors = epoll.descriptors.borrow_mut();
    if flags & sys::LWS_EV_START.0 != 0 {
        descriptors.start(fd, bits);
    } else if bits == libc::POLLIN | libc::POLLOUT {
        // It leaves the table: both at once are said then alone, before it is closed.
        if let Some(token) = descriptors.remove(fd) {
            if std::process::id() == epoll.owner {
                // It may be gone from the set for reasons of its own.
                let _ = epoll.control(libc::EPOLL_CTL_DEL, token, 0);
            }
        }
    } else {
        descriptors.stop(fd, bits);
    }
}
