//! What the thread that compresses is at.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// No thread is there.
const IDLE: u32 = 0;
/// It has looked which files there are, and sees to them.
const AT_WORK: u32 = 1;
/// There may be more of them since.
const MORE: u32 = 2;

/// What the thread is at, and of which process: one that was forked meanwhile has no thread.
///
/// Work is left before [`more`](State::more), and looked for after [`begin`](State::begin).
///
/// No type of the crate's own is used here, so that Loom can try all that two threads may
/// do with this file (member `models`).
#[derive(Debug)]
pub(crate) struct State(AtomicU32);

impl State {
    pub fn new() -> Self {
        State(AtomicU32::new(IDLE))
    }

    fn of(process: u32, phase: u32) -> u32 {
        process << 2 | phase
    }

    /// Notes that there is more to do; whether this process has a thread that will see it.
    /// If it hasn't, the caller starts one.
    pub fn more(&self, process: u32) -> bool {
        let before = self.0.swap(State::of(process, MORE), SeqCst);
        [AT_WORK, MORE].contains(&(before ^ State::of(process, 0)))
    }

    /// The thread is about to look. `false`: there is nothing to look for.
    pub fn begin(&self, process: u32) -> bool {
        self.change(process, MORE, AT_WORK)
    }

    /// It has done what it had found. `false`: it has to look again.
    pub fn end(&self, process: u32) -> bool {
        self.change(process, AT_WORK, IDLE)
    }

    /// There is no thread any more, or there never was one.
    #[cfg(not(loom))]
    pub fn reset(&self, process: u32) {
        self.0.store(State::of(process, IDLE), SeqCst);
    }

    fn change(&self, process: u32, from: u32, to: u32) -> bool {
        let [from, to] = [from, to].map(|phase| State::of(process, phase));
        self.0.compare_exchange(from, to, SeqCst, SeqCst).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_started_where_there_is_none_that_would_see_the_rest() {
        let state = State::new();
        assert!(!state.more(7), "there is none yet");
        assert!(state.more(7), "it hasn't begun");
        assert!(state.begin(7));
        assert!(state.more(7), "it looks again");
        assert!(!state.end(7), "there is more");
        assert!(state.begin(7) && state.end(7));
        assert!(!state.begin(7), "there is nothing");
        assert!(!state.more(7) && state.begin(7));
        // One of the process that this one was forked from.
        assert!(!state.more(8) && !state.end(7) && state.begin(8));
        state.reset(8);
        assert!(!state.more(8));
    }
}
