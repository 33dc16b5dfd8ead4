//! What is agreed on about permessage-deflate (RFC 7692): the C library takes and
//! gives parameters unseen, so that they are looked at here first.

use crate::validate::is_token;

/// The one extension there is.
const NAME: &str = "permessage-deflate";

/// What zlib can hold itself to: not the 8 that the RFC has as well.
const WINDOWS: std::ops::RangeInclusive<u8> = 9..=15;

/// An extension in a Sec-WebSocket-Extensions header (RFC 6455 §9.1).
#[derive(Debug, PartialEq, Eq)]
struct Extension {
    name: String,
    params: Vec<(String, Option<String>)>,
}

/// Parameters of permessage-deflate that are known and right.
#[derive(Debug, Default)]
struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// The inner value is missing where an offer only says that it can be asked for.
    client_max_window_bits: Option<Option<u8>>,
}

/// The first of a client's offers that a server can take, as the C library is to see
/// it: each parameter in it is also in the answer (RFC 7692 §7.1).
pub(crate) fn choose(offers: &str) -> Option<String> {
    let params = extensions(offers)?
        .iter()
        .filter(|offer| offer.name == NAME)
        .filter_map(Params::read)
        .find(|params| {
            params
                .server_max_window_bits
                .is_none_or(|b| WINDOWS.contains(&b))
        })?;
    let mut chosen = NAME.to_owned();
    if params.server_no_context_takeover {
        chosen += "; server_no_context_takeover";
    }
    if params.client_no_context_takeover {
        chosen += "; client_no_context_takeover";
    }
    if let Some(bits) = params.server_max_window_bits {
        chosen += &format!("; server_max_window_bits={bits}");
    }
    Some(chosen)
}

/// Whether a server's answer is one to our offer (RFC 7692 §5.1, §7.1).
pub(crate) fn is_agreement(answer: &str) -> bool {
    let Some(extensions) = extensions(answer) else {
        return false;
    };
    let [only] = &extensions[..] else {
        return false;
    };
    let params = Some(only)
        .filter(|only| only.name == NAME)
        .and_then(Params::read);
    params.is_some_and(|params| match params.client_max_window_bits {
        None => true,
        Some(bits) => bits.is_some_and(|bits| WINDOWS.contains(&bits)),
    })
}

impl Params {
    /// `None`: there is one that isn't known, is there twice or has a bad value.
    fn read(extension: &Extension) -> Option<Self> {
        let mut params = Params::default();
        for (name, value) in &extension.params {
            let is_first = match (name.as_str(), value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut params.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut params.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    let bits = window_bits(value)?;
                    params.server_max_window_bits.replace(bits).is_none()
                }
                ("client_max_window_bits", value) => {
                    let bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                    params.client_max_window_bits.replace(bits).is_none()
                }
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(params)
    }
}

/// A number from 8 to 15, without zeros in front (RFC 7692 §7.1.2).
fn window_bits(value: &str) -> Option<u8> {
    let bits: u8 = value.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (bits.to_string() == value).then_some(bits)
}

/// The extensions of a header; `None`: it is no list of them.
fn extensions(header: &str) -> Option<Vec<Extension>> {
    let mut rest = Rest(header);
    let mut found = Vec::new();
    loop {
        rest.skip_spaces();
        // Empty elements of a list are ignored (RFC 9110 §5.6.1).
        if rest.take(',') {
            continue;
        }
        if rest.0.is_empty() {
            return Some(found);
        }
        let name = rest.token()?;
        let mut params = Vec::new();
        while rest.take(';') {
            rest.skip_spaces();
            let name = rest.token()?;
            let value = match rest.take('=') {
                true => Some(rest.value()?),
                false => None,
            };
            params.push((name, value));
        }
        found.push(Extension { name, params });
        if !rest.0.is_empty() && !rest.take(',') {
            return None;
        }
    }
}

/// What of a header is still to be read.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    /// Takes a character, with the white space before it, if it comes next.
    fn take(&mut self, expected: char) -> bool {
        let rest = self.0.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(expected) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => {
                if rest.is_empty() {
                    self.0 = rest;
                }
                false
            }
        }
    }

    fn token(&mut self) -> Option<String> {
        let is_token = |c: char| u8::try_from(c).is_ok_and(is_token);
        let end = self.0.find(|c| !is_token(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then(|| token.to_owned())
    }

    /// A token, or a quoted one.
    fn value(&mut self) -> Option<String> {
        match self.0.strip_prefix('"') {
            None => self.token(),
            Some(rest) => {
                self.0 = rest;
                let token = self.token()?;
                self.0 = self.0.strip_prefix('"')?;
                Some(token)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offer_that_can_be_taken_is() {
        for (offers, chosen) in [
            ("permessage-deflate", Some("permessage-deflate")),
            (
                " , x;a=\"b\" ,permessage-deflate ",
                Some("permessage-deflate"),
            ),
            (
                "permessage-deflate; client_max_window_bits",
                Some("permessage-deflate"),
            ),
            (
                "permessage-deflate;server_max_window_bits=\"10\" ; client_max_window_bits=8",
                Some("permessage-deflate; server_max_window_bits=10"),
            ),
            // zlib has no such window.
            ("permessage-deflate; server_max_window_bits=8", None),
            (
                "permessage-deflate; server_max_window_bits=8, permessage-deflate; \
                 client_no_context_takeover; server_no_context_takeover",
                Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
            ),
            ("permessage-deflate; unknown", None),
            ("permessage-deflate; server_max_window_bits=+9", None),
            ("permessage-deflate; server_max_window_bits=\"9", None),
            ("permessage-deflate x", None),
            ("permessage-deflate;", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(choose(offers).as_deref(), chosen, "{offers}");
        }
    }

    #[test]
    fn an_answer_has_one_extension_with_what_was_offered() {
        for (answer, is) in [
            ("permessage-deflate", true),
            ("permessage-deflate; server_max_window_bits=8", true),
            (
                "permessage-deflate; client_max_window_bits=9; client_no_context_takeover",
                true,
            ),
            ("permessage-deflate; client_max_window_bits=8", false),
            ("permessage-deflate; client_max_window_bits", false),
            ("permessage-deflate; server_max_window_bits", false),
            ("permessage-deflate, permessage-deflate", false),
            ("x", false),
            ("", false),
        ] {
            assert_eq!(is_agreement(answer), is, "{answer}");
        }
    }
}
