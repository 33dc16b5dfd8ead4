//! What is done between two turns of the C library's loop: commands of other
//! threads, due timers, and connections that clients start.

use super::commands::Command;
use super::engine::Engine;
use super::timers::Due;
use super::Context;
use crate::client::attempt::Attempt;
use crate::client::{Client, ConnectError, Ticket, Token};
use crate::connection::state::{Conn, Progress, Stage};
use crate::connection::{ConnectionId, Handler, Role};
use crate::error::Error;
use crate::ffi::connect::ConnectOptions;
use crate::ffi::vhost::{VhostId, VhostOptions};
use crate::message::CloseFrame;
use std::ffi::CString;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What clients that share a vhost have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClientVhostKey {
    deflate: bool,
    connect_timeout: u32,
    #[cfg(feature = "_tls")]
    tls: Option<(crate::tls::ClientTls, Vec<Option<crate::tls::Stamp>>)>,
}

impl Context {
    /// Does what is due, until nothing is.
    pub(super) fn handle_pending(&mut self) {
        let engine = Rc::clone(&self.engine);
        engine.shared.rearm();
        // One at a time: a closure may service the context, which then does the rest, or
        // panic. What comes meanwhile waits for the next turn, so that this one ends.
        for _ in 0..engine.shared.command_count() {
            let Some(command) = engine.shared.take_command() else {
                break;
            };
            self.execute(command);
            if !Rc::ptr_eq(&engine, &self.engine) {
                // A closure put another context in this one's place, and dropped this one.
                return;
            }
            if self.check_process().is_err() {
                // A closure forked, and this is the child.
                return;
            }
        }
        for id in engine.shared.take_dirty() {
            engine.request_writable(id);
        }
        // What becomes due meanwhile waits for the next turn, so that this one ends.
        let now = Instant::now();
        loop {
            // Its own statement: the borrow must end before foreign code runs.
            let due = engine.timers.borrow_mut().take_due(now);
            match due {
                Some(Due::CloseTimeout(id)) => engine.close_timed_out(id),
                Some(Due::SendTimeout(id, before)) => engine.send_timed_out(id, before),
                // The loop's owner looks at the clock.
                Some(Due::ShutdownTimeout) => engine.shared.wake(),
                Some(Due::Connect(attempt, handler)) => self.restart(attempt, handler),
                None => break,
            }
        }
        self.resume_panic();
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Connect(client, handler, ticket) => {
                self.restart(Attempt::first(*client, ticket), handler);
            }
            Command::Drop(id, again) => {
                if let Some(conn) = self.engine.by_id(id) {
                    self.engine.drop_connection(&conn);
                    conn.reconnects.set(again);
                }
            }
            Command::Read(id, on) => self.engine.read(id, on),
            Command::Cancel(client) => self.engine.cancel(&client),
            Command::Shutdown(frame, timeout) => self.engine.close_all(&frame, timeout),
            // A panic of it unwinds to the caller of `run` or `service`: no C is in between.
            Command::Run(f) => f(self),
        }
    }

    /// Makes an attempt; settings that can't be used are told to the handler.
    fn restart(&mut self, mut attempt: Box<Attempt>, handler: Box<dyn Handler>) {
        // The last one's.
        attempt.error = None;
        match self.client_vhost(&attempt.client) {
            Ok(vhost) => self.attempt(vhost, attempt, handler),
            Err(error) => {
                attempt.error = Some(ConnectError::Setup(Arc::new(error)));
                self.engine.connect_failed(attempt, handler, true);
            }
        }
    }

    /// Starts a client on this thread.
    pub(super) fn start(
        &mut self,
        client: Client,
        handler: Box<dyn Handler>,
        ticket: Ticket,
    ) -> Result<(), Error> {
        let vhost = self.client_vhost(&client)?;
        self.attempt(vhost, Attempt::first(client, ticket), handler);
        Ok(())
    }

    fn attempt(&mut self, vhost: VhostId, mut attempt: Box<Attempt>, handler: Box<dyn Handler>) {
        if self.engine.closing.get().is_some() {
            attempt.error = Some(ConnectError::ShuttingDown);
            self.engine.connect_failed(attempt, handler, false);
            return;
        }
        let client = Rc::clone(&attempt.client);
        let Some(raw) = &mut self.raw else {
            return;
        };
        let config = &client.config;
        let conn = Rc::new(Conn::new(
            Role::Client,
            config,
            handler,
            None,
            Some(attempt),
        ));
        let slot = self.engine.insert(Rc::clone(&conn));
        // Checked when they were given; none holds a NUL.
        let text = |text: String| CString::new(text).ok();
        let origin = client.origin.clone().and_then(text);
        let offered = match client.subprotocols.is_empty() {
            true => None,
            false => text(client.subprotocols.join(", ")),
        };
        let (ping_after, hangup_after) = config.idle_seconds();
        let made = raw.connect(&ConnectOptions {
            vhost,
            address: &client.target.address,
            port: client.target.port,
            target: &client.target.request,
            host: &client.target.host,
            origin: origin.as_deref(),
            subprotocols: offered.as_deref(),
            #[cfg(feature = "_tls")]
            tls: client.target.tls.then(|| client.tls.relaxations()),
            #[cfg(not(feature = "_tls"))]
            tls: None,
            slot,
            cell: &conn.wsi,
            ping_after,
            hangup_after,
        });
        if !made {
            self.engine.remove(slot);
            self.engine.finish(&conn);
        }
    }

    /// The vhost for clients with these settings, and with files as they are now; it is made
    /// at first use and kept as long as the context.
    fn client_vhost(&mut self, client: &Client) -> Result<VhostId, Error> {
        let key = ClientVhostKey {
            deflate: client.config.deflate,
            connect_timeout: client.connect_seconds(),
            #[cfg(feature = "_tls")]
            tls: (client.target.tls).then(|| (client.tls.clone(), client.tls.stamps())),
        };
        if let Some(vhost) = self.client_vhosts.get(&key) {
            return Ok(*vhost);
        }
        let Some(raw) = &mut self.raw else {
            return Err(Error::Library { what: "a client" });
        };
        #[cfg(feature = "_tls")]
        let tls = match &key.tls {
            Some((tls, _)) => {
                let ctx = tls.build()?;
                #[cfg(feature = "keylog")]
                crate::ffi::tls::SslCtx::attach_keylog(&ctx, &self.engine, "client");
                Rc::new(ctx)
            }
            None => Rc::clone(&self.no_client_tls),
        };
        let vhost = raw.create_vhost(
            VhostOptions {
                // Beyond every server vhost's number: nothing is accepted here.
                index: usize::MAX - 1,
                name: c"client".into(),
                listen: None,
                subprotocols: Vec::new(),
                handshake_timeout: self.settings.handshake_timeout,
                connect_timeout: key.connect_timeout,
                ping_after: 300,
                hangup_after: 310,
                deflate: key.deflate,
                #[cfg(feature = "_tls")]
                server_tls: false,
            },
            #[cfg(feature = "_tls")]
            tls,
        )?;
        self.client_vhosts.insert(key, vhost);
        Ok(vhost)
    }
}

