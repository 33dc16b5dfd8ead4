//! How far a log is from switching itself off.

use super::rotation::AutoOff;
use std::time::Instant;

/// How far the log is from switching itself off.
#[derive(Default)]
pub(super) struct Limit {
    until: Option<Instant>,
    bytes: Option<u64>,
    connections: Option<u64>,
}

impl Limit {
    pub fn new(auto_off: &AutoOff) -> Self {
        Limit {
            until: auto_off
                .time
                .and_then(|time| Instant::now().checked_add(time)),
            bytes: auto_off.bytes,
            connections: auto_off.connections,
        }
    }

    /// Whether these records come too late.
    pub fn forbids(&self, len: u64, first: bool) -> Option<&'static str> {
        let full = self.bytes.is_some_and(|left| len > left);
        let enough = first && self.connections == Some(0);
        let bytes = full.then_some("number of bytes");
        let connections = enough.then_some("number of connections");
        self.time_is_up().or(bytes).or(connections)
    }

    pub fn time_is_up(&self) -> Option<&'static str> {
        let over = self.until.is_some_and(|until| Instant::now() >= until);
        over.then_some("time")
    }

    /// Counts records that are to be written; whether they were the last.
    pub fn count(&mut self, len: u64, first: bool) -> Option<&'static str> {
        if let Some(left) = &mut self.bytes {
            *left = left.saturating_sub(len);
        }
        match &mut self.connections {
            Some(left) if first => {
                *left = left.saturating_sub(1);
                (*left == 0).then_some("number of connections")
            }
            _ => None,
        }
    }
}
