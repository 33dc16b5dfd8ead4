//! Limits and habits of WebSocket connections.

use std::time::Duration;

/// Limits and habits of the connections of a vhost, or of a client.
///
/// ```
/// use libwebsockets::WebSocketConfig;
/// let config = WebSocketConfig::new().max_message_size(1 << 20).deflate(true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct WebSocketConfig {
    pub(crate) max_message_size: usize,
    pub(crate) max_frame_size: usize,
    pub(crate) max_write_buffer_size: usize,
    pub(crate) close_timeout: Duration,
    pub(crate) ping_after: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) deflate: bool,
    pub(crate) fragments: bool,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        WebSocketConfig {
            max_message_size: 64 << 20,
            max_frame_size: 64 << 20,
            max_write_buffer_size: 64 << 20,
            close_timeout: Duration::from_secs(5),
            ping_after: Duration::from_secs(300),
            idle_timeout: Duration::from_secs(310),
            deflate: false,
            fragments: false,
        }
    }
}

impl WebSocketConfig {
    /// The defaults, which each method names.
    pub fn new() -> Self {
        Self::default()
    }

    /// The longest message that is received, in bytes; a longer one closes the
    /// connection with code 1009. Default: 64 MiB. Of a compressed message, the bytes
    /// that it inflates to count. The limit doesn't apply where
    /// [`fragments`](WebSocketConfig::fragments) are taken.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// The longest frame that is received, in bytes; a longer one closes the
    /// connection with code 1009. Default: 64 MiB. Of a compressed frame, the bytes
    /// that it inflates to while it arrives count; of what the C library still inflates
    /// once the frame has come whole, each piece of up to 16 KiB counts by itself.
    pub fn max_frame_size(mut self, bytes: usize) -> Self {
        self.max_frame_size = bytes;
        self
    }

    /// Bytes that may wait to be sent, with 64 for each message; more are
    /// refused with [`SendError::Full`](crate::SendError::Full). A queue that is
    /// empty takes one message of any size. Default: 64 MiB.
    pub fn max_write_buffer_size(mut self, bytes: usize) -> Self {
        self.max_write_buffer_size = bytes;
        self
    }

    /// How long the peer may take to answer a close frame until the connection
    /// is dropped; and while what is queued goes out ahead of that frame, how long it
    /// may take nothing at all, which is seen before twice that time is over. Default:
    /// 5 s, which is also the most: the C library itself gives up then
    /// (lib/roles/ws/ops-ws.c).
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout.min(Duration::from_secs(5));
        self
    }

    /// How long after the last pong, or the opening handshake, a ping is sent, rounded up to
    /// whole seconds, from 1 to 65535. Messages of the peer don't count as pongs. It is
    /// made shorter than [`idle_timeout`](WebSocketConfig::idle_timeout) where it
    /// isn't. Default: 300 s.
    #[doc(alias = "secs_since_valid_ping")]
    pub fn ping_after(mut self, time: Duration) -> Self {
        self.ping_after = time;
        self
    }

    /// How long after the last pong, or the opening handshake, the connection is
    /// dropped, rounded up to whole seconds, from 2 to 65535: a peer that is there answers
    /// the ping, whether or not it has anything to say. One that sends a single
    /// frame for all of this time can't, and is dropped as well. Default: 310 s.
    #[doc(alias = "secs_since_valid_hangup")]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.idle_timeout = time;
        self
    }

    /// Whether permessage-deflate (RFC 7692) is offered or accepted. Default:
    /// no. Without feature `deflate` it never is; nor with an installed library (feature
    /// `system`), unless that was built with this crate's patches: it loses the end of some
    /// messages.
    #[doc(alias = "lws_extension_callback_pm_deflate")]
    pub fn deflate(mut self, on: bool) -> Self {
        self.deflate = on;
        self
    }

    /// Whether messages are handed over in the pieces in which they arrive, to
    /// [`Handler::on_fragment`](crate::Handler::on_fragment), instead of whole.
    /// Default: no.
    pub fn fragments(mut self, on: bool) -> Self {
        self.fragments = on;
        self
    }

    /// The idle policy as the C library takes it.
    pub(crate) fn idle_seconds(&self) -> (u16, u16) {
        let seconds = |d: Duration| {
            u16::try_from(d.as_millis().div_ceil(1000))
                .unwrap_or(u16::MAX)
                .max(1)
        };
        let hangup = seconds(self.idle_timeout).max(2);
        (seconds(self.ping_after).min(hangup - 1), hangup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_always_goes_out_before_the_connection_is_dropped() {
        let config = WebSocketConfig::new()
            .ping_after(Duration::from_secs(100))
            .idle_timeout(Duration::from_secs(3));
        assert_eq!(config.idle_seconds(), (2, 3));
        // The default; the load test alone has the time to see it at work.
        assert_eq!(WebSocketConfig::new().idle_seconds(), (300, 310));
        let zero = WebSocketConfig::new().idle_timeout(Duration::ZERO);
        assert_eq!(zero.idle_seconds(), (1, 2));
        let long = WebSocketConfig::new().idle_timeout(Duration::from_secs(1 << 20));
        assert_eq!(long.idle_seconds(), (300, u16::MAX));
    }
}
