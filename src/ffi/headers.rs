//! HTTP headers of a handshake: reading those of the peer, writing our own.

use super::sys::{self, lws_token_indexes as Token};
use super::wsi::Wsi;
use crate::message::Payload;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::ffi::{c_char, c_int, c_void, CStr};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// No header that the library holds is longer than its header buffer.
const MAX_HEADER: usize = 1 << 20;

/// Headers that the library doesn't know are searched for one by one; more of
/// them would cost too much time.
const MAX_CUSTOM: usize = 256;

/// Why headers can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeaders {
    Malformed,
    TooMany,
}

/// A request's first line as a server got it.
#[derive(Debug, Default)]
pub(crate) struct Target {
    pub is_get: bool,
    pub is_http_1_1: bool,
    pub path: Vec<u8>,
    /// `name=value` pieces of the query, already decoded by the library, without
    /// empty ones.
    pub query: Vec<Vec<u8>>,
}

/// As many as a browser's request has: most maps needn't grow.
const USUAL: usize = 12;

/// The names of headers, by the numbers by which the library knows them. Others of its
/// numbers stand for methods and the like.
fn names() -> &'static [Option<HeaderName>] {
    static NAMES: OnceLock<Vec<Option<HeaderName>>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = Vec::new();
        for token in (0..).map(Token) {
            // SAFETY: the function checks the index against its table and returns NULL beyond.
            let name = unsafe { sys::lws_token_to_string(token) };
            if name.is_null() {
                break;
            }
            // SAFETY: a non-null result is a static NUL-terminated string.
            let name = unsafe { CStr::from_ptr(name.cast::<c_char>()) };
            // Header tokens end in a colon; methods and pseudo headers don't.
            let name = name.to_bytes().strip_suffix(b":");
            names.push(name.and_then(|name| HeaderName::from_bytes(name).ok()));
        }
        names
    })
}

