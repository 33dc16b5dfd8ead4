//! What the engine keeps of a connection, on the service thread.

use super::assembler::Assembler;
use super::outbox::Outbox;
use super::{Closed, ConnectionId, Handler, Initiator, Role, WebSocketConfig};
use crate::client::attempt::Attempt;
use crate::client::ConnectError;
use crate::ffi::wsi_cell::WsiCell;
use crate::message::{CloseFrame, Payload};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The opening handshake isn't done.
    Handshake,
    Open,
    /// A close frame is to be sent once the output that the C library holds is
    /// out; the application gets nothing more.
    Failing,
    /// A close frame was sent; the application gets nothing more.
    Closing,
    /// The application was told that it is over, or will be by who holds this.
    Ended,
}

/// How much the peer has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress(u64, u64);

/// One connection. Every field is borrowed for short stretches only, never
/// while C or an application's code runs: both may come back for this same connection.
pub(crate) struct Conn {
    pub id: ConnectionId,
    pub role: Role,
    pub wsi: WsiCell,
    pub outbox: Arc<Outbox>,
    pub stage: Cell<Stage>,
    /// Taken out while a method of it runs.
    pub handler: RefCell<Option<Box<dyn Handler>>>,
    pub assembler: RefCell<Assembler>,
    /// Payloads that the C library may still read, if it compresses them.
    pub in_flight: RefCell<Vec<Payload>>,
    /// What was written last may still be compressed, piece by piece.
    pub in_pieces: Cell<bool>,
    /// Whether permessage-deflate may have been agreed on.
    pub deflate: bool,
    pub subprotocol: RefCell<Option<String>>,
    pub fragments: bool,
    pub close_timeout: Duration,
    /// Frames that the C library was given.
    pub written: Cell<u64>,
    /// A close was asked for, and how long the peer takes nothing is watched.
    pub watched: Cell<bool>,
    /// Who closed, and the first close frame.
    pub ending: RefCell<Option<(Initiator, Option<CloseFrame>)>>,
    /// It is dropped at the next chance: the application wants that, or its handler panicked.
    pub doomed: Cell<bool>,
    /// Of what this side drops: whether a client's backoff goes on.
    pub reconnects: Cell<bool>,
    pub reading: Cell<bool>,
    /// What the handler last asked for, applied when it returns.
    pub wants_reading: Cell<bool>,
    /// Of a client: where it connects, and who waits for that.
    pub attempt: RefCell<Option<Box<Attempt>>>,
}

impl Conn {
    pub fn new(
        role: Role,
        config: &WebSocketConfig,
        handler: Box<dyn Handler>,
        subprotocol: Option<String>,
        attempt: Option<Box<Attempt>>,
    ) -> Self {
        Conn {
            id: ConnectionId::next(),
            role,
            wsi: WsiCell::empty(),
            outbox: Arc::new(Outbox::new(config.max_write_buffer_size)),
            stage: Cell::new(Stage::Handshake),
            handler: RefCell::new(Some(handler)),
            assembler: RefCell::new(Assembler::new(config)),
            in_flight: RefCell::default(),
            in_pieces: Cell::default(),
            deflate: config.deflate,
            subprotocol: RefCell::new(subprotocol),
            fragments: config.fragments,
            close_timeout: config.close_timeout,
            written: Cell::new(0),
            watched: Cell::new(false),
            ending: RefCell::new(None),
            doomed: Cell::new(false),
            reconnects: Cell::new(false),
            reading: Cell::new(true),
            wants_reading: Cell::new(true),
            attempt: RefCell::new(attempt),
        }
    }

    /// Notes who ended the connection; the first one counts.
    pub fn note_ending(&self, initiator: Initiator, frame: Option<CloseFrame>) {
        self.ending.borrow_mut().get_or_insert((initiator, frame));
    }

    /// Drops the connection at the next chance, without a closing handshake, and
    /// what is queued with it.
    pub fn doom(&self) {
        self.note_ending(Initiator::Local, None);
        self.outbox.shut();
        self.doomed.set(true);
        self.reconnects.set(false);
    }

    /// Drops the connection likewise, but a client that reconnects does so.
    pub fn doom_to_reconnect(&self) {
        self.doom();
        self.reconnects.set(true);
    }

    /// Says why a client's attempt fails, if it is under way and nothing was said before.
    pub fn fail_attempt(&self, error: ConnectError) {
        if self.stage.get() == Stage::Handshake {
            if let Some(attempt) = &mut *self.attempt.borrow_mut() {
                attempt.error.get_or_insert(error);
            }
        }
    }

    /// What changes as long as the peer takes what is sent; `None` where that can't be told.
    pub fn progress(&self) -> Option<Progress> {
        let unsent = self.wsi.with(|wsi| wsi.unsent())?;
        Some(Progress(self.written.get(), unsent?))
    }

    /// Whether this side wanted the end, whoever brought it about, and no other connection.
    pub fn was_closed_here(&self) -> bool {
        if self.reconnects.get() {
            return false;
        }
        let ending = self.ending.borrow();
        let local = matches!(&*ending, Some((Initiator::Local, _)));
        local || self.outbox.was_asked_to_close()
    }

    /// What the application is told in the end.
    pub fn closed(&self) -> Closed {
        let (initiator, frame) = self
            .ending
            .borrow()
            .clone()
            .unwrap_or((Initiator::Failure, None));
        Closed {
            id: self.id,
            initiator,
            frame,
            unsent: self.outbox.lost(),
        }
    }
}
