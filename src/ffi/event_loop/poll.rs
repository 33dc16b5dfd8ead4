//! The C library's own wait, bounded by a timer.

use super::super::kept::Kept;
use super::super::sys;
use crate::error::Error;
use std::ptr::{null_mut, NonNull};
use std::time::Duration;

/// What a context waits with.
///
/// It holds a timer in lws' list, which links it by its address: [`stop`](Self::stop)
/// comes before the context is destroyed.
///
/// lws looks for timers that are due before it waits, and not after: one that is due by
/// then has to keep it from waiting, or it would be lost.
pub(in crate::ffi) struct EventLoop(Kept<Alarm>);

#[repr(C)]
struct Alarm {
    /// First, so that its address is that of the whole.
    timer: sys::lws_sorted_usec_list,
    /// Null before the first turn.
    context: *mut sys::lws_context,
}

impl EventLoop {
    pub fn new() -> Result<Self, Error> {
        Ok(EventLoop(Kept::new(Alarm {
            timer: Default::default(),
            context: null_mut(),
        })))
    }

    /// Says in what a context is created with that this is its event loop.
    pub fn describe(&self, _info: &mut sys::lws_context_creation_info) {}

    /// Waits for events, at most for `timeout`, and handles them. `false`: the context
    /// is beyond use. The library doesn't tell when it has waited: `_woken` isn't called.
    ///
    /// # Safety
    ///
    /// The context is alive, was created with this event loop, and isn't being serviced.
    #[doc(alias = "lws_service")]
    pub unsafe fn turn(
        &self,
        context: NonNull<sys::lws_context>,
        timeout: Option<Duration>,
        _woken: impl FnOnce(),
    ) -> bool {
        let wait = timeout != Some(Duration::ZERO);
        if let (true, Some(timeout)) = (wait, timeout) {
            self.set_alarm(context, timeout);
        }
        // SAFETY: the context is alive; a negative timeout means not to wait.
        let rc = unsafe { sys::lws_service(context.as_ptr(), if wait { 0 } else { -1 }) };
        rc >= 0
    }

    /// Before the context is destroyed: takes the timer out of its list.
    #[doc(alias = "lws_sul_cancel")]
    pub fn stop(&self) {
        // SAFETY: the timer is zeroed or was scheduled, which is what cancel takes.
        unsafe { sys::lws_sul_cancel(self.timer()) };
    }

    /// The timer's address, valid as long as this lives.
    fn timer(&self) -> *mut sys::lws_sorted_usec_list {
        // The timer comes first.
        self.0.as_ptr().cast()
    }

    /// Ends the wait of the turn that follows.
    #[doc(alias = "lws_sul_schedule")]
    fn set_alarm(&self, context: NonNull<sys::lws_context>, delay: Duration) {
        unsafe extern "C" fn ring(timer: *mut sys::lws_sorted_usec_list) {
            let alarm = timer.cast::<Alarm>();
            // SAFETY: lws passes the timer that `set_alarm` gave it, which an alarm begins with.
            let context = unsafe { (*alarm).context };
            // SAFETY: the alarm rings within the service of its context, which lives.
            unsafe { sys::lws_cancel_service(context) };
        }
        // lws waits for whole milliseconds, rounded down: one more makes that up.
        let us = i64::try_from(delay.as_micros().saturating_add(1000)).unwrap_or(i64::MAX);
        let us = us.min(i64::MAX / 4);
        // SAFETY: the memory lives as long as this, and the alarm reads it in a turn only.
        unsafe { (*self.0.as_ptr()).context = context.as_ptr() };
        // SAFETY: the context lives (contract of `turn`), and the timer until `stop`.
        unsafe { sys::lws_sul_schedule(context.as_ptr(), 0, self.timer(), Some(ring), us) };
    }
}
