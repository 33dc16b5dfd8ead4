//! The engine: what becomes of each event of the C library. Safe code, called
//! by the trampoline, possibly again while it runs an application's code.

use super::handle::{ContextHandle, Shared};
use super::timers::{Due, Timers};
use crate::client::{ConnectError, Connecting, Ticket};
use crate::connection::assembler::Assembled;
use crate::connection::outbox::Next;
use crate::connection::state::{Conn, Stage};
use crate::connection::{Connection, ConnectionId, Fragment, Handler, Initiator, Role};
use crate::ffi::event::{Chunk, Event, Verdict};
use crate::ffi::headers::HeaderWriter;
use crate::ffi::wsi::Wsi;
use crate::message::{CloseCode, CloseFrame};
use crate::server::{Refusal, Request, VhostState};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::{error::Error, ffi::tls::ServerCtx};

/// Something to tell an application once the C library is out of the way.
type Told = Box<dyn FnOnce(&Engine)>;

/// The state of a context, on its service thread. No borrow of a `RefCell` in
/// it is held while C or an application's code runs.
pub(crate) struct Engine {
    pub(super) shared: Arc<Shared>,
    /// Slots of connections; the C library remembers their indices.
    conns: RefCell<Vec<Option<Rc<Conn>>>>,
    free: RefCell<Vec<usize>>,
    by_id: RefCell<HashMap<ConnectionId, usize>>,
    pub(super) vhosts: RefCell<Vec<Rc<VhostState>>>,
    addresses: RefCell<Vec<Option<SocketAddr>>>,
    pub(super) timers: RefCell<Timers>,
    /// The first panic that nobody has seen yet.
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    /// Set while the context is destroyed: no application's code runs then, for
    /// the process-wide lock of destruction is held.
    shutting_down: Cell<bool>,
    told_later: RefCell<Vec<Told>>,
    /// The vhost whose SSL_CTX is about to be made, and what became of it.
    #[cfg(feature = "tls")]
    pub(super) tls_setup: RefCell<Option<Rc<VhostState>>>,
    #[cfg(feature = "tls")]
    pub(super) tls_error: RefCell<Option<Error>>,
    #[cfg(feature = "keylog")]
    keylog: crate::keylog::KeyLogHandle,
}

impl Engine {
    pub fn new(#[cfg(feature = "keylog")] keylog: crate::keylog::KeyLogHandle) -> Self {
        Engine {
            shared: Arc::new(Shared::new()),
            conns: RefCell::default(),
            free: RefCell::default(),
            by_id: RefCell::default(),
            vhosts: RefCell::default(),
            addresses: RefCell::default(),
            timers: RefCell::default(),
            panic: RefCell::default(),
            shutting_down: Cell::new(false),
            told_later: RefCell::default(),
            #[cfg(feature = "tls")]
            tls_setup: RefCell::default(),
            #[cfg(feature = "tls")]
            tls_error: RefCell::default(),
            #[cfg(feature = "keylog")]
            keylog,
        }
    }

    pub fn handle(&self) -> ContextHandle {
        ContextHandle::new(Arc::clone(&self.shared))
    }

    #[cfg(feature = "keylog")]
    pub fn keylog(&self) -> &crate::keylog::KeyLogHandle {
        &self.keylog
    }

    pub fn ticket(&self) -> (Connecting, Ticket) {
        Connecting::pair(self.shared.service_thread())
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

    pub fn take_stop(&self) -> bool {
        self.shared.take_stop()
    }

    /// How long the service loop may sleep.
    pub fn sleep(&self, timeout: Option<Duration>) -> Option<Duration> {
        if self.shared.has_pending() || self.shared.is_stopping() {
            return Some(Duration::ZERO);
        }
        let next = self.timers.borrow().until_next();
        match (timeout, next) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Panics, and the application's code that may raise them.
impl Engine {
    pub fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        let mut first = self.panic.borrow_mut();
        if first.is_none() {
            *first = Some(panic);
        } else {
            drop(first);
            // Another one follows a panic that is on its way already; the panic hook has
            // reported both. Its payload's drop is foreign code as well.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(panic)));
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
            conn.note_ending(Initiator::Local, None);
            conn.outbox.shut();
            conn.doomed.set(true);
        }
        *conn.handler.borrow_mut() = Some(handler);
        result
    }

    /// Tells an application something: now, or after the context is destroyed.
    fn tell(&self, told: Told) {
        if self.shutting_down.get() {
            self.told_later.borrow_mut().push(told);
        } else {
            self.guard(|| told(self));
        }
    }
}

/// Slots.
impl Engine {
    /// Gives a connection a slot.
    pub(super) fn insert(&self, conn: Rc<Conn>) -> usize {
        let mut conns = self.conns.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            conns.push(None);
            conns.len() - 1
        });
        self.by_id.borrow_mut().insert(conn.id, index);
        conns[index] = Some(conn);
        index
    }

