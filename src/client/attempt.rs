//! What the engine keeps of a client that connects.

use super::connecting::{Ticket, Token};
use super::{Client, ConnectError, ConnectFailure};
use crate::message::Payload;
use http::HeaderMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

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
        self.opened = Some(Instant::now());
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

    /// The error to report.
    pub fn take_error(&mut self) -> ConnectError {
        self.note(ConnectFailure::unknown());
        match self.error.take() {
            Some(error) => error,
            None => ConnectError::ContextGone,
        }
    }
}
