//! What becomes of the events of an open connection.

use super::Engine;
use crate::connection::assembler::{Assembled, FRAME_TOO_BIG};
use crate::connection::outbox::{Next, Outgoing};
use crate::connection::state::{Conn, Stage};
use crate::connection::{Initiator, Role};
use crate::context::timers::Due;
use crate::ffi::event::{Chunk, Event, Verdict};
use crate::ffi::wsi::{Dead, Wsi};
use crate::message::{CloseCode, CloseFrame};
use crate::server::Refusal;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Frames, and bytes, that one connection sends in a turn of the loop.
const MAX_FRAMES: usize = 64;
const MAX_TURN: usize = 256 << 10;

impl Engine {
    /// Decides what becomes of an event.
    pub fn on_event(&self, wsi: &Wsi<'_>, event: Event<'_>) -> Verdict {
        // The library reads data that came with the end of a handshake in a later turn, as
        // far as was seen; that isn't relied upon.
        #[cfg(feature = "keylog")]
        wsi.commit_keylog(self.keylog().log());
        match event {
            Event::UpgradeRequested { to } => return self.on_upgrade_request(wsi, to),
            Event::HttpRequest => {
                self.refuse(wsi, &Refusal::upgrade_required());
                return Verdict::Close;
            }
            Event::BadRequest { status } => {
                self.refuse_unread(wsi, status);
                return Verdict::Close;
            }
            _ => {}
        }
        let Some(conn) = self.conn(wsi) else {
            return Verdict::Continue;
        };
        if conn.doomed.get() && !matches!(event, Event::Closed | Event::Destroyed) {
            return self.drop_now(&conn);
        }
        match event {
            Event::UpgradeRequested { .. } | Event::HttpRequest | Event::BadRequest { .. } => {
                Verdict::Close
            }
            Event::ServerEstablished | Event::ClientEstablished => self.on_open(&conn, wsi),
            Event::ClientRequest(writer) => self.on_client_request(&conn, writer),
            Event::ClientResponse => self.on_client_response(&conn, wsi),
            Event::ClientFailed { reason } => {
                self.on_client_failed(&conn, wsi, reason);
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
            Event::PeerClosed(body) => self.on_peer_close(&conn, wsi, body),
            Event::Closed => {
                // Of one that never opened the library may say so, too.
                if conn.stage.get() != Stage::Handshake {
                    self.end(&conn);
                }
                Verdict::Continue
            }
            Event::Destroyed => {
                self.on_destroyed(&conn, wsi);
                Verdict::Continue
            }
        }
    }

    pub(super) fn on_open(&self, conn: &Rc<Conn>, wsi: &Wsi<'_>) -> Verdict {
        conn.stage.set(Stage::Open);
        #[cfg(feature = "keylog")]
        if wsi.keylog_is_hooked() == Some(false) {
            self.keylog().log().count_unhooked_connection();
        }
        #[cfg(feature = "deflate")]
        if wsi
            .websocket()
            .is_some_and(|websocket| websocket.enlarge_deflate_buffers())
        {
            conn.assembler.borrow_mut().expect_deflate();
        }
        #[cfg(feature = "_tls")]
        if conn.role == Role::Client {
            wsi.ignore_tls_alerts();
        }
        if conn.role == Role::Server && !conn.fragments {
            // It is done while a message is put together.
            if let Some(websocket) = wsi.websocket() {
                websocket.leave_masked();
            }
        }
        self.shared.open(conn.id, Arc::clone(&conn.outbox));
        let ticket = match &mut *conn.attempt.borrow_mut() {
            Some(attempt) => {
                attempt.open();
                attempt.ticket.take()
            }
            None => None,
        };
        self.with_handler(conn, wsi, |handler, conn| handler.on_open(conn));
        conn.outbox.open();
        if let Some(ticket) = ticket {
            self.guard(|| ticket.resolve(Ok(conn.id)));
        }
        self.settle(conn, wsi)
    }

    pub(super) fn on_received(&self, conn: &Conn, wsi: &Wsi<'_>, chunk: &Chunk<'_>) -> Verdict {
        if conn.stage.get() != Stage::Open {
            return self.settle(conn, wsi);
        }
        if conn.fragments {
            let fragment = conn.assembler.borrow_mut().fragment(chunk);
            let Some(fragment) = fragment else {
                return self.violation(conn, wsi, CloseCode::TOO_BIG, FRAME_TOO_BIG);
            };
            self.with_handler(conn, wsi, |h, c| h.on_fragment(c, fragment));
            return self.answer(conn, wsi);
        }
        let assembled = conn.assembler.borrow_mut().push(chunk, &self.spare);
        match assembled {
            Assembled::Partial => self.settle(conn, wsi),
            Assembled::Message(message) => {
                self.with_handler(conn, wsi, |h, c| h.on_message(c, message));
                self.answer(conn, wsi)
            }
            Assembled::Violation(code, reason) => self.violation(conn, wsi, code, reason),
        }
    }

    /// The peer closes; the library answers it with the same frame, unless it is
    /// malformed (RFC 6455 §5.5.1, §7.4).
    pub(super) fn on_peer_close(&self, conn: &Conn, wsi: &Wsi<'_>, body: &[u8]) -> Verdict {
        conn.outbox.shut();
        let frame = match body {
            [] => None,
            [_] => return self.answer_malformed_close(conn, wsi, CloseCode::PROTOCOL_ERROR),
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if CloseCode::new(code).is_err() {
                    return self.answer_malformed_close(conn, wsi, CloseCode::PROTOCOL_ERROR);
                }
                if std::str::from_utf8(reason).is_err() {
                    return self.answer_malformed_close(conn, wsi, CloseCode::INVALID_PAYLOAD);
                }
                Some(CloseFrame::received(code, reason))
            }
        };
        conn.note_ending(Initiator::Remote, frame);
        // The library waits for a peer that doesn't close TLS, too.
        self.leave_open(conn, Stage::Closing);
        Verdict::Continue
    }

