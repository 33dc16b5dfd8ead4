//! What other threads may ask of a context.

use super::commands::{Command, Commands};
use super::wake_flag::WakeFlag;
use super::Context;
use crate::client::{Client, Connecting, Ticket, Token};
use crate::connection::ids::ById;
use crate::connection::outbox::Outbox;
use crate::connection::{ConnectionId, Handler};
use crate::error::{ConnectionGone, ContextGone, SendError};
use crate::ffi::context::Waker;
use crate::message::{CloseFrame, Message};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::ThreadId;
use std::time::Duration;

/// Reaches a context from any thread. Clones reach the same one.
///
/// On the context's own thread too, within a handler for example, nothing here calls
/// a handler: messages are queued, and the rest is done once the handler has returned.
/// So a `RefCell` that handlers share may be borrowed meanwhile. Nothing here waits for the
/// context's thread.
///
/// After the context is dropped, what is asked is refused by an error; broadcasts
/// then reach nobody, and `stop` does nothing.
///
/// What is asked of the context waits until its thread has time. Messages wait in the queue of
/// their connection, which is bounded; of what is asked of one connection again and again, such
/// as to pause reading, only the last waits. How many closures ([`run`](ContextHandle::run)),
/// clients ([`connect`](ContextHandle::connect)) and [shutdowns](ContextHandle::shutdown) may wait
/// isn't bounded: that is up to who asks.
#[derive(Clone)]
pub struct ContextHandle {
    shared: Arc<Shared>,
}

/// How a broadcast went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it says who didn't get the message"]
pub struct Broadcast {
    /// Connections whose queue took the message.
    pub queued: usize,
    /// Connections whose queue was full.
    pub full: Vec<ConnectionId>,
    /// No connection takes a message that is so long: a ping or a pong of more than
    /// [`MAX_CONTROL_PAYLOAD`](crate::message::MAX_CONTROL_PAYLOAD) bytes, or another message
    /// of more than [`Message::MAX_LEN`].
    pub too_long: bool,
}

/// What handles and the service thread share.
pub(crate) struct Shared {
    service_thread: ThreadId,
    waker: OnceLock<Waker>,
    /// Whether the service thread is within [`Context::service`]. Its own.
    in_turn: AtomicBool,
    /// A wake-up is on its way already.
    woken: WakeFlag,
    gone: AtomicBool,
    stop: AtomicBool,
    commands: Mutex<Commands>,
    /// Connections whose queue was filled from outside.
    dirty: Mutex<Vec<ConnectionId>>,
    /// The queues of open connections.
    outboxes: RwLock<ById<Arc<Outbox>>>,
    #[cfg(feature = "keylog")]
    pub keylog: crate::keylog::KeyLogHandle,
}

impl Shared {
    pub fn new(#[cfg(feature = "keylog")] keylog: crate::keylog::KeyLogHandle) -> Self {
        Shared {
            #[cfg(feature = "keylog")]
            keylog,
            service_thread: std::thread::current().id(),
            waker: OnceLock::new(),
            in_turn: AtomicBool::new(false),
            woken: WakeFlag::new(),
            gone: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            commands: Mutex::default(),
            dirty: Mutex::default(),
            outboxes: RwLock::default(),
        }
    }

    pub fn set_waker(&self, waker: Waker) {
        // Set once, when the context is built.
        let _ = self.waker.set(waker);
    }

    fn is_service_thread(&self) -> bool {
        std::thread::current().id() == self.service_thread
    }

    /// Makes the service loop look at what was asked of it, or has become due.
    ///
    /// On its own thread that is needed during a turn only, when it may have
    /// looked already and not have slept yet: the C library runs its timers, and
    /// with them callbacks, right before it sleeps.
    pub fn wake(&self) {
        if !self.is_service_thread() || self.in_turn.load(Ordering::Relaxed) {
            self.end_wait();
        }
    }

