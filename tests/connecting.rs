//! Clients of hosts that have several addresses, or none for now. The resolver is this
//! program's own, which the C library calls in place of the system's.

#![cfg(target_os = "linux")] // it drops what a full queue has no room for; all of 127/8 is there

mod common;

use common::{on_thread, probe, Echo, Running, WAIT};
use libc::{addrinfo, c_char, c_int, sockaddr_in, sockaddr_in6};
use libwebsockets::client::ConnectStep;
use libwebsockets::{Backoff, Client, ConnectError, ConnectFailure, Context, Vhost};
use std::ffi::CStr;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where nothing answers, not even the system, while there is a [`Silent`].
const HANGS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the servers are.
const ANSWERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// The names that were looked up.
static LOOKED_UP: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn lookups_of(name: &str) -> usize {
    let names = LOOKED_UP.lock().unwrap();
    names.iter().filter(|known| *known == name).count()
}

/// The addresses of a name, or why there are none.
fn resolve(name: &str) -> Result<Vec<Ipv4Addr>, c_int> {
    match name {
        "hangs.test" | "only-v6.test" => Ok(vec![HANGS]),
        "all-hang.test" => Ok(vec![HANGS; 4]),
        "first-hangs.test" => Ok(vec![HANGS, ANSWERS]),
        "third-time.test" if lookups_of(name) == 3 => Ok(vec![ANSWERS]),
        "third-time.test" | "not-now.test" => Err(libc::EAI_AGAIN),
        "broken.test" => Err(libc::EAI_FAIL),
        "nobody.test" => Err(libc::EAI_NONAME),
        address => address
            .parse()
            .map(|a| vec![a])
            .map_err(|_| libc::EAI_NONAME),
    }
}

#[repr(C)]
struct Entry {
    info: addrinfo,
    address: sockaddr_in,
    address_v6: sockaddr_in6,
}

/// # Safety
///
/// `name` is a C string, and `result` can be written to.
#[no_mangle]
unsafe extern "C" fn getaddrinfo(
    name: *const c_char,
    _service: *const c_char,
    _hints: *const addrinfo,
    result: *mut *mut addrinfo,
) -> c_int {
    // SAFETY: it is a C string.
    let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("");
    LOOKED_UP.lock().unwrap().push(name.to_owned());
    let addresses = match resolve(name) {
        Ok(addresses) => addresses,
        Err(code) => return code,
    };
    let mut first = ptr::null_mut();
    for address in addresses.iter().rev() {
        let entry = Box::leak(Box::new(Entry {
            info: addrinfo {
                ai_flags: 0,
                ai_family: libc::AF_INET,
                ai_socktype: libc::SOCK_STREAM,
                ai_protocol: libc::IPPROTO_TCP,
                ai_addrlen: size_of::<sockaddr_in>() as libc::socklen_t,
                ai_addr: ptr::null_mut(),
                ai_canonname: ptr::null_mut(),
                ai_next: first,
            },
            address: sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: 0,
                sin_addr: libc::in_addr {
                    s_addr: u32::from(*address).to_be(),
                },
                sin_zero: [0; 8],
            },
            // SAFETY: it is plain numbers.
            address_v6: unsafe { std::mem::zeroed() },
        }));
        entry.info.ai_addr = ptr::from_mut(&mut entry.address).cast();
        if name == "only-v6.test" {
            entry.info.ai_family = libc::AF_INET6;
            entry.info.ai_addrlen = size_of::<sockaddr_in6>() as libc::socklen_t;
            entry.address_v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            entry.info.ai_addr = ptr::from_mut(&mut entry.address_v6).cast();
        }
        first = ptr::from_mut(entry).cast();
    }
    // SAFETY: it can be written to.
    unsafe { *result = first };
    0
}

/// # Safety
///
/// `list` comes from [`getaddrinfo`], and isn't used any more.
#[no_mangle]
unsafe extern "C" fn freeaddrinfo(mut list: *mut addrinfo) {
    while !list.is_null() {
        // SAFETY: it is the beginning of an entry, which was leaked, and is freed once.
        let entry = unsafe { Box::from_raw(list.cast::<Entry>()) };
        list = entry.info.ai_next;
    }
}

/// What the system's errors are called.
fn text(code: c_int) -> &'static str {
    // SAFETY: it takes any number.
    let text = unsafe { libc::gai_strerror(code) };
    // SAFETY: it returns static strings.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap()
}

/// A listener at [`HANGS`] that has no room for more connections.
struct Silent {
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    fn at(port: u16) -> (Silent, u16) {
        let listener = TcpListener::bind((HANGS, port)).unwrap();
        // SAFETY: the descriptor is a listener's.
        let shortened = unsafe { libc::listen(listener.as_raw_fd(), 0) };
        assert_eq!(shortened, 0);
        let addr = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(tcp) = TcpStream::connect_timeout(&addr, Duration::from_millis(300)) {
            waiting.push(tcp);
            assert!(waiting.len() < 100, "the queue is never full");
        }
        let silent = Silent {
            _listener: listener,
            _waiting: waiting,
        };
        (silent, addr.port())
    }
}

