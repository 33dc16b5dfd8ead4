//! A connection's send queue: bounded, filled from any thread, emptied by the
//! service thread.

use crate::context::wake_flag::WakeFlag;
use crate::error::SendError;
use crate::ffi::wsi::FrameKind;
use crate::message::{CloseFrame, Message, Payload};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A frame on its way.
pub(crate) struct Outgoing {
    pub kind: FrameKind,
    pub payload: Payload,
}

/// What is to be done next with a writable connection.
pub(crate) enum Next {
    Frame(Outgoing),
    /// Everything went out, and then the connection is to be closed.
    Close(CloseFrame),
    /// Everything went out; `true`: the handler waits to hear of it.
    Idle(bool),
}

/// What a queued message costs beside its payload.
const OVERHEAD: usize = 64;

pub(crate) struct Outbox {
    limit: usize,
    queue: Mutex<Queue>,
    /// The service thread was told that there is something.
    dirty: WakeFlag,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Outgoing>,
    /// What other threads sent before the handler knew of the connection.
    held: VecDeque<Outgoing>,
    open: bool,
    bytes: usize,
    /// Set once; nothing is taken afterwards.
    close: Option<CloseFrame>,
    closed: bool,
    wants_writable: bool,
    /// How many frames were forgotten.
    lost: usize,
}

impl Queue {
    fn pop(&mut self) -> Option<Outgoing> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.payload.len() + OVERHEAD;
        Some(frame)
    }

    fn has_work(&self) -> bool {
        !self.closed && (!self.frames.is_empty() || self.close.is_some() || self.wants_writable)
    }
}

impl Outbox {
    pub fn new(limit: usize) -> Self {
        Outbox {
            limit,
            queue: Mutex::default(),
            dirty: WakeFlag::new(),
        }
    }

    /// Takes a message, or gives it back.
    pub fn push(&self, message: Message) -> Result<(), SendError> {
        self.push_from(message, true)
    }

    /// As [`push`](Outbox::push), by the service thread or by another.
    pub fn push_from(&self, message: Message, inside: bool) -> Result<(), SendError> {
        if message.is_too_long() {
            return Err(SendError::TooLong(Box::new(message)));
        }
        let (kind, mut payload) = match message {
            Message::Close(frame) => {
                let frame = frame.unwrap_or_else(|| crate::CloseCode::NORMAL.into());
                return match self.close(frame) {
                    Ok(()) => Ok(()),
                    Err(frame) => Err(SendError::Closed(Box::new(Message::Close(Some(frame))))),
                };
            }
            Message::Text(text) => (FrameKind::Text, Payload::from(text)),
            Message::Binary(payload) => (FrameKind::Binary, payload),
            Message::Ping(payload) => (FrameKind::Ping, payload),
            Message::Pong(payload) => (FrameKind::Pong, payload),
        };
        // The limit counts what is sent: buffers aren't to be much larger.
        payload.shrink();
        let mut queue = self.lock();
        if queue.closed || queue.close.is_some() {
            drop(queue);
            return Err(SendError::Closed(Box::new(restore(kind, payload))));
        }
        let bytes = queue.bytes.saturating_add(payload.len() + OVERHEAD);
        let is_empty = queue.frames.is_empty() && queue.held.is_empty();
        if bytes > self.limit && !is_empty {
            queue.wants_writable = true;
            drop(queue);
            return Err(SendError::Full(Box::new(restore(kind, payload))));
        }
        queue.bytes = bytes;
        let to = match queue.open || inside {
            true => &mut queue.frames,
            false => &mut queue.held,
        };
        to.push_back(Outgoing { kind, payload });
        Ok(())
    }

    /// Closes after what is queued; `Err` gives the frame back when that has
    /// been asked for before.
    pub fn close(&self, frame: CloseFrame) -> Result<(), CloseFrame> {
        let frame = frame.sendable();
        let mut queue = self.lock();
        if queue.closed || queue.close.is_some() {
            return Err(frame);
        }
        queue.close = Some(frame);
        Ok(())
    }

