//! TLS: whom a client trusts, whom a server lets in, and with what they speak.

#![cfg(feature = "_tls")]

mod common;

use common::certs::{self_signed, tls_stream, Ca, Identity};
#[cfg(target_os = "linux")]
use common::free_port;
use common::peer::{self, Raw};
use common::tls::{build_error, connects, connects_to, echo, rustls_opens, setup_error, telling};
use common::{client_context, loopback, probe, serve, Echo, Running, WAIT};
use libwebsockets::tls::{ClientCertificates, ClientTls, Pem, TlsVersion};
use libwebsockets::{Client, Context, Refusal, Vhost};
use rustls::version::{TLS12, TLS13};
use std::time::{Duration, Instant};
use TlsVersion::{Tls12, Tls13};

#[test]
fn a_client_checks_the_issuer_by_default() {
    let ca = Ca::new();
    let server = echo(ca.sign(&["localhost"]).server());
    connects(&server, ClientTls::new()).unwrap_err();
    connects(&server, ca.trust()).unwrap();
    connects(&server, Ca::new().trust()).unwrap_err();
    connects(&server, ClientTls::new().system_roots(false)).unwrap_err();
}

#[test]
fn a_client_checks_the_name_by_default() {
    let ca = Ca::new();
    let server = echo(ca.sign(&["example.org"]).server());
    connects(&server, ca.trust()).unwrap_err();
    connects(&server, ca.trust().danger_accept_any_name()).unwrap();
    // Each relaxation relaxes one thing.
    connects(&server, ca.trust().danger_accept_self_signed()).unwrap_err();
    connects(&server, ca.trust().danger_accept_expired()).unwrap_err();
}

#[test]
fn an_address_is_checked_against_the_certificate() {
    let ca = Ca::new();
    let right = echo(ca.sign(&["127.0.0.1"]).server());
    connects_to(&right, "127.0.0.1", ca.trust()).unwrap();
    let wrong = echo(ca.sign(&["localhost", "127.0.0.2"]).server());
    connects_to(&wrong, "127.0.0.1", ca.trust()).unwrap_err();
}

/// Lost: servers that refuse an address there, as RFC 6066, section 3, lets them.
#[test]
fn no_address_is_sent_as_the_servers_name() {
    let ca = Ca::new();
    let (server, seen) = telling(ca.sign(&["127.0.0.1"]).server());
    let client = client_context();
    let to = Client::new(&format!("wss://{}/", server.addr())).unwrap();
    let (probe, events) = probe();
    drop(client.handle.connect(to.tls(ca.trust()), probe).unwrap());
    events.open();
    assert_eq!(seen.recv_timeout(WAIT).unwrap().server_name, None);
}

/// Lost: contexts that stand still while a name is resolved that the program has resolved.
#[test]
fn an_address_takes_the_place_of_the_resolver_alone() {
    let ca = Ca::new();
    let (server, seen) = telling(ca.sign(&["resolved.invalid"]).server());
    let client = client_context();
    let url = format!("wss://resolved.invalid:{}/", server.addr().port());
    let to = |url: &str| {
        let to = Client::new(url).unwrap().tls(ca.trust());
        to.address(server.addr()).unwrap()
    };
    let (probe, events) = probe();
    drop(client.handle.connect(to(&url), probe.clone()).unwrap());
    events.open();
    let name = seen.recv_timeout(WAIT).unwrap().server_name;
    assert_eq!(name.as_deref(), Some("resolved.invalid"));
    // The certificate is still checked for the URL's name; the port is the address'.
    let other = to("wss://other.invalid:1/");
    drop(client.handle.connect(other, probe).unwrap());
    let error = events.connect_error();
    assert!(error.to_string().contains("by a name"), "{error}");
}

#[test]
fn a_self_signed_certificate_is_accepted_only_if_asked() {
    let server = echo(self_signed(&["localhost"]).server());
    connects(&server, ClientTls::new()).unwrap_err();
    connects(&server, ClientTls::new().danger_accept_expired()).unwrap_err();
    connects(&server, ClientTls::new().danger_accept_any_name()).unwrap_err();
    connects(&server, ClientTls::new().danger_accept_self_signed()).unwrap();
    connects(&server, ClientTls::new().danger_accept_anything()).unwrap();
}

#[test]
fn a_self_signed_certificate_for_another_name_is_still_refused() {
    let server = echo(self_signed(&["example.org"]).server());
    connects(&server, ClientTls::new().danger_accept_self_signed()).unwrap_err();
    connects(&server, ClientTls::new().danger_accept_anything()).unwrap();
}