impl Wsi<'_> {
    /// The path and query of the request, while its headers are held.
    pub fn request_target(&self) -> Target {
        let mut scratch = Scratch::default();
        let path = self.header(Token::WSI_TOKEN_GET_URI, &mut scratch);
        let path = path.map(<[u8]>::to_vec);
        let version = self.header(Token::WSI_TOKEN_HTTP, &mut scratch);
        Target {
            is_get: path.is_some(),
            is_http_1_1: version.is_some_and(|version| version.trim_ascii() == b"HTTP/1.1"),
            path: path.unwrap_or_default(),
            query: self.query(&mut scratch),
        }
    }

    /// What has come behind the head of the answer that a client got, up to so many bytes. Only
    /// where the connection has failed, for they are taken from it.
    pub fn answer_body(&self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        // SAFETY: the wsi is valid for 'cb; the buffer has the length that is passed.
        let len = unsafe { sys::lwsrs_answer_body(self.as_ptr(), bytes.as_mut_ptr(), most) };
        bytes.truncate(usize::try_from(len).unwrap_or(0));
        bytes
    }

    /// Whether a client was answered in HTTP/1.0, while the headers are held.
    pub fn answered_in_http_1_0(&self) -> bool {
        let mut scratch = Scratch::default();
        self.header(Token::WSI_TOKEN_HTTP1_0, &mut scratch)
            .is_some()
    }

    /// Every header that the library kept, while it holds them, with all its
    /// values in their order. (A library without our patches gives only the first
    /// value of one that it doesn't know.)
    pub fn header_map(&self) -> Result<HeaderMap, BadHeaders> {
        let mut map = HeaderMap::with_capacity(USUAL);
        self.each_line(|name, value| append(&mut map, name.clone(), value))?;
        Ok(map)
    }

    /// Shows each header and value, of those of which [`header_map`](Self::header_map) would
    /// make a map.
    pub fn read_headers(&self, mut f: impl FnMut(&HeaderName, &[u8])) -> Result<(), BadHeaders> {
        self.each_line(|name, value| {
            // All of them, for the compiler then looks at many at once.
            let good = value.iter().fold(true, |good, b| good & is_of_a_value(*b));
            if !good {
                return Err(BadHeaders::Malformed);
            }
            f(name, value);
            Ok(())
        })
    }

    /// The subprotocol that a server's answer names, and whether it names several, while its
    /// headers are held.
    pub fn chosen_subprotocol(&self) -> (Option<String>, bool) {
        let mut scratch = Scratch::default();
        let mut lines = self.lines(Token::WSI_TOKEN_PROTOCOL, &mut scratch);
        let first = lines.next();
        let first = first.map(|name| String::from_utf8_lossy(name).into_owned());
        let several = first.is_some() && lines.next().is_some();
        (first, several)
    }

    /// The values of one header, while it is held.
    fn lines<'s>(&'s self, token: Token, scratch: &'s mut Scratch) -> Lines<'s> {
        Lines {
            wsi: self,
            token,
            all: self.header_length(token),
            index: 0,
            given: 0,
            scratch,
        }
    }

    /// Names and values, until one is refused.
    fn each_line(
        &self,
        mut f: impl FnMut(&HeaderName, &[u8]) -> Result<(), BadHeaders>,
    ) -> Result<(), BadHeaders> {
        let mut scratch = Scratch::default();
        let names = names();
        let mut token = -1;
        loop {
            #[cfg(debug_assertions)]
            // SAFETY: the wsi is valid; the function goes through the library's own indexes.
            let asked = unsafe { sys::lwsrs_next_header_asking(self.as_ptr(), token) };
            // SAFETY: as above.
            token = unsafe { sys::lwsrs_next_header(self.as_ptr(), token) };
            #[cfg(debug_assertions)]
            assert_eq!(token, asked, "the library's patch finds another header");
            let Ok(index) = usize::try_from(token) else {
                break;
            };
            let Some(Some(name)) = names.get(index) else {
                continue;
            };
            let mut lines = self.lines(Token(index as _), &mut scratch);
            while let Some(value) = lines.next() {
                f(name, value)?;
            }
        }
        for name in self.custom_names()? {
            let values = self.custom_header(&name, &mut scratch);
            let name = name.strip_suffix(b":").unwrap_or(&name);
            let name = HeaderName::from_bytes(name).map_err(|_| BadHeaders::Malformed)?;
            // No value holds the end of a line.
            for value in values.unwrap_or_default().split(|b| *b == b'\n') {
                f(&name, value.trim_ascii())?;
            }
        }
        Ok(())
    }

    fn header_length(&self, token: Token) -> c_int {
        // SAFETY: the wsi is valid; without held headers the length is 0.
        unsafe { sys::lws_hdr_total_length(self.as_ptr(), token) }
    }

    fn header<'s>(&self, token: Token, scratch: &'s mut Scratch) -> Option<&'s [u8]> {
        let len = Some(self.header_length(token)).filter(|len| *len > 0)?;
        scratch.fill(len, |buffer, size| {
            // SAFETY: the buffer has `size` bytes, room for the value and its NUL.
            unsafe { sys::lws_hdr_copy(self.as_ptr(), buffer, size, token) }
        })
    }

    /// One line of a header, which is no longer than `len`.
    fn fragment<'s>(
        &self,
        token: Token,
        index: c_int,
        len: c_int,
        scratch: &'s mut Scratch,
    ) -> Option<&'s [u8]> {
        scratch.fill(len, |buffer, size| {
            // SAFETY: the buffer has `size` bytes, room for the fragment and its NUL; an
            // index beyond the last gives -1.
            unsafe { sys::lws_hdr_copy_fragment(self.as_ptr(), buffer, size, token, index) }
        })
    }

    fn query(&self, scratch: &mut Scratch) -> Vec<Vec<u8>> {
        let mut query = Vec::new();
        let mut pieces = self.lines(Token::WSI_TOKEN_HTTP_URI_ARGS, scratch);
        while let Some(piece) = pieces.next_whole() {
            query.extend((!piece.is_empty()).then(|| piece.to_vec()));
        }
        query
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
    fn custom_header<'s>(&self, name: &[u8], scratch: &'s mut Scratch) -> Option<&'s [u8]> {
        let name_len = c_int::try_from(name.len()).ok()?;
        let name = name.as_ptr().cast();
        // SAFETY: the wsi is valid and the name has `name_len` bytes.
        let len = unsafe { sys::lws_hdr_custom_length(self.as_ptr(), name, name_len) };
        scratch.fill(len, |buffer, size| {
            // SAFETY: the buffer has `size` bytes, room for the value and its NUL.
            unsafe { sys::lws_hdr_custom_copy(self.as_ptr(), buffer, size, name, name_len) }
        })
    }
}

/// The values of one header, each lent until the next is asked for.
struct Lines<'s> {
    wsi: &'s Wsi<'s>,
    token: Token,
    /// The length of all together, with one byte between two.
    all: c_int,
    index: c_int,
    /// How much of that was given, and a byte after each.
    given: c_int,
    scratch: &'s mut Scratch,
}

impl Lines<'_> {
    /// The next, without the white space around it (RFC 9110 §5.5).
    fn next(&mut self) -> Option<&[u8]> {
        self.next_whole().map(<[u8]>::trim_ascii)
    }

    fn next_whole(&mut self) -> Option<&[u8]> {
        if self.given > self.all {
            return None;
        }
        let index = self.index;
        self.index += 1;
        let line = self
            .wsi
            .fragment(self.token, index, self.all, self.scratch)?;
        self.given = self.given.saturating_add(line.len() as c_int + 1);
        Some(line)
    }
}

/// What values are copied to, one after another: those of usual length without an allocation.
struct Scratch {
    short: [u8; 256],
    long: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch {
            short: [0; 256],
            long: Vec::new(),
        }
    }
}

