//! An upgrade request, and the answer to one that is refused.

use crate::error::InvalidInput;
use crate::ffi::headers::{BadHeaders, Target};
use crate::ffi::wsi::Wsi;
use http::{header, HeaderMap, HeaderName, HeaderValue, StatusCode};
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
    headers: HeaderMap,
    offered: Vec<String>,
    subprotocol: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// Reads the request, or says with which status it is refused.
    pub(crate) fn read(wsi: &'a Wsi<'a>, vhost: &'a str) -> Result<Self, Refusal> {
        let Target {
            is_get,
            version,
            path,
            query,
        } = wsi.request_target();
        let refuse = |status, why| Err(Refusal::new(status).body(why));
        if !is_get {
            return refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "a WebSocket is opened by a GET request",
            );
        }
        if version.trim_ascii() != b"HTTP/1.1" {
            return refuse(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "a WebSocket is opened by an HTTP/1.1 request",
            );
        }
        let Ok(path) = String::from_utf8(path) else {
            return refuse(StatusCode::BAD_REQUEST, "the path is not UTF-8");
        };
        let headers = match wsi.header_map() {
            Ok(headers) => headers,
            Err(BadHeaders::Malformed) => {
                return refuse(StatusCode::BAD_REQUEST, "a header is malformed")
            }
            Err(BadHeaders::TooMany) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return refuse(status, "there are too many headers");
            }
        };
        // Who reads the first of two and who the last would not agree.
        for name in [
            header::HOST,
            header::ORIGIN,
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
        ] {
            if headers.get_all(name).iter().nth(1).is_some() {
                return refuse(StatusCode::BAD_REQUEST, "a header is there twice");
            }
        }
        let value = |name| headers.get(name).map(HeaderValue::as_bytes);
        if value(header::HOST).is_none_or(<[u8]>::is_empty) {
            return refuse(StatusCode::BAD_REQUEST, "there is no Host");
        }
        if value(header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED)
                .body("Sec-WebSocket-Version must be 13")
                .static_header("sec-websocket-version", "13")
                .static_header("upgrade", "websocket"));
        }
        if !value(header::SEC_WEBSOCKET_KEY).is_some_and(is_key) {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Sec-WebSocket-Key must be 16 bytes in base64",
            );
        }
        // The C library reads these two once more, and drops what it can't read.
        for name in [header::CONNECTION, header::SEC_WEBSOCKET_PROTOCOL] {
            let bytes = headers.get_all(name).iter().map(|v| v.len() + 2);
            if bytes.sum::<usize>() > MAX_LIST {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return refuse(status, "Connection or Sec-WebSocket-Protocol is too long");
            }
        }
        let options = tokens(&headers, header::CONNECTION).unwrap_or_default();
        if !options.iter().any(|t| t.eq_ignore_ascii_case("upgrade")) {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Connection must be a list that names Upgrade",
            );
        }
        let Some(offered) = tokens(&headers, header::SEC_WEBSOCKET_PROTOCOL) else {
            return refuse(
                StatusCode::BAD_REQUEST,
                "Sec-WebSocket-Protocol is malformed",
            );
        };
        Ok(Request {
            wsi,
            vhost,
            path,
            query: query.iter().map(|piece| pair(piece)).collect(),
            headers,
            offered,
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
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query's names and values, percent-decoded, in their order. Both `&` and
    /// `;` separate them, and a `+` is a space. What isn't UTF-8 is replaced by
    /// U+FFFD.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    /// The value of this name in the query, or the first of several. A name
    /// without a value has an empty one.
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
        &self.headers
    }

    /// A header's value, or the first of several, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The Origin header, which browsers always send (RFC 6455 §10.2).
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// The subprotocols that the client offers, in its order.
    pub fn offered_subprotocols(&self) -> &[String] {
        &self.offered
    }

    /// The subprotocol that was chosen: the first offered that the vhost has.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol
    }

    /// The name of the vhost that serves this request.
    pub fn vhost(&self) -> &str {
        self.vhost
    }

    /// The client's address; `None` on a Unix domain socket.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.wsi.peer_addr()
    }

    /// The facts of the TLS session; `None` on a plain connection.
    #[cfg(feature = "_tls")]
    pub fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.wsi.tls_info()
    }
}

/// The path and the headers' names: values may be credentials.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("vhost", &self.vhost)
            .field("path", &self.path)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("offered_subprotocols", &self.offered)
            .finish_non_exhaustive()
    }
}

/// 16 bytes in base64 are 22 characters and two of padding (RFC 6455 §4.1).
fn is_key(value: &[u8]) -> bool {
    let base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    value.len() == 24 && value.ends_with(b"==") && value[..22].iter().all(base64)
}

/// The tokens of a comma-separated header; `None` for a list that isn't one.
fn tokens(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    if lines.iter().all(|line| line.is_empty()) && lines.len() < 2 {
        return Some(Vec::new());
    }
    let mut tokens = Vec::new();
    for line in lines {
        for token in line.to_str().ok()?.split(',') {
            let token = token.trim();
            if token.is_empty() || !token.bytes().all(is_token) {
                return None;
            }
            tokens.push(token.to_owned());
        }
    }
    Some(tokens)
}

/// A character of a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn pair(piece: &[u8]) -> (String, String) {
    let text = String::from_utf8_lossy(piece);
    match text.split_once('=') {
        Some((name, value)) => (name.into(), value.into()),
        None => (text.into(), String::new()),
    }
}

/// How an upgrade request is refused: an HTTP status, a text, headers.
#[derive(Clone, Debug)]
#[must_use]
pub struct Refusal(Box<Answer>);

/// Boxed, for it is an `Err` that is rarely made.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Refusal {
    /// A refusal with a status from 300 to 599; anything else becomes 500.
    pub fn new(status: StatusCode) -> Self {
        let status = if (300..600).contains(&status.as_u16()) {
            status
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Refusal(Box::new(Answer {
            status,
            headers: HeaderMap::new(),
            body: String::new(),
        }))
    }

    /// 403: the client may not.
    pub fn forbidden() -> Self {
        Refusal::new(StatusCode::FORBIDDEN)
    }

    /// 404: nothing is served at that path.
    pub fn not_found() -> Self {
        Refusal::new(StatusCode::NOT_FOUND)
    }

    /// A text for the body of the response.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.0.body = text.into();
        self
    }

    /// A header of the response.
    ///
    /// # Errors
    ///
    /// A name or value that HTTP doesn't allow (as with CR, LF or NUL), or one
    /// that frames the response itself.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidInput> {
        let (name, value) = crate::client::header(name, value)?;
        if ["connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            return Err(InvalidInput::new(format!(
                "the header {name} is the library's own; leave it out"
            )));
        }
        self.0.headers.append(name, value);
        Ok(self)
    }

    fn static_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.0.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self
    }

    pub(crate) fn answer(&self) -> &Answer {
        &self.0
    }

    /// The answer to a plain HTTP request, for which nothing is served yet.
    pub(crate) fn upgrade_required() -> Self {
        Refusal::new(StatusCode::UPGRADE_REQUIRED)
            .body("this is a WebSocket endpoint")
            .static_header("upgrade", "websocket")
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
        let mut headers = HeaderMap::new();
        headers.append("sec-websocket-protocol", HeaderValue::from_static("b, a"));
        let offered = |headers: &HeaderMap| tokens(headers, header::SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(offered(&headers).unwrap(), ["b", "a"]);
        headers.append("sec-websocket-protocol", HeaderValue::from_static("c d"));
        assert_eq!(offered(&headers), None);
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
}
