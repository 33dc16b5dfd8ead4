//! An upgrade request.

use super::Refusal;
use crate::ffi::headers::{BadHeaders, Target};
use crate::ffi::wsi::Wsi;
use http::{header, HeaderMap, HeaderName, StatusCode};
use std::cell::OnceCell;
use std::fmt;
use std::net::SocketAddr;

/// The longest list that the C library reads (server-ws.c, with our patch); it
/// would drop the connection without an answer.
const MAX_LIST: usize = 1500;

/// A client's request to open a WebSocket, before it is answered.
///
/// It is valid during the factory's call; its headers are copies.
pub struct Request<'a> {
    wsi: &'a Wsi<'a>,
    vhost: &'a str,
    path: String,
    query: Vec<(String, String)>,
    /// Made when it is asked for; the library holds the headers for as long as `wsi` is lent.
    headers: OnceCell<HeaderMap>,
    offered: Vec<String>,
    subprotocol: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads the request, or says with which status it is refused.
    pub(crate) fn read(wsi: &'a Wsi<'a>, vhost: &'a str) -> Result<Self, Refusal> {
        let Target {
            is_get,
            is_http_1_1,
            path,
            query,
        } = wsi.request_target();
        let refuse = |status, why| Err(Refusal::new(status).body(why));
        if !is_get {
            return Err(Refusal::method_not_allowed());
        }
        if !is_http_1_1 {
            return refuse(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "a WebSocket is opened by an HTTP/1.1 request",
            );
        }
        let Ok(path) = String::from_utf8(path) else {
            return refuse(StatusCode::BAD_REQUEST, "the path is not UTF-8");
        };
        let mut asked = Asked::default();
        match wsi.read_headers(|name, value| asked.read(name, value)) {
            Ok(()) => {}
            Err(BadHeaders::Malformed) => {
                return refuse(StatusCode::BAD_REQUEST, "a header is malformed")
            }
            Err(BadHeaders::TooMany) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return refuse(status, "there are too many headers");
            }
        }
        if asked.twice {
            return refuse(StatusCode::BAD_REQUEST, "a header is there twice");
        }
        if asked.host != Some(true) {
            return refuse(StatusCode::BAD_REQUEST, "there is no Host, or it is none");
        }
        if asked.content_length == Some(false) || asked.has_transfer_encoding {
            // It would be read as frames, behind a proxy for which it is something else.
            return refuse(StatusCode::BAD_REQUEST, "the request may have no content");
        }
        let path = match path.starts_with('/') {
            true => path,
            false => match of_absolute(&path, wsi) {
                Some(path) => path,
                None => {
                    let why = "the request's target must be a path, or a URL of this host";
                    return refuse(StatusCode::BAD_REQUEST, why);
                }
            },
        };
        if asked.version != Some(true) {
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED)
                .body("Sec-WebSocket-Version must be 13")
                .static_header("sec-websocket-version", "13")
                .static_header("upgrade", "websocket"));
        }
        if asked.key != Some(true) {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Sec-WebSocket-Key must be 16 bytes in base64",
            );
        }
        if asked.options.length > MAX_LIST || asked.offered.length > MAX_LIST {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return refuse(status, "Connection or Sec-WebSocket-Protocol is too long");
        }
        if asked.options.is_malformed() || !asked.upgrades {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Connection must be a list that names Upgrade",
            );
        }
        if asked.offered.is_malformed() {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Sec-WebSocket-Protocol is malformed",
            );
        }
        Ok(Request {
            wsi,
            vhost,
            path,
            query: query.iter().map(|piece| pair(piece)).collect(),
            headers: OnceCell::new(),
            offered: asked.subprotocols,
            subprotocol: None,
        })
    }

    pub(crate) fn with_subprotocol(mut self, name: Option<&'a str>) -> Self {
        self.subprotocol = name;
        self
    }

    /// The path, as the C library decodes it: without percent-encoding, and with
    /// `//`, `/./` and `/../` resolved. It takes a `+` for a space, and `&` and `;`
    /// for a comma, unless they are percent-encoded: `/c%2B%2B` is `/c++`, and
    /// `/c++` isn't. Don't choose paths that differ in these alone.
    ///
    /// Of a target that is a URL (RFC 9112 §3.2.2) it is the URL's path, if its host is that
    /// of the `Host` header. Other targets that don't begin with a slash are refused with
    /// status 400.
    #[doc(alias = "lws_http_get_uri_and_method")]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query's names and values, percent-decoded, in their order. Both `&` and
    /// `;` separate them, and a `+` is a space. A percent-encoded `=` in a name becomes
    /// a `_`. What isn't UTF-8 is replaced by U+FFFD.
    #[doc(alias = "lws_hdr_copy_fragment")]
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The value of this name in the query, or the first of several. A name
    /// without a value has an empty one. Upper and lower case differ.
    #[doc(alias = "lws_get_urlarg_by_name_safe")]
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        let (_, value) = pairs.find(|(own, _)| own == name)?;
        Some(value)
    }

    /// The request's headers, each value of a repeated one by itself. (A library
    /// that isn't the vendored one gives only the first value of a repeated header
    /// that it doesn't know.)
    #[doc(alias = "lws_hdr_copy")]
    pub fn headers(&self) -> &HeaderMap {
        // They were checked.
        let read = || self.wsi.header_map().unwrap_or_default();
        self.headers.get_or_init(read)
    }

    /// A header's value, or the first of several, if it is visible ASCII, spaces and tabs. The
    /// name may be in upper or lower case.
    #[doc(alias = "lws_hdr_custom_copy")]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The Origin header, which browsers always send (RFC 6455 §10.2), and other clients may
    /// make up.
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The subprotocols that the client offers, in its order.
    pub fn offered_subprotocols(&self) -> &[String] {
        &self.offered
    }

    /// The subprotocol that was chosen: the first offered that the vhost has. `None`: the client
    /// offers none.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol
    }

    /// The name of the vhost that serves this request.
    #[doc(alias = "lws_get_vhost_name")]
    pub fn vhost(&self) -> &str {
        self.vhost
    }

    /// The client's address; `None` on a Unix domain socket.
    #[doc(alias = "lws_get_peer_simple")]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.wsi.peer_addr()
    }

    /// The facts of the TLS session; `None` on a plain connection.
    #[doc(alias = "lws_get_ssl")]
    #[cfg(feature = "_tls")]
    pub fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.wsi.tls_info()
    }
}