    /// Takes nothing any more; what is queued can still be sent.
    pub fn seal(&self) {
        self.lock().closed = true;
    }

    /// Takes nothing any more, and forgets what is queued.
    pub fn shut(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.bytes = 0;
        queue.lost += queue.frames.len() + queue.held.len();
        let (frames, held) = (
            std::mem::take(&mut queue.frames),
            std::mem::take(&mut queue.held),
        );
        drop(queue);
        drop((frames, held));
    }

    /// Notes that a frame which was taken from here hasn't gone out in full.
    pub fn note_lost(&self) {
        self.lock().lost += 1;
    }

    /// How many frames were [forgotten](Outbox::shut), or have not gone out in full.
    pub fn lost(&self) -> usize {
        self.lock().lost
    }

    /// Notes that the service thread is to look at this queue; `true` if it
    /// wasn't to before.
    pub fn set_dirty(&self) -> bool {
        self.dirty.raise()
    }

    /// The service thread looks now.
    pub fn take_dirty(&self) {
        self.dirty.lower();
    }

    /// Asks for [`Next::Idle`]`(true)`.
    pub fn request_writable(&self) {
        self.lock().wants_writable = true;
    }

    pub fn next(&self) -> Next {
        let mut queue = self.lock();
        if let Some(frame) = queue.pop() {
            return Next::Frame(frame);
        }
        if !queue.closed {
            if let Some(frame) = &queue.close {
                return Next::Close(frame.clone());
            }
        }
        Next::Idle(std::mem::take(&mut queue.wants_writable))
    }

    /// The next frame alone, and whether there is [more to do](Outbox::has_work) after it:
    /// of the rest, [`next`](Outbox::next) tells.
    pub fn next_frame(&self) -> Option<(Outgoing, bool)> {
        let mut queue = self.lock();
        let frame = queue.pop()?;
        Some((frame, queue.has_work()))
    }

    /// Whether [`next`](Outbox::next) has more than nothing to say.
    pub fn has_work(&self) -> bool {
        self.lock().has_work()
    }

    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether [`close`](Outbox::close) was called, whatever came of it.
    pub fn was_asked_to_close(&self) -> bool {
        self.lock().close.is_some()
    }

    /// The handler was told that the connection is open: what other threads sent meanwhile
    /// comes after what it sent itself.
    pub fn open(&self) {
        let mut queue = self.lock();
        queue.open = true;
        let mut held = std::mem::take(&mut queue.held);
        queue.frames.append(&mut held);
    }

