//! The hook, with handshakes in memory.

use super::hook::{free_records, on_line, Hook};
use super::probe::probed;
use super::*;
#[cfg(feature = "aws-lc")]
use crate::ffi::aws_lc as ssl;
use crate::ffi::sys;
use crate::keylog::{self, KeyLog, Log};
#[cfg(not(feature = "aws-lc"))]
use openssl_sys as ssl;
use std::cell::Cell;
use std::ffi::{c_char, c_int};
use std::ptr::NonNull;
use std::sync::Arc;

thread_local! {
    /// Leaves hooks out, as a provided SSL_CTX or a reload of certificates may.
    pub(crate) static FORGET: Cell<bool> = const { Cell::new(false) };
}

/// A line of a connection that ends with it.
fn line(log: &Arc<Log>, line: &[u8]) {
    let mut hook = Hook {
        log: Arc::clone(log),
        vhost: "vhost".into(),
    };
    let hook = std::ptr::from_mut(&mut hook).cast();
    let none = std::ptr::null_mut();
    let (text, len) = (line.as_ptr().cast(), line.len());
    let ssl = NonNull::dangling().as_ptr();
    // SAFETY: both outlive the call; without a filter nothing is asked of the connection.
    let records = unsafe { on_line(hook, none, ssl, text, len) };
    if !records.is_null() {
        // SAFETY: `on_line` made it.
        unsafe { free_records(records) };
    }
}

/// Lost: a build whose name the documentation promises and C doesn't read.
#[test]
fn the_name_is_a_variables_name_or_none() {
    let name = env_name();
    assert!(name.is_none_or(|n| n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')));
    assert_eq!(name, keylog::env_name());
}

/// Lost: a handshake that crashes the process on an odd call.
#[test]
fn the_callback_survives_null_and_rubbish() {
    let handle = keylog::start(&KeyLog::off()).unwrap();
    let null = std::ptr::null_mut();
    // SAFETY: NULL is what the function looks for first.
    let records = unsafe { on_line(null, null, null.cast(), null.cast(), 7) };
    assert!(records.is_null());
    line(handle.log(), b"");
    line(handle.log(), b"\xff\0\n");
    assert_eq!(handle.stats().dropped, 0, "a disabled log counts nothing");
}

/// Lost: secrets that everybody on the machine can read, under the umask of
/// a careless service.
#[cfg(unix)]
#[test]
fn created_0600_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let dir = keylog::tests::Dir::new("umask");
    for mask in [0, 0o077] {
        let path = dir.path(&format!("keys-{mask:o}.log"));
        // SAFETY: umask() has no precondition. Other tests of this process
        // set the modes that they need.
        let before = unsafe { libc::umask(mask) };
        let started = keylog::start(&KeyLog::file(&path));
        // SAFETY: as above.
        unsafe { libc::umask(before) };
        line(started.unwrap().log(), b"CLIENT_RANDOM 00 11");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
}

/// Lost: the key log itself, or a tenth of each handshake while it is off. A client
/// of OpenSSL's talks to a server of rustls' in memory; the hook is installed while
/// the log is off.
#[test]
fn a_handshakes_secrets_reach_the_log_once_it_is_on() {
    use rustls::version::{TLS12, TLS13};
    let dir = keylog::tests::Dir::new("handshake");
    let path = dir.path("keys.log");
    let handle = keylog::start(&KeyLog::file(&path).enabled(false)).unwrap();
    // SAFETY: the function has no precondition.
    let ctx = NonNull::new(unsafe { sys::lwsrs_tls_client_new() }).unwrap();
    for _ in 0..2 {
        // SAFETY: `ctx` is new.
        unsafe { attach(&handle, "client", ctx) };
    }
    handshake(ctx, &TLS13);
    assert!(!path.exists() && !has_callback(ctx));
    handle.enable().unwrap();
    handshake(ctx, &TLS13);
    handshake(ctx, &TLS12);
    assert!(has_callback(ctx));
    handle.disable();
    handshake(ctx, &TLS13);
    assert!(!has_callback(ctx));
    // SAFETY: nothing uses `ctx` any more.
    unsafe { sys::lwsrs_tls_ctx_free(ctx.as_ptr()) };
    let text = std::fs::read_to_string(&path).unwrap();
    let mut labels: Vec<_> = text.lines().map(|l| l.split(' ').next().unwrap()).collect();
    labels.sort_unstable();
    let expected = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "CLIENT_RANDOM",
        "CLIENT_TRAFFIC_SECRET_0",
        "EXPORTER_SECRET",
        "SERVER_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
    ];
    assert_eq!(labels, expected);
    let stats = handle.stats();
    let disabled = Some(keylog::Problem::Disabled);
    assert_eq!((stats.written, stats.problem), (6, disabled));
}

/// An SSL_CTX that somebody else has set a callback of.
fn with_callback() -> NonNull<sys::SSL_CTX> {
    type Callback = unsafe extern "C" fn(*const sys::SSL, *const c_char);
    unsafe extern "C" {
        #[cfg_attr(feature = "aws-lc", link_name = "lwsawslc_SSL_CTX_set_keylog_callback")]
        fn SSL_CTX_set_keylog_callback(ctx: *mut sys::SSL_CTX, callback: Option<Callback>);
    }
    unsafe extern "C" fn quiet(_: *const sys::SSL, _: *const c_char) {}

    // SAFETY: the function has no precondition.
    let ctx = NonNull::new(unsafe { sys::lwsrs_tls_client_new() }).unwrap();
    // SAFETY: `ctx` is live, and the function takes whatever it is given.
    unsafe { SSL_CTX_set_keylog_callback(ctx.as_ptr(), Some(quiet)) };
    ctx
}

/// Lost: why there is nothing in a file that somebody else writes.
#[test]
fn a_callback_that_somebody_else_has_set_is_seen() {
    let found = probe().unwrap();
    assert!(found.keeps_callback && !found.replaces_callback);
    let ctx = with_callback();
    // SAFETY: `ctx` is live, and used for nothing else.
    let found = unsafe { sys::lwsrs_keylog_probe_ctx(ctx.as_ptr()) };
    let found = probed(u32::try_from(found).unwrap());
    assert!(found.keeps_callback && found.replaces_callback);
    // SAFETY: nothing uses `ctx` any more.
    unsafe { sys::lwsrs_tls_ctx_free(ctx.as_ptr()) };
}

/// Lost: the reason why a log stays empty.
#[test]
fn an_info_callback_of_somebody_else_is_seen() {
    unsafe extern "C" {
        #[cfg_attr(feature = "aws-lc", link_name = "lwsawslc_SSL_CTX_set_info_callback")]
        fn SSL_CTX_set_info_callback(ctx: *mut sys::SSL_CTX, callback: Option<Info>);
    }
    type Info = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);
    unsafe extern "C" fn quiet(_: *const sys::SSL, _: c_int, _: c_int) {}

    let handle = keylog::start(&KeyLog::off()).unwrap();
    // A keylog callback is no harm: it is replaced.
    let ctx = with_callback();
    // SAFETY: `ctx` has no connection yet.
    unsafe { attach(&handle, "client", ctx) };
    // SAFETY: `ctx` is live; the type is the same, by two names.
    let ssl = unsafe { ssl::SSL_new(ctx.as_ptr().cast()) };
    // SAFETY: `ssl` is live.
    let is_hooked = || unsafe { sys::lwsrs_keylog_hooked(ssl.cast()) } != 0;
    assert!(is_hooked());
    // SAFETY: `ctx` is live.
    unsafe { SSL_CTX_set_info_callback(ctx.as_ptr(), Some(quiet)) };
    assert!(!is_hooked());
    // SAFETY: nothing uses `ssl` any more.
    unsafe { ssl::SSL_free(ssl) };
    // SAFETY: nor `ctx`.
    unsafe { sys::lwsrs_tls_ctx_free(ctx.as_ptr()) };
}