/// A map that wasn't made because of a panic is made when it is asked for again.
impl std::panic::RefUnwindSafe for Request<'_> {}

/// The path, the headers' names, and how many subprotocols are offered: values, and those
/// that a browser offers, may be credentials.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("vhost", &self.vhost)
            .field("path", &self.path)
            .field("headers", &self.headers().keys().collect::<Vec<_>>())
            .field("offered_subprotocols", &self.offered.len())
            .finish_non_exhaustive()
    }
}

/// 16 bytes in base64 are 22 characters and two of padding (RFC 6455 §4.1).
fn is_key(value: &[u8]) -> bool {
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    value.len() == 24 && value.ends_with(b"==") && value[..22].iter().all(base64)
}

/// A name or an address, and a port or none (RFC 9112 §3.2); where a port or a literal address
/// begins isn't looked at.
fn is_host(value: &[u8]) -> bool {
    let is_of_it = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(b);
    !value.is_empty() && value.iter().all(is_of_it)
}

/// What the headers of a request say that the opening handshake is about.
#[derive(Default)]
struct Asked {
    /// Whether each of these is there, and right. Who reads the first of two and who the
    /// last would not agree.
    host: Option<bool>,
    origin: Option<bool>,
    key: Option<bool>,
    version: Option<bool>,
    content_length: Option<bool>,
    twice: bool,
    has_transfer_encoding: bool,
    options: List,
    upgrades: bool,
    offered: List,
    subprotocols: Vec<String>,
}

impl Asked {
    fn read(&mut self, name: &HeaderName, value: &[u8]) {
        let (single, is_right) = if *name == header::HOST {
            (&mut self.host, is_host(value))
        } else if *name == header::ORIGIN {
            (&mut self.origin, true)
        } else if *name == header::SEC_WEBSOCKET_KEY {
            (&mut self.key, is_key(value))
        } else if *name == header::SEC_WEBSOCKET_VERSION {
            (&mut self.version, value == b"13")
        } else if *name == header::CONTENT_LENGTH {
            let is_none = !value.is_empty() && value.iter().all(|digit| *digit == b'0');
            (&mut self.content_length, is_none)
        } else if *name == header::TRANSFER_ENCODING {
            self.has_transfer_encoding = true;
            return;
        } else if *name == header::CONNECTION {
            let upgrades = &mut self.upgrades;
            return self.options.read(value, |option| {
                *upgrades |= option.eq_ignore_ascii_case("upgrade");
            });
        } else if *name == header::SEC_WEBSOCKET_PROTOCOL {
            let names = &mut self.subprotocols;
            return self.offered.read(value, |name| names.push(name.to_owned()));
        } else {
            return;
        };
        self.twice |= single.replace(is_right).is_some();
    }
}

