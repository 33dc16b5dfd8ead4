//! The engine: what becomes of each event of the C library. Safe code, called
//! by the trampoline, possibly again while it runs an application's code.

mod accept;
mod ending;
mod events;
mod handshake;

use super::handle::{ContextHandle, Shared};
use super::timers::{Due, Timers};
use crate::client::{Connecting, Ticket};
use crate::connection::buffers::BufferCache;
use crate::connection::ids::ById;
use crate::connection::state::Conn;
use crate::connection::{Connection, ConnectionId, Handler};
use crate::ffi::wsi::Wsi;
use crate::server::VhostState;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(feature = "_tls")]
use crate::error::Error;

/// Something to tell an application once the C library is out of the way.
type Notice = Box<dyn FnOnce(&Engine)>;

/// The state of a context, on its service thread. No borrow of a `RefCell` in
/// it is held while C or an application's code runs.
pub(crate) struct Engine {
    pub(in crate::context) shared: Arc<Shared>,
    /// Slots of connections; the C library remembers their indices.
    conns: RefCell<Vec<Option<Rc<Conn>>>>,
    free: RefCell<Vec<usize>>,
    by_id: RefCell<ById<usize>>,
    pub(in crate::context) vhosts: RefCell<Vec<Rc<VhostState>>>,
    addresses: RefCell<Vec<Option<SocketAddr>>>,
    spare: BufferCache,
    pub(in crate::context) timers: RefCell<Timers>,
    /// The first panic that nobody has seen yet.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    /// Set while the context is destroyed: no application's code runs then, for
    /// the process-wide lock of destruction is held.
    shutting_down: Cell<bool>,
    notices: RefCell<Vec<Notice>>,
    /// The vhost whose SSL_CTX is about to be made, and what became of it.
    #[cfg(feature = "_tls")]
    pub(in crate::context) tls_setup: RefCell<Option<(Rc<VhostState>, crate::tls::LoadedServer)>>,
    #[cfg(feature = "_tls")]
    pub(in crate::context) tls_error: RefCell<Option<Error>>,
    /// Set by a graceful shutdown: when the service loop gives up waiting.
    pub(in crate::context) closing: Cell<Option<Instant>>,
}

impl Engine {
    pub fn new(#[cfg(feature = "keylog")] keylog: crate::keylog::KeyLogHandle) -> Self {
        Engine {
            shared: Arc::new(Shared::new(
                #[cfg(feature = "keylog")]
                keylog,
            )),
            conns: RefCell::default(),
            free: RefCell::default(),
            by_id: RefCell::default(),
            vhosts: RefCell::default(),
            addresses: RefCell::default(),
            spare: BufferCache::default(),
            timers: RefCell::default(),
            panic: RefCell::default(),
            shutting_down: Cell::new(false),
            notices: RefCell::default(),
            #[cfg(feature = "_tls")]
            tls_setup: RefCell::default(),
            #[cfg(feature = "_tls")]
            tls_error: RefCell::default(),
            closing: Cell::new(None),
        }
    }

    pub fn handle(&self) -> ContextHandle {
        ContextHandle::new(Arc::clone(&self.shared))
    }

    #[cfg(feature = "keylog")]
    pub fn keylog(&self) -> &crate::keylog::KeyLogHandle {
        &self.shared.keylog
    }

    /// The service loop has waited, and is about to handle what there is.
    pub fn begin_events(&self) {
        #[cfg(feature = "keylog")]
        self.keylog().log().begin_turn();
    }

    /// It has handled that.
    pub fn end_events(&self) {
        #[cfg(feature = "keylog")]
        self.guard(|| self.keylog().log().end_turn());
    }

    pub fn ticket(&self) -> (Connecting, Ticket) {
        self.handle().ticket()
    }

    pub fn add_address(&self, address: Option<SocketAddr>) {
        self.addresses.borrow_mut().push(address);
    }

    pub fn local_addr(&self, vhost: usize) -> Option<SocketAddr> {
        self.addresses.borrow().get(vhost).copied().flatten()
    }

    pub fn connection_count(&self) -> usize {
        self.by_id.borrow().len()
    }

    /// Whether `run` is to return: it was stopped, or a graceful shutdown is over.
    pub fn take_stop(&self) -> bool {
        let closed = self
            .closing
            .get()
            .is_some_and(|until| self.connection_count() == 0 || Instant::now() >= until);
        if closed {
            self.closing.set(None);
        }
        self.shared.take_stop() || closed
    }

