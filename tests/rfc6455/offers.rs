//! Offers of permessage-deflate (RFC 7692), and what a server makes of them.

#![cfg(feature = "deflate")]

use crate::common::peer::{upgrade, Raw};
use crate::common::probed;
use libwebsockets::WebSocketConfig;

/// What comes back.
enum Answer {
    /// An agreement with these parameters, or stricter ones that the rows name.
    Agreed(&'static [&'static str]),
    /// No extension; the WebSocket opens without one.
    Declined,
}
use Answer::{Agreed, Declined};

/// A row: the RFC's section, the offer, and the answer.
type Row = (&'static str, &'static str, Answer);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("7", "permessage-deflate", Agreed(&[])),
    ("7.1.1.1", "permessage-deflate; server_no_context_takeover", Agreed(&["server_no_context_takeover"])),
    ("7.1.1.2", "permessage-deflate; client_no_context_takeover", Agreed(&[])),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=10", Agreed(&["server_max_window_bits=10"])),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=\"10\"", Agreed(&["server_max_window_bits=10"])),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=15", Agreed(&["server_max_window_bits=15"])),
    ("7.1.2.2", "permessage-deflate; client_max_window_bits", Agreed(&[])),
    ("7.1.2.2", "permessage-deflate; client_max_window_bits=10", Agreed(&[])),
    ("5.1", "x-unknown, permessage-deflate", Agreed(&[])),

    ("7.1", "permessage-deflate; x=1", Declined),
    ("7.1", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", Declined),
    ("7.1", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=11", Declined),
    ("7.1.1.1", "permessage-deflate; server_no_context_takeover=1", Declined),
    ("7.1.1.2", "permessage-deflate; client_no_context_takeover=1", Declined),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits", Declined),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=7", Declined),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=16", Declined),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=010", Declined),
    ("7.1.2.1", "permessage-deflate; server_max_window_bits=ten", Declined),
    ("7.1.2.2", "permessage-deflate; client_max_window_bits=7", Declined),
    ("7.1.2.2", "permessage-deflate; client_max_window_bits=16", Declined),
    ("5.1", "permessage-deflate; x=1, permessage-deflate", Agreed(&[])),
    ("5.1", "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_no_context_takeover", Agreed(&["server_no_context_takeover"])),
];

// Lost: clients that offer much, and got no answer.
#[test]
fn a_long_offer_is_answered() {
    let (server, events) = probed(WebSocketConfig::new().deflate(true));
    for (length, agreed) in [(300, Some("permessage-deflate")), (1400, None)] {
        let long = "x".repeat(length);
        let line = format!("Sec-WebSocket-Extensions: {long}, permessage-deflate\r\n");
        let mut raw = Raw::connect(server.addr());
        let answer = raw.ask(&upgrade("/", &line));
        assert_eq!(answer.status, 101, "{length}");
        assert_eq!(
            answer.header("sec-websocket-extensions"),
            agreed,
            "{length}"
        );
        assert_eq!(
            answer
                .header("upgrade")
                .map(str::to_ascii_lowercase)
                .as_deref(),
            Some("websocket")
        );
        events.open();
        drop(raw);
        events.closed();
    }
}

#[test]
fn offers_are_taken_or_declined_as_rfc_7692_says() {
    let (server, events) = probed(WebSocketConfig::new().deflate(true));
    let mut wrong = Vec::new();
    for (section, offer, expected) in ROWS {
        let mut raw = Raw::connect(server.addr());
        let line = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let answer = raw.ask(&upgrade("/", &line));
        let agreed = answer.header("sec-websocket-extensions");
        let params: Vec<&str> = agreed
            .unwrap_or_default()
            .split(';')
            .map(str::trim)
            .collect();
        let fine = match expected {
            Agreed(all) => {
                params[0] == "permessage-deflate" && all.iter().all(|p| params.contains(p))
            }
            Declined => agreed.is_none(),
        };
        if !fine || answer.status != 101 {
            wrong.push(format!("{section} {offer}: {} {agreed:?}", answer.status));
        }
        if answer.status == 101 {
            events.open();
            drop(raw);
            events.closed();
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        ROWS.len(),
        wrong.join("\n")
    );
}
