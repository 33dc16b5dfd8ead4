//! A WebSocket URL, taken apart and checked.

use crate::error::{InvalidInput, Shown};
use http::Uri;
use std::ffi::CString;
use std::fmt;
use std::net::SocketAddr;

/// The longest URL; it has to fit the C library's buffer with the handshake.
const MAX_URL: usize = 8192;

/// Where a client connects.
#[derive(Clone)]
pub(crate) struct Target {
    #[cfg_attr(not(feature = "_tls"), allow(dead_code, reason = "it is always false"))]
    pub tls: bool,
    /// A host name or a numeric address without brackets, or `+` and a path.
    pub address: CString,
    pub port: u16,
    /// Path and query.
    pub request: CString,
    /// The Host header.
    pub host: CString,
    /// For messages.
    pub shown: String,
}

impl Target {
    pub fn parse(url: &str) -> Result<Self, InvalidInput> {
        let bad = |why: &str| {
            let url = without_secrets(url);
            Err(InvalidInput::new(format!(
                "{url} is no WebSocket URL: {why}"
            )))
        };
        let (scheme, authority, _) = split(url).unwrap_or_default();
        // Checked on the text, and first: what is wrong with the rest may lie in the password.
        if authority.contains('@') {
            return Err(InvalidInput::new(
                "a WebSocket URL must not hold a user name or password: send an Authorization \
                 header instead",
            ));
        }
        let (tls, default_port) = match scheme {
            s if s.eq_ignore_ascii_case("ws") => (false, 80),
            s if s.eq_ignore_ascii_case("wss") => (true, 443),
            _ => return bad("it must begin with ws:// or wss://"),
        };
        if url.len() > MAX_URL {
            return bad("it has more than 8192 bytes");
        }
        // The parser drops fragments.
        if url.contains('#') {
            return bad("it must not have a fragment (RFC 6455 section 3)");
        }
        let host_end = host_end(url);
        if !url[..host_end].is_ascii() {
            return bad("its host must be ASCII: write another name as xn--…");
        }
        let (host, rest) = url.split_at(host_end);
        let encoded = match encode(rest) {
            Ok(rest) => format!("{host}{rest}"),
            Err(why) => return bad(why),
        };
        let uri: Uri = match encoded.parse() {
            Ok(uri) => uri,
            Err(e) => return bad(&format!("{e}")),
        };
        if tls && !cfg!(feature = "_tls") {
            return bad("wss needs this crate's feature `tls`");
        }
        let Some(authority) = uri.authority() else {
            return bad("it has no host");
        };
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || bare.len() > 253 {
            return bad("its host must have 1 to 253 characters");
        }
        if has_empty_label(bare) {
            return bad("its host has a dot in front, or two in a row");
        }
        if bare.starts_with('+') {
            // The C library takes it for a Unix socket's path.
            return bad("its host begins with a plus sign");
        }
        if host.starts_with('[') && !cfg!(feature = "ipv6") {
            return bad("IPv6 addresses need this crate's feature `ipv6`");
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') || authority.as_str() == host => default_port,
            None => return bad("its port is no number up to 65535"),
        };
        if port == 0 {
            return bad("port 0 can't be connected to");
        }
        let request = uri.path_and_query().map_or("/", |p| p.as_str());
        let request = if request.starts_with('/') {
            request.to_owned()
        } else {
            format!("/{request}") // a query right after the host
        };
        let host = if port == default_port {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        Ok(Target {
            tls,
            address: text(bare)?,
            port,
            request: text(&request)?,
            host: text(&host)?,
            shown: format!("{}://{host}{}", if tls { "wss" } else { "ws" }, uri.path()),
        })
    }

    /// Goes there instead; what the server is asked for stays.
    pub fn connect_to(&mut self, to: SocketAddr) -> Result<(), InvalidInput> {
        let bad = |why: &str| Err(InvalidInput::new(format!("can't connect to {to}: {why}")));
        if self.is_unix() {
            return bad("the client is one for a Unix domain socket");
        }
        if to.is_ipv6() && !cfg!(feature = "ipv6") {
            return bad("IPv6 addresses need this crate's feature `ipv6`");
        }
        if to.port() == 0 {
            return bad("port 0 can't be connected to");
        }
        let scope = match to {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("%{}", v6.scope_id()),
            _ => String::new(),
        };
        self.address = text(&format!("{}{scope}", to.ip()))?;
        self.port = to.port();
        Ok(())
    }

    /// Whether it is a Unix domain socket.
    pub fn is_unix(&self) -> bool {
        self.address.to_bytes().starts_with(b"+")
    }

    #[cfg(feature = "unix-sockets")]
    pub fn unix(path: &std::path::Path, target: &str) -> Result<Self, InvalidInput> {
        let shown = path.display().to_string();
        let path = crate::validate::socket_path(path)?;
        let bad = |why: &str| {
            let target = match target.starts_with('/') {
                true => Shown(path_of(target)).to_string(),
                // It may be a URL, with a password.
                false => "what was given".to_owned(),
            };
            InvalidInput::new(format!("{target} is no request target: {why}"))
        };
        if !target.starts_with('/') {
            return Err(bad("it must begin with a slash"));
        }
        if target.len() > MAX_URL {
            return Err(bad("it has more than 8192 bytes"));
        }
        if target.contains('#') {
            return Err(bad("it must not have a fragment (RFC 6455 section 3)"));
        }
        let encoded = encode(target).map_err(bad)?;
        let uri: Uri = encoded.parse().map_err(|e| bad(&format!("{e}")))?;
        let request = uri.path_and_query().map_or("/", |p| p.as_str());
        Ok(Target {
            tls: false,
            address: text(&format!("+{path}"))?,
            port: 0,
            request: text(request)?,
            host: text("localhost")?,
            shown: format!("{shown} {}", uri.path()),
        })
    }
}

/// The URL without its query, which may hold credentials.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A URL taken apart, valid or not: the scheme, what may be user, host and port, and the rest.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    Some((scheme, authority, rest))
}

