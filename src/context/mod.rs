//! A context: the service loop and all that it serves.

mod builder;
mod commands;
pub(crate) mod engine;
mod handle;
mod listen;
mod pending;
pub(crate) mod timers;
mod vhosts;
pub(crate) mod wake_flag;

pub use builder::ContextBuilder;
pub use handle::{Broadcast, ContextHandle};

use crate::client::{Client, Connecting};
use crate::connection::Handler;
use crate::error::Error;
use crate::ffi::context::RawContext;
use crate::ffi::vhost::VhostId;
use crate::forks::forks;
pub(crate) use builder::whole_seconds;
use builder::Settings;
use engine::Engine;
use pending::ClientVhostKey;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// A libwebsockets context: servers and clients that one thread services.
///
/// It belongs to the thread that built it; other threads reach it through a
/// [`ContextHandle`]. Several contexts may run on several threads.
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<libwebsockets::Context>(); // a context stays on its thread
/// ```
///
/// Dropping a context closes its connections without a handshake, calls
/// [`Handler::on_close`] for each, and resumes the first panic of the application's code that
/// nobody has seen yet. The others, or all if the thread is panicking already, are logged, as
/// by [`run`](Context::run).
///
/// # After a fork
///
/// A process that is forked from one with a context (`fork(2)`) has a copy of it. It may drop
/// the copy, whose handlers are then told so by [`Handler::on_close`]: the parent's connections,
/// over TLS, too, its listening sockets, the files of its Unix domain sockets and its key log
/// stay as they are. It can't service the copy, nor connect by it: [`run`](Context::run),
/// [`service`](Context::service) and [`connect`](Context::connect) fail there with
/// [`Error::Forked`]. It may build contexts of its own. A child that is forked in a handler must
/// not return from it. As with everything that has locks, no other thread of the parent may be
/// using this crate at the fork; the threads that the crate starts itself don't count.
#[doc(alias = "lws_context")]
#[doc(alias = "lws_context_destroy")]
pub struct Context {
    /// `None` while the context is being dropped.
    raw: Option<RawContext>,
    pub(crate) engine: Rc<Engine>,
    settings: Settings,
    /// Whose it is: a child that was forked has a copy.
    forks: u32,
    /// Vhosts of clients, by what those have in common.
    client_vhosts: HashMap<ClientVhostKey, VhostId>,
    /// The files of Unix domain sockets that are listened on.
    #[cfg(feature = "unix-sockets")]
    sockets: Vec<listen::SocketFile>,
    /// Given to vhosts that make no TLS connections, for which the C library
    /// would load the system's certificates otherwise.
    #[cfg(feature = "_tls")]
    no_client_tls: Rc<crate::ffi::tls::ClientCtx>,
}

impl Context {
    /// Starts to describe a context.
    pub fn builder() -> ContextBuilder {
        ContextBuilder::new()
    }

    /// A handle for other threads.
    pub fn handle(&self) -> ContextHandle {
        self.engine.handle()
    }

    /// The address that the `vhost`th vhost given to the builder listens on,
    /// with the real port where 0 was asked for. `None`: there is no such vhost,
    /// or it listens on a Unix domain socket.
    #[doc(alias = "lws_get_vhost_listen_port")]
    pub fn local_addr(&self, vhost: usize) -> Option<SocketAddr> {
        self.engine.local_addr(vhost)
    }

    /// The context's key log.
    #[cfg(feature = "keylog")]
    pub fn keylog(&self) -> &crate::keylog::KeyLogHandle {
        self.engine.keylog()
    }

    /// Services the context until [`ContextHandle::stop`], or until a
    /// [`ContextHandle::shutdown`] is done. It may be called again.
    ///
    /// # Errors
    ///
    /// The C library can't go on (`lws_service` failed), or this is a process that was
    /// [forked](Context#after-a-fork) from the context's own.
    ///
    /// # Panics
    ///
    /// Resumes a panic of the application's code that was called meanwhile: of a handler, a
    /// factory, a closure given to [`ContextHandle::run`], the waker of whoever awaits a
    /// [`Connecting`], a filter or a function of the key log (also on the thread of its queue),
    /// the application's logger, or the drop of any of these. Of several the first is resumed,
    /// and each further one logged, as "a further panic: …" with its text (target
    /// `libwebsockets::panic`, level `error`). The context may be serviced again afterwards.
    #[doc(alias = "lws_service")]
    pub fn run(&mut self) -> Result<(), Error> {
        while !self.take_stop() {
            self.service(None)?;
        }
        Ok(())
    }