/// Whether OpenSSL formats lines.
fn has_callback(ctx: NonNull<sys::SSL_CTX>) -> bool {
    type Callback = unsafe extern "C" fn(*const sys::SSL, *const c_char);
    unsafe extern "C" {
        #[cfg_attr(feature = "aws-lc", link_name = "lwsawslc_SSL_CTX_get_keylog_callback")]
        fn SSL_CTX_get_keylog_callback(ctx: *const sys::SSL_CTX) -> Option<Callback>;
    }
    // SAFETY: `ctx` is live.
    let callback = unsafe { SSL_CTX_get_keylog_callback(ctx.as_ptr()) };
    callback.is_some()
}

fn handshake(ctx: NonNull<sys::SSL_CTX>, version: &'static rustls::SupportedProtocolVersion) {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let key = own.signing_key.serialize_der().try_into().unwrap();
    let config = rustls::ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.into()], key)
        .unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(config)).unwrap();
    // SAFETY: `ctx` is live; the type is the same, by two names.
    let ssl = unsafe { ssl::SSL_new(ctx.as_ptr().cast()) };
    let [input, output] = [(); 2].map(|()| {
        // SAFETY: the function has no precondition.
        let kind = unsafe { ssl::BIO_s_mem() };
        // SAFETY: `kind` is static.
        unsafe { ssl::BIO_new(kind) }
    });
    // SAFETY: all three are live; `ssl` owns both from now on.
    unsafe { ssl::SSL_set_bio(ssl, input, output) };
    let mut buf = [0; 4096];
    let mut connected = false;
    for _ in 0..10 {
        // SAFETY: `ssl` is live, its memory never blocks.
        connected = unsafe { ssl::SSL_connect(ssl) } == 1;
        loop {
            let to = buf.as_mut_ptr().cast();
            // SAFETY: `buf` is valid for its length.
            let read = unsafe { ssl::BIO_read(output, to, 4096) };
            let Ok(n @ 1..) = usize::try_from(read) else {
                break;
            };
            server.read_tls(&mut &buf[..n]).unwrap();
            server.process_new_packets().unwrap();
        }
        while let Ok(n @ 1..) = server.write_tls(&mut &mut buf[..]) {
            // SAFETY: `buf` is valid for `n` bytes.
            unsafe { ssl::BIO_write(input, buf.as_ptr().cast(), n as i32) };
        }
    }
    assert!(connected && !server.is_handshaking());
    // SAFETY: nothing uses `ssl` any more.
    unsafe { ssl::SSL_free(ssl) };
}
