//! The one result of a connect.

use super::error::ConnectError;
use crate::connection::ConnectionId;
use crate::context::ContextHandle;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// The outcome of a connect that is under way: one `Result`.
///
/// It can be waited for on another thread ([`wait`](Connecting::wait)), or
/// awaited, or dropped: the handler hears of the outcome too. With
/// [`Client::reconnect`](super::Client::reconnect) it is the first connection,
/// or the error of the last attempt.
///
/// It may go to another thread. Awaited, it calls the waker on the context's thread; once it is
/// ready, it stays so, and may be awaited again.
#[must_use = "dropping it is fine, but then only the handler hears of the outcome"]
pub struct Connecting {
    slot: Arc<Slot>,
    /// Whom to ask to connect no more.
    context: Option<ContextHandle>,
}

struct Slot {
    state: Mutex<State>,
    changed: Condvar,
    service_thread: ThreadId,
    cancelled: AtomicBool,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<ConnectionId, ConnectError>>,
    waker: Option<Waker>,
}

impl Connecting {
    pub(crate) fn pair(
        service_thread: ThreadId,
        context: Option<ContextHandle>,
    ) -> (Connecting, Ticket) {
        let slot = Arc::new(Slot {
            state: Mutex::default(),
            changed: Condvar::new(),
            service_thread,
            cancelled: AtomicBool::new(false),
        });
        let ticket = Ticket(Some(Arc::clone(&slot)));
        (Connecting { slot, context }, ticket)
    }

    /// Lets the client connect no more. An attempt that is under way is dropped, and fails
    /// with [`Cancelled`](ConnectError::Cancelled). While the next one of a client that
    /// [reconnects](super::Client::reconnect) is waited for, that is the outcome, if there
    /// was none before, and the handler is dropped. A connection that is open stays, and is
    /// the last.
    ///
    /// Any thread may ask; the context's thread does it in its next turn.
    pub fn cancel(&self) {
        // Asked once is enough.
        let before = self.slot.cancelled.swap(true, Ordering::AcqRel);
        if let Some(context) = self.context.as_ref().filter(|_| !before) {
            context.cancel(Token(Arc::clone(&self.slot)));
        }
    }

    /// The outcome, if there is one already.
    pub fn outcome(&self) -> Option<Result<ConnectionId, ConnectError>> {
        self.slot.lock().outcome.clone()
    }

    /// Waits for the outcome, and blocks the thread meanwhile; `Duration::MAX` is no bound.
    ///
    /// # Errors
    ///
    /// Why there is no connection; [`TimedOut`](ConnectError::TimedOut) if that
    /// isn't known within `timeout`; and, rather than a deadlock,
    /// [`OnServiceThread`](ConnectError::OnServiceThread) on the context's own thread.
    pub fn wait(&self, timeout: Duration) -> Result<ConnectionId, ConnectError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.slot.lock();
        loop {
            if let Some(outcome) = &state.outcome {
                return outcome.clone();
            }
            if std::thread::current().id() == self.slot.service_thread {
                return Err(ConnectError::OnServiceThread);
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                return Err(ConnectError::TimedOut);
            }
            state = match self.slot.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Future for Connecting {
    type Output = Result<ConnectionId, ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Wakers are foreign code: cloned and dropped without the lock.
        let waker = cx.waker().clone();
        let mut state = self.slot.lock();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting")
            .field("outcome", &self.outcome())
            .finish()
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to say the outcome, once. Dropped without saying it, it says that
/// the context is gone.
pub(crate) struct Ticket(Option<Arc<Slot>>);

impl Ticket {
    /// What the client is known by after the outcome, too.
    pub fn token(&self) -> Option<Token> {
        self.0.clone().map(Token)
    }

    pub fn resolve(mut self, outcome: Result<ConnectionId, ConnectError>) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Result<ConnectionId, ConnectError>) {
        let Some(slot) = self.0.take() else {
            return;
        };
        let mut state = slot.lock();
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        slot.changed.notify_all();
        // Foreign code: called without the lock.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Tells one client from another, and whether it was cancelled.
pub(crate) struct Token(Arc<Slot>);

impl Token {
    pub fn is(&self, other: &Token) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.finish(Err(ConnectError::ContextGone));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_oneself_is_an_error_and_not_a_deadlock() {
        let (connecting, ticket) = Connecting::pair(std::thread::current().id(), None);
        let error = connecting.wait(Duration::MAX).unwrap_err();
        assert!(matches!(error, ConnectError::OnServiceThread));
        drop(ticket);
        let error = connecting.wait(Duration::MAX).unwrap_err();
        assert!(matches!(error, ConnectError::ContextGone));
    }

    #[test]
    fn another_thread_gets_the_outcome_or_runs_out_of_time() {
        let here = std::thread::current().id();
        let (connecting, ticket) = Connecting::pair(here, None);
        let id = ConnectionId::next();
        std::thread::spawn(move || {
            let early = connecting.wait(Duration::from_millis(1)).unwrap_err();
            assert!(matches!(early, ConnectError::TimedOut));
            ticket.resolve(Ok(id));
            assert_eq!(connecting.wait(Duration::MAX).unwrap(), id);
        })
        .join()
        .unwrap();
    }
}
