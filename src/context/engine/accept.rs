//! Who may come in: upgrade requests, and the TLS settings of vhosts.

use super::Engine;
use crate::connection::state::Conn;
use crate::connection::Role;
use crate::error::Shown;
use crate::ffi::event::Verdict;
#[cfg(feature = "_tls")]
use crate::ffi::tls::ServerCtx;
use crate::ffi::wsi::Wsi;
use crate::server::{Answer, Refusal, Request, VhostState};
use std::rc::Rc;

impl Engine {
    /// A server decides about an upgrade request.
    pub(super) fn on_upgrade_request(&self, wsi: &Wsi<'_>, to: &str) -> Verdict {
        let vhost = wsi
            .vhost_index()
            .and_then(|index| self.vhosts.borrow().get(index).cloned());
        let Some(vhost) = vhost.filter(|_| !self.shutting_down.get()) else {
            return Verdict::Close;
        };
        if self.closing.get().is_some() {
            let status = http::StatusCode::SERVICE_UNAVAILABLE;
            self.refuse(wsi, &Refusal::new(status).body("shutting down"));
            return Verdict::Close;
        }
        if !to.eq_ignore_ascii_case("websocket") {
            self.refuse(wsi, &Refusal::upgrade_required());
            return Verdict::Close;
        }
        #[cfg(feature = "_tls")]
        if vhost.tls.get().is_some_and(|ctx| !wsi.tls_is_by(ctx)) {
            // The Host header names another vhost than the handshake, or the session that it
            // resumed, was made with, whose rules for client certificates may differ
            // (RFC 9110 §15.5.20, RFC 8446 §4.6.1).
            let status = http::StatusCode::MISDIRECTED_REQUEST;
            let why = "the TLS handshake was for another host";
            self.refuse(wsi, &Refusal::new(status).body(why));
            return Verdict::Close;
        }
        match self.accept(wsi, &vhost) {
            Ok(conn) => {
                wsi.set_slot(self.insert(Rc::clone(&conn)));
                conn.wsi.set(wsi);
                Verdict::Continue
            }
            Err(refusal) => {
                self.refuse(wsi, &refusal);
                Verdict::Close
            }
        }
    }

    /// Asks the vhost's factory for a handler.
    pub(super) fn accept(&self, wsi: &Wsi<'_>, vhost: &VhostState) -> Result<Rc<Conn>, Refusal> {
        let request = Request::read(wsi, &vhost.vhost.name)?;
        let Some((subprotocol, factory)) = vhost.choose(request.offered_subprotocols()) else {
            let status = http::StatusCode::BAD_REQUEST;
            let why = match request.offered_subprotocols() {
                [] => format!(
                    "one of these subprotocols must be offered: {}",
                    vhost.names()
                ),
                _ => "none of the subprotocols offered is served".to_owned(),
            };
            return Err(Refusal::new(status).body(why));
        };
        let request = request.with_subprotocol(subprotocol);
        let made = self.guard(|| factory(&request).map_err(Refusal::by_application));
        let handler = made.unwrap_or_else(|| {
            Err(Refusal::new(http::StatusCode::INTERNAL_SERVER_ERROR).body("internal error"))
        })?;
        Ok(Rc::new(Conn::new(
            Role::Server,
            &vhost.vhost.config,
            handler,
            subprotocol.map(str::to_owned),
            None,
        )))
    }

    pub(super) fn refuse(&self, wsi: &Wsi<'_>, refusal: &Refusal) {
        let path = || {
            let path = wsi.request_target().path;
            format!(" for {}", Shown(&String::from_utf8_lossy(&path)))
        };
        self.respond(wsi, refusal, path);
    }

    /// Refuses what isn't read as a request: what there is of its headers isn't logged.
    pub(super) fn refuse_unread(&self, wsi: &Wsi<'_>, status: u16) {
        self.respond(wsi, &Refusal::unread(status), String::new);
    }

    fn respond(&self, wsi: &Wsi<'_>, refusal: &Refusal, path: impl FnOnce() -> String) {
        let answer = refusal.answer();
        self.log("libwebsockets::server", || {
            self.told_of(wsi, answer, &path())
        });
        wsi.respond(answer.status, &answer.headers, &answer.body);
    }

    /// Who was refused what, and why. Neither headers nor the query are told, which may be
    /// credentials.
    fn told_of(&self, wsi: &Wsi<'_>, answer: &Answer, path: &str) -> String {
        let vhosts = self.vhosts.borrow();
        let vhost = wsi.vhost_index().and_then(|index| vhosts.get(index));
        let peer = wsi.peer_addr().map(|peer| peer.to_string());
        let why = match answer.by_application {
            true => "the application refuses it",
            false => &*answer.body,
        };
        format!(
            "vhost {} answers {}'s request{path} with status {}: {why}",
            vhost.map_or("?", |vhost| &vhost.vhost.name),
            peer.as_deref().unwrap_or("a peer"),
            answer.status.as_u16(),
        )
    }

    /// Sets up the SSL_CTX of the vhost that is being created.
    #[cfg(feature = "_tls")]
    pub fn on_server_tls(&self, ctx: &ServerCtx<'_>) -> bool {
        let Some((state, loaded)) = self.tls_setup.borrow_mut().take() else {
            return false;
        };
        let Some(tls) = &state.vhost.tls else {
            return false;
        };
        #[cfg(feature = "keylog")]
        crate::ffi::tls::SslCtx::attach_keylog(ctx, self, &state.vhost.name);
        state.tls.set(Some(ctx.identity()));
        match tls.apply(&loaded, ctx, &state.vhost.name) {
            Ok(()) => true,
            Err(error) => {
                *self.tls_error.borrow_mut() = Some(error);
                false
            }
        }
    }
}
