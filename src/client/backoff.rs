//! How long to wait before connecting again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Waits before attempts to connect again: exponential, with jitter, so that a
/// server that comes back isn't met by all its clients at once (RFC 6455 §7.2.3).
///
/// An attempt has failed, too, if its connection ended before it was as old as the wait
/// before it, and as the first wait: a server that lets clients in and closes at once is
/// asked less and less often.
#[doc(alias = "lws_retry_bo")]
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Backoff {
    first: Duration,
    max: Duration,
    factor: f64,
    jitter: f64,
    attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: Duration::from_millis(500),
            max: Duration::from_secs(60),
            factor: 2.0,
            jitter: 0.3,
            attempts: None,
        }
    }
}

impl Backoff {
    /// The defaults, which each method names.
    pub fn new() -> Self {
        Backoff::default()
    }

    /// The first wait. Default: 0.5 s.
    pub fn first(mut self, wait: Duration) -> Self {
        self.first = wait;
        self
    }

    /// The longest wait, before jitter. Default: 60 s.
    pub fn max(mut self, wait: Duration) -> Self {
        self.max = wait;
        self
    }

    /// By which factor each wait is longer than the last, at least 1 (as is taken for what is no
    /// number, or infinite). Default: 2.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = if factor.is_finite() {
            factor.max(1.0)
        } else {
            1.0
        };
        self
    }

    /// By which part, from 0 to 1, a wait may be longer or shorter. Default: 0.3. What is no
    /// number, or infinite, is taken for 0.
    #[doc(alias = "jitter_percent")]
    pub fn jitter(mut self, part: f64) -> Self {
        self.jitter = if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self
    }

    /// Attempts to connect again, failed in a row, until it is given up. Default: no limit.
    #[doc(alias = "conceal_count")]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    pub(crate) fn first_wait(&self) -> Duration {
        self.first
    }

    /// The wait before the attempt after `failed` failures in a row; `None`: give up.
    pub(crate) fn wait(&self, failed: u32) -> Option<Duration> {
        if self.attempts.is_some_and(|most| failed > most) {
            return None;
        }
        if self.first.is_zero() {
            return Some(Duration::ZERO); // whatever the factor: 0 * inf is no number
        }
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let max = self.max.as_secs_f64();
        let wait = (self.first.as_secs_f64() * self.factor.powi(exponent)).min(max);
        // The hasher's keys are random: good enough to spread clients.
        let random = (RandomState::new().hash_one(failed) >> 11) as f64 / (1u64 << 53) as f64;
        let wait = wait * (1.0 + self.jitter * (2.0 * random - 1.0));
        Some(Duration::try_from_secs_f64(wait).unwrap_or(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_maximum_and_end() {
        let b = Backoff::new().jitter(0.0).attempts(10);
        assert_eq!(b.wait(1), Some(Duration::from_millis(500)));
        assert_eq!(b.wait(3), Some(Duration::from_secs(2)));
        assert_eq!(b.wait(10), Some(Duration::from_secs(60)));
        assert_eq!(b.wait(11), None);
    }

    #[test]
    fn odd_settings_still_give_waits() {
        let b = Backoff::new().factor(f64::NAN).jitter(f64::INFINITY);
        assert_eq!(b.wait(u32::MAX), Some(Duration::from_millis(500)));
        let b = Backoff::new().max(Duration::MAX).factor(1e300);
        assert!(b.wait(u32::MAX).is_some());
        let b = Backoff::new().first(Duration::ZERO);
        assert_eq!(b.wait(u32::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn jitter_stays_within_its_part() {
        let b = Backoff::new().jitter(0.5);
        for _ in 0..1000 {
            let wait = b.wait(1).unwrap();
            assert!((250..=750).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}