impl Scratch {
    /// What `copy` writes to a buffer for `len` bytes and a NUL, or more, whose size it is
    /// given; it returns how many bytes that were, or less than 0.
    fn fill(
        &mut self,
        len: c_int,
        copy: impl FnOnce(*mut c_char, c_int) -> c_int,
    ) -> Option<&[u8]> {
        let len = usize::try_from(len).ok().filter(|len| *len < MAX_HEADER)?;
        let buffer = if len < self.short.len() {
            &mut self.short[..]
        } else {
            if self.long.len() <= len {
                self.long.resize(len + 1, 0);
            }
            &mut self.long[..]
        };
        let size = c_int::try_from(buffer.len()).ok()?;
        let n = copy(buffer.as_mut_ptr().cast(), size);
        buffer.get(..usize::try_from(n).ok()?)
    }
}

/// What [`HeaderValue`] takes.
fn is_of_a_value(byte: u8) -> bool {
    (byte >= b' ') & (byte != 0x7f) | (byte == b'\t')
}

/// Adds a value.
fn append(map: &mut HeaderMap, name: HeaderName, value: &[u8]) -> Result<(), BadHeaders> {
    let mut value = HeaderValue::from_bytes(value).map_err(|_| BadHeaders::Malformed)?;
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
    /// Answers an HTTP request, while its headers are held, with a status, headers and a
    /// short text. The connection is to be closed afterwards.
    pub fn respond(&self, status: http::StatusCode, headers: &HeaderMap, body: &str) {
        let mut response = Payload::with_capacity(RESPONSE_HEADERS + body.len());
        let reason = status.canonical_reason().unwrap_or("Status");
        let mut start = format!(
            "HTTP/1.1 {} {reason}\r\nconnection: close\r\n",
            status.as_u16()
        );
        // Such an answer has neither a body nor what describes one (RFC 9110 §15.4.5).
        let has_body = status != http::StatusCode::NOT_MODIFIED;
        if has_body {
            start += &format!("content-length: {}\r\n", body.len());
            if !headers.contains_key(http::header::CONTENT_TYPE) {
                start += "content-type: text/plain; charset=utf-8\r\n";
            }
        }
        response.extend_from_slice(start.as_bytes());
        for (name, value) in headers {
            response.extend_from_slice(&line(name, value));
        }
        response.extend_from_slice(b"\r\n");
        // Who asks for the head gets that of the answer to a GET (RFC 9110 §9.3.2).
        if has_body && self.header_length(Token::WSI_TOKEN_HEAD_URI) == 0 {
            response.extend_from_slice(body.as_bytes());
        }
        // What the socket doesn't take at once is copied and sent before the connection
        // closes; of one that is dead nothing is to be said here.
        let _ = self.write_as(sys::lws_write_protocol::LWS_WRITE_HTTP_FINAL, &mut response);
    }
}

/// A header as it is sent.
fn line(name: &HeaderName, value: &HeaderValue) -> Vec<u8> {
    [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost: a header that is there and that no handler sees.
    #[test]
    fn every_header_that_the_library_knows_has_a_name() {
        let known = || names().iter().flatten();
        for name in ["host", "origin", "sec-websocket-key", "cookie", "referer"] {
            assert!(known().any(|own| own == name), "{name}");
        }
        let colons = (0..)
            .map_while(|index| {
                // SAFETY: the function returns NULL beyond its table.
                let name = unsafe { sys::lws_token_to_string(Token(index)) };
                // SAFETY: what isn't NULL is a static NUL-terminated string.
                (!name.is_null()).then(|| unsafe { CStr::from_ptr(name.cast()) })
            })
            .filter(|name| name.to_bytes().ends_with(b":"));
        assert_eq!(known().count(), colons.count());
    }

    /// Lost: headers that pass as well-formed, and are then none.
    #[test]
    fn what_a_value_takes_is_known_beforehand() {
        for byte in 0..=u8::MAX {
            let taken = HeaderValue::from_bytes(&[b'a', byte, b'a']).is_ok();
            assert_eq!(is_of_a_value(byte), taken, "{byte:#x}");
        }
    }

    #[test]
    fn a_buffer_grows_with_what_is_copied_to_it_and_shows_no_more() {
        let mut scratch = Scratch::default();
        let mut copy = |len: c_int, text: &'static [u8]| {
            let filled = scratch.fill(len, |buffer, size| {
                assert!(size > len);
                // SAFETY: the texts below are no longer than the buffers that they ask for.
                unsafe { buffer.cast::<u8>().copy_from(text.as_ptr(), text.len()) };
                text.len() as c_int
            });
            filled.map(<[u8]>::to_vec)
        };
        assert_eq!(copy(300, &[7; 300]), Some(vec![7; 300]));
        assert_eq!(copy(2, b"ab"), Some(b"ab".to_vec()));
        assert_eq!(copy(0, b""), Some(Vec::new()));
        assert_eq!(copy(-1, b""), None);
        assert_eq!(copy(1 << 20, b""), None);
        assert_eq!(scratch.fill(5, |_, _| -1), None);
    }
}
