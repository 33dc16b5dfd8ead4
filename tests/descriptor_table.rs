//! Descriptors that the library's table has no place for, and how large it is. What the
//! system says of the process' limit is this program's own at times, which the C library
//! and the crate ask in place of the system.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use common::peer::{tcp, upgrade, Raw, TEXT};
use common::{loopback, serve, Echo};
use libc::{c_int, c_long, rlimit};
use libwebsockets::Context;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The limit is the process', and so are the descriptors: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Whether the limit is said to be what `LimitNOFILE=infinity` gives a container.
static UNBOUNDED: AtomicBool = AtomicBool::new(false);
const NO_BOUND: u64 = 1_073_741_816;

fn limit(new: Option<&rlimit>) -> rlimit {
    let mut old = rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the first is null or a struct, the second can be written to.
    let rc = unsafe { libc::prlimit(0, libc::RLIMIT_NOFILE, new, &mut old) };
    assert_eq!(rc, 0);
    old
}

/// # Safety
///
/// `result` can be written to.
#[no_mangle]
unsafe extern "C" fn getrlimit(resource: libc::__rlimit_resource_t, result: *mut rlimit) -> c_int {
    // SAFETY: it can be written to.
    let rc = unsafe { libc::prlimit(0, resource, std::ptr::null(), result) };
    if rc == 0 && resource == libc::RLIMIT_NOFILE && UNBOUNDED.load(Ordering::Relaxed) {
        // SAFETY: it can be written to.
        unsafe { (*result).rlim_cur = NO_BOUND };
    }
    rc
}

#[no_mangle]
extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        libc::_SC_OPEN_MAX if UNBOUNDED.load(Ordering::Relaxed) => NO_BOUND as c_long,
        libc::_SC_OPEN_MAX => limit(None).rlim_cur as c_long,
        // SAFETY: it takes any number.
        libc::_SC_PAGESIZE => unsafe { libc::getauxval(libc::AT_PAGESZ) as c_long },
        libc::_SC_NPROCESSORS_ONLN | libc::_SC_NPROCESSORS_CONF => 2,
        _ => -1,
    }
}

/// Opens files until no descriptor below `number` is free.
fn occupied_to(number: c_int) -> Vec<File> {
    let mut files = Vec::new();
    loop {
        let file = File::open("/dev/null").unwrap();
        if file.as_raw_fd() >= number {
            return files;
        }
        files.push(file);
    }
}

fn echoes(raw: &mut Raw) {
    raw.send_frame(0x80 | TEXT, b"hello");
    assert_eq!(raw.frame().unwrap().payload, b"hello");
}

// Lost: the heap, which was written to where the table would go on.
#[test]
fn a_descriptor_beyond_the_table_is_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = limit(None);
    limit(Some(&rlimit {
        rlim_cur: 64,
        ..before
    }));
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    limit(Some(&rlimit {
        rlim_cur: before.rlim_max.min(4096),
        ..before
    }));

    // They stay, so that no descriptor gets free at another moment.
    let mut served = vec![Raw::open(server.addr())];
    for from in [64, 65, 80, 128, 300] {
        let files = occupied_to(from);
        for _ in 0..5 {
            let mut refused = tcp(server.addr());
            assert!(matches!(refused.read(&mut [0]), Ok(0) | Err(_)));
        }
        // It hasn't come to harm.
        drop(files);
        served.push(Raw::open(server.addr()));
        served.iter_mut().for_each(echoes);
    }
    drop(server);
    limit(Some(&before));
}

// Lost: all connections but the first 2560, where the system sets no bound.
#[test]
fn without_a_reasonable_limit_the_context_has_its_own() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = limit(None);
    if before.rlim_max < 4096 {
        let hard = before.rlim_max;
        return common::machine::skip(&format!("the hard limit of descriptors is {hard}"));
    }
    limit(Some(&rlimit {
        rlim_cur: 4096,
        ..before
    }));
    UNBOUNDED.store(true, Ordering::Relaxed);
    let vhost = loopback().accept(|_| Ok(Echo));
    let built = Context::builder().vhost(vhost).build();
    UNBOUNDED.store(false, Ordering::Relaxed);
    let mut context = built.unwrap();
    let addr = context.local_addr(0).unwrap();

    let files = occupied_to(2600);
    let peer = std::thread::spawn(move || {
        let mut raw = Raw::connect(addr);
        raw.send(upgrade("/", "").as_bytes());
        let status = raw.answer().status;
        echoes(&mut raw);
        status
    });
    while !peer.is_finished() {
        let wait = std::time::Duration::from_millis(20);
        context.service(Some(wait)).unwrap();
    }
    assert_eq!(peer.join().unwrap(), 101);
    drop((files, context));
    limit(Some(&before));
}