    pub fn is_closing(&self) -> bool {
        let queue = self.lock();
        queue.closed || queue.close.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No user code runs under this lock, so that a poisoned one is still consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The message that was taken apart. A text's payload was UTF-8 all along.
fn restore(kind: FrameKind, payload: Payload) -> Message {
    match kind {
        FrameKind::Text => match payload.into_text() {
            Ok(text) => Message::Text(text),
            Err(payload) => Message::Binary(payload),
        },
        FrameKind::Binary => Message::Binary(payload),
        FrameKind::Ping => Message::Ping(payload),
        FrameKind::Pong => Message::Pong(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CloseCode;

    #[test]
    fn a_sealed_queue_takes_nothing_and_gives_what_it_has() {
        let outbox = Outbox::new(1000);
        outbox.push("before".into()).unwrap();
        outbox.close(CloseCode::NORMAL.into()).unwrap();
        outbox.seal();
        assert!(matches!(
            outbox.push("after".into()),
            Err(SendError::Closed(_))
        ));
        assert!(matches!(outbox.next(), Next::Frame(_)));
        assert!(matches!(outbox.next(), Next::Idle(false)));
    }

    #[test]
    fn a_frame_comes_with_whether_there_is_more_to_do() {
        let outbox = Outbox::new(1000);
        let more = || outbox.next_frame().map(|(_, more)| more);
        for _ in 0..2 {
            outbox.push("one".into()).unwrap();
        }
        assert_eq!((more(), more(), more()), (Some(true), Some(false), None));
        outbox.push("before the handler is told".into()).unwrap();
        outbox.request_writable();
        assert_eq!(more(), Some(true));
        assert!(matches!(outbox.next(), Next::Idle(true)));
        outbox.push("before the close".into()).unwrap();
        outbox.close(CloseCode::NORMAL.into()).unwrap();
        assert_eq!(more(), Some(true));
    }

    #[test]
    fn a_full_queue_gives_the_message_back_and_tells_when_it_is_empty() {
        let outbox = Outbox::new(5);
        outbox.push("longer than the limit".into()).unwrap();
        let refused = outbox.push("é".into()).unwrap_err();
        assert!(matches!(refused, SendError::Full(_)));
        assert_eq!(refused.into_message().as_text(), Some("é"));
        assert!(matches!(outbox.next(), Next::Frame(_)));
        assert!(matches!(outbox.next(), Next::Idle(true)));
        assert!(matches!(outbox.next(), Next::Idle(false)));
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn what_others_send_comes_after_what_the_handler_sends_first() {
        let outbox = Outbox::new(4 * OVERHEAD);
        outbox.push_from("2".into(), false).unwrap();
        outbox.push("1".into()).unwrap();
        outbox.push_from("3".into(), false).unwrap();
        let full = outbox.push_from("4".into(), false).unwrap_err();
        assert!(matches!(full, SendError::Full(_)));
        outbox.open();
        outbox.push_from("4".into(), false).unwrap_err();
        let sent = std::iter::from_fn(|| outbox.next_frame());
        let sent: Vec<_> = sent.map(|(frame, _)| frame.payload.to_vec()).collect();
        assert_eq!(sent, [b"1", b"2", b"3"]);
        outbox.push_from("4".into(), false).unwrap();
        assert!(outbox.next_frame().is_some());
    }

    #[test]
    fn empty_messages_count_too() {
        let outbox = Outbox::new(10 * OVERHEAD);
        let taken = (0..1000).filter(|_| outbox.push("".into()).is_ok()).count();
        assert_eq!(taken, 10);
    }

    #[test]
    fn a_received_frame_is_made_fit_to_be_sent() {
        let outbox = Outbox::new(1);
        outbox
            .close(CloseFrame::received(1006, &[0xff; 123]))
            .unwrap();
        let Next::Close(frame) = outbox.next() else {
            panic!("no close");
        };
        assert_eq!(frame.code(), CloseCode::NORMAL);
        assert!(frame.reason().len() <= 123, "{}", frame.reason().len());
    }

    #[test]
    fn what_was_queued_goes_before_the_close_and_nothing_after_it() {
        let outbox = Outbox::new(100);
        outbox.push("first".into()).unwrap();
        outbox.push(Message::Close(None)).unwrap();
        let refused = outbox.push("second".into()).unwrap_err();
        assert_eq!(refused.into_message().as_text(), Some("second"));
        assert!(outbox.close(CloseCode::GOING_AWAY.into()).is_err());
        assert!(matches!(outbox.next(), Next::Frame(_)));
        assert!(matches!(outbox.next(), Next::Close(f) if f.code() == CloseCode::NORMAL));
        outbox.shut();
        assert!(matches!(outbox.next(), Next::Idle(_)));
    }

    #[test]
    fn a_control_frame_that_does_not_fit_is_refused() {
        let outbox = Outbox::new(1000);
        let refused = outbox.push(Message::ping(vec![0; 126])).unwrap_err();
        assert!(matches!(refused, SendError::TooLong(_)));
        let limit = Message::MAX_LEN.to_string();
        assert!(refused.to_string().contains(&limit), "{refused}");
        outbox.push(Message::ping(vec![0; 125])).unwrap();
    }
}
