//! What came of the body of an answer other than 101.

use crate::message::Payload;
use http::{header, HeaderMap};

/// The most that is kept.
pub(crate) const MAX_BODY: usize = 4096;

/// The body in these bytes, which came behind the answer's head: as far as its headers say
/// (RFC 9112 §6.3), and without the lines between chunks.
pub(crate) fn body(headers: &HeaderMap, bytes: &[u8]) -> Payload {
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING) {
        return match coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            true => unchunked(bytes),
            false => bytes.into(),
        };
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    bytes[..bytes.len().min(length.unwrap_or(usize::MAX))].into()
}

/// The chunks that are there (RFC 9112 §7.1), up to what isn't one.
fn unchunked(mut bytes: &[u8]) -> Payload {
    let mut body = Payload::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let (line, rest) = bytes.split_at(end);
        let size = line.split(|b| *b == b';').next().unwrap_or(line);
        let size = std::str::from_utf8(size.trim_ascii()).ok();
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else {
            break;
        };
        let rest = &rest[2..];
        let chunk = &rest[..rest.len().min(size)];
        body.extend_from_slice(chunk);
        match rest.get(size.saturating_add(2)..) {
            Some(next) if size > 0 => bytes = next,
            _ => break,
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str, bytes: &[u8]) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        let name = header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, value.parse().unwrap());
        body(&headers, bytes).to_vec()
    }

    #[test]
    fn a_length_ends_the_body_and_no_length_takes_all() {
        assert_eq!(of("content-length", "2", b"abc"), b"ab");
        assert_eq!(of("content-length", "5", b"abc"), b"abc");
        assert_eq!(of("content-length", "none", b"abc"), b"abc");
        assert_eq!(of("server", "x", b"abc"), b"abc");
    }

    #[test]
    fn chunks_are_put_together_as_far_as_they_are_there() {
        let chunked = |bytes: &[u8]| of("Transfer-Encoding", "Chunked", bytes);
        assert_eq!(chunked(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(chunked(b"3\r\nabc\r\nA\r\nde"), b"abcde");
        assert_eq!(chunked(b"3\r\nabc"), b"abc");
        for none in [
            &b""[..],
            b"3",
            b"-3\r\nabc",
            b"zz\r\nabc",
            b"0\r\n\r\nabc",
            b"\r\n",
        ] {
            assert_eq!(chunked(none), b"", "{none:?}");
        }
        assert_eq!(chunked(b"ffffffffffffffff\r\nabc"), b"abc");
        assert_eq!(
            of("transfer-encoding", "gzip, chunked", b"3\r\nabc"),
            b"3\r\nabc"
        );
    }
}
