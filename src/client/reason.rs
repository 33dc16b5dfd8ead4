//! What the C library's words for a connection that failed stand for.

use super::failure::{ConnectFailure, ConnectStep};
use std::io;

impl ConnectFailure {
    /// What these words mean; those that aren't known are kept.
    ///
    /// They are of libwebsockets 4.3 to 5.0 and our patches: `connect2.c`, `connect3.c`,
    /// `wsi-timeout.c`, `client-http.c`, `client-ws.c`, `openssl-client.c`.
    pub(crate) fn of_words(words: &str) -> Self {
        let words = words.trim();
        if let Some(reason) = words.strip_prefix("DNS") {
            return resolve(reason.trim_start_matches([':', ' ']));
        }
        if let Some(rest) = words.strip_prefix("conn fail: ") {
            return transport(rest);
        }
        if let Some(reason) = words.strip_prefix("tls: ") {
            return tls(reason);
        }
        if let Some(number) = words.strip_prefix("connect SYSCALL ") {
            return cut_off(number);
        }
        if let Some(rest) = words.strip_prefix("HS: ") {
            return handshake(rest);
        }
        match words {
            "Timed out connecting" => ConnectFailure::TimedOut(ConnectStep::Transport),
            "Timed out waiting SSL" => ConnectFailure::TimedOut(ConnectStep::Tls),
            "Timed out waiting server reply" => ConnectFailure::TimedOut(ConnectStep::Handshake),
            "Peer hung up" | "read failed" | "write failed" => {
                ConnectFailure::HungUp(ConnectStep::Handshake)
            }
            // Of an installed library, which doesn't tell more.
            "problems parsing header" => handshake("headers too long"),
            "request not made" => ConnectFailure::Other("the request can't be made".into()),
            "ws protocol no match" => handshake("Cannot match protocol"),
            "no memory for headers" => ConnectFailure::io(io::ErrorKind::OutOfMemory.into()),
            "Unable to connect" => ConnectFailure::Other("the system can't connect".into()),
            "" | "closed before established" | "Closed before conn" => ConnectFailure::unknown(),
            // From before the TLS library was asked for its verdict.
            _ if words.starts_with("server's cert didn't look good") => tls(words),
            "bio_create failed" => tls("the TLS library can't make a connection"),
            _ if words.starts_with("connect unk ") => tls(words),
            _ => ConnectFailure::Other(words.into()),
        }
    }

    /// Nobody said why.
    pub(crate) fn unknown() -> Self {
        ConnectFailure::Other("the connection ended before it was open".into())
    }
}

fn resolve(reason: &str) -> ConnectFailure {
    ConnectFailure::Resolve(
        match reason {
            "no usable address" if cfg!(feature = "ipv6") => "it has no address that can be used",
            "no usable address" => {
                "it has no IPv4 address, and IPv6 needs this crate's feature `ipv6`"
            }
            // Of a library without our patches.
            "NXDOMAIN" => "there is no such name",
            other => other,
        }
        .into(),
    )
}

/// An error's number is all that is said, or comes behind the word errno.
fn transport(rest: &str) -> ConnectFailure {
    let number = match rest.split_once("errno ") {
        Some((_, number)) => number,
        None => rest,
    };
    let end = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    match number[..end].parse() {
        Ok(number) => ConnectFailure::io(io::Error::from_raw_os_error(number)),
        Err(_) if rest == "insert fd" => ConnectFailure::Other(
            "the context has no room for another descriptor: raise ContextBuilder::max_fds".into(),
        ),
        Err(_) => ConnectFailure::Other(rest.into()),
    }
}

/// Of `error:0A00010B:SSL routines::wrong version number` the last part is for people.
fn tls(reason: &str) -> ConnectFailure {
    let reason = match reason.strip_prefix("error:") {
        Some(parts) => parts.rsplit(':').next().unwrap_or(parts),
        None => reason,
    };
    if reason.starts_with("unexpected eof") {
        return ConnectFailure::HungUp(ConnectStep::Tls);
    }
    ConnectFailure::Tls {
        alert: None,
        reason: reason.into(),
    }
}

/// A TLS handshake met an error of the socket, or its end.
fn cut_off(number: &str) -> ConnectFailure {
    let error = match number.parse() {
        Ok(0) | Err(_) => return ConnectFailure::HungUp(ConnectStep::Tls),
        Ok(number) => io::Error::from_raw_os_error(number),
    };
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            ConnectFailure::HungUp(ConnectStep::Tls)
        }
        _ => ConnectFailure::io(error),
    }
}

fn handshake(what: &str) -> ConnectFailure {
    ConnectFailure::Protocol(
        match what {
            "OOM" => return ConnectFailure::io(io::ErrorKind::OutOfMemory.into()),
            "URI missing" | ":status missing" => "its answer has no status",
            "ACCEPT missing" => "its answer has no Sec-WebSocket-Accept",
            "Accept hash wrong" => "the Sec-WebSocket-Accept of its answer is wrong",
            "UPGRADE missing" => "its answer has no Upgrade",
            "Upgrade to something other than websocket" => "its answer upgrades to something else",
            "UPGRADE malformed" => "the Connection of its answer doesn't name Upgrade",
            "PROTOCOL malformed" => "the Sec-WebSocket-Protocol of its answer is malformed",
            "malformed header line" => "its answer isn't HTTP",
            "headers too long" => {
                "its answer isn't HTTP, or has more headers than max_header_bytes"
            }
            "Cannot match protocol" => "it chose a subprotocol that wasn't offered",
            "bad content-length" => "the Content-Length of its answer is no number",
            _ if what.starts_with("EXT: ") => {
                "the Sec-WebSocket-Extensions of its answer aren't what was offered"
            }
            other => other,
        }
        .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &str) -> String {
        format!("{:?}", ConnectFailure::of_words(words))
    }

    #[test]
    fn an_errors_number_is_found_wherever_it_stands() {
        for words in [
            "conn fail: 111",
            "conn fail: errno 111: 127.0.0.1:80",
            "conn fail: skt creation: errno 111",
        ] {
            let ConnectFailure::Io(error) = ConnectFailure::of_words(words) else {
                panic!("{words}");
            };
            assert_eq!(error.raw_os_error(), Some(111), "{words}");
        }
        assert!(shown("conn fail: insert fd").contains("max_fds"));
        assert_eq!(shown("conn fail: x"), r#"Other("x")"#);
        assert_eq!(shown("conn fail: 99999999999"), r#"Other("99999999999")"#);
    }

    #[test]
    fn of_the_tls_librarys_error_what_is_for_people_is_kept() {
        let last = r#"Tls { alert: None, reason: "wrong version number" }"#;
        assert_eq!(
            shown("tls: error:0A00010B:SSL routines::wrong version number"),
            last
        );
        assert_eq!(shown("tls: wrong version number"), last);
        assert_eq!(
            shown("tls: error:0A000126:SSL routines::unexpected eof while reading"),
            "HungUp(Tls)"
        );
        assert_eq!(shown("connect SYSCALL 0"), "HungUp(Tls)");
        assert!(shown("connect SYSCALL 110").starts_with("Io("));
    }

    #[test]
    fn words_that_are_not_known_are_kept() {
        assert_eq!(shown("something new"), r#"Other("something new")"#);
        assert_eq!(shown("HS: new"), r#"Protocol("new")"#);
        assert_eq!(shown(""), shown("closed before established"));
        assert_eq!(shown("DNS NXDOMAIN"), r#"Resolve("there is no such name")"#);
        assert_eq!(shown("DNS: later"), r#"Resolve("later")"#);
    }
}