    pub(super) fn remove(&self, index: usize) -> Option<Rc<Conn>> {
        let conn = self.conns.borrow_mut().get_mut(index)?.take()?;
        self.free.borrow_mut().push(index);
        self.by_id.borrow_mut().remove(&conn.id);
        Some(conn)
    }

    pub(super) fn by_id(&self, id: ConnectionId) -> Option<Rc<Conn>> {
        let index = *self.by_id.borrow().get(&id)?;
        self.conns.borrow().get(index)?.clone()
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

/// Events.
impl Engine {
    /// Decides what becomes of an event.
    pub fn on_event(&self, wsi: &Wsi<'_>, event: Event<'_>) -> Verdict {
        match event {
            Event::UpgradeRequested { to } => return self.on_upgrade_request(wsi, to),
            Event::HttpRequest => {
                self.refuse(wsi, &Refusal::upgrade_required());
                return Verdict::Close;
            }
            _ => {}
        }
        let Some(conn) = self.conn(wsi) else {
            return Verdict::Continue;
        };
        match event {
            Event::UpgradeRequested { .. } | Event::HttpRequest => Verdict::Close,
            Event::ServerEstablished | Event::ClientEstablished => self.on_open(&conn, wsi),
            Event::ClientRequest(writer) => self.on_client_request(&conn, writer),
            Event::ClientResponse => self.on_client_response(&conn, wsi),
            Event::ClientFailed { reason } => {
                if let Some(attempt) = &mut *conn.attempt.borrow_mut() {
                    attempt.note(reason, wsi.http_status());
                }
                Verdict::Continue
            }
            Event::Received(chunk) => self.on_received(&conn, wsi, &chunk),
            Event::Pong(payload) => {
                if conn.stage.get() == Stage::Open {
                    self.with_handler(&conn, wsi, |h, c| h.on_pong(c, payload));
                }
                self.settle(&conn, wsi)
            }
            Event::Writable => self.on_writable(&conn, wsi),
            Event::PeerClosed { code, reason } => {
                let frame = code.map(|code| CloseFrame::received(code, reason));
                conn.note_ending(Initiator::Remote, frame);
                conn.outbox.shut();
                Verdict::Continue
            }
            Event::Closed => {
                self.end(&conn);
                Verdict::Continue
            }
            Event::Destroyed => {
                self.on_destroyed(&conn, wsi);
                Verdict::Continue
            }
        }
    }

    /// A server decides about an upgrade request.
    fn on_upgrade_request(&self, wsi: &Wsi<'_>, to: &str) -> Verdict {
        let vhost = wsi
            .vhost_index()
            .and_then(|index| self.vhosts.borrow().get(index).cloned());
        let Some(vhost) = vhost.filter(|_| !self.shutting_down.get()) else {
            return Verdict::Close;
        };
        if !to.eq_ignore_ascii_case("websocket") {
            self.refuse(wsi, &Refusal::upgrade_required());
            return Verdict::Close;
        }
        #[cfg(feature = "tls")]
        if vhost.tls.get().is_some_and(|ctx| !wsi.tls_ctx_is(ctx)) {
            // The Host header names another vhost than the handshake was made with, whose
            // rules for client certificates may differ (RFC 9110 §15.5.20).
            let status = http::StatusCode::MISDIRECTED_REQUEST;
            let why = "the TLS handshake was for another host";
            self.refuse(wsi, &Refusal::new(status).body(why));
            return Verdict::Close;
        }
        match self.accept(wsi, &vhost) {
            Ok(conn) => {
                wsi.set_slot(self.insert(Rc::clone(&conn)));
                conn.wsi.set(wsi);
                Verdict::Continue
            }
            Err(refusal) => {
                self.refuse(wsi, &refusal);
                Verdict::Close
            }
        }
    }

    /// Asks the vhost's factory for a handler.
    fn accept(&self, wsi: &Wsi<'_>, vhost: &VhostState) -> Result<Rc<Conn>, Refusal> {
        let request = Request::read(wsi, &vhost.vhost.name)?;
        let Some((subprotocol, factory)) = vhost.choose(request.offered_subprotocols()) else {
            let status = http::StatusCode::BAD_REQUEST;
            return Err(Refusal::new(status).body("none of the subprotocols offered is served"));
        };
        let request = request.with_subprotocol(subprotocol);
        let handler = self.guard(|| factory(&request)).unwrap_or_else(|| {
            Err(Refusal::new(http::StatusCode::INTERNAL_SERVER_ERROR).body("internal error"))
        })?;
        Ok(Rc::new(Conn::new(
            Role::Server,
            &vhost.vhost.config,
            handler,
            subprotocol.map(str::to_owned),
            None,
        )))
    }

    fn refuse(&self, wsi: &Wsi<'_>, refusal: &Refusal) {
        let answer = refusal.answer();
        wsi.respond(answer.status, &answer.headers, &answer.body);
    }

    fn on_client_request(&self, conn: &Conn, mut writer: HeaderWriter<'_>) -> Verdict {
        let mut attempt = conn.attempt.borrow_mut();
        let Some(attempt) = &mut *attempt else {
            return Verdict::Close;
        };
        let client = Rc::clone(&attempt.client);
        for (name, value) in &client.headers {
            if writer.append(name, value).is_err() {
                attempt.note("the request's headers don't fit the buffer", None);
                return Verdict::Close;
            }
        }
        Verdict::Continue
    }

    fn on_client_response(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        let headers = wsi.header_map();
        let subprotocol = headers
            .get("sec-websocket-protocol")
            .and_then(|value| value.to_str().ok());
        let mut attempt = conn.attempt.borrow_mut();
        let Some(attempt) = &mut *attempt else {
            return Verdict::Close;
        };
        if let Some(name) = subprotocol {
            if !attempt.client.subprotocols.iter().any(|own| own == name) {
                attempt.note("the server chose a subprotocol that wasn't offered", None);
                return Verdict::Close;
            }
        }
        *conn.subprotocol.borrow_mut() = subprotocol.map(str::to_owned);
        Verdict::Continue
    }

    fn on_open(&self, conn: &Rc<Conn>, wsi: &Wsi<'_>) -> Verdict {
        conn.stage.set(Stage::Open);
        self.shared.open(conn.id, Arc::clone(&conn.outbox));
        let ticket = match &mut *conn.attempt.borrow_mut() {
            Some(attempt) => {
                attempt.failures = 0;
                attempt.error = None;
                attempt.ticket.take()
            }
            None => None,
        };
        if let Some(ticket) = ticket {
            self.guard(|| ticket.resolve(Ok(conn.id)));
        }
        self.with_handler(conn, wsi, |handler, conn| handler.on_open(conn));
        self.settle(conn, wsi)
    }

    fn on_received(&self, conn: &Conn, wsi: &Wsi<'_>, chunk: &Chunk<'_>) -> Verdict {
        if conn.stage.get() != Stage::Open || conn.doomed.get() {
            return self.settle(conn, wsi);
        }
        if conn.fragments {
            let violation = conn.assembler.borrow_mut().check_frame(chunk);
            if let Some(Assembled::Violation(code, reason)) = violation {
                return self.violation(conn, wsi, code, reason);
            }
            let fragment = Fragment {
                data: chunk.data,
                binary: chunk.binary,
                first: chunk.first,
                last: chunk.last,
            };
            self.with_handler(conn, wsi, |h, c| h.on_fragment(c, fragment));
            return self.settle(conn, wsi);
        }
        let assembled = conn.assembler.borrow_mut().push(chunk);
        match assembled {
            Assembled::Partial => self.settle(conn, wsi),
            Assembled::Message(message) => {
                self.with_handler(conn, wsi, |h, c| h.on_message(c, message));
                self.settle(conn, wsi)
            }
            Assembled::Violation(code, reason) => self.violation(conn, wsi, code, reason),
        }
    }

    /// Closes because of what the peer sent.
    fn violation(&self, conn: &Conn, wsi: &Wsi<'_>, code: CloseCode, reason: &str) -> Verdict {
        let frame = CloseFrame::new(code, reason).unwrap_or_else(|_| code.into());
        conn.outbox.shut();
        conn.note_ending(Initiator::Failure, Some(frame.clone()));
        self.send_close(conn, wsi, &frame)
    }

    /// Sends a close frame by the verdict that is returned.
    fn send_close(&self, conn: &Conn, wsi: &Wsi<'_>, frame: &CloseFrame) -> Verdict {
        conn.stage.set(Stage::Closing);
        self.shared.close(conn.id);
        wsi.set_close_reason(frame);
        let due = Due::CloseTimeout(conn.id);
        self.timers.borrow_mut().add(conn.close_timeout, due);
        Verdict::Close
    }

    /// Sends what is queued, as long as the socket takes it.
    fn on_writable(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        // The library is done with what it was given before.
        conn.in_flight.borrow_mut().clear();
        if conn.stage.get() != Stage::Open {
            return Verdict::Continue;
        }
        loop {
            if conn.doomed.get() {
                return Verdict::Close;
            }
            match conn.outbox.next() {
                Next::Frame(mut frame) => {
                    if wsi.write(frame.kind, &mut frame.payload).is_err() {
                        conn.outbox.shut();
                        return Verdict::Close;
                    }
                    conn.in_flight.borrow_mut().push(frame.payload);
                    if wsi.is_choked() {
                        break;
                    }
                }
                Next::Close(frame) => {
                    conn.outbox.shut();
                    conn.note_ending(Initiator::Local, Some(frame.clone()));
                    return self.send_close(conn, wsi, &frame);
                }
                Next::Idle(true) => {
                    self.with_handler(conn, wsi, |h, c| h.on_writable(c));
                    // What it queued waits for the next turn, so that others get theirs.
                    break;
                }
                Next::Idle(false) => break,
            }
        }
        self.settle(conn, wsi)
    }

    /// Does what a handler asked for, once it has returned.
    fn settle(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        if conn.doomed.get() {
            return Verdict::Close;
        }
        let wanted = conn.wants_reading.get();
        if conn.reading.replace(wanted) != wanted {
            wsi.set_reading(wanted);
        }
        if conn.stage.get() == Stage::Open && conn.outbox.has_work() {
            wsi.request_writable();
        }
        Verdict::Continue
    }

    /// The application's part of a connection is over.
    fn end(&self, conn: &Rc<Conn>) {
        if matches!(
            conn.stage.replace(Stage::Ended),
            Stage::Handshake | Stage::Ended
        ) {
            return;
        }
        self.shared.close(conn.id);
        conn.outbox.shut();
        let conn = Rc::clone(conn);
        self.tell(Box::new(move |engine| {
            // Taken out: a call below this one on the stack may be using it.
            let handler = conn.handler.borrow_mut().take();
            let Some(mut handler) = handler else {
                return;
            };
            let closed = conn.closed();
            let local = closed.initiator == Initiator::Local;
            engine.guard(|| handler.on_close(closed));
            let attempt = conn.attempt.borrow_mut().take();
            match attempt {
                Some(attempt) if !local => engine.retry(attempt, handler),
                other => {
                    engine.guard(move || drop(handler));
                    engine.guard(move || drop(other));
                }
            }
        }));
    }

    fn on_destroyed(&self, conn: &Rc<Conn>, wsi: &Wsi<'_>) {
        conn.wsi.clear();
        if let Some(index) = wsi.slot() {
            self.remove(index);
        }
        self.finish(conn);
    }

    /// Ends a connection that the C library has let go of.
    pub(super) fn finish(&self, conn: &Rc<Conn>) {
        let stage = conn.stage.get();
        if stage != Stage::Handshake {
            return self.end(conn);
        }
        conn.stage.set(Stage::Ended);
        conn.outbox.shut();
        let conn = Rc::clone(conn);
        self.tell(Box::new(move |engine| {
            let handler = conn.handler.borrow_mut().take();
            let attempt = conn.attempt.borrow_mut().take();
            match (handler, attempt) {
                (Some(handler), Some(attempt)) => engine.connect_failed(attempt, handler),
                // A server's connection that never opened: nobody knew of it.
                (handler, attempt) => {
                    engine.guard(move || drop(handler));
                    engine.guard(move || drop(attempt));
                }
            }
        }));
    }

    /// Tells a client's handler that an attempt failed, and plans the next one.
    pub(super) fn connect_failed(
        &self,
        mut attempt: Box<crate::client::attempt::Attempt>,
        mut handler: Box<dyn Handler>,
    ) {
        let error = attempt.take_error();
        self.guard(|| handler.on_connect_error(&error));
        attempt.error = Some(error);
        self.retry(attempt, handler);
    }

    /// Plans another attempt, or gives up.
    fn retry(&self, mut attempt: Box<crate::client::attempt::Attempt>, handler: Box<dyn Handler>) {
        attempt.failures = attempt.failures.saturating_add(1);
        let wait = match &attempt.client.reconnect {
            Some(backoff) if !self.shutting_down.get() => backoff.wait(attempt.failures),
            _ => None,
        };
        if let Some(wait) = wait {
            let due = Due::Reconnect(attempt, handler);
            self.timers.borrow_mut().add(wait, due);
            return;
        }
        let outcome = attempt.error.take().unwrap_or(ConnectError::ContextGone);
        if let Some(ticket) = attempt.ticket.take() {
            self.guard(|| ticket.resolve(Err(outcome)));
        }
        self.guard(move || drop(handler));
        self.guard(move || drop(attempt));
    }

    /// Sets up the SSL_CTX of the vhost that is being created.
    #[cfg(feature = "tls")]
    pub fn on_server_tls(&self, ctx: &ServerCtx<'_>) -> bool {
        let Some(state) = self.tls_setup.borrow_mut().take() else {
            return false;
        };
        let Some(tls) = &state.vhost.tls else {
            return false;
        };
        #[cfg(feature = "keylog")]
        crate::ffi::tls::SslCtx::attach_keylog(ctx, self);
        state.tls.set(Some(ctx.identity()));
        match tls.apply(ctx, &state.vhost.name) {
            Ok(()) => true,
            Err(error) => {
                *self.tls_error.borrow_mut() = Some(error);
                false
            }
        }
    }
}

/// The end of a context.
impl Engine {
    /// From here on no application's code runs, until [`Engine::end_shutdown`].
    pub fn begin_shutdown(&self) {
        self.shared.set_gone();
        self.shutting_down.set(true);
    }

    /// Tells everybody what happened meanwhile, and drops what is left.
    pub fn end_shutdown(&self) {
        let left: Vec<_> = self
            .conns
            .borrow_mut()
            .iter_mut()
            .filter_map(Option::take)
            .collect();
        self.by_id.borrow_mut().clear();
        for conn in left {
            // The library freed it with its own context, without saying so.
            conn.wsi.clear();
            self.finish(&conn);
        }
        loop {
            let told = std::mem::take(&mut *self.told_later.borrow_mut());
            if told.is_empty() {
                break;
            }
            for told in told {
                self.guard(|| told(self));
            }
        }
        let timers = self.timers.borrow_mut().take_all();
        for due in timers {
            self.guard(move || drop(due));
        }
        for command in self.shared.take_commands() {
            self.guard(move || drop(command));
        }
        let vhosts = std::mem::take(&mut *self.vhosts.borrow_mut());
        for vhost in vhosts {
            self.guard(move || drop(vhost));
        }
    }
}