/// The part of a request target that is shown: neither query nor fragment.
fn path_of(target: &str) -> &str {
    let end = target.find(['?', '#']).unwrap_or(target.len());
    &target[..end]
}

/// A URL that can't be used, as an error shows it: scheme, host and path. Where it isn't sure
/// which part is which, only the scheme is.
fn without_secrets(url: &str) -> String {
    let Some((scheme, authority, rest)) = split(url) else {
        return "what was given".to_owned();
    };
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    if !scheme.bytes().all(is_scheme) {
        return "what was given".to_owned();
    }
    // A password may have slashes in it.
    if is_host_and_port(authority) && !url.contains('@') {
        return Shown(format!("{scheme}://{authority}{}", path_of(rest))).to_string();
    }
    let scheme = Shown(format!("{scheme}://"));
    format!("a URL that begins with {scheme} (the rest isn't shown, for it may be a password)")
}

/// Whether it looks like a host with a port or none, and not like a user with a password.
fn is_host_and_port(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => address.split_once(']').unwrap_or((address, "x")),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_address = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
    let is_name = |c: char| c.is_alphanumeric() || "-._+".contains(c);
    let is_host = match authority.starts_with('[') {
        true => host.chars().all(is_address),
        false => host.chars().all(is_name),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    is_host && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Where scheme and host end, and path or query begin.
fn host_end(url: &str) -> usize {
    let host = url.find("://").map_or(0, |at| at + 3);
    let length = url[host..].find(['/', '?']);
    length.map_or(url.len(), |length| host + length)
}

/// Whether a host's name has a dot too many. The one at its end is the root's.
pub(crate) fn has_empty_label(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.split('.').any(str::is_empty)
}

/// A path and query as they are sent: what a URL can't hold is percent-encoded, other letters
/// as UTF-8 (RFC 3986 §2, RFC 3987 §3.1). Brackets are left, as browsers leave them, and so
/// are white space and control characters, which no URL is to have.
fn encode(request: &str) -> Result<String, &'static str> {
    let mut encoded = String::with_capacity(request.len());
    for (at, byte) in request.bytes().enumerate() {
        if byte == b'%' {
            let digits = request.as_bytes().get(at + 1..at + 3);
            if !digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
                return Err(
                    "two hexadecimal digits must follow a percent sign (%25 is one itself)",
                );
            }
        }
        if byte < 0x7f && !b"\"<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    match encoded.len() > MAX_URL {
        true => Err("it has more than 8192 bytes, percent-encoded"),
        false => Ok(encoded),
    }
}

