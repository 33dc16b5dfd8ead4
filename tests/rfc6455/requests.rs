//! Opening handshakes that a server refuses, and some that it mustn't.

use crate::common::peer::{upgrade, Answer, Raw};
use crate::common::{probe, serve};

/// A row: the RFC's section, what is wrong, the line of a right request that is
/// replaced, by what, and the status that has to come back.
type Row = (&'static str, &'static str, &'static str, &'static str, u16);

const GET: &str = "GET / HTTP/1.1\r\n";
const HOST: &str = "Host: localhost\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: Upgrade\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

/// For what isn't a request at all.
const BAD: u16 = 400;
/// For a method other than GET (RFC 9110, section 15.5.6).
const METHOD: u16 = 405;
/// Of another protocol (RFC 9110, sections 15.5.22 and 15.6.6).
const UPGRADE_REQUIRED: u16 = 426;
/// For a method that nobody knows (RFC 9110, section 15.6.2).
const UNKNOWN: u16 = 501;
const OPEN: u16 = 101;

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("4.2.1", "POST", GET, "POST / HTTP/1.1\r\n", METHOD),
    ("4.2.1", "PUT", GET, "PUT / HTTP/1.1\r\n", METHOD),
    ("4.2.1", "OPTIONS", GET, "OPTIONS / HTTP/1.1\r\n", METHOD),
    ("4.2.1", "DELETE", GET, "DELETE / HTTP/1.1\r\n", METHOD),
    ("4.2.1", "PATCH", GET, "PATCH / HTTP/1.1\r\n", METHOD),
    ("4.2.1", "HTTP/1.0", GET, "GET / HTTP/1.0\r\n", 505),

    ("4.2.1", "no Host", HOST, "", BAD),
    ("4.2.1", "an empty Host", HOST, "Host:\r\n", BAD),
    ("4.2.1", "two Hosts", HOST, "Host: localhost\r\nHost: elsewhere\r\n", BAD),

    ("4.2.1", "no Upgrade", UPGRADE, "", UPGRADE_REQUIRED),
    ("4.2.1", "an upgrade to something else", UPGRADE, "Upgrade: teapot\r\n", UPGRADE_REQUIRED),
    ("4.2.1", "an upgrade to others", UPGRADE, "Upgrade: h2c, websockets, a websocket\r\n", UPGRADE_REQUIRED),
    ("4.2.1", "an upgrade to nothing", UPGRADE, "Upgrade:\r\n", UPGRADE_REQUIRED),
    ("4.2.1", "no Connection", CONNECTION, "", BAD),
    ("4.2.1", "Connection: keep-alive", CONNECTION, "Connection: keep-alive\r\n", BAD),
    ("4.2.1", "Connection: close", CONNECTION, "Connection: close\r\n", BAD),
    ("4.2.1", "Connection: Upgraded", CONNECTION, "Connection: Upgraded\r\n", BAD),

    ("4.2.1", "no key", KEY, "", BAD),
    ("4.2.1", "an empty key", KEY, "Sec-WebSocket-Key: \r\n", BAD),
    ("4.2.1", "a key of 13 bytes", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBubw==\r\n", BAD),
    ("4.2.1", "a key of 15 bytes", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", BAD),
    ("4.2.1", "a key of 17 bytes", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n", BAD),
    ("4.2.1", "a key without padding", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", BAD),
    ("4.2.1", "a key that is no base64", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n", BAD),
    ("4.2.1", "a key of the URL alphabet", KEY, "Sec-WebSocket-Key: dGhl_HNhbXBsZSBub25jZQ==\r\n", BAD),
    ("4.2.1", "a key with something behind it", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==x\r\n", BAD),
    ("11.3.1", "two keys", KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", BAD),

    ("4.2.2", "no version", VERSION, "", UPGRADE_REQUIRED),
    ("4.2.2", "version 12", VERSION, "Sec-WebSocket-Version: 12\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 8", VERSION, "Sec-WebSocket-Version: 8\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 0", VERSION, "Sec-WebSocket-Version: 0\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 14", VERSION, "Sec-WebSocket-Version: 14\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 133", VERSION, "Sec-WebSocket-Version: 133\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 13 and a letter", VERSION, "Sec-WebSocket-Version: 13a\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "version 013", VERSION, "Sec-WebSocket-Version: 013\r\n", UPGRADE_REQUIRED),
    ("4.2.2", "an empty version", VERSION, "Sec-WebSocket-Version: \r\n", UPGRADE_REQUIRED),
    ("11.3.5", "two versions", VERSION, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n", BAD),

    ("4.2.1", "an offer that is no list of tokens", VERSION, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a b\r\n", BAD),
    ("11.3.4", "an offer that nobody serves", VERSION, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b\r\n", BAD),

    ("4.2.1", "CONNECT", GET, "CONNECT localhost:80 HTTP/1.1\r\n", METHOD),
    ("4.2.1", "OPTIONS of the server", GET, "OPTIONS * HTTP/1.1\r\n", METHOD),
    ("4.2.1", "a method that nobody knows", GET, "BREW / HTTP/1.1\r\n", UNKNOWN),
    ("4.2.1", "a method that begins as one", GET, "GETS / HTTP/1.1\r\n", UNKNOWN),
    ("4.2.1", "the beginning of a method", GET, "GE / HTTP/1.1\r\n", UNKNOWN),
    ("4.2.1", "a method in small letters", GET, "get / HTTP/1.1\r\n", UNKNOWN),
    ("4.2.1", "the preface of HTTP/2", GET, "PRI * HTTP/2.0\r\n", UNKNOWN),
    ("4.2.1", "a method that is no token", GET, "G@T / HTTP/1.1\r\n", BAD),
    ("4.2.1", "no method", GET, " / HTTP/1.1\r\n", BAD),
    ("4.2.1", "two spaces before the target", GET, "GET  / HTTP/1.1\r\n", BAD),
    ("4.2.1", "two spaces behind the target", GET, "GET /  HTTP/1.1\r\n", BAD),
    ("4.2.1", "a tab before the target", GET, "GET\t/ HTTP/1.1\r\n", BAD),
    ("4.2.1", "a target with a tab", GET, "GET /a\tb HTTP/1.1\r\n", BAD),
    ("4.2.1", "a target with a NUL", GET, "GET /a%00b HTTP/1.1\r\n", BAD),
    ("4.2.1", "a target with a broken escape", GET, "GET /%zz HTTP/1.1\r\n", BAD),
    ("4.2.1", "a target with half an escape", GET, "GET /% HTTP/1.1\r\n", BAD),
    ("4.2.1", "no version", GET, "GET /\r\n", BAD),
    ("4.2.1", "a version of something else", GET, "GET / HTCPCP/1.0\r\n", BAD),
    ("4.2.1", "a version in small letters", GET, "GET / http/1.1\r\n", BAD),
    ("4.2.1", "a version of two digits", GET, "GET / HTTP/1.10\r\n", BAD),
    ("4.2.1", "a version with a NUL behind it", GET, "GET / HTTP/1.1\0\0\r\n", BAD),
    ("4.2.1", "a version that is too high", GET, "GET / HTTP/2.0\r\n", 505),
    ("4.2.1", "a second request line", GET, "GET / HTTP/1.1\r\nPOST / HTTP/1.1\r\n", BAD),
    ("4.2.1", "a line without a colon", HOST, "Host: localhost\r\nX-A\r\n", BAD),
    ("4.2.1", "a line without a colon at the end", VERSION, "Sec-WebSocket-Version: 13\r\nX-A\r\n", BAD),
    ("4.2.1", "a line without a name", HOST, "Host: localhost\r\n: a\r\n", BAD),
    ("4.2.1", "a name with a space behind it", HOST, "Host : localhost\r\n", BAD),
    ("4.2.1", "a folded line", HOST, "Host: localhost\r\nX-A: a\r\n b\r\n", BAD),
    ("4.2.1", "a folded line at the end", VERSION, "Sec-WebSocket-Version: 13\r\nX-A: a\r\n\tb\r\n", BAD),
    ("4.2.1", "a line that ends in LF", HOST, "Host: localhost\n", BAD),
    ("4.2.1", "a value with a CR", HOST, "Host: localhost\r\nX-A: a\rb\r\n", BAD),
    ("4.2.1", "a Host with a space", HOST, "Host: a b\r\n", BAD),
    ("4.2.1", "a Host with a path", HOST, "Host: localhost/\r\n", BAD),
    ("4.2.1", "a Host with a user", HOST, "Host: me@localhost\r\n", BAD),

    // Lost: a body that is read as frames, and that a proxy in front takes for something else.
    ("4.2.1", "a body", HOST, "Host: localhost\r\nContent-Length: 5\r\n", BAD),
    ("4.2.1", "an empty Content-Length", HOST, "Host: localhost\r\nContent-Length:\r\n", BAD),
    ("4.2.1", "a negative Content-Length", HOST, "Host: localhost\r\nContent-Length: -0\r\n", BAD),
    ("4.2.1", "a Content-Length that is no number", HOST, "Host: localhost\r\nContent-Length: 0x\r\n", BAD),
    ("4.2.1", "a list of lengths", HOST, "Host: localhost\r\nContent-Length: 0, 0\r\n", BAD),
    ("4.2.1", "two Content-Lengths", HOST, "Host: localhost\r\nContent-Length: 0\r\nContent-Length: 0\r\n", BAD),
    ("4.2.1", "a body in chunks", HOST, "Host: localhost\r\nTransfer-Encoding: chunked\r\n", BAD),
    ("4.2.1", "a body in an unknown coding", HOST, "Host: localhost\r\nTransfer-Encoding: identity\r\n", BAD),
    ("4.2.1", "an empty Transfer-Encoding", HOST, "Host: localhost\r\nTransfer-Encoding:\r\n", BAD),

    ("4.2.1", "a body of no bytes", HOST, "Host: localhost\r\nContent-Length: 0\r\n", OPEN),
    ("4.2.1", "all as it should be", GET, GET, OPEN),
    ("4.2.1", "empty lines ahead", GET, "\r\n\r\nGET / HTTP/1.1\r\n", OPEN),
    ("4.2.1", "Host with an address", HOST, "Host: [::1]:80\r\n", OPEN),
    ("4.2.1", "an upgrade to either", UPGRADE, "Upgrade: h2c, websocket\r\n", OPEN),
    ("4.2.1", "an upgrade to either in two lines", UPGRADE, "Upgrade: h2c\r\nUpgrade: WebSocket \r\n", OPEN),
    ("4.2.1", "Upgrade in other letters", UPGRADE, "upgrade: WebSocket\r\n", OPEN),
    ("4.2.1", "Connection with more in it", CONNECTION, "Connection: keep-alive, upgrade\r\n", OPEN),
    ("9.1", "an extension that nobody knows", VERSION, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: x-unknown; a=1\r\n", OPEN),
];

/// Sends a row's request; what was wrong with the answer.
fn try_row(raw: &mut Raw, (section, what, line, by, status): &Row) -> Result<(), String> {
    let right = upgrade("/", "");
    assert!(right.contains(line), "{line:?}");
    let answer = raw.ask(&right.replace(line, by));
    let fine = answer.status == *status && names_the_right_version(&answer, section);
    let fine = fine && (answer.status == 101 || raw.is_over());
    fine.then_some(())
        .ok_or_else(|| format!("{section} {what}: {answer:?} instead of {status}"))
}

/// A server that refuses a version says which it speaks (section 4.4).
fn names_the_right_version(answer: &Answer, section: &str) -> bool {
    section != "4.2.2" || answer.header("sec-websocket-version") == Some("13")
}

#[test]
fn requests_that_break_the_protocol_are_refused_with_the_right_status() {
    let (probe, events) = probe();
    let server = serve(move |vhost| vhost.accept(move |_| Ok(probe.clone())));
    let mut wrong = Vec::new();
    for row in ROWS {
        let mut raw = Raw::connect(server.addr());
        wrong.extend(try_row(&mut raw, row).err());
        if row.4 == OPEN {
            events.open();
            drop(raw);
            events.closed();
        }
    }
    // The application heard of none but those.
    assert!(events.try_next().is_none());
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        ROWS.len(),
        wrong.join("\n")
    );
}
