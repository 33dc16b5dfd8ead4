//! Deadlines of the service thread.

use crate::client::attempt::Attempt;
use crate::connection::state::Progress;
use crate::connection::{ConnectionId, Handler};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is due.
pub(crate) enum Due {
    /// A connection is to be gone: the peer doesn't answer, or isn't waited for.
    CloseTimeout(ConnectionId),
    /// A connection that is to be closed once its queue is sent: whether the peer has got
    /// anything since then.
    SendTimeout(ConnectionId, Option<Progress>),
    /// A graceful shutdown waits no longer.
    ShutdownTimeout,
    /// A client connects: again, or once a Unix domain socket's queue may have room.
    Connect(Box<Attempt>, Box<dyn Handler>),
}

/// Deadlines in their order.
#[derive(Default)]
pub(crate) struct Timers {
    /// The number tells apart what is due at one instant.
    due: BTreeMap<(Instant, u64), Due>,
    next: u64,
}

impl Timers {
    pub fn add(&mut self, after: Duration, due: Due) {
        let now = Instant::now();
        // Beyond what the clock can say, a day is as good as never: it is checked again.
        let at = now
            .checked_add(after)
            .unwrap_or(now + Duration::from_secs(86_400));
        self.due.insert((at, self.next), due);
        self.next += 1;
    }

    /// Takes what is due at `now`, the oldest first.
    pub fn take_due(&mut self, now: Instant) -> Option<Due> {
        let (&(at, _), _) = self.due.first_key_value()?;
        if at > now {
            return None;
        }
        self.due.pop_first().map(|(_, due)| due)
    }

    /// How long until something is due.
    pub fn until_next(&self) -> Option<Duration> {
        let (&(at, _), _) = self.due.first_key_value()?;
        Some(at.saturating_duration_since(Instant::now()))
    }

    /// Takes those clients that would connect.
    pub fn take_connects(
        &mut self,
        which: impl Fn(&Attempt) -> bool,
    ) -> Vec<(Box<Attempt>, Box<dyn Handler>)> {
        let (mut taken, mut left) = (Vec::new(), BTreeMap::new());
        for (at, due) in std::mem::take(&mut self.due) {
            match due {
                Due::Connect(attempt, handler) if which(&attempt) => {
                    taken.push((attempt, handler));
                }
                due => {
                    left.insert(at, due);
                }
            }
        }
        self.due = left;
        taken
    }

    pub fn take_all(&mut self) -> Vec<Due> {
        std::mem::take(&mut self.due).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_not_early() {
        let mut timers = Timers::default();
        let (a, b) = (ConnectionId::next(), ConnectionId::next());
        timers.add(Duration::from_secs(100), Due::CloseTimeout(a));
        assert!(timers.take_due(Instant::now()).is_none());
        timers.add(Duration::ZERO, Due::CloseTimeout(b));
        assert!(matches!(timers.take_due(Instant::now()), Some(Due::CloseTimeout(id)) if id == b));
        assert!(timers
            .until_next()
            .is_some_and(|d| d > Duration::from_secs(90)));
        timers.add(Duration::MAX, Due::CloseTimeout(a));
        assert_eq!(timers.take_all().len(), 2);
        assert!(timers.until_next().is_none());
    }
}
