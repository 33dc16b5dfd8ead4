//! Close frames (RFC 6455 §5.5.1, §7.4).

use crate::error::InvalidInput;
use std::fmt;

/// The longest reason of a close frame: 125 bytes less the code's two.
const MAX_REASON: usize = 123;

/// Why a connection is closed (RFC 6455 §7.4.1, IANA "WebSocket Close Code
/// Number Registry").
#[doc(alias = "lws_close_status")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    #[doc(alias = "LWS_CLOSE_STATUS_NORMAL")]
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// 1001: a server goes down, or a browser leaves the page.
    #[doc(alias = "LWS_CLOSE_STATUS_GOINGAWAY")]
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    /// 1002: the peer broke the protocol.
    #[doc(alias = "LWS_CLOSE_STATUS_PROTOCOL_ERR")]
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// 1003: a kind of data that can't be accepted.
    #[doc(alias = "LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE")]
    pub const UNSUPPORTED: CloseCode = CloseCode(1003);
    /// 1007: a text message that isn't UTF-8.
    #[doc(alias = "LWS_CLOSE_STATUS_INVALID_PAYLOAD")]
    pub const INVALID_PAYLOAD: CloseCode = CloseCode(1007);
    /// 1008: a message that violates a policy.
    #[doc(alias = "LWS_CLOSE_STATUS_POLICY_VIOLATION")]
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    /// 1009: a message that is too big.
    #[doc(alias = "LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE")]
    pub const TOO_BIG: CloseCode = CloseCode(1009);
    /// 1010: the server didn't negotiate an extension that the client needs.
    #[doc(alias = "LWS_CLOSE_STATUS_EXTENSION_REQUIRED")]
    pub const MANDATORY_EXTENSION: CloseCode = CloseCode(1010);
    /// 1011: the server met an unexpected condition.
    #[doc(alias = "LWS_CLOSE_STATUS_UNEXPECTED_CONDITION")]
    pub const INTERNAL_ERROR: CloseCode = CloseCode(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: CloseCode = CloseCode(1012);
    /// 1013: the service is overloaded; try again later.
    pub const TRY_AGAIN_LATER: CloseCode = CloseCode(1013);
    /// 1014: a gateway got an invalid answer from the server behind it.
    pub const BAD_GATEWAY: CloseCode = CloseCode(1014);

    /// A code that may be sent: 1000–1003, 1007–1014 (registered) or 3000–4999
    /// (for libraries, frameworks and applications).
    ///
    /// # Errors
    ///
    /// Any other code: it is reserved, or only ever reported (1005, 1006, 1015).
    pub fn new(code: u16) -> Result<Self, InvalidInput> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(CloseCode(code)),
            _ => Err(InvalidInput::new(format!(
                "close code {code} may not be sent; use 1000 to 1003, 1007 to 1014, or 3000 to 4999"
            ))),
        }
    }

    /// What the peer sent, whatever it is.
    pub(crate) fn received(code: u16) -> Self {
        CloseCode(code)
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As [`CloseCode::new`].
impl TryFrom<u16> for CloseCode {
    type Error = InvalidInput;

    fn try_from(code: u16) -> Result<Self, InvalidInput> {
        CloseCode::new(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.0
    }
}

/// A close frame: a code, and a reason for humans (RFC 6455 §5.5.1).
#[doc(alias = "lws_close_reason")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: String,
}

impl CloseFrame {
    /// A frame with a reason of at most 123 bytes of UTF-8 (RFC 6455 §5.5).
    ///
    /// # Errors
    ///
    /// A longer reason.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Result<Self, InvalidInput> {
        let reason = reason.into();
        if reason.len() > MAX_REASON {
            return Err(InvalidInput::new(format!(
                "a close reason has at most {MAX_REASON} bytes of UTF-8, and this one has {}",
                reason.len()
            )));
        }
        Ok(CloseFrame { code, reason })
    }

    /// What the peer sent; bytes that aren't UTF-8 are replaced, and what is too
    /// long then is cut off.
    pub(crate) fn received(code: u16, reason: &[u8]) -> Self {
        let mut reason = String::from_utf8_lossy(reason).into_owned();
        let mut end = reason.len().min(MAX_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        CloseFrame {
            code: CloseCode::received(code),
            reason,
        }
    }

    /// The frame with a code that may be sent: one that was received, and that
    /// may not, becomes 1000.
    pub(crate) fn sendable(mut self) -> Self {
        self.code = CloseCode::new(self.code.get()).unwrap_or(CloseCode::NORMAL);
        self
    }

    /// The code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason, empty where none was given.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl From<CloseCode> for CloseFrame {
    fn from(code: CloseCode) -> Self {
        CloseFrame {
            code,
            reason: String::new(),
        }
    }
}

impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.reason.is_empty() {
            write!(f, "{}", self.code)
        } else {
            write!(f, "{} ({})", self.code, self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_travel_are_accepted() {
        for good in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(CloseCode::new(good).unwrap().get(), good);
        }
        assert_eq!(CloseCode::try_from(1014), Ok(CloseCode::BAD_GATEWAY));
        for bad in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
            assert!(CloseCode::try_from(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reason_that_does_not_fit_is_refused() {
        assert!(CloseFrame::new(CloseCode::NORMAL, "x".repeat(123)).is_ok());
        let error = CloseFrame::new(CloseCode::NORMAL, "x".repeat(124)).unwrap_err();
        assert!(error.to_string().contains("123"), "{error}");
    }
}