/// A comma-separated header, whose lines are read one by one.
#[derive(Default)]
struct List {
    lines: usize,
    /// In bytes, with those between two lines.
    length: usize,
    /// Whether a line has no token.
    empty: bool,
    malformed: bool,
}

impl List {
    fn read(&mut self, line: &[u8], f: impl FnMut(&str)) {
        self.lines += 1;
        self.length = self.length.saturating_add(line.len() + 2);
        match line.is_empty() {
            true => self.empty = true,
            false => self.malformed |= tokens(line, f).is_none(),
        }
    }

    /// A header that is there and empty is a list of none; but no line of several may be.
    fn is_malformed(&self) -> bool {
        self.malformed || self.empty && self.lines > 1
    }
}

/// Each token of a line; `None` if it isn't a list of them.
fn tokens(line: &[u8], mut f: impl FnMut(&str)) -> Option<()> {
    for token in line.split(|b| *b == b',') {
        let token = token.trim_ascii();
        if token.is_empty() || !token.iter().copied().all(crate::validate::is_token) {
            return None;
        }
        f(std::str::from_utf8(token).ok()?);
    }
    Some(())
}

/// The path of a target that is a URL; the C library has made one slash of two. `None`: it is
/// none, or names another host than the Host header, by which the vhost was chosen.
fn of_absolute(target: &str, wsi: &Wsi<'_>) -> Option<String> {
    let (scheme, rest) = target.split_once(":/")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let known = ["http", "https"]
        .iter()
        .any(|s| s.eq_ignore_ascii_case(scheme));
    let headers = wsi.header_map().ok()?;
    let same = headers.get(http::header::HOST)?.as_bytes();
    let same = known && same.eq_ignore_ascii_case(host.as_bytes());
    same.then(|| if path.is_empty() { "/" } else { path }.to_owned())
}

fn pair(piece: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(piece);
    match text.split_once('=') {
        Some((name, value)) => (name.into(), value.into()),
        None => (text.into(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_wrong_length_are_no_keys() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            "",
            "dGhlIHNhbXBsZQ==",
            "dGhlIHNhbXBsZSBub25jZQ=!",
            "*GhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_list_of_subprotocols_keeps_its_order() {
        let offered = |lines: &[&str]| {
            let mut asked = Asked::default();
            for line in lines {
                asked.read(&header::SEC_WEBSOCKET_PROTOCOL, line.as_bytes());
            }
            (!asked.offered.is_malformed()).then_some(asked.subprotocols)
        };
        assert_eq!(offered(&["b, a", "c"]).unwrap(), ["b", "a", "c"]);
        assert_eq!(offered(&[""]).unwrap(), [""; 0]);
        for malformed in [
            &["c d"][..],
            &["a,,b"],
            &["a,"],
            &["", ""],
            &["a", ""],
            &["", "a"],
            &["b, a", "c d"],
            &["\u{e9}"],
        ] {
            assert_eq!(offered(malformed), None, "{malformed:?}");
        }
    }

    #[test]
    fn a_refusal_never_switches_protocols_nor_splits_its_response() {
        assert_eq!(
            Refusal::new(StatusCode::SWITCHING_PROTOCOLS)
                .answer()
                .status,
            500
        );
        assert!(Refusal::forbidden().header("x-a", "b\r\nc: d").is_err());
        assert!(Refusal::forbidden().header("content-length", "0").is_err());
        assert!(Refusal::forbidden()
            .header("www-authenticate", "Basic")
            .is_ok());
    }

    #[test]
    fn debug_output_of_a_refusal_shows_neither_values_nor_body() {
        let refusal = Refusal::forbidden().body("s3cret");
        let refusal = refusal.header("set-cookie", "id=s3cret").unwrap();
        let shown = format!("{refusal:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        for known in ["403", "set-cookie", "6"] {
            assert!(shown.contains(known), "{shown}");
        }
    }
}
