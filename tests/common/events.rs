//! Handlers that send messages back, or tell what happens to them.

use super::WAIT;
use libwebsockets::{Closed, ConnectError, Connection, ConnectionId, Fragment, Handler, Message};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// Sends every message back.
#[derive(Clone)]
pub struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        conn.send(message).expect("the queue takes an echo");
    }
}

/// What happened to a connection.
#[derive(Debug)]
pub enum Event {
    Open {
        id: ConnectionId,
        subprotocol: Option<String>,
    },
    Message(ConnectionId, Message),
    Fragment {
        data: Vec<u8>,
        binary: bool,
        first: bool,
        last: bool,
    },
    Pong(Vec<u8>),
    Writable(ConnectionId),
    Closed(Closed),
    ConnectError(ConnectError),
}

/// Tells what happens to its connections, and does nothing else.
#[derive(Clone)]
pub struct Probe {
    events: Sender<Event>,
}

/// A handler, and where it tells what happens.
pub fn probe() -> (Probe, Events) {
    let (sender, receiver) = mpsc::channel();
    (Probe { events: sender }, Events(receiver))
}

impl Probe {
    fn tell(&self, event: Event) {
        // A test that has seen enough doesn't listen any more.
        let _ = self.events.send(event);
    }
}

impl Handler for Probe {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        self.tell(Event::Open {
            id: conn.id(),
            subprotocol: conn.subprotocol(),
        });
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        self.tell(Event::Message(conn.id(), message));
    }

    fn on_fragment(&mut self, _: &mut Connection<'_>, fragment: Fragment<'_>) {
        self.tell(Event::Fragment {
            data: fragment.data.to_vec(),
            binary: fragment.binary,
            first: fragment.first,
            last: fragment.last,
        });
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        self.tell(Event::Writable(conn.id()));
    }

    fn on_pong(&mut self, _: &mut Connection<'_>, payload: &[u8]) {
        self.tell(Event::Pong(payload.to_vec()));
    }

    fn on_close(&mut self, closed: Closed) {
        self.tell(Event::Closed(closed));
    }

    fn on_connect_error(&mut self, error: &ConnectError) {
        self.tell(Event::ConnectError(error.clone()));
    }
}

/// What happened, in its order.
pub struct Events(Receiver<Event>);

impl Events {
    /// The next event, whatever it is.
    #[track_caller]
    pub fn next(&self) -> Event {
        match self.0.recv_timeout(WAIT) {
            Ok(event) => event,
            Err(e) => panic!("no event: {e}"),
        }
    }

    /// The next event must be the opening.
    #[track_caller]
    pub fn open(&self) -> ConnectionId {
        match self.next() {
            Event::Open { id, .. } => id,
            other => panic!("not opened: {other:?}"),
        }
    }

    /// The next event must be a message.
    #[track_caller]
    pub fn message(&self) -> Message {
        match self.next() {
            Event::Message(_, message) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    /// The next event must be the end.
    #[track_caller]
    pub fn closed(&self) -> Closed {
        match self.next() {
            Event::Closed(closed) => closed,
            other => panic!("not closed: {other:?}"),
        }
    }

    /// The next event must be a failed attempt.
    #[track_caller]
    pub fn connect_error(&self) -> ConnectError {
        match self.next() {
            Event::ConnectError(error) => error,
            other => panic!("no connect error: {other:?}"),
        }
    }

    /// All handlers are gone, and none had anything more to tell.
    #[track_caller]
    pub fn end(&self) {
        match self.0.recv_timeout(WAIT) {
            Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => panic!("a handler is never dropped"),
            Ok(event) => panic!("one event too many: {event:?}"),
        }
    }

    /// What is there at present.
    pub fn try_next(&self) -> Option<Event> {
        self.0.try_recv().ok()
    }

    /// The next event, if it comes soon.
    pub fn next_within(&self, time: Duration) -> Option<Event> {
        self.0.recv_timeout(time).ok()
    }
}
