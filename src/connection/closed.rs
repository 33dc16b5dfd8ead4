//! How a connection ended.

use super::ConnectionId;
use crate::message::CloseFrame;

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Initiator {
    /// This side asked for it.
    Local,
    /// The peer sent a close frame.
    Remote,
    /// Nobody: the connection broke, timed out, or was dropped by the library
    /// after a violation of the protocol.
    Failure,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The connection, whose id is now stale.
    pub id: ConnectionId,
    /// Who ended it.
    pub initiator: Initiator,
    /// The first close frame: the peer's, or ours. `None` stands for what other
    /// APIs report as 1005 or 1006 (RFC 6455 §7.4.1).
    pub frame: Option<CloseFrame>,
    /// How many messages, pings and pongs included, were queued and weren't given to the
    /// operating system in full. They are lost: those that were still in the queue when the
    /// peer closed, this side aborted, or the connection broke; and one of which the C library
    /// held a part, or may have held one with permessage-deflate, or several small ones
    /// together, which count as one. Messages that were refused aren't counted, nor is a close
    /// frame, nor what went out in the very turn of the loop in which the connection broke.
    /// 0 doesn't say that the peer has got everything, which only its answers do.
    pub unsent: usize,
}