    /// Whether the loop that services this context is to end: after
    /// [`ContextHandle::stop`], and once a [`ContextHandle::shutdown`] is done.
    ///
    /// It is said once. The context may then be serviced again, and lets clients
    /// in again. [`run`](Context::run) asks for it itself;
    /// [`service`](Context::service) goes on regardless, but returns when there is
    /// something new to be asked for.
    #[must_use = "it is said once"]
    pub fn take_stop(&mut self) -> bool {
        self.engine.take_stop()
    }

    /// Waits for events, at most for `timeout`, and handles those that are
    /// there: it returns when a handler has been called. It may also return early,
    /// without any. The time counts in milliseconds, rounded up. `Some(Duration::ZERO)` handles
    /// what is there and doesn't wait; `None` waits for as long as it takes.
    ///
    /// A loop of one's own asks [`take_stop`](Context::take_stop) in between:
    ///
    /// ```
    /// # fn serve(mut context: libwebsockets::Context) -> Result<(), libwebsockets::Error> {
    /// while !context.take_stop() {
    ///     context.service(None)?;
    ///     // … what else there is to do …
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`run`](Context::run).
    ///
    /// # Panics
    ///
    /// As for [`run`](Context::run).
    #[doc(alias = "lws_service")]
    pub fn service(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.check_process()?;
        // From here on, what the loop has to look at keeps it from sleeping.
        let engine = Rc::clone(&self.engine);
        let _turn = engine.shared.begin_turn();
        self.handle_pending();
        if !Rc::ptr_eq(&engine, &self.engine) {
            // A closure put another context in this one's place.
            return Ok(());
        }
        // One may have forked, too.
        self.check_process()?;
        let timeout = self.engine.sleep(timeout);
        let Some(raw) = &mut self.raw else {
            return Ok(());
        };
        let alive = raw.service(timeout, || engine.begin_events());
        engine.end_events();
        self.resume_panic();
        self.handle_pending();
        if alive {
            Ok(())
        } else {
            Err(Error::Library {
                what: "another turn of the service loop",
            })
        }
    }

    /// Connects a client. The outcome also reaches the handler, by
    /// [`on_open`](Handler::on_open) or
    /// [`on_connect_error`](Handler::on_connect_error), which may be called before this
    /// returns. While the context shuts down, that outcome is
    /// [`ShuttingDown`](crate::ConnectError::ShuttingDown).
    ///
    /// Resolving the host's name may block the thread; see [`Client::new`].
    ///
    /// # Errors
    ///
    /// TLS settings that can't be used, such as files that can't be read, the C library's
    /// failure to make a vhost, and a process that was [forked](Context#after-a-fork). Nothing
    /// was tried then, and nothing will be, even for a client that reconnects: the handler is
    /// dropped, and none of its methods is called.
    /// ([`ContextHandle::connect`] tells the handler, by
    /// [`Setup`](crate::ConnectError::Setup), and tries again.)
    ///
    /// # Panics
    ///
    /// As for [`run`](Context::run). The client goes on to connect, but the [`Connecting`] is
    /// lost.
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn connect(&mut self, client: Client, handler: impl Handler) -> Result<Connecting, Error> {
        self.check_process()?;
        let (connecting, ticket) = self.engine.ticket();
        let handler = Box::new(handler);
        self.start(client, handler, ticket)?;
        self.resume_panic();
        Ok(connecting)
    }

    /// A child that was forked shares the sockets, and what waits for them, with its parent.
    fn check_process(&self) -> Result<(), Error> {
        match self.forks == forks() {
            true => Ok(()),
            false => Err(Error::Forked),
        }
    }

    /// Resumes the panic of an application's code that was caught on its way
    /// through C.
    fn resume_panic(&self) {
        #[cfg(feature = "keylog")]
        if let Some(panic) = self.engine.keylog().log().take_panic() {
            self.engine.keep_panic(panic);
        }
        if let Some(panic) = self.engine.take_panic() {
            if std::thread::panicking() {
                crate::panic::report(panic);
            } else {
                resume_unwind(panic);
            }
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.engine.begin_shutdown();
        // While the sockets are open still: see there.
        #[cfg(feature = "unix-sockets")]
        self.sockets.clear();
        // Its callbacks only collect what is to be told to handlers, and to the key log.
        #[cfg(feature = "keylog")]
        self.engine.keylog().log().context_goes();
        self.raw = None;
        #[cfg(feature = "keylog")]
        self.engine
            .guard(|| self.engine.keylog().log().context_gone());
        self.engine.end_shutdown();
        self.resume_panic();
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("connections", &self.engine.connection_count())
            .finish_non_exhaustive()
    }
}
