//! A connection: its handler's view of it, its send queue, its received pieces.

pub(crate) mod assembler;
pub(crate) mod buffers;
mod closed;
mod config;
mod handler;
pub(crate) mod ids;
pub(crate) mod outbox;
pub(crate) mod state;
mod view;

pub use assembler::Fragment;
pub use closed::{Closed, Initiator};
pub use config::WebSocketConfig;
pub use handler::Handler;
pub use view::Connection;

use std::fmt;

/// Names a connection for as long as the program runs: ids are never given out
/// twice, not even by different contexts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    pub(crate) fn next() -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which side of the opening handshake we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer connected to us.
    Server,
    /// We connected to the peer.
    Client,
}