/// A server at [`ANSWERS`].
fn server() -> Running {
    Running::start(|| Context::builder().vhost(Vhost::listen((ANSWERS, 0)).accept(|_| Ok(Echo))))
}

/// A context whose handshakes may take so many seconds.
fn client_context(handshake: u64) -> Running {
    Running::start(move || Context::builder().handshake_timeout(Duration::from_secs(handshake)))
}

fn client(name: &str, port: u16) -> Client {
    Client::new(&format!("ws://{name}:{port}/")).unwrap()
}

// Lost: each server with an IPv6 address, for clients whose way there by IPv6 is broken.
#[test]
fn an_address_that_hangs_leaves_time_for_the_next() {
    let server = server();
    let (_silent, port) = Silent::at(server.addr().port());
    let clients = [(1, 3), (2, 2), (10, 2)].map(|(handshake, connect)| {
        let context = client_context(handshake);
        let to = client("first-hangs.test", port).connect_timeout(Duration::from_secs(connect));
        let (probe, events) = probe();
        let start = Instant::now();
        let connecting = context.handle.connect(to, probe).unwrap();
        (connect, context, connecting, events, start)
    });
    for (connect, _context, connecting, events, start) in clients {
        let id = connecting.wait(WAIT).unwrap();
        assert_eq!(events.open(), id);
        let took = start.elapsed();
        let share = Duration::from_millis(connect * 500 - 100);
        assert!(took > share, "the second of {connect} s: {took:?}");
    }
}

// Lost: what connected meanwhile, when a handler or a resolver takes its time.
#[test]
fn a_context_that_stood_still_keeps_what_is_connected() {
    let server = server();
    let context = client_context(20);
    let to = client(&ANSWERS.to_string(), server.addr().port());
    let to = to.connect_timeout(Duration::from_secs(1));
    let (probe, events) = probe();
    let connecting = on_thread(&context.handle, move |context| {
        let connecting = context.connect(to, probe).unwrap();
        std::thread::sleep(Duration::from_millis(1200));
        connecting
    });
    assert_eq!(connecting.wait(WAIT).unwrap(), events.open());
}

#[test]
fn addresses_that_hang_are_left_when_the_time_to_connect_is_over() {
    let (_silent, port) = Silent::at(0);
    let context = client_context(1);
    let clients = ["hangs.test", "all-hang.test"].map(|name| {
        let to = client(name, port).connect_timeout(Duration::from_secs(2));
        let (probe, events) = probe();
        let start = Instant::now();
        drop(context.handle.connect(to, probe).unwrap());
        (name, events, start)
    });
    for (name, events, start) in clients {
        let error = events.connect_error();
        let took = start.elapsed();
        assert!(
            matches!(
                error,
                ConnectError::Failed {
                    failure: ConnectFailure::TimedOut(ConnectStep::Transport),
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.to_string().contains("Timed out"), "{error}");
        // Four times two would be eight.
        let seconds = 1.9..6.0;
        assert!(seconds.contains(&took.as_secs_f64()), "{name}: {took:?}");
        events.end();
    }
}

// Lost: the context's other connections, while a resolver that doesn't answer was asked each
// second.
#[test]
fn a_name_that_does_not_resolve_is_looked_up_once_and_the_error_says_why() {
    let context = client_context(20);
    for (name, code) in [
        ("not-now.test", libc::EAI_AGAIN),
        ("broken.test", libc::EAI_FAIL),
        ("nobody.test", libc::EAI_NONAME),
    ] {
        let (probe, events) = probe();
        let connecting = context.handle.connect(client(name, 80), probe).unwrap();
        let error = connecting.wait(WAIT).unwrap_err();
        let ConnectError::Failed {
            failure: ConnectFailure::Resolve(reason),
            ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(reason, text(code));
        let shown = error.to_string();
        assert!(shown.contains("DNS"), "{shown}");
        assert!(shown.contains(text(code)), "{shown}");
        assert_eq!(events.connect_error().to_string(), shown);
        events.end();
        assert_eq!(lookups_of(name), 1, "{name}");
    }
}

/// Lost: why, for a build that has no IPv6.
#[cfg(not(feature = "ipv6"))]
#[test]
fn a_name_that_has_no_address_of_our_kind_says_which_feature_is_missing() {
    let (probe, events) = probe();
    let context = client_context(20);
    drop(context.handle.connect(client("only-v6.test", 80), probe));
    let error = events.connect_error().to_string();
    assert!(error.contains("feature `ipv6`"), "{error}");
    events.end();
}

#[test]
fn a_name_that_resolves_later_is_connected_to_as_the_backoff_says() {
    let server = server();
    let context = client_context(20);
    let (probe, events) = probe();
    let to = client("third-time.test", server.addr().port())
        .reconnect(Backoff::new().first(Duration::from_millis(10)));
    let connecting = context.handle.connect(to, probe).unwrap();
    for _ in 0..2 {
        let error = events.connect_error().to_string();
        assert!(error.contains(text(libc::EAI_AGAIN)), "{error}");
    }
    assert_eq!(connecting.wait(WAIT).unwrap(), events.open());
    assert_eq!(lookups_of("third-time.test"), 3);
}
