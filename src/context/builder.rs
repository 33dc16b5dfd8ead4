//! Describes a context, and builds it.

use super::engine::Engine;
use super::listen::Shared;
use super::Context;
use crate::error::Error;
use crate::ffi::context::{ContextOptions, RawContext};
use crate::forks::forks;
use crate::server::Vhost;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Describes a context. Every setting has a default.
#[doc(alias = "lws_context_creation_info")]
#[derive(Debug)]
#[must_use]
pub struct ContextBuilder {
    vhosts: Vec<Vhost>,
    receive_buffer: usize,
    max_fds: Option<u32>,
    handshake_timeout: Duration,
    max_header_bytes: u32,
    #[cfg(feature = "keylog")]
    keylog: crate::keylog::KeyLog,
}

/// What the context remembers of its builder.
pub(super) struct Settings {
    pub handshake_timeout: u32,
}

/// The C library composes a whole handshake in its receive buffer.
const MIN_RECEIVE_BUFFER: usize = 32 << 10;

/// Above this many descriptors the C library's tables are no longer sized by
/// the process' limit, which may be a billion.
const MAX_TABLE: u64 = 1 << 18;

/// The most descriptors that are made room for. The C library computes with numbers of 32 bits.
const MOST_FDS: u32 = 1 << 22;

impl ContextBuilder {
    pub(super) fn new() -> Self {
        ContextBuilder {
            vhosts: Vec::new(),
            receive_buffer: 256 << 10,
            max_fds: None,
            handshake_timeout: Duration::from_secs(20),
            max_header_bytes: 16 << 10,
            #[cfg(feature = "keylog")]
            keylog: crate::keylog::KeyLog::default(),
        }
    }

    /// Adds a vhost. Vhosts are numbered from 0 in the order in which they are given.
    #[doc(alias = "lws_create_vhost")]
    pub fn vhost(mut self, vhost: Vhost) -> Self {
        self.vhosts.push(vhost);
        self
    }

    /// Bytes that are read from a socket at once, to a buffer that all connections
    /// share. What was read is handed on in pieces of 16 KiB at most. Default:
    /// 256 KiB; at least 32 KiB, at most 16 MiB.
    #[doc(alias = "pt_serv_buf_size")]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = bytes;
        self
    }

    /// Descriptors that the context makes room for. Default: the process'
    /// limit, up to 262144. At least 16; no more than that limit, nor than 4194304. The
    /// memory is about 16 bytes for each. A number below the process' limit, and below
    /// 262144, makes the C library search its table at each event; a larger one, refuse a
    /// descriptor beyond it, however few there are.
    #[doc(alias = "fd_limit_per_thread")]
    pub fn max_fds(mut self, fds: u32) -> Self {
        self.max_fds = Some(fds.clamp(16, MOST_FDS));
        self
    }

    /// How long the TLS and HTTP phases of a connection may take, rounded up to whole
    /// seconds, from 1 s to 86,400 s. They begin when TCP is connected. Default: 20 s.
    #[doc(alias = "timeout_secs")]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Bytes for the headers of one handshake; longer ones are refused.
    /// Default: 16 KiB, which is also the least; at most 65535.
    #[doc(alias = "max_http_header_data2")]
    pub fn max_header_bytes(mut self, bytes: u32) -> Self {
        // The C library counts in 16 bits.
        self.max_header_bytes = bytes.clamp(16 << 10, u32::from(u16::MAX));
        self
    }

    /// The key log of all of the context's TLS connections. Default:
    /// [`KeyLog::from_env`](crate::keylog::KeyLog::from_env).
    #[cfg(feature = "keylog")]
    pub fn keylog(mut self, keylog: crate::keylog::KeyLog) -> Self {
        self.keylog = keylog;
        self
    }

    /// Builds the context, which then listens; it is serviced by
    /// [`Context::run`]. The thread that calls this becomes the context's service thread: the
    /// context stays on it, and handlers and factories are called there.
    ///
    /// # Effects on the process
    ///
    /// - On Unix each build has the signal SIGPIPE ignored (the C library does so,
    ///   lib/plat/unix/unix-init.c).
    /// - The first one directs all messages of the C library to the crate `log`
    ///   (`lws_set_log_level`).
    /// - OpenSSL is set up not to free its globals when the process exits
    ///   (`OPENSSL_INIT_NO_ATEXIT`), if nothing has set it up before.
    /// - On Unix the first one registers functions that run at each fork (`pthread_atfork`).
    ///
    /// # Errors
    ///
    /// A key log, an address, a path, a certificate or a key that can't be used; a
    /// vhost without a handler; vhosts with the same address that have the same name, or
    /// of which only some speak TLS; a second context where the C library has no locks
    /// ([`Error::OnlyOneContext`]); the C library's own failures.
    ///
    /// # Panics
    ///
    /// Where the application's logger panics at a message of the key log.
    #[doc(alias = "lws_create_context")]
    pub fn build(self) -> Result<Context, Error> {
        if !crate::ffi::forks::watch() {
            return Err(Error::System {
                what: "a handler for forks",
                source: std::io::ErrorKind::OutOfMemory.into(),
            });
        }
        #[cfg(feature = "_tls")]
        let no_client_tls = Rc::new(crate::ffi::tls::ClientCtx::new()?);
        #[cfg(feature = "keylog")]
        let engine = Rc::new(Engine::new(crate::keylog::start(&self.keylog)?));
        #[cfg(not(feature = "keylog"))]
        let engine = Rc::new(Engine::new());
        let settings = Settings {
            handshake_timeout: whole_seconds(self.handshake_timeout),
        };
        let options = ContextOptions {
            receive_buffer: self.receive_buffer.clamp(MIN_RECEIVE_BUFFER, 16 << 20),
            max_fds: self.max_fds.map(within_limit).or_else(sane_fd_table),
            handshake_timeout: settings.handshake_timeout,
            max_header_bytes: self.max_header_bytes,
        };
        // What fails from here on drops it, with the key log.
        let mut context = Context {
            raw: None,
            engine,
            settings,
            forks: forks(),
            client_vhosts: HashMap::new(),
            #[cfg(feature = "unix-sockets")]
            sockets: Vec::new(),
            #[cfg(feature = "_tls")]
            no_client_tls,
        };
        let raw = RawContext::create(Rc::clone(&context.engine), &options)?;
        context.engine.shared.set_waker(raw.waker());
        #[cfg(feature = "keylog")]
        context.engine.keylog().log().set_waker(raw.waker());
        context.raw = Some(raw);
        let mut shared = Shared::default();
        for vhost in self.vhosts {
            context.add_vhost(vhost, &mut shared)?;
        }
        Ok(context)
    }
}

/// A time as the C library takes it, at most a day.
pub(crate) fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis().div_ceil(1000))
        .unwrap_or(u32::MAX)
        .clamp(1, 86_400)
}

/// No more than the process can have, where that is known: their memory would be for nothing.
fn within_limit(fds: u32) -> u32 {
    match u32::try_from(crate::ffi::context::fd_limit()) {
        Ok(limit) if limit > 0 => fds.min(limit.max(16)),
        _ => fds,
    }
}

/// A bound for the library's tables where the process' own limit is no sane one.
fn sane_fd_table() -> Option<u32> {
    (crate::ffi::context::fd_limit() > MAX_TABLE).then_some(MAX_TABLE as u32)
}
