//! What becomes of a client's handshake: its request, the answer, or why there is none.

use super::Engine;
use crate::client::attempt::Attempt;
use crate::client::body::{body, MAX_BODY};
use crate::client::ConnectFailure;
use crate::connection::state::Conn;
use crate::error::Shown;
use crate::ffi::event::Verdict;
use crate::ffi::headers::HeaderWriter;
use crate::ffi::wsi::Wsi;
use std::rc::Rc;

impl Engine {
    pub(super) fn on_client_request(&self, conn: &Conn, mut writer: HeaderWriter<'_>) -> Verdict {
        let mut attempt = conn.attempt.borrow_mut();
        let Some(attempt) = &mut *attempt else {
            return Verdict::Close;
        };
        let client = Rc::clone(&attempt.client);
        for (name, value) in &client.headers {
            if writer.append(name, value).is_err() {
                attempt.note(ConnectFailure::Other(
                    "the request's headers don't fit the buffer".into(),
                ));
                return Verdict::Close;
            }
        }
        Verdict::Continue
    }

    pub(super) fn on_client_response(&self, conn: &Conn, wsi: &Wsi<'_>) -> Verdict {
        let (subprotocol, several) = wsi.chosen_subprotocol();
        let in_http_1_0 = wsi.answered_in_http_1_0();
        let mut attempt = conn.attempt.borrow_mut();
        let Some(attempt) = &mut *attempt else {
            return Verdict::Close;
        };
        if in_http_1_0 {
            // It knows no upgrades (RFC 6455 §4.1, RFC 9110 §7.8).
            attempt.note(ConnectFailure::Protocol("it answers in HTTP/1.0".into()));
            return Verdict::Close;
        }
        if let Some(name) = &subprotocol {
            let offered = attempt.client.subprotocols.iter().any(|own| own == name);
            if !offered || several {
                attempt.note(ConnectFailure::Protocol(
                    "it chose a subprotocol that wasn't offered".into(),
                ));
                return Verdict::Close;
            }
        }
        *conn.subprotocol.borrow_mut() = subprotocol;
        Verdict::Continue
    }

    /// A client's connection could not be made, in the C library's words.
    pub(super) fn on_client_failed(&self, conn: &Conn, wsi: &Wsi<'_>, words: &str) {
        let words = words.trim_end();
        self.log("libwebsockets::client", || {
            let url = |attempt: &Attempt| attempt.client.target.shown.clone();
            let url = conn.attempt.borrow().as_deref().map(url);
            format!("{}: {}", url.unwrap_or_default(), Shown(words))
        });
        let failure = why(wsi, words);
        let answer = wsi.http_status().filter(|status| *status != 101);
        let mut attempt = conn.attempt.borrow_mut();
        let Some(attempt) = &mut *attempt else {
            return;
        };
        match answer {
            Some(status) => {
                let headers = wsi.header_map().unwrap_or_default();
                let body = body(&headers, &wsi.answer_body(MAX_BODY));
                attempt.note_answer(status, headers, body);
            }
            None => attempt.note(failure),
        }
    }
}

/// What the TLS library knows goes before words.
fn why(wsi: &Wsi<'_>, words: &str) -> ConnectFailure {
    #[cfg(feature = "_tls")]
    {
        if let Some((problem, reason)) = wsi.certificate_problem() {
            return ConnectFailure::Certificate { problem, reason };
        }
        if let Some(alert) = wsi.tls_alert() {
            return ConnectFailure::alert(alert);
        }
    }
    #[cfg(not(feature = "_tls"))]
    let _ = wsi;
    ConnectFailure::of_words(words)
}