#[test]
fn an_expired_certificate_is_accepted_only_if_asked() {
    let ca = Ca::new();
    let server = echo(ca.sign_expired(&["localhost"]).server());
    connects(&server, ca.trust()).unwrap_err();
    connects(&server, ca.trust().danger_accept_self_signed()).unwrap_err();
    connects(&server, ca.trust().danger_accept_any_name()).unwrap_err();
    connects(&server, ca.trust().danger_accept_expired()).unwrap();
}

#[test]
fn expiry_alone_relaxes_no_issuer() {
    let server = echo(Ca::new().sign_expired(&["localhost"]).server());
    let stranger = Ca::new().trust();
    connects(&server, stranger.clone().danger_accept_expired()).unwrap_err();
    connects(&server, stranger.danger_accept_anything()).unwrap();
}

#[test]
fn a_peer_that_breaks_the_protocol_hears_why_and_that_the_connection_is_over() {
    let ca = Ca::new();
    let server = echo(ca.sign(&["localhost"]).server());
    let mut raw = Raw::over(tls_stream(server.addr(), "localhost", ca.rustls_client()));
    assert_eq!(raw.ask(&peer::upgrade("/", "")).status, 101);
    let sent = Instant::now();
    raw.send(b"\x81\x05not masked");
    assert_eq!(raw.close_code(), Some(1002));
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn client_certificates_are_asked_for_checked_and_shown() {
    let ca = Ca::new();
    let own = ca.sign(&["a client"]);
    let strange = Ca::new().sign(&["a stranger"]);
    for (mode, none, strange_one) in [
        (ClientCertificates::None, true, true),
        (ClientCertificates::Optional, true, false),
        (ClientCertificates::Required, false, false),
    ] {
        let roots = Pem::memory(ca.pem.as_bytes());
        let tls = ca
            .sign(&["localhost"])
            .server()
            .client_certificates(mode, roots);
        let (server, seen) = telling(tls);
        assert_eq!(rustls_opens(&server, ca.rustls_client()), none, "{mode:?}");
        if none {
            assert_eq!(seen.recv_timeout(WAIT).unwrap().peer_certificate, None);
        }
        let strange = ca.rustls_client_as(&strange);
        assert_eq!(rustls_opens(&server, strange), strange_one, "{mode:?}");
        if strange_one {
            seen.recv_timeout(WAIT).unwrap();
        }
        assert!(rustls_opens(&server, ca.rustls_client_as(&own)), "{mode:?}");
        let shown = seen.recv_timeout(WAIT).unwrap().peer_certificate;
        let asked = mode != ClientCertificates::None;
        assert_eq!(shown, asked.then(|| own.cert_der.to_vec()), "{mode:?}");
    }
}

#[test]
fn a_client_shows_its_certificate() {
    let ca = Ca::new();
    let own = ca.sign(&["a client"]);
    let roots = Pem::memory(ca.pem.as_bytes());
    let tls = ca
        .sign(&["localhost"])
        .server()
        .client_certificates(ClientCertificates::Required, roots);
    let (server, seen) = telling(tls);
    let identity = |tls: ClientTls| {
        let (cert, key) = (own.cert.as_bytes(), own.key.as_bytes());
        tls.identity(Pem::memory(cert), Pem::memory(key))
    };
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new(&server.url("wss", "/"))
        .unwrap()
        .tls(identity(ca.trust()));
    drop(client.handle.connect(to, probe).unwrap());
    events.open();
    let shown = seen.recv_timeout(WAIT).unwrap().peer_certificate;
    assert_eq!(shown, Some(own.cert_der.to_vec()));
}

#[test]
fn the_versions_are_limited_on_either_side() {
    let ca = Ca::new();
    for (min, max, old, new) in [
        (Tls12, Tls13, true, true),
        (Tls12, Tls12, true, false),
        (Tls13, Tls13, false, true),
    ] {
        let (server, seen) = telling(ca.sign(&["localhost"]).server().versions(min, max));
        for (version, name, works) in [(&TLS12, "TLSv1.2", old), (&TLS13, "TLSv1.3", new)] {
            let config = ca.rustls_client_of(&[version]);
            assert_eq!(
                rustls_opens(&server, config),
                works,
                "{min} to {max}, {name}"
            );
            if works {
                assert_eq!(seen.recv_timeout(WAIT).unwrap().version, name);
            }
        }
        for (version, works) in [(Tls12, old), (Tls13, new)] {
            let tls = ca.trust().versions(version, version);
            let client = client_context();
            let (probe, _events) = probe();
            let to = Client::new(&server.url("wss", "/")).unwrap().tls(tls);
            let connecting = client.handle.connect(to, probe).unwrap();
            assert_eq!(
                connecting.wait(WAIT).is_ok(),
                works,
                "{min} to {max}, {version}"
            );
            if works {
                seen.recv_timeout(WAIT).unwrap();
            }
        }
    }
}

/// A client's first bytes that offer TLS 1.1 and no more (RFC 4346, 7.4.1.2).
fn hello_of_tls_1_1() -> Vec<u8> {
    let with_length = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes(), bytes].concat();
    // ECDHE with AES and SHA-1, for keys of both kinds, which TLS 1.2 has as well.
    let suites = with_length(&[0xc0, 0x09, 0xc0, 0x13, 0, 0x2f, 0, 0xff]);
    let curves = [&[0, 10][..], &with_length(&with_length(&[0, 23, 0, 29]))].concat();
    let points = [0, 11, 0, 2, 1, 0];
    let extensions = with_length(&[&curves[..], &points].concat());
    let version_and_random = [&[3, 2][..], &[7; 32], &[0]].concat();
    let hello = [&version_and_random[..], &suites, &[1, 0], &extensions].concat();
    let message = [&[1, 0][..], &with_length(&hello)].concat();
    [&[22, 3, 1][..], &with_length(&message)].concat()
}

