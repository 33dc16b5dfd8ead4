//! Vhosts that share an address, mostly over TLS: each by its own rules, whichever came first.

#![cfg(feature = "_tls")]

mod common;

use common::certs::{tls_over, Ca, Identity};
use common::peer::{self, tcp, Raw, PING};
use common::{Echo, Running};
use libwebsockets::tls::{ClientCertificates, Pem, TlsVersion};
use libwebsockets::{Context, Refusal, Vhost, WebSocketConfig};
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, NamedGroup};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use ClientCertificates::{None as Nobody, Optional, Required};

const NAMES: [&str; 2] = ["one.test", "two.test"];

/// What tells vhosts apart.
type Rules = (ClientCertificates, TlsVersion, TlsVersion);

/// Two vhosts of one address; each refuses whom it lets in, with 403.
fn serve(ca: &Ca, rules: [Rules; 2]) -> Running {
    let own: [Identity; 2] = NAMES.map(|name| ca.sign(&[name]));
    let roots = ca.pem.clone();
    Running::start(move || {
        let mut builder = Context::builder();
        for ((name, identity), (mode, min, max)) in NAMES.into_iter().zip(own).zip(rules) {
            let mut tls = identity.server().versions(min, max);
            if mode != Nobody {
                tls = tls.client_certificates(mode, Pem::memory(roots.as_bytes()));
            }
            let vhost = Vhost::listen(([127, 0, 0, 1], 0)).name(name).unwrap();
            let vhost = vhost.tls(tls);
            builder = builder.vhost(vhost.accept(|_| Err::<Echo, _>(Refusal::forbidden())));
        }
        builder
    })
}

/// The status of an upgrade request; `None` if TLS failed. And whether a session was resumed.
fn ask(server: &Running, name: &str, config: &ClientConfig) -> (Option<u16>, bool) {
    let mut tls = tls_over(tcp(server.addr()), name, config.clone());
    let request = peer::upgrade("/", "").replace("localhost", name);
    let mut answer = Vec::new();
    let _ = tls.write_all(request.as_bytes());
    let _ = tls.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    let resumed = tls.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
    (status, resumed)
}

/// Lost: that a vhost's clients show certificates, where one before it on its address didn't
/// ask for them; and clients without, where that one did.
#[test]
fn each_vhost_asks_for_client_certificates_by_its_own_rule() {
    let ca = Ca::new();
    let own = ca.sign(&["a client"]);
    let range = (TlsVersion::Tls12, TlsVersion::Tls13);
    for first in [Nobody, Optional, Required] {
        for second in [Nobody, Optional, Required] {
            let server = serve(&ca, [first, second].map(|mode| (mode, range.0, range.1)));
            for version in [&TLS12, &TLS13] {
                for (name, mode) in NAMES.into_iter().zip([first, second]) {
                    let case = format!("{first:?}, {second:?}: {name}, {version:?}");
                    let without = ask(&server, name, &ca.rustls_client_of(&[version])).0;
                    assert_eq!(without == Some(403), mode != Required, "{case}");
                    let with = ca.rustls_client_as(&own);
                    assert_eq!(ask(&server, name, &with).0, Some(403), "{case}");
                }
            }
        }
    }
}

#[test]
fn each_vhost_speaks_its_own_versions() {
    let ca = Ca::new();
    let (both, new) = (
        (Nobody, TlsVersion::Tls12, TlsVersion::Tls13),
        (Nobody, TlsVersion::Tls13, TlsVersion::Tls13),
    );
    for rules in [[both, new], [new, both]] {
        let server = serve(&ca, rules);
        for (name, (_, min, _)) in NAMES.into_iter().zip(rules) {
            let new = ask(&server, name, &ca.rustls_client_of(&[&TLS13])).0;
            assert_eq!(new, Some(403), "{name} of {rules:?}");
            let old = ask(&server, name, &ca.rustls_client_of(&[&TLS12])).0;
            if min == TlsVersion::Tls13 {
                assert_eq!(old, None, "{name} of {rules:?}");
            }
        }
    }
}

/// Lost: pings, and the end of silent peers, where the first vhost of an address has longer times.
#[test]
fn each_vhost_pings_by_its_own_times() {
    let ca = Ca::new();
    for identity in [None, Some(ca.sign(&NAMES))] {
        let tls = identity.as_ref().map(Identity::server);
        let server = Running::start(move || {
            let short = WebSocketConfig::new().ping_after(Duration::from_secs(1));
            let short = short.idle_timeout(Duration::from_secs(2));
            let mut builder = Context::builder();
            for (name, config) in NAMES.into_iter().zip([WebSocketConfig::new(), short]) {
                let mut vhost = Vhost::listen(([127, 0, 0, 1], 0)).name(name).unwrap();
                if let Some(tls) = &tls {
                    vhost = vhost.tls(tls.clone());
                }
                builder = builder.vhost(vhost.config(config).accept(|_| Ok(Echo)));
            }
            builder
        });
        let tcp = tcp(server.addr());
        let mut raw = match identity {
            Some(_) => Raw::over(Box::new(tls_over(tcp, NAMES[1], ca.rustls_client()))),
            None => Raw::over(Box::new(tcp)),
        };
        let request = peer::upgrade("/", "").replace("localhost", NAMES[1]);
        assert_eq!(raw.ask(&request).status, 101);
        assert_eq!(raw.frame().unwrap().opcode, PING);
        assert!(raw.is_over());
    }
}

/// Offers the session of whatever name to whatever other.
#[derive(Debug, Default)]
struct OneForAll(
    Mutex<(
        Option<Tls12ClientSessionValue>,
        Vec<Tls13ClientSessionValue>,
    )>,
);

impl ClientSessionStore for OneForAll {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.lock().unwrap().0 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.lock().unwrap().0.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, session: Tls13ClientSessionValue) {
        self.0.lock().unwrap().1.push(session);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().1.pop()
    }
}

/// Lost: the same, by a session that was made with the vhost which asks for nothing.
#[test]
fn a_session_of_another_name_is_no_way_in() {
    let ca = Ca::new();
    let range = (TlsVersion::Tls12, TlsVersion::Tls13);
    let mut resumed = false;
    for (strict, lax) in [(Required, Nobody), (Required, Optional), (Optional, Nobody)] {
        for turn in [false, true] {
            let mut modes = [lax, strict];
            let mut names = NAMES;
            if turn {
                modes.reverse();
                names.reverse();
            }
            let server = serve(&ca, modes.map(|mode| (mode, range.0, range.1)));
            for version in [&TLS12, &TLS13] {
                let mut config = ca.rustls_client_of(&[version]);
                config.resumption = Resumption::store(Arc::new(OneForAll::default()));
                let case = format!("{lax:?}, then {strict:?}, {version:?}, {turn}");
                assert_eq!(ask(&server, names[0], &config).0, Some(403), "{case}");
                // Where it may be resumed, it is.
                let same = ask(&server, names[0], &config);
                assert_eq!(same.0, Some(403), "{case}");
                resumed |= same.1;
                let other = ask(&server, names[1], &config);
                match strict {
                    Required => assert_ne!(other.0, Some(403), "{case}"),
                    // Without a certificate, or not at all.
                    _ => assert!(!other.1 || other.0 != Some(403), "{case}"),
                }
            }
        }
    }
    assert!(resumed, "no session was resumed at all");
}