    fn answer_malformed_close(&self, conn: &Conn, wsi: &Wsi<'_>, code: CloseCode) -> Verdict {
        let frame = CloseFrame::from(code);
        conn.note_ending(Initiator::Failure, Some(frame.clone()));
        self.send_close(conn, wsi, &frame)
    }

    /// Closes because of what the peer sent.
    pub(super) fn violation(
        &self,
        conn: &Conn,
        wsi: &Wsi<'_>,
        code: CloseCode,
        reason: &str,
    ) -> Verdict {
        let frame = CloseFrame::new(code, reason).unwrap_or_else(|_| code.into());
        conn.outbox.seal();
        conn.note_ending(Initiator::Failure, Some(frame));
        // Closing now would lose the frame where the library holds output, or is inflating
        // input: it goes out when the socket takes it.
        self.leave_open(conn, Stage::Failing);
        wsi.request_writable();
        Verdict::Continue
    }

    /// Ends the application's sending; from here the peer's time to close runs.
    fn leave_open(&self, conn: &Conn, stage: Stage) {
        if conn.stage.replace(stage) == Stage::Open {
            self.shared.close(conn.id);
            self.add_timer(conn.close_timeout, Due::CloseTimeout(conn.id));
        }
    }

    /// Sends a close frame by the verdict that is returned.
    pub(super) fn send_close(&self, conn: &Conn, wsi: &Wsi<'_>, frame: &CloseFrame) -> Verdict {
        self.leave_open(conn, Stage::Closing);
        if let Some(websocket) = wsi.websocket() {
            websocket.set_close_reason(frame);
        }
        Verdict::Close
    }

