//! A process without descriptors left. One test, for the limit is the process'.

#![cfg(unix)]

mod common;

use common::peer::{upgrade, Raw};
use common::{loopback, Echo};
#[cfg(target_os = "linux")]
use libwebsockets::Error;
use libwebsockets::{Client, ConnectError, ConnectFailure, Context};
use log::{Log, Metadata, Record};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Counts the library's complaints.
struct Counter(AtomicUsize);

static COUNTER: Counter = Counter(AtomicUsize::new(0));

impl Log for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        if record.args().to_string().contains("accept: errno") {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn flush(&self) {}
}

/// Lost: a descriptor for each context.
#[cfg(target_os = "linux")]
fn contexts_leave_no_descriptor_open() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for _ in 0..20 {
        let vhost = loopback().accept(|_| Ok(Echo));
        drop(Context::builder().vhost(vhost).build().unwrap());
    }
    assert_eq!(open(), before);
}

/// Lost: why, for the C library notices before its call has returned.
fn a_client_says_what_it_lacks(context: &mut Context, addr: std::net::SocketAddr) {
    let (probe, events) = common::probe();
    let to = Client::new(&format!("ws://{addr}/")).unwrap();
    drop(context.connect(to, probe).unwrap());
    let error = events.connect_error();
    let ConnectError::Failed {
        failure: ConnectFailure::Io(why),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(why.raw_os_error(), Some(libc::EMFILE));
    assert!(error.to_string().contains("ulimit"), "{error}");
    events.end();
}

#[test]
fn a_server_without_descriptors_waits_and_then_serves_on() {
    #[cfg(target_os = "linux")]
    contexts_leave_no_descriptor_open();
    log::set_logger(&COUNTER).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    let vhost = loopback().accept(|_| Ok(Echo));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let addr = context.local_addr(0).unwrap();
    context.service(Some(Duration::ZERO)).unwrap();

    let limit = libc::rlimit {
        rlim_cur: 64,
        rlim_max: 64,
    };
    // SAFETY: the struct is valid for reading.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    // The last one is for the peer; for its connection at the server none is left.
    files.pop();
    let mut raw = Raw::connect(addr);
    raw.send(upgrade("/", "").as_bytes());

    a_client_says_what_it_lacks(&mut context, addr);

    #[cfg(target_os = "linux")]
    {
        let error = Context::builder().build().unwrap_err();
        let Error::System { source, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(source.raw_os_error(), Some(libc::EMFILE));
        let text = error.to_string();
        assert!(text.contains(&source.to_string()), "{text}");
        assert!(text.contains("ulimit"), "{text}");
    }

    common::rests(&mut context);
    let lines = COUNTER.0.load(Ordering::Relaxed);
    assert!((1..10).contains(&lines), "{lines} lines");

    // Once there are some again, it is let in.
    files.clear();
    let until = Instant::now() + common::WAIT;
    while context.handle().connections().is_empty() {
        assert!(Instant::now() < until, "it is never let in");
        context.service(Some(Duration::from_millis(20))).unwrap();
    }
    assert_eq!(raw.answer().status, 101);
}
