//! HTTP headers of a handshake: reading those of the peer, writing our own.

use super::sys;
use super::wsi::Wsi;
use crate::message::Payload;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::ffi::{c_char, c_int, c_void, CStr};
use std::marker::PhantomData;

/// No header that the library holds is longer than its header buffer.
const MAX_HEADER: c_int = 1 << 20;

/// Headers that the library doesn't know are searched for one by one; more of
/// them would cost too much time.
const MAX_CUSTOM: usize = 256;

/// Why headers can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeaders {
    Malformed,
    TooMany,
}

/// A request target as a server got it.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub is_get: bool,
    /// As the request line ends, "HTTP/1.1".
    pub version: Vec<u8>,
    pub path: Vec<u8>,
    /// `name=value` pieces of the query, already decoded by the library, without
    /// empty ones.
    pub query: Vec<Vec<u8>>,
}

impl Wsi<'_> {
    /// The path and query of the request, while its headers are held.
    pub fn request_target(&self) -> Target {
        use sys::lws_token_indexes as token;
        let path = self.header(token::WSI_TOKEN_GET_URI);
        let mut query = self.header_fragments(token::WSI_TOKEN_HTTP_URI_ARGS);
        query.retain(|piece| !piece.is_empty());
        Target {
            is_get: path.is_some(),
            version: self.header(token::WSI_TOKEN_HTTP).unwrap_or_default(),
            path: path.unwrap_or_default(),
            query,
        }
    }

    /// Whether a client was answered in HTTP/1.0, while the headers are held.
    pub fn answered_in_http_1_0(&self) -> bool {
        self.header(sys::lws_token_indexes::WSI_TOKEN_HTTP1_0)
            .is_some()
    }

    /// Every header that the library kept, while it holds them, with all its
    /// values in their order. (A library without our patches gives only the first
    /// value of one that it doesn't know.)
    pub fn header_map(&self) -> Result<HeaderMap, BadHeaders> {
        let mut map = HeaderMap::new();
        for index in 0.. {
            // SAFETY: the function checks the index against its table and returns NULL beyond.
            let name = unsafe { sys::lws_token_to_string(sys::lws_token_indexes(index)) };
            if name.is_null() {
                break;
            }
            // SAFETY: a non-null result is a static NUL-terminated string.
            let name = unsafe { CStr::from_ptr(name.cast::<c_char>()) };
            // Header tokens end in a colon; methods and pseudo headers don't.
            let Some(name) = name.to_bytes().strip_suffix(b":") else {
                continue;
            };
            for value in self.header_values(sys::lws_token_indexes(index)) {
                insert(&mut map, name, &value)?;
            }
        }
        for name in self.custom_names()? {
            let values = self.custom_header(&name).unwrap_or_default();
            let name = name.strip_suffix(b":").unwrap_or(&name);
            // No value holds the end of a line.
            for value in values.split(|b| *b == b'\n') {
                insert(&mut map, name, value)?;
            }
        }
        Ok(map)
    }

    /// The values of a header that the library knows, one for each line of it.
    fn header_values(&self, token: sys::lws_token_indexes) -> Vec<Vec<u8>> {
        // SAFETY: the wsi is valid; without held headers the length is 0.
        let all = unsafe { sys::lws_hdr_total_length(self.as_ptr(), token) };
        let mut values = Vec::new();
        if !(0..=MAX_HEADER).contains(&all) {
            return values;
        }
        // None is longer than all together.
        while let Some(value) = copied(all, |buffer, size| {
            let index = values.len() as c_int;
            // SAFETY: the buffer has `size` bytes, room for the fragment and its NUL; an
            // index beyond the last gives -1.
            unsafe { sys::lws_hdr_copy_fragment(self.as_ptr(), buffer, size, token, index) }
        }) {
            values.push(value);
        }
        values
    }

    fn header(&self, token: sys::lws_token_indexes) -> Option<Vec<u8>> {
        // SAFETY: the wsi is valid; without held headers the length is 0.
        let len = unsafe { sys::lws_hdr_total_length(self.as_ptr(), token) };
        if len <= 0 || len > MAX_HEADER {
            return None;
        }
        copied(len, |buffer, size| {
            // SAFETY: the buffer has `size` bytes, room for the value and its NUL.
            unsafe { sys::lws_hdr_copy(self.as_ptr(), buffer, size, token) }
        })
    }

    fn header_fragments(&self, token: sys::lws_token_indexes) -> Vec<Vec<u8>> {
        let fragment = |index| {
            // SAFETY: the wsi is valid; an index beyond the last gives 0.
            let len = unsafe { sys::lws_hdr_fragment_length(self.as_ptr(), token, index) };
            if !(0..=MAX_HEADER).contains(&len) {
                return None;
            }
            copied(len, |buffer, size| {
                // SAFETY: the buffer has `size` bytes, room for the fragment and its NUL;
                // beyond the last fragment, and not for an empty one, this gives -1.
                unsafe { sys::lws_hdr_copy_fragment(self.as_ptr(), buffer, size, token, index) }
            })
        };
        (0..).map_while(fragment).collect()
    }

    /// The names of headers that the library doesn't know, each once.
    fn custom_names(&self) -> Result<Vec<Vec<u8>>, BadHeaders> {
        unsafe extern "C" fn collect(name: *const c_char, len: c_int, names: *mut c_void) {
            let Ok(len) = usize::try_from(len) else {
                return;
            };
            if name.is_null() {
                return;
            }
            // SAFETY: lws passes a name of `len` bytes that lies in its header buffer.
            let name = unsafe { std::slice::from_raw_parts(name.cast::<u8>(), len) };
            // SAFETY: the pointer is to the Vec below, which nothing else uses meanwhile.
            let names = unsafe { &mut *names.cast::<Vec<Vec<u8>>>() };
            if names.len() <= MAX_CUSTOM {
                names.push(name.to_vec());
            }
        }
        let mut names: Vec<Vec<u8>> = Vec::new();
        let opaque = std::ptr::from_mut(&mut names).cast();
        // SAFETY: the wsi is valid; the callback's pointer is to `names`, alive for the call.
        unsafe { sys::lws_hdr_custom_name_foreach(self.as_ptr(), Some(collect), opaque) };
        if names.len() > MAX_CUSTOM {
            return Err(BadHeaders::TooMany);
        }
        // A look-up finds all of one name.
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    /// The values of a header that the library doesn't know, one to a line.
    fn custom_header(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name_len = c_int::try_from(name.len()).ok()?;
        let name = name.as_ptr().cast();
        // SAFETY: the wsi is valid and the name has `name_len` bytes.
        let len = unsafe { sys::lws_hdr_custom_length(self.as_ptr(), name, name_len) };
        if !(0..MAX_HEADER).contains(&len) {
            return None;
        }
        copied(len, |buffer, size| {
            // SAFETY: the buffer has `size` bytes, room for the value and its NUL.
            unsafe { sys::lws_hdr_custom_copy(self.as_ptr(), buffer, size, name, name_len) }
        })
    }
}