    /// How long the service loop may sleep, unless it is woken.
    pub fn sleep(&self, timeout: Option<Duration>) -> Option<Duration> {
        let next = self.timers.borrow().until_next();
        [timeout, next].into_iter().flatten().min()
    }

    /// Sets a timer, also while the C library is about to sleep.
    pub(in crate::context) fn add_timer(&self, after: Duration, due: Due) {
        self.timers.borrow_mut().add(after, due);
        self.shared.wake();
    }

    /// Tells the service loop if a graceful shutdown has nothing to wait for.
    pub(in crate::context) fn note_emptiness(&self) {
        if self.closing.get().is_some() && self.connection_count() == 0 {
            self.shared.wake();
        }
    }
}

/// Panics, and the application's code that may raise them.
impl Engine {
    pub fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        let mut first = self.panic.borrow_mut();
        if first.is_none() {
            *first = Some(panic);
            // It is resumed when the C library returns, which may be about to sleep.
            self.shared.wake();
        } else {
            drop(first);
            // It follows a panic that is on its way already.
            crate::panic::report(panic);
        }
    }

    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.borrow_mut().take()
    }

    /// Runs an application's code; `None` if it panicked.
    pub fn guard<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.keep_panic(panic);
                None
            }
        }
    }

    /// Logs a line for whoever develops, made where somebody listens. A logger is foreign code.
    fn log(&self, target: &'static str, line: impl FnOnce() -> String) {
        if !self.shutting_down.get() {
            self.guard(|| {
                if log::log_enabled!(target: target, log::Level::Debug) {
                    log::debug!(target: target, "{}", line());
                }
            });
        }
    }

    /// Calls the handler of a connection, with the handler out of its place so
    /// that nothing that comes back meets it. `None`: it isn't there, or panicked.
    fn with_handler<R>(
        &self,
        conn: &Conn,
        wsi: &Wsi<'_>,
        f: impl FnOnce(&mut dyn Handler, &mut Connection<'_>) -> R,
    ) -> Option<R> {
        let mut handler = conn.handler.borrow_mut().take()?;
        let result = self.guard(|| f(&mut *handler, &mut Connection::new(self, conn, wsi)));
        if result.is_none() {
            conn.doom();
        }
        *conn.handler.borrow_mut() = Some(handler);
        result
    }

    /// Tells an application something: now, or after the context is destroyed.
    fn tell(&self, told: Notice) {
        if self.shutting_down.get() {
            self.notices.borrow_mut().push(told);
        } else {
            self.guard(|| told(self));
            // Its loop may look at what that changed; the library may be about to sleep.
            self.shared.wake();
        }
    }
}

/// Slots.
impl Engine {
    /// Gives a connection a slot.
    pub(in crate::context) fn insert(&self, conn: Rc<Conn>) -> usize {
        let mut conns = self.conns.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            conns.push(None);
            conns.len() - 1
        });
        self.by_id.borrow_mut().insert(conn.id, index);
        conns[index] = Some(conn);
        index
    }

    pub(in crate::context) fn remove(&self, index: usize) -> Option<Rc<Conn>> {
        let conn = self.conns.borrow_mut().get_mut(index)?.take()?;
        self.free.borrow_mut().push(index);
        self.by_id.borrow_mut().remove(&conn.id);
        self.note_emptiness();
        Some(conn)
    }

    pub(in crate::context) fn by_id(&self, id: ConnectionId) -> Option<Rc<Conn>> {
        let index = *self.by_id.borrow().get(&id)?;
        self.conns.borrow().get(index)?.clone()
    }

    /// Every connection.
    pub(in crate::context) fn all(&self) -> Vec<Rc<Conn>> {
        self.conns.borrow().iter().flatten().cloned().collect()
    }

    /// The connection of a wsi. One that was just made by a connect is met here
    /// for the first time.
    fn conn(&self, wsi: &Wsi<'_>) -> Option<Rc<Conn>> {
        let conn = self.conns.borrow().get(wsi.slot()?)?.clone()?;
        if !conn.wsi.is_set() {
            conn.wsi.set(wsi);
        }
        conn.wsi.holds(wsi).then_some(conn)
    }
}
