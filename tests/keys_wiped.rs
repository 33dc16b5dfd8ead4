//! What is left of a key in memory that was given back: nothing.

#![cfg(all(unix, feature = "_tls"))]

mod common;

use common::certs::Ca;
use common::temp::TempDir;
use common::{loopback, Echo};
use libwebsockets::tls::{Pem, ServerTls};
use libwebsockets::Context;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// Looks at each block that is given back. A block that is to grow is a new one
/// and an old one here, as GlobalAlloc has it by default.
struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// A line of the key, which is nowhere else in memory that is given back.
const LINE: &str = "MC4CAQAwBQYDK2VwBCIEIGtleXMgdGhhdCBtdXN0IG5vdCBzdGF5IGluIG1lbW9y\n";

static WATCHES: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all blocks are the system's, as it wants them.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // Zeroed, so that all of it may be read later.
        // SAFETY: the caller's layout is what it has to be.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if WATCHES.load(SeqCst) {
            // SAFETY: the block is still this long, was zeroed at first, and is nobody
            // else's any more.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let mut parts = bytes.windows(LINE.len());
            if parts.any(|part| part == LINE.as_bytes()) {
                FOUND.fetch_add(1, SeqCst);
            }
        }
        // SAFETY: it was allocated by `alloc` with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

/// How many blocks with a part of the key were given back.
fn watch(f: impl FnOnce()) -> usize {
    FOUND.store(0, SeqCst);
    WATCHES.store(true, SeqCst);
    f();
    WATCHES.store(false, SeqCst);
    FOUND.load(SeqCst)
}

/// A key of some length, and broken, so that it is gone when this returns.
fn load(certificate: &Pem, key: &Path) {
    let tls = ServerTls::new(certificate.clone(), Pem::file(key));
    let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
    let error = Context::builder().vhost(vhost).build().unwrap_err();
    assert!(error.to_string().contains("private key"), "{error}");
}

fn write(lines: usize, mut to: File) {
    (0..lines).for_each(|_| to.write_all(LINE.as_bytes()).unwrap());
}

// Lost: a key that a core dump or a swapped page gives away.
#[test]
fn no_key_that_was_read_stays_in_memory_that_is_given_back() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let certificate = Pem::memory(ca.pem.as_bytes());
    let (file, pipe) = (dir.file("key.pem"), dir.file("pipe"));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for lines in [1, 100, 2000] {
        write(lines, File::create(&file).unwrap());
        let found = watch(|| load(&certificate, &file));
        assert_eq!(found, 0, "{lines} lines of a file");
        let found = watch(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| write(lines, File::create(&pipe).unwrap()));
                load(&certificate, &pipe);
            });
        });
        assert_eq!(found, 0, "{lines} lines of a pipe");
    }
    // That it would be found.
    let copy = std::fs::read(&file).unwrap();
    assert_eq!(watch(|| drop(copy)), 1);
}