impl Engine {
    /// A queue was filled from outside.
    fn request_writable(&self, id: ConnectionId) {
        if let Some(conn) = self.by_id(id) {
            conn.outbox.take_dirty();
            if conn.stage.get() == Stage::Open {
                conn.wsi.with(|wsi| wsi.request_writable());
                self.watch_close(&conn);
            }
        }
    }

    /// Reading is paused or resumed from outside.
    fn read(&self, id: ConnectionId, on: bool) {
        if let Some(conn) = self.by_id(id) {
            conn.wants_reading.set(on);
            if conn.reading.replace(on) != on {
                conn.wsi.with(|wsi| wsi.set_reading(on));
            }
        }
    }

    /// Lets a client connect no more.
    fn cancel(&self, client: &Token) {
        let waiting = self
            .timers
            .borrow_mut()
            .take_connects(|attempt| attempt.is_of(client));
        for (mut attempt, handler) in waiting {
            attempt.error = Some(ConnectError::Cancelled);
            self.abandon(attempt, handler);
        }
        for conn in self.all() {
            let is_it = conn
                .attempt
                .borrow()
                .as_ref()
                .is_some_and(|a| a.is_of(client));
            if is_it && conn.stage.get() == Stage::Handshake {
                conn.fail_attempt(ConnectError::Cancelled);
                self.drop_connection(&conn);
            }
        }
    }

    /// Begins a graceful shutdown.
    fn close_all(&self, frame: &CloseFrame, timeout: Duration) {
        let now = Instant::now();
        let day = now + Duration::from_secs(86_400);
        self.closing
            .set(Some(now.checked_add(timeout).unwrap_or(day)));
        self.add_timer(timeout, Due::ShutdownTimeout);
        self.note_emptiness();
        let waiting = self.timers.borrow_mut().take_connects(|_| true);
        for (mut attempt, handler) in waiting {
            // One that is to connect again tells why it had to.
            attempt.error.get_or_insert(ConnectError::ShuttingDown);
            self.abandon(attempt, handler);
        }
        for conn in self.all() {
            match conn.stage.get() {
                Stage::Open => {
                    // An earlier close stands.
                    let _ = conn.outbox.close(frame.clone());
                    conn.wsi.with(|wsi| wsi.request_writable());
                    self.watch_close(&conn);
                }
                Stage::Handshake => {
                    conn.fail_attempt(ConnectError::ShuttingDown);
                    self.drop_connection(&conn);
                }
                Stage::Failing | Stage::Closing | Stage::Ended => {}
            }
        }
    }

    fn close_timed_out(&self, id: ConnectionId) {
        if let Some(conn) = self.by_id(id) {
            conn.wsi.with(|wsi| wsi.kill_later());
        }
    }

    /// The time is over in which the peer had to take something.
    fn send_timed_out(&self, id: ConnectionId, before: Option<Progress>) {
        let Some(conn) = self.by_id(id) else {
            return;
        };
        if conn.stage.get() != Stage::Open {
            // It has got all; its time to answer runs.
            return;
        }
        let now = conn.progress();
        if now.is_some() && now == before {
            self.drop_connection(&conn);
        } else {
            self.add_timer(conn.close_timeout, Due::SendTimeout(id, now));
        }
    }

    fn drop_connection(&self, conn: &Conn) {
        conn.doom();
        conn.wsi.with(|wsi| wsi.kill_later());
    }
}