fn text(text: &str) -> Result<CString, InvalidInput> {
    CString::new(text).map_err(|_| InvalidInput::new("NUL characters can't be sent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let t = Target::parse("ws://Example.com/a/b?c=d").unwrap();
        assert_eq!((t.tls, t.port), (false, 80));
        assert_eq!(t.address.to_str(), Ok("Example.com"));
        assert_eq!(t.host.to_str(), Ok("Example.com"));
        assert_eq!(t.request.to_str(), Ok("/a/b?c=d"));
        let t = Target::parse("ws://localhost:8080").unwrap();
        assert_eq!(t.host.to_str(), Ok("localhost:8080"));
        assert_eq!(t.request.to_str(), Ok("/"));
        let t = Target::parse("ws://localhost:81?x").unwrap();
        assert_eq!(t.request.to_str(), Ok("/?x"));
    }

    #[cfg(feature = "_tls")]
    #[test]
    fn wss_has_its_own_default_port() {
        let t = Target::parse("wss://example.com/").unwrap();
        assert_eq!((t.tls, t.port), (true, 443));
    }

    #[cfg(feature = "ipv6")]
    #[test]
    fn ipv6_addresses_lose_their_brackets_to_connect_only() {
        let t = Target::parse("ws://[::1]:8080/").unwrap();
        assert_eq!(t.address.to_str(), Ok("::1"));
        assert_eq!(t.host.to_str(), Ok("[::1]:8080"));
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (url, why) in [
            ("http://localhost/", "ws://"),
            ("localhost:80", "ws://"),
            ("ws://", "URL"),
            ("ws://a b/", "URL"),
            ("ws://host/\r\nx: y", "URL"),
            ("ws://host/\0", "URL"),
            ("ws://user:pw@host/", "Authorization"),
            ("ws://host/#part", "fragment"),
            ("ws://host:0/", "port 0"),
            ("ws://host:99999/", "URL"),
            ("ws://+socket/", "plus"),
            ("ws://+:80/", "plus"),
            ("ws://./", "dot"),
            ("ws://.host/", "dot"),
            ("ws://a..b/", "dot"),
            ("ws://host../", "dot"),
            ("ws://m\u{fc}nchen.example/", "xn--"),
            ("ws://host/%zz", "hexadecimal"),
            ("ws://host/?q=100%", "hexadecimal"),
            ("ws://host/%\u{e9}", "hexadecimal"),
        ] {
            let error = Target::parse(url).err().map(|e| e.to_string());
            assert!(
                error.as_ref().is_some_and(|e| e.contains(why)),
                "{url:?}: {error:?}"
            );
        }
        let long = format!("ws://host/{}", "x".repeat(9000));
        assert!(Target::parse(&long).is_err());
    }

    /// Lost: a password, or a token, in a log.
    #[test]
    fn errors_show_neither_passwords_nor_queries() {
        for (url, why) in [
            ("ws://user:s3cret@h/", "Authorization"),
            ("https://user:s3cret@h/", "Authorization"),
            ("wss://user:s3cret@h/#x", "Authorization"),
            ("ws://user:s3cret@h/%", "Authorization"),
            ("ws://s3cret@h:99999/", "Authorization"),
            ("ws://user:s3cret@m\u{fc}nchen/", "Authorization"),
            ("ws://user:s3cret\u{fc}@h/", "Authorization"),
            ("user:s3cret@h/", "ws://"),
            ("ws:user:s3cret@h/", "ws://"),
            ("user:s3cret@ws://h/", "ws://"),
            ("https://h/?token=s3cret", "\"https://h/\" is no"),
            ("wss://h/?token=s3cret%", "\"wss://h/\" is no"),
            ("wss://h?token=s3cret%", "\"wss://h\" is no"),
            ("wss://h/a#s3cret", "\"wss://h/a\" is no"),
            ("wss://h:0/a?s3cret", "\"wss://h:0/a\" is no"),
            ("wss://m\u{fc}nchen/a?s3cret", "xn--"),
            ("wss://[::1]:99999/a?s3cret", "\"wss://[::1]:99999/a\""),
            // No part of which is surely the host.
            ("ws://user:s3cret/s3cret@h/", "begins with \"ws://\""),
            ("ws://user:12/s3cret@h/%", "begins with \"ws://\""),
            ("ws://user:s3cret%40h/", "begins with \"ws://\""),
            ("ws://s3cret%40h/", "begins with \"ws://\""),
            ("ws://user:s3cret\\@h/", "begins with \"ws://\""),
            ("ws://user:s3cret\u{ff20}h/", "begins with \"ws://\""),
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
        let long = format!("ws://user:s3cret@h/{}", "x".repeat(9000));
        let error = Target::parse(&long).unwrap_err().to_string();
        assert!(!error.contains("s3cret"), "{error}");
        #[cfg(feature = "unix-sockets")]
        for target in ["/a?s3cret%", "/a#s3cret", "ws://u:s3cret@h/", "?s3cret"] {
            let error = Target::unix("s".as_ref(), target).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
            assert_eq!(
                error.to_string().contains("\"/a\""),
                target.starts_with('/')
            );
        }
    }

    #[test]
    fn what_a_url_cannot_hold_is_percent_encoded() {
        for (url, sent) in [
            ("ws://h/\u{e9}?q=\u{20ac}", "/%C3%A9?q=%E2%82%AC"),
            ("ws://h?\u{e9}", "/?%C3%A9"),
            ("ws://h/%C3%A9%2f?a=%20", "/%C3%A9%2f?a=%20"),
            ("ws://h/{a}|b?c=\"d\"", "/%7Ba%7D%7Cb?c=%22d%22"),
            (
                "ws://h/~a_b-c.d;e=f,g:h@i!$&'()*+?x[]=/?",
                "/~a_b-c.d;e=f,g:h@i!$&'()*+?x[]=/?",
            ),
        ] {
            let t = Target::parse(url).map(|t| t.request);
            assert_eq!(t.unwrap().to_str(), Ok(sent), "{url}");
        }
        assert!(Target::parse("ws://host./").is_ok());
        let long = format!("ws://h/{}", "\u{e9}".repeat(3000));
        let error = Target::parse(&long).unwrap_err().to_string();
        assert!(error.contains("percent-encoded"), "{error}");
    }

    #[cfg(feature = "unix-sockets")]
    #[test]
    fn the_target_at_a_unix_socket_is_encoded_alike() {
        let t = Target::unix("s".as_ref(), "/\u{e9}?\u{e9}").unwrap();
        assert_eq!(t.request.to_str(), Ok("/%C3%A9?%C3%A9"));
        assert!(Target::unix("s".as_ref(), "/%").is_err());
    }

    #[test]
    fn an_address_changes_where_to_and_not_whom() {
        let mut t = Target::parse("ws://example.com:81/a").unwrap();
        t.connect_to(([127, 0, 0, 1], 9).into()).unwrap();
        assert_eq!((t.address.to_str(), t.port), (Ok("127.0.0.1"), 9));
        assert_eq!(t.host.to_str(), Ok("example.com:81"));
        assert!(t.connect_to(([127, 0, 0, 1], 0).into()).is_err());
        let v6 = t.connect_to("[fe80::1%7]:9".parse().unwrap());
        assert_eq!(v6.is_ok(), cfg!(feature = "ipv6"));
        #[cfg(feature = "ipv6")]
        assert_eq!(t.address.to_str(), Ok("fe80::1%7"));
        #[cfg(feature = "unix-sockets")]
        {
            let mut t = Target::unix("s".as_ref(), "/").unwrap();
            assert!(t.connect_to(([127, 0, 0, 1], 9).into()).is_err());
        }
    }

    #[test]
    fn debug_output_leaves_the_query_out() {
        let t = Target::parse("ws://host/a?token=s3cret").unwrap();
        assert_eq!(format!("{t:?}"), "ws://host/a");
    }
}
