//! What the engine keeps of a client that connects.

use super::connecting::Ticket;
use super::{Client, ConnectError};
use http::HeaderMap;
use std::rc::Rc;

/// A client's present attempt to connect, and what is known of it.
pub(crate) struct Attempt {
    pub client: Rc<Client>,
    /// Who waits for the first outcome.
    pub ticket: Option<Ticket>,
    /// Failures in a row, this attempt not counted.
    pub failures: u32,
    /// Why the attempt failed, as far as the C library said; until the next one
    /// starts.
    pub error: Option<ConnectError>,
}

impl Attempt {
    /// The first one of a client.
    pub fn first(client: Client, ticket: Ticket) -> Box<Self> {
        Box::new(Attempt {
            client: Rc::new(client),
            ticket: Some(ticket),
            failures: 0,
            error: None,
        })
    }

    /// Notes a failure; the first reason counts, for it is the cause of the others.
    pub fn note(&mut self, reason: &str, answer: Option<(u16, HeaderMap)>) {
        let url = self.client.target.shown.clone();
        self.error.get_or_insert_with(|| match answer {
            Some((status, headers)) if status != 101 => ConnectError::Rejected {
                url,
                status,
                headers: Box::new(headers),
            },
            _ => ConnectError::Failed {
                url,
                reason: reason.trim_end().to_owned(),
            },
        });
    }

    /// The error to report.
    pub fn take_error(&mut self) -> ConnectError {
        self.note("the connection ended before it was open", None);
        match self.error.take() {
            Some(error) => error,
            None => ConnectError::ContextGone,
        }
    }
}