/// What `copy` writes to a buffer for `len` bytes and a NUL, whose size it is
/// given; it returns how many bytes that were, or less than 0.
fn copied(len: c_int, copy: impl FnOnce(*mut c_char, c_int) -> c_int) -> Option<Vec<u8>> {
    let size = len.checked_add(1)?;
    let mut value = vec![0u8; usize::try_from(size).ok()?];
    let n = copy(value.as_mut_ptr().cast(), size);
    value.truncate(usize::try_from(n).ok()?);
    Some(value)
}

/// Adds a value, without the white space around it (RFC 9110 §5.5).
fn insert(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), BadHeaders> {
    let name = HeaderName::from_bytes(name).map_err(|_| BadHeaders::Malformed)?;
    let value = HeaderValue::from_bytes(value.trim_ascii());
    let mut value = value.map_err(|_| BadHeaders::Malformed)?;
    // Tokens and cookies are among them: Debug output shows none.
    value.set_sensitive(true);
    map.append(name, value);
    Ok(())
}

/// Where a client's own headers are appended to its request.
pub(crate) struct HeaderWriter<'cb> {
    /// lws' write position, advanced by what we write.
    position: *mut *mut u8,
    room: usize,
    _callback: PhantomData<&'cb mut u8>,
}

impl<'cb> HeaderWriter<'cb> {
    /// # Safety
    ///
    /// `position` points, for `'cb`, to a pointer to at least `room` writable bytes.
    pub(super) unsafe fn new(position: *mut *mut u8, room: usize) -> Self {
        HeaderWriter {
            position,
            room,
            _callback: PhantomData,
        }
    }

    /// Appends `name: value CRLF`; `Err` where there is no room for it.
    pub fn append(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), ()> {
        let line = line(name, value);
        if line.len() > self.room {
            return Err(());
        }
        // SAFETY: `position` is valid for 'cb (contract of `new`).
        let to = unsafe { *self.position };
        // SAFETY: `to` has `room` writable bytes, and the line fits into them.
        unsafe { to.copy_from_nonoverlapping(line.as_ptr(), line.len()) };
        // SAFETY: the sum stays within those `room` bytes.
        let after = unsafe { to.add(line.len()) };
        // SAFETY: `position` is valid for 'cb (contract of `new`).
        unsafe { *self.position = after };
        self.room -= line.len();
        Ok(())
    }
}

/// Bytes kept for the status line, the library's own headers and ours.
const RESPONSE_HEADERS: usize = 4096;

impl Wsi<'_> {
    /// Answers an HTTP request with a status, headers and a short text.
    /// The connection is to be closed afterwards.
    pub fn respond(&self, status: http::StatusCode, headers: &HeaderMap, body: &str) {
        let mut response = Payload::with_capacity(RESPONSE_HEADERS + body.len());
        let reason = status.canonical_reason().unwrap_or("Status");
        let start = format!(
            "HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-type: text/plain; \
             charset=utf-8\r\ncontent-length: {}\r\n",
            status.as_u16(),
            body.len()
        );
        response.extend_from_slice(start.as_bytes());
        for (name, value) in headers {
            response.extend_from_slice(&line(name, value));
        }
        response.extend_from_slice(b"\r\n");
        response.extend_from_slice(body.as_bytes());
        // What the socket doesn't take at once is copied and sent before the connection
        // closes; of one that is dead nothing is to be said here.
        let _ = self.write_as(sys::lws_write_protocol::LWS_WRITE_HTTP_FINAL, &mut response);
    }
}

/// A header as it is sent.
fn line(name: &HeaderName, value: &HeaderValue) -> Vec<u8> {
    [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}
