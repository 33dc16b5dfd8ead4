//! How connections end, and in the end the context: who is told, and when.

use super::Engine;
use crate::client::attempt::Attempt;
use crate::client::ConnectError;
use crate::connection::state::{Conn, Stage};
use crate::connection::Handler;
use crate::context::commands::Command;
use crate::context::timers::Due;
use crate::ffi::wsi::Wsi;
use std::rc::Rc;

impl Engine {
    /// The application's part of a connection is over.
    pub(super) fn end(&self, conn: &Rc<Conn>) {
        if matches!(
            conn.stage.replace(Stage::Ended),
            Stage::Handshake | Stage::Ended
        ) {
            return;
        }
        self.shared.close(conn.id);
        conn.outbox.shut();
        let held = conn.wsi.with(|wsi| wsi.holds_output()) == Some(true);
        if held || conn.in_pieces.get() {
            conn.outbox.note_lost();
        }
        let conn = Rc::clone(conn);
        self.tell(Box::new(move |engine| {
            // Taken out: a call below this one on the stack may be using it.
            let handler = conn.handler.borrow_mut().take();
            let Some(mut handler) = handler else {
                return;
            };
            let told = engine.guard(|| handler.on_close(conn.closed())).is_some();
            let attempt = conn.attempt.borrow_mut().take();
            match attempt {
                Some(attempt) if told && !conn.was_closed_here() => engine.retry(attempt, handler),
                other => {
                    engine.guard(move || drop(handler));
                    engine.guard(move || drop(other));
                }
            }
        }));
    }

    pub(super) fn on_destroyed(&self, conn: &Rc<Conn>, wsi: &Wsi<'_>) {
        conn.wsi.clear();
        if let Some(index) = wsi.slot() {
            self.remove(index);
        }
        self.finish(conn);
    }

    /// Ends a connection that the C library has let go of.
    pub(in crate::context) fn finish(&self, conn: &Rc<Conn>) {
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
                (Some(handler), Some(mut attempt)) => {
                    let again = !conn.was_closed_here();
                    let wait = if again && !engine.ends() {
                        attempt.wait_for_room()
                    } else {
                        None
                    };
                    match wait {
                        Some(wait) => engine.add_timer(wait, Due::Connect(attempt, handler)),
                        None => engine.connect_failed(attempt, handler, again),
                    }
                }
                // A server's connection that never opened: nobody knew of it.
                (handler, attempt) => {
                    engine.guard(move || drop(handler));
                    engine.guard(move || drop(attempt));
                }
            }
        }));
    }

    /// Tells a client's handler that an attempt failed, and plans the next one, if there is
    /// to be one.
    pub(in crate::context) fn connect_failed(
        &self,
        mut attempt: Box<Attempt>,
        mut handler: Box<dyn Handler>,
        again: bool,
    ) {
        let error = attempt.take_error();
        let told = self.guard(|| handler.on_connect_error(&error)).is_some();
        attempt.error = Some(error);
        match again && told {
            true => self.retry(attempt, handler),
            false => self.give_up(attempt, handler),
        }
    }

    /// Whether no client connects any more.
    fn ends(&self) -> bool {
        self.shutting_down.get() || self.closing.get().is_some()
    }

    /// Plans another attempt, or gives up.
    fn retry(&self, mut attempt: Box<Attempt>, mut handler: Box<dyn Handler>) {
        if attempt.was_cancelled() {
            attempt.error = Some(ConnectError::Cancelled);
        }
        let again = !self.ends()
            && attempt.repeats()
            && self.guard(|| handler.wants_reconnect(attempt.error.as_ref())) == Some(true);
        let wait = if again { attempt.next_wait() } else { None };
        match wait {
            Some(wait) => self.add_timer(wait, Due::Connect(attempt, handler)),
            None => self.give_up(attempt, handler),
        }
    }

    /// Lets go of a client that waited to connect, for the reason that its attempt holds.
    pub(in crate::context) fn abandon(&self, attempt: Box<Attempt>, handler: Box<dyn Handler>) {
        match attempt.waits_for_room() {
            true => self.connect_failed(attempt, handler, false),
            // Its handler knows of the last failure.
            false => self.give_up(attempt, handler),
        }
    }

    /// Tells who waits for a connection that there will be none.
    pub(in crate::context) fn give_up(&self, mut attempt: Box<Attempt>, handler: Box<dyn Handler>) {
        let outcome = attempt.error.take().unwrap_or(ConnectError::ContextGone);
        if let Some(ticket) = attempt.ticket.take() {
            self.guard(|| ticket.resolve(Err(outcome)));
        }
        self.guard(move || drop(handler));
        self.guard(move || drop(attempt));
    }
}

/// The end of a context.
impl Engine {
    /// From here on no application's code runs, until [`Engine::end_shutdown`].
    pub fn begin_shutdown(&self) {
        self.shared.set_gone();
        self.shutting_down.set(true);
        for conn in self.all() {
            conn.fail_attempt(ConnectError::ContextGone);
        }
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
            self.finish(&conn);
        }
        loop {
            let told = std::mem::take(&mut *self.notices.borrow_mut());
            if told.is_empty() {
                break;
            }
            for told in told {
                self.guard(|| told(self));
            }
        }
        let timers = self.timers.borrow_mut().take_all();
        for due in timers {
            match due {
                Due::Connect(mut attempt, handler) if attempt.waits_for_room() => {
                    attempt.error = Some(ConnectError::ContextGone);
                    self.abandon(attempt, handler);
                }
                due => {
                    self.guard(move || drop(due));
                }
            }
        }
        while let Some(command) = self.shared.take_command() {
            match command {
                Command::Connect(client, handler, ticket) => {
                    let mut attempt = Attempt::first(*client, ticket);
                    attempt.error = Some(ConnectError::ContextGone);
                    self.connect_failed(attempt, handler, false);
                }
                command => {
                    self.guard(move || drop(command));
                }
            }
        }
        let vhosts = std::mem::take(&mut *self.vhosts.borrow_mut());
        for vhost in vhosts {
            self.guard(move || drop(vhost));
        }
    }
}
