//! What both roles check of what they are given.

use crate::error::{InvalidInput, Shown};
use http::{HeaderName, HeaderValue};
use std::fmt::Display;

/// The longest subprotocol name that the C library matches (server-ws.c).
const MAX_SUBPROTOCOL: usize = 63;

/// A character of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A checked header.
pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), InvalidInput> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        InvalidInput::new(format!(
            "{} is no header name: use letters, digits and any of !#$%&'*+-.^_`|~, at least one \
             and at most 65535",
            Shown(beginning(name))
        ))
    })?;
    // A value may be a credential: it isn't shown.
    let value = HeaderValue::from_str(value)
        .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
        .map_err(|_| {
            InvalidInput::new(format!(
                "the value of {} can't be sent: CR, LF, NUL and other control characters aren't \
                 allowed",
                Shown(parsed.as_str())
            ))
        })?;
    Ok((parsed, value))
}

/// What a name has in front of the first character that none may have: a whole line may have
/// been given for a name, with a credential behind the colon.
fn beginning(name: &str) -> &str {
    match name.find(|c| !u8::try_from(c).is_ok_and(is_token)) {
        Some(at) => {
            let end = name[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            &name[..end]
        }
        None => name,
    }
}

/// Refuses what can't be the name of a subprotocol; `shown` stands for it, for a client's may be
/// a credential.
pub(crate) fn subprotocol(name: &str, shown: impl Display) -> Result<(), InvalidInput> {
    if name.is_empty() || name.len() > MAX_SUBPROTOCOL || !name.bytes().all(is_token) {
        return Err(InvalidInput::new(format!(
            "{shown} is no subprotocol: use 1 to {MAX_SUBPROTOCOL} letters, digits and any of \
             !#$%&'*+-.^_`|~"
        )));
    }
    Ok(())
}

/// The path of a Unix domain socket, in either role.
#[cfg(feature = "unix-sockets")]
pub(crate) fn socket_path(path: &std::path::Path) -> Result<&str, InvalidInput> {
    let text = path
        .to_str()
        .filter(|text| (1..=100).contains(&text.len()) && !text.contains('\0'))
        .filter(|text| !text.starts_with('@'));
    text.ok_or_else(|| {
        InvalidInput::new(format!(
            "the socket's path {} must be UTF-8 of 1 to 100 bytes, without NUL and \
             without @ in front (write ./@ for a file of such a name)",
            Shown(path)
        ))
    })
}