    /// Ends the loop's wait, or the next one.
    fn end_wait(&self) {
        if self.woken.raise() {
            if let Some(waker) = self.waker.get() {
                waker.wake();
            }
        }
    }

    /// Begins a turn of the service loop, which ends when the guard is dropped.
    pub fn begin_turn(self: &Arc<Self>) -> Turn {
        Turn {
            shared: Arc::clone(self),
            outer: self.in_turn.swap(true, Ordering::Relaxed),
        }
    }

    /// Called by the service loop before it looks. Acquires what came with a
    /// wake-up that this makes good for.
    pub fn rearm(&self) {
        self.woken.lower();
    }

    /// How many commands wait.
    pub fn command_count(&self) -> usize {
        lock(&self.commands).len()
    }

    pub fn take_command(&self) -> Option<Command> {
        lock(&self.commands).pop()
    }

    pub fn take_dirty(&self) -> Vec<ConnectionId> {
        std::mem::take(&mut *lock(&self.dirty))
    }

    pub fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::AcqRel)
    }

    pub fn open(&self, id: ConnectionId, outbox: Arc<Outbox>) {
        let mut outboxes = self
            .outboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        outboxes.insert(id, outbox);
    }

    pub fn close(&self, id: ConnectionId) {
        let mut outboxes = self
            .outboxes
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        outboxes.remove(&id);
    }

    /// From now on every handle's methods fail.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    fn outboxes(&self) -> RwLockReadGuard<'_, ById<Arc<Outbox>>> {
        self.outboxes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self, id: ConnectionId) -> Option<Arc<Outbox>> {
        self.outboxes().get(&id).cloned()
    }

    fn command(&self, command: Command) -> Result<(), ContextGone> {
        let mut commands = lock(&self.commands);
        // Checked under the lock, so that none is added after the last were taken.
        if self.gone.load(Ordering::Acquire) {
            drop(commands);
            return Err(ContextGone);
        }
        commands.push(command);
        drop(commands);
        self.wake();
        Ok(())
    }

    fn mark_dirty(&self, id: ConnectionId, outbox: &Outbox) {
        if outbox.set_dirty() {
            lock(&self.dirty).push(id);
            self.wake();
        }
    }
}

/// A turn of the service loop.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    /// It is within another one: a closure services the context that runs it.
    outer: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.in_turn.store(self.outer, Ordering::Relaxed);
        if self.outer {
            // This turn may have taken a wake-up that was meant for the outer one.
            self.shared.wake();
        }
    }
}

