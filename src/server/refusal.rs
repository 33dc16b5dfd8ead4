//! How requests are refused.

use crate::error::InvalidInput;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::fmt;

/// How an upgrade request is refused: an HTTP status, a text, headers.
#[doc(alias = "lws_return_http_status")]
#[derive(Clone)]
#[must_use]
pub struct Refusal(Box<Answer>);

/// Boxed, for it is an `Err` that is rarely made.
#[derive(Clone)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
    /// Whose body may be what isn't to be logged.
    pub by_application: bool,
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
            by_application: false,
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

    /// A text for the body of the response, which is `text/plain` unless a
    /// [`header`](Refusal::header) says otherwise. With status 304 it isn't sent.
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.0.body = text.into();
        self
    }

    /// A header of the response; several of one name are all sent.
    ///
    /// # Errors
    ///
    /// A name or value that HTTP doesn't allow (as with CR, LF or NUL), or one
    /// that frames the response itself (`Connection`, `Content-Length`, `Transfer-Encoding`).
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidInput> {
        let (name, value) = crate::validate::header(name, value)?;
        if ["connection", "content-length", "transfer-encoding"].contains(&name.as_str()) {
            return Err(InvalidInput::new(format!(
                "the header {name} is the library's own; leave it out"
            )));
        }
        self.0.headers.append(name, value);
        Ok(self)
    }

    pub(super) fn static_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.0.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        self
    }

    /// It is the application that refuses.
    pub(crate) fn by_application(mut self) -> Self {
        self.0.by_application = true;
        self
    }

    pub(crate) fn answer(&self) -> &Answer {
        &self.0
    }

    pub(super) fn method_not_allowed() -> Self {
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED)
            .body("a WebSocket is opened by a GET request")
            .static_header("allow", "GET")
    }

    /// The answer to what the C library didn't read as a request.
    pub(crate) fn unread(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        let refusal = Refusal::new(status);
        match status {
            StatusCode::METHOD_NOT_ALLOWED => Refusal::method_not_allowed(),
            StatusCode::URI_TOO_LONG => refusal.body("the request's target is too long"),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => refusal.body("the headers are too long"),
            StatusCode::NOT_IMPLEMENTED => refusal.body("the request's method is unknown"),
            _ => refusal.body("the request is malformed"),
        }
    }

    /// The answer to a plain HTTP request, for which nothing is served yet.
    pub(crate) fn upgrade_required() -> Self {
        Refusal::new(StatusCode::UPGRADE_REQUIRED)
            .body("this is a WebSocket endpoint")
            .static_header("upgrade", "websocket")
    }
}

/// The status, the headers' names and the body's length: values and body may be credentials.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("status", &self.0.status.as_u16())
            .field("headers", &self.0.headers.keys().collect::<Vec<_>>())
            .field("body_length", &self.0.body.len())
            .finish_non_exhaustive()
    }
}
