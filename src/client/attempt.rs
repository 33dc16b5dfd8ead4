//! What the engine keeps of a client that connects.

use super::connecting::{Ticket, Token};
use super::{Client, ConnectError, ConnectFailure, ConnectStep};
use crate::message::Payload;
use http::HeaderMap;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How often a client asks for room in the queue of a Unix domain socket: nothing tells when
/// there is some.
const ROOM_INTERVAL: Duration = Duration::from_millis(20);

/// A client's present attempt to connect, and what is known of it.
pub(crate) struct Attempt {
    pub client: Rc<Client>,
    /// Who waits for the first outcome.
    pub ticket: Option<Ticket>,
    token: Option<Token>,
    /// Failures in a row, this attempt not counted.
    failures: u32,
    /// How long was waited before this attempt.
    waited: Duration,
    /// When it led to a connection, which isn't over.
    opened: Option<Instant>,
    /// Until when it may wait for room in the queue of a Unix domain socket, if it had to.
    room_until: Option<Instant>,
    /// Why the attempt failed, as far as the C library said; until the next one
    /// starts.
    pub error: Option<ConnectError>,
}

impl Attempt {
    /// The first one of a client.
    pub fn first(client: Client, ticket: Ticket) -> Box<Self> {
        Box::new(Attempt {
            client: Rc::new(client),
            token: ticket.token(),
            ticket: Some(ticket),
            failures: 0,
            waited: Duration::ZERO,
            opened: None,
            room_until: None,
            error: None,
        })
    }

    /// Whether it is this client's.
    pub fn is_of(&self, client: &Token) -> bool {
        self.token.as_ref().is_some_and(|own| own.is(client))
    }

    /// Whether another attempt is to follow, if it is wanted.
    pub fn repeats(&self) -> bool {
        self.client.reconnect.is_some() && !self.is_cancelled()
    }

    /// Whether another would have followed.
    pub fn was_cancelled(&self) -> bool {
        self.client.reconnect.is_some() && self.is_cancelled()
    }

    fn is_cancelled(&self) -> bool {
        self.token.as_ref().is_some_and(Token::is_cancelled)
    }

    /// There is a connection.
    pub fn open(&mut self) {
        self.error = None;
        self.room_until = None;
        self.opened = Some(Instant::now());
    }

    /// How long to wait before the C library tries the same once more, where the queue of a
    /// Unix domain socket is full: its server is only behind. `None`: the attempt failed.
    pub fn wait_for_room(&mut self) -> Option<Duration> {
        let Some(ConnectError::Failed { failure, .. }) = &self.error else {
            return None;
        };
        // Of TCP, the system says this where no local port is left.
        if !failure.is_io(io::ErrorKind::WouldBlock) || !self.client.target.is_unix() {
            return None;
        }
        self.error = None;
        let now = Instant::now();
        let until = *self
            .room_until
            .get_or_insert_with(|| now + Duration::from_secs(self.client.connect_seconds().into()));
        let left = until.saturating_duration_since(now);
        if left.is_zero() {
            self.note(ConnectFailure::TimedOut(ConnectStep::Transport));
            return None;
        }
        Some(left.min(ROOM_INTERVAL))
    }

    /// Whether it waits for room, and so is under way: nobody was told that it failed.
    pub fn waits_for_room(&self) -> bool {
        self.room_until.is_some()
    }

    /// How long to wait before the next attempt; `None`: there is to be none.
    pub fn next_wait(&mut self) -> Option<Duration> {
        let backoff = self.client.reconnect.as_ref()?;
        // A server that lets everybody in, and nobody stay, is a failure as well.
        let enough = self.waited.max(backoff.first_wait());
        if self.opened.take().is_some_and(|at| at.elapsed() >= enough) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let wait = backoff.wait(self.failures)?;
        self.waited = wait;
        Some(wait)
    }

    /// Notes a failure; the first one counts, for it is the cause of the others.
    pub fn note(&mut self, failure: ConnectFailure) {
        let url = self.client.target.shown.clone();
        self.error
            .get_or_insert(ConnectError::Failed { url, failure });
    }

    /// Notes what the server answered instead of 101.
    pub fn note_answer(&mut self, status: u16, headers: HeaderMap, body: Payload) {
        let url = self.client.target.shown.clone();
        self.error.get_or_insert(ConnectError::Rejected {
            url,
            status,
            headers: Box::new(headers),
            body,
        });
    }

    /// The attempt is over: the error to report.
    pub fn take_error(&mut self) -> ConnectError {
        self.room_until = None;
        self.note(ConnectFailure::unknown());
        match self.error.take() {
            Some(error) => error,
            None => ConnectError::ContextGone,
        }
    }
}
