//! What is left of a key in memory that was given back: nothing.

#![cfg(all(unix, feature = "_tls"))]

mod common;

use common::certs::Ca;
use common::temp::TempDir;
use common::watched::Watching;
use common::{loopback, Echo};
use libwebsockets::tls::{Pem, ServerTls};
use libwebsockets::Context;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

#[global_allocator]
static ALLOCATOR: Watching = Watching::new(has_line);

/// A line of the key, which is nowhere else in memory that is given back.
const LINE: &str = "MC4CAQAwBQYDK2VwBCIEIGtleXMgdGhhdCBtdXN0IG5vdCBzdGF5IGluIG1lbW9y\n";

fn has_line(bytes: &[u8]) -> bool {
    let mut parts = bytes.windows(LINE.len());
    parts.any(|part| part == LINE.as_bytes())
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
        let found = ALLOCATOR.watch(|| load(&certificate, &file));
        assert_eq!(found, 0, "{lines} lines of a file");
        let found = ALLOCATOR.watch(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| write(lines, File::create(&pipe).unwrap()));
                load(&certificate, &pipe);
            });
        });
        assert_eq!(found, 0, "{lines} lines of a pipe");
    }
    // That it would be found.
    let copy = std::fs::read(&file).unwrap();
    assert_eq!(ALLOCATOR.watch(|| drop(copy)), 1);
}