    /// Sends what is queued, as long as the socket takes it.
    pub(super) fn on_writable(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        // The library is done with what it was given before.
        conn.in_flight.borrow_mut().clear();
        conn.in_pieces.set(false);
        match conn.stage.get() {
            Stage::Open => {}
            Stage::Failing => return self.fail(conn, wsi),
            _ => return Verdict::Continue,
        }
        // Other threads may fill the queue as fast as it is emptied: others get their turn.
        let mut left = MAX_TURN;
        while left > 0 {
            match conn.outbox.next() {
                Next::Frame(frame) => {
                    left = left.saturating_sub(cost(&frame));
                    if self.write(conn, wsi, frame).is_err() {
                        return self.drop_now(conn);
                    }
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

    /// Closes because of what the peer sent. What was queued before goes ahead: the peer
    /// may wait for the answers.
    fn fail(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        while let Some((frame, _)) = conn.outbox.next_frame() {
            if self.write(conn, wsi, frame).is_err() {
                return self.drop_now(conn);
            }
            if wsi.is_choked() {
                // Goes on when the socket takes more, if the time to close isn't over.
                wsi.request_writable();
                return Verdict::Continue;
            }
        }
        conn.outbox.shut();
        let frame = conn.closed().frame;
        let frame = frame.unwrap_or_else(|| CloseCode::PROTOCOL_ERROR.into());
        self.send_close(conn, wsi, &frame)
    }

    /// Writes at once what a handler has answered to what was received: the socket
    /// mostly takes it, and a turn of the loop is saved. The rest waits for that.
    fn answer(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        // What is compressed has to be kept until the socket is writable.
        let open = conn.stage.get() == Stage::Open && !conn.doomed.get() && !conn.deflate;
        let mut left = if open { MAX_TURN } else { 0 };
        while left > 0 && !wsi.holds_output() {
            let Some((frame, more)) = conn.outbox.next_frame() else {
                break;
            };
            left = left.saturating_sub(cost(&frame));
            if self.write(conn, wsi, frame).is_err() {
                return self.drop_now(conn);
            }
            if !more {
                // Who has added something since is another thread, and wakes this one.
                self.settle_reading(conn, wsi);
                return Verdict::Continue;
            }
        }
        self.settle(conn, wsi)
    }

    /// Writes a frame; if that fails, the queue is shut.
    fn write(&self, conn: &Conn, wsi: &Wsi<'_>, mut frame: Outgoing) -> Result<(), Dead> {
        conn.written.set(conn.written.get() + 1);
        let result = match wsi.websocket() {
            Some(websocket) => websocket.write(frame.kind, &mut frame.payload),
            None => Err(Dead),
        };
        match result {
            Err(_) => {
                conn.outbox.note_lost();
                conn.outbox.shut();
            }
            Ok(()) if conn.deflate => {
                conn.in_flight.borrow_mut().push(frame.payload);
                conn.in_pieces.set(wsi.is_choked());
            }
            Ok(()) => self.spare.keep(frame.payload),
        }
        result
    }

    /// Does what a handler asked for, once it has returned.
    pub(super) fn settle(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        if conn.doomed.get() {
            return self.drop_now(conn);
        }
        self.settle_reading(conn, wsi);
        if conn.stage.get() == Stage::Open && conn.outbox.has_work() {
            wsi.request_writable();
            self.watch_close(conn);
        }
        Verdict::Continue
    }

    /// If a close was asked for, the peer's time to take what is queued ahead of it runs.
    pub(in crate::context) fn watch_close(&self, conn: &Conn) {
        if conn.outbox.was_asked_to_close() && !conn.watched.replace(true) {
            let due = Due::SendTimeout(conn.id, conn.progress());
            self.add_timer(conn.close_timeout, due);
        }
    }

    fn settle_reading(&self, conn: &Conn, wsi: &Wsi<'_>) {
        let wanted = conn.wants_reading.get();
        if conn.reading.replace(wanted) != wanted {
            wsi.set_reading(wanted);
        }
    }

    /// Ends a connection without a close frame, and without the library's time to
    /// send what it holds, and to wait for the peer of a TLS server.
    fn drop_now(&self, conn: &Conn) -> Verdict {
        // Not from here: its own closing, which comes first, sets that time.
        self.add_timer(Duration::ZERO, Due::CloseTimeout(conn.id));
        Verdict::Close
    }
}

/// What a frame counts of [`MAX_TURN`].
fn cost(frame: &Outgoing) -> usize {
    frame.payload.len().max(MAX_TURN / MAX_FRAMES)
}