#[test]
fn tls_1_1_is_not_spoken_by_default() {
    const PROTOCOL_VERSION: u8 = 70;
    let server = echo(self_signed(&["localhost"]).server());
    let mut raw = Raw::connect(server.addr());
    raw.send(&hello_of_tls_1_1());
    let answer = raw.rest();
    let [21, 3, _, 0, 2, 2, alert] = answer[..] else {
        panic!("no fatal alert: {answer:?}");
    };
    assert_eq!(alert, PROTOCOL_VERSION);
}

#[test]
fn the_ciphers_are_those_of_the_list() {
    let ca = Ca::new();
    let tls = ca
        .sign(&["localhost"])
        .server()
        .ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
        .tls13_ciphers("TLS_AES_128_GCM_SHA256");
    let (server, seen) = telling(tls);
    for (version, cipher) in [
        (&TLS12, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        (&TLS13, "TLS_AES_128_GCM_SHA256"),
    ] {
        assert!(rustls_opens(&server, ca.rustls_client_of(&[version])));
        assert_eq!(seen.recv_timeout(WAIT).unwrap().cipher, cipher);
    }
}

#[test]
fn a_connection_knows_the_facts_of_its_session() {
    let ca = Ca::new();
    let (server, seen) = telling(ca.sign(&["localhost"]).server());
    let mut config = ca.rustls_client();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(rustls_opens(&server, config));
    let info = seen.recv_timeout(WAIT).unwrap();
    assert_eq!(info.version, "TLSv1.3");
    assert!(info.cipher.starts_with("TLS_"), "{}", info.cipher);
    assert_eq!(info.server_name.as_deref(), Some("localhost"));
    assert_eq!(info.alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(info.peer_certificate, None);
}

/// Two vhosts with certificates of their own on one port; each refuses by its name.
fn two_vhosts(ca: &Ca) -> Running {
    let (one, two) = (ca.sign(&["one.test"]), ca.sign(&["two.test"]));
    Running::start(move || {
        let vhost = |name: &'static str, identity: Identity| {
            Vhost::listen(([127, 0, 0, 1], 0))
                .name(name)
                .unwrap()
                .tls(identity.server())
                .accept(move |_| Err::<Echo, _>(Refusal::forbidden().body(name)))
        };
        Context::builder()
            .vhost(vhost("one.test", one))
            .vhost(vhost("two.test", two))
    })
}

/// Asks for `host` over a handshake for `name`; status and body.
fn ask(server: &Running, ca: &Ca, name: &str, host: &str) -> (u16, String) {
    let mut raw = Raw::over(tls_stream(server.addr(), name, ca.rustls_client()));
    let request = peer::upgrade("/", "").replace("localhost", host);
    let answer = raw.ask(&request);
    (answer.status, answer.body)
}

#[test]
fn the_server_name_chooses_the_vhost_and_its_certificate() {
    let ca = Ca::new();
    let server = two_vhosts(&ca);
    assert_eq!(server.addr_of(0), server.addr_of(1));
    for name in ["one.test", "two.test"] {
        // rustls checks that the certificate is for the name.
        assert_eq!(ask(&server, &ca, name, name), (403, name.into()));
    }
}

// Lost: the certificate of the vhost that is asked for.
#[cfg(target_os = "linux")] // where all of 127.0.0.0/8 is the machine's own
#[test]
fn the_certificate_is_that_of_the_address() {
    let (one, two) = (Ca::new(), Ca::new());
    let port = free_port();
    let tls = [&one, &two].map(|ca| ca.sign(&["localhost"]).server());
    let server = Running::start(move || {
        let mut last = 0;
        let vhosts = tls.map(|tls| {
            last += 1;
            Vhost::listen(([127, 0, 0, last], port))
                .tls(tls)
                .accept(|_| Ok(Echo))
        });
        let [one, two] = vhosts;
        Context::builder().vhost(one).vhost(two)
    });
    for (vhost, right, wrong) in [(0, &one, &two), (1, &two, &one)] {
        let opens = |ca: &Ca| {
            let stream = tls_stream(server.addr_of(vhost), "localhost", ca.rustls_client());
            tungstenite::client("wss://localhost/", stream).is_ok()
        };
        assert!(opens(right) && !opens(wrong), "{vhost}");
    }
}

#[test]
fn a_host_header_of_another_vhost_than_the_handshakes_is_misdirected() {
    let ca = Ca::new();
    let server = two_vhosts(&ca);
    assert_eq!(ask(&server, &ca, "one.test", "two.test").0, 421);
    assert_eq!(ask(&server, &ca, "two.test", "one.test").0, 421);
}

#[test]
fn plain_text_to_a_tls_port_and_tls_to_a_plain_port_end_the_connection() {
    let ca = Ca::new();
    let server = echo(ca.sign(&["localhost"]).server());
    let mut raw = Raw::connect(server.addr());
    raw.send(peer::upgrade("/", "").as_bytes());
    let answer = raw.rest();
    assert!(!answer.starts_with(b"HTTP/1.1 101"));

    let plain = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    connects(&plain, ca.trust()).unwrap_err();
}

fn loopback_over_tls() -> Vhost {
    loopback().tls(Ca::new().sign(&["localhost"]).server())
}

#[test]
fn a_peer_that_sends_nothing_is_left() {
    peer::is_not_waited_for(loopback_over_tls, b"");
}

#[test]
fn a_peer_that_sends_half_a_client_hello_is_left() {
    peer::is_not_waited_for(loopback_over_tls, b"\x16\x03\x01\x02\x00\x01");
}

#[test]
fn bad_cipher_lists_and_versions_are_named() {
    let good = self_signed(&["localhost"]);
    let text = build_error(good.server().ciphers("NO-SUCH-CIPHER")).to_string();
    assert!(text.contains("NO-SUCH-CIPHER"), "{text}");
    let text = build_error(good.server().tls13_ciphers("TLS_NO_SUCH")).to_string();
    assert!(text.contains("TLS_NO_SUCH"), "{text}");
    let text = build_error(good.server().ciphers("HIGH\0LOW")).to_string();
    assert!(text.contains("NUL"), "{text}");
    let text = build_error(good.server().versions(Tls13, Tls12)).to_string();
    assert!(text.contains("1.3 to 1.2"), "{text}");

    let text = setup_error(ClientTls::new().tls13_ciphers("TLS_NO_SUCH"));
    assert!(text.contains("TLS_NO_SUCH"), "{text}");
    let text = setup_error(ClientTls::new().versions(Tls13, Tls12));
    assert!(text.contains("1.3 to 1.2"), "{text}");
}

#[test]
fn a_bad_list_for_tls_1_3_beside_a_good_one_is_the_one_named() {
    let good = self_signed(&["localhost"]).server();
    let tls = good.ciphers("HIGH").tls13_ciphers("TLS_NO_SUCH");
    let text = build_error(tls).to_string();
    assert!(text.contains("TLS_NO_SUCH"), "{text}");
}

#[test]
fn clients_with_different_trust_share_no_session_and_no_trust() {
    // One context, the strict client after the lax one, and at the same server.
    let server = echo(self_signed(&["localhost"]).server());
    let client = client_context();
    for (tls, works) in [
        (ClientTls::new().danger_accept_anything(), true),
        (ClientTls::new(), false),
        (ClientTls::new().danger_accept_self_signed(), true),
        (ClientTls::new().danger_accept_any_name(), false),
    ] {
        for _ in 0..2 {
            let (probe, _events) = probe();
            let to = Client::new(&server.url("wss", "/"))
                .unwrap()
                .tls(tls.clone());
            let connecting = client.handle.connect(to, probe).unwrap();
            assert_eq!(connecting.wait(WAIT).is_ok(), works, "{tls:?}");
        }
    }
}