impl ContextHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        ContextHandle { shared }
    }

    /// For the outcome of a connect.
    pub(crate) fn ticket(&self) -> (Connecting, Ticket) {
        Connecting::pair(self.shared.service_thread, Some(self.clone()))
    }

    /// Queues a message for an open connection: behind what its
    /// [`on_open`](Handler::on_open) sends, if that hasn't returned yet. `Ok` means that it is
    /// queued, not that it is delivered: see [`Connection::send`](crate::Connection::send).
    ///
    /// # Errors
    ///
    /// The message is given back: the queue is full, the connection isn't open
    /// (a stale id), or the message is too long. Where the queue is full, the connection's
    /// handler hears by [`on_writable`](Handler::on_writable) when it is empty again, and has
    /// to tell this thread, if that waits.
    #[doc(alias = "lws_write")]
    pub fn send(&self, id: ConnectionId, message: impl Into<Message>) -> Result<(), SendError> {
        let message = message.into();
        let Some(outbox) = self.shared.outbox(id) else {
            return Err(SendError::Closed(Box::new(message)));
        };
        outbox.push_from(message, self.shared.is_service_thread())?;
        self.shared.mark_dirty(id, &outbox);
        Ok(())
    }

    /// Queues a copy of a message for every open connection, servers' and
    /// clients', each with memory of its own. Connections that are closing don't get it, and
    /// aren't counted.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn broadcast(&self, message: impl Into<Message>) -> Broadcast {
        let targets: Vec<_> = self
            .shared
            .outboxes()
            .iter()
            .map(|(id, outbox)| (*id, Arc::clone(outbox)))
            .collect();
        self.queue_for(targets, &message.into())
    }

    /// Queues a copy of a message for each of these connections, such as those
    /// in one room of a chat. Ids of connections that aren't open are passed over.
    ///
    /// ```
    /// # use libwebsockets::{ConnectionId, ContextHandle};
    /// fn say(context: &ContextHandle, room: &[ConnectionId], but: ConnectionId, text: &str) {
    ///     let others = room.iter().copied().filter(|id| *id != but);
    ///     for slow in context.broadcast_to(others, text).full {
    ///         let _ = context.abort(slow); // gone already is as good
    ///     }
    /// }
    /// ```
    pub fn broadcast_to(
        &self,
        ids: impl IntoIterator<Item = ConnectionId>,
        message: impl Into<Message>,
    ) -> Broadcast {
        let ids = ids.into_iter();
        let targets = ids.filter_map(|id| Some((id, self.shared.outbox(id)?)));
        self.queue_for(targets, &message.into())
    }

    fn queue_for(
        &self,
        targets: impl IntoIterator<Item = (ConnectionId, Arc<Outbox>)>,
        message: &Message,
    ) -> Broadcast {
        let mut result = Broadcast::default();
        let inside = self.shared.is_service_thread();
        for (id, outbox) in targets {
            match outbox.push_from(message.clone(), inside) {
                Ok(()) => {
                    result.queued += 1;
                    self.shared.mark_dirty(id, &outbox);
                }
                Err(SendError::Full(_)) => result.full.push(id),
                Err(_) => {}
            }
        }
        result.too_long = message.is_too_long();
        result
    }

    /// Closes a connection after what is queued for it, as
    /// [`Connection::close`](crate::Connection::close) does: what the peer sends after that
    /// isn't delivered. For a peer that is too slow there is [`abort`](ContextHandle::abort).
    ///
    /// # Errors
    ///
    /// The connection isn't open (a stale id).
    #[doc(alias = "lws_close_reason")]
    pub fn close(
        &self,
        id: ConnectionId,
        frame: impl Into<CloseFrame>,
    ) -> Result<(), ConnectionGone> {
        let outbox = self.shared.outbox(id).ok_or(ConnectionGone)?;
        // An earlier close stands.
        let _ = outbox.close(frame.into());
        self.shared.mark_dirty(id, &outbox);
        Ok(())
    }

    /// Drops a connection without a closing handshake. Its client doesn't connect again; for
    /// that there is [`reconnect`](ContextHandle::reconnect).
    ///
    /// # Errors
    ///
    /// The connection isn't open (a stale id).
    #[doc(alias = "lws_set_timeout")]
    #[doc(alias = "lws_wsi_close")]
    pub fn abort(&self, id: ConnectionId) -> Result<(), ConnectionGone> {
        self.drop_connection(id, false)
    }

    /// Drops a connection as if it had broken, so that a client that
    /// [reconnects](Client::reconnect) does, when its backoff says so: as
    /// [`Connection::reconnect`](crate::Connection::reconnect). For a thread that waits for
    /// an answer in vain.
    ///
    /// # Errors
    ///
    /// The connection isn't open (a stale id).
    pub fn reconnect(&self, id: ConnectionId) -> Result<(), ConnectionGone> {
        self.drop_connection(id, true)
    }

    fn drop_connection(&self, id: ConnectionId, again: bool) -> Result<(), ConnectionGone> {
        self.shared.outbox(id).ok_or(ConnectionGone)?;
        self.shared
            .command(Command::Drop(id, again))
            .map_err(|_| ConnectionGone)
    }

    /// Stops reading from the peer, as
    /// [`Connection::pause_reading`](crate::Connection::pause_reading) does.
    ///
    /// # Errors
    ///
    /// The connection isn't open (a stale id).
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause_reading(&self, id: ConnectionId) -> Result<(), ConnectionGone> {
        self.read(id, false)
    }

    /// Reads from the peer again: for handlers that pass on to other threads what they
    /// receive, and [paused](crate::Connection::pause_reading) because those were busy.
    ///
    /// # Errors
    ///
    /// The connection isn't open (a stale id).
    #[doc(alias = "lws_rx_flow_control")]
    pub fn resume_reading(&self, id: ConnectionId) -> Result<(), ConnectionGone> {
        self.read(id, true)
    }

    fn read(&self, id: ConnectionId, on: bool) -> Result<(), ConnectionGone> {
        self.shared.outbox(id).ok_or(ConnectionGone)?;
        self.shared
            .command(Command::Read(id, on))
            .map_err(|_| ConnectionGone)
    }

    /// Lets a client connect no more; see [`Connecting::cancel`].
    pub(crate) fn cancel(&self, client: Token) {
        // A context that is gone connects nobody.
        let _ = self.shared.command(Command::Cancel(client));
    }

    /// Connects a client on the context's thread.
    ///
    /// # Errors
    ///
    /// The context is gone; the handler is dropped here. What is wrong with the client's
    /// settings comes out of the [`Connecting`].
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn connect(
        &self,
        client: Client,
        handler: impl Handler + Send,
    ) -> Result<Connecting, ContextGone> {
        let (connecting, ticket) = self.ticket();
        let command = Command::Connect(Box::new(client), Box::new(handler), ticket);
        self.shared.command(command)?;
        Ok(connecting)
    }

    /// Runs a closure on the context's thread, between events. Its panic unwinds at once out of
    /// [`Context::service`] or [`Context::run`]. If the closure calls [`Context::run`] itself,
    /// that takes the [`stop`](ContextHandle::stop) that the outer one waits for.
    ///
    /// # Errors
    ///
    /// The context is gone. A closure that wasn't run when the context is
    /// dropped is dropped with it.
    #[doc(alias = "lws_cancel_service")]
    pub fn run(&self, f: impl FnOnce(&mut Context) + Send + 'static) -> Result<(), ContextGone> {
        self.shared.command(Command::Run(Box::new(f)))
    }

    /// Makes [`Context::run`] return, and [`Context::take_stop`] say so;
    /// connections stay open until the context is dropped or run again. A signal
    /// handler must not call this; a thread that waits for signals may.
    #[doc(alias = "lws_cancel_service")]
    pub fn stop(&self) {
        self.shared.stop.swap(true, Ordering::AcqRel);
        // Also between turns: there is something to be asked for, and no turn looks for it.
        self.shared.end_wait();
    }

    /// Shuts the context down gracefully: no client is let in and none connects
    /// any more, every open connection is closed with `frame` after what is queued
    /// for it, and [`Context::run`] returns once all have ended, or after `timeout`. An
    /// application's own loop is told by [`Context::take_stop`]. Messages that come after a
    /// connection's close frame is out aren't delivered. A second call meanwhile
    /// sets another `timeout`, and changes nothing else.
    ///
    /// # Errors
    ///
    /// The context is gone.
    pub fn shutdown(
        &self,
        frame: impl Into<CloseFrame>,
        timeout: Duration,
    ) -> Result<(), ContextGone> {
        self.shared
            .command(Command::Shutdown(frame.into(), timeout))
    }

    /// The context's key log.
    #[cfg(feature = "keylog")]
    pub fn keylog(&self) -> &crate::keylog::KeyLogHandle {
        &self.shared.keylog
    }

    /// The connections that are open, in the order in which they were opened.
    pub fn connections(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<_> = self.shared.outboxes().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Whether the context still lives.
    pub fn is_alive(&self) -> bool {
        !self.shared.gone.load(Ordering::Acquire)
    }
}

impl fmt::Debug for ContextHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextHandle")
            .field("alive", &self.is_alive())
            .finish_non_exhaustive()
    }
}

/// No foreign code runs under these locks, so that a poisoned one is consistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
