//! What a program, and whoever reads its messages, learns of why a client can't connect.

mod common;

use common::peer::patient;
use common::{client_context, free_port, probe, Running, WAIT};
use libwebsockets::client::{ConnectFailure, ConnectStep};
use libwebsockets::{Client, ConnectError, Context};
use std::error::Error as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Why a client fails, and what it shows, which is told to the handler as well.
#[track_caller]
fn why(context: &Running, to: Client) -> (ConnectFailure, String) {
    let (probe, events) = probe();
    let connecting = context.handle.connect(to, probe).unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    let shown = error.to_string();
    assert_eq!(events.connect_error().to_string(), shown);
    events.end();
    match error {
        ConnectError::Failed { failure, .. } => (failure, shown),
        other => panic!("{other:?}"),
    }
}

fn to(url: &str) -> Client {
    Client::new(url).unwrap()
}

/// A peer that does this with its one connection.
fn peer(scheme: &str, serve: impl FnOnce(TcpStream) + Send + 'static) -> Client {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        serve(tcp);
    });
    to(&format!("{scheme}://127.0.0.1:{port}/"))
}

/// Reads a request, answers with these bytes, and hangs up.
fn answers(bytes: &'static [u8]) -> Client {
    peer("ws", move |mut tcp| {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).unwrap_or(0) > 0 {
            request.push(byte[0]);
        }
        let _ = tcp.write_all(bytes);
    })
}

#[test]
fn a_refused_port_is_an_error_of_the_system() {
    let url = format!("ws://127.0.0.1:{}/", free_port());
    let (probe, _events) = probe();
    let context = client_context();
    let connecting = context.handle.connect(to(&url), probe).unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    let ConnectError::Failed {
        failure: ConnectFailure::Io(reason),
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(reason.kind(), ErrorKind::ConnectionRefused);
    assert!(error.source().is_none(), "it would be shown twice");
    let shown = error.to_string();
    assert!(shown.contains("nothing listens there"), "{shown}");
}

/// Lost: why, for `connect` fails at once, before the C library's call has returned.
#[cfg(all(feature = "unix-sockets", unix))]
#[test]
fn a_unix_socket_that_is_not_there_is_an_error_of_the_system() {
    let dir = common::temp::TempDir::new();
    let path = dir.file("nobody");
    let client = Client::unix(&path, "/").unwrap();
    let (failure, shown) = why(&client_context(), client);
    assert!(
        matches!(&failure, ConnectFailure::Io(e) if e.kind() == ErrorKind::NotFound),
        "{failure:?}"
    );
    assert!(shown.contains("nobody"), "{shown}");
}

#[test]
fn peers_that_hang_up_or_say_nothing_do_so_in_a_step() {
    let quick = Running::start(|| Context::builder().handshake_timeout(Duration::from_secs(1)));
    let wait = |mut tcp: TcpStream| drop(tcp.read_to_end(&mut Vec::new()));
    let mut steps = vec![("ws", ConnectStep::Handshake)];
    if cfg!(feature = "_tls") {
        steps.push(("wss", ConnectStep::Tls));
    }
    for (scheme, step) in steps {
        let (failure, shown) = why(&quick, peer(scheme, wait));
        assert!(
            matches!(failure, ConnectFailure::TimedOut(at) if at == step),
            "{failure:?}"
        );
        assert!(shown.contains("handshake_timeout"), "{shown}");
        let hang_up = |mut tcp: TcpStream| drop(tcp.read(&mut [0; 4096]));
        let (failure, _) = why(&quick, peer(scheme, hang_up));
        assert!(
            matches!(failure, ConnectFailure::HungUp(at) if at == step),
            "{failure:?}"
        );
        // With unread bytes it is a reset.
        let (failure, _) = why(&quick, peer(scheme, |mut tcp| drop(tcp.read(&mut [0; 1]))));
        assert!(
            matches!(failure, ConnectFailure::HungUp(at) if at == step),
            "{failure:?}"
        );
    }
}

/// Longer than what is kept of a head.
const LONG: &[u8] = &[b'x'; 100_000];

#[test]
fn what_is_no_websocket_server_is_told_apart_and_in_words() {
    let context = client_context();
    for (answer, part) in [
        (&b"HTTP/1.1 101 Switching Protocols\r\n\r\n"[..], "no "),
        (LONG, "isn't HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            "Sec-WebSocket-Accept",
        ),
        (b"HTTP/1.0 101 Switching Protocols\r\n\r\n", ""),
    ] {
        let (failure, shown) = why(&context, answers(answer));
        assert!(
            matches!(failure, ConnectFailure::Protocol(_)),
            "{failure:?}"
        );
        assert!(shown.contains("no WebSocket server"), "{shown}");
        assert!(shown.contains(part), "{shown}");
        assert!(!shown.contains("HS:"), "{shown}");
    }
}

#[cfg(feature = "_tls")]
mod tls {
    use super::*;
    use common::certs::{self_signed, Ca};
    use common::tls::echo;
    use common::{serve, Echo};
    use libwebsockets::client::CertificateProblem;
    use libwebsockets::tls::{ClientCertificates, ClientTls, Pem, ServerTls, TlsVersion};

    #[track_caller]
    fn fails(server: ServerTls, client: ClientTls) -> (ConnectFailure, String) {
        let server = echo(server);
        why(&client_context(), to(&server.url("wss", "/")).tls(client))
    }

    /// Lost: whether to install a CA, to use another name, or to set a clock.
    #[test]
    fn what_is_wrong_with_a_certificate_is_told_with_what_to_do() {
        let ca = Ca::new();
        let own = self_signed(&["localhost"]);
        let good = |names: &[&str]| ca.sign(names).server();
        use CertificateProblem as P;
        for (server, client, expected, advice) in [
            (
                good(&["localhost"]),
                Ca::new().trust(),
                P::UnknownIssuer,
                "ClientTls::ca",
            ),
            (own.server(), ca.trust(), P::SelfSigned, "ClientTls::ca"),
            (
                good(&["example.org"]),
                ca.trust(),
                P::WrongName,
                "by a name",
            ),
            (
                ca.sign_expired(&["localhost"]).server(),
                ca.trust(),
                P::Expired,
                "clock",
            ),
        ] {
            let (failure, shown) = fails(server, client);
            let ConnectFailure::Certificate {
                problem, reason, ..
            } = failure
            else {
                panic!("{failure:?}");
            };
            assert_eq!(problem, expected, "{reason}");
            assert!(!reason.is_empty() && shown.contains(&reason), "{shown}");
            assert!(shown.contains(advice), "{shown}");
            assert!(!shown.contains("X509_V_ERR"), "{shown}");
        }
        // The advice works.
        let server = echo(own.server());
        let trust = ClientTls::new().ca(Pem::memory(own.cert.as_bytes()));
        common::tls::connects(&server, trust).unwrap();
    }

    #[test]
    fn an_alert_of_the_server_is_told() {
        let ca = Ca::new();
        let wants = || {
            ca.sign(&["localhost"])
                .server()
                .client_certificates(ClientCertificates::Required, Pem::memory(ca.pem.as_bytes()))
        };
        for (version, alerts) in [(TlsVersion::Tls12, &[40][..]), (TlsVersion::Tls13, &[116])] {
            let (failure, shown) = fails(wants(), ca.trust().versions(version, version));
            let ConnectFailure::Tls {
                alert: Some(alert), ..
            } = failure
            else {
                panic!("{failure:?}");
            };
            assert!(alerts.contains(&alert), "{shown}");
            assert!(shown.contains("identity"), "{shown}");
        }
        let old = ca
            .sign(&["localhost"])
            .server()
            .versions(TlsVersion::Tls12, TlsVersion::Tls12);
        let new = ca.trust().versions(TlsVersion::Tls13, TlsVersion::Tls13);
        let (failure, shown) = fails(old, new);
        assert!(
            matches!(
                failure,
                ConnectFailure::Tls {
                    alert: Some(70),
                    ..
                }
            ),
            "{failure:?}"
        );
        assert!(shown.contains("protocol version"), "{shown}");
    }

    #[test]
    fn a_server_that_speaks_the_other_scheme_is_told() {
        let context = client_context();
        let plain = serve(|vhost| vhost.accept(|_| Ok(Echo)));
        let (failure, shown) = why(&context, to(&plain.url("wss", "/")));
        assert!(
            matches!(failure, ConnectFailure::Tls { alert: None, .. }),
            "{failure:?}"
        );
        assert!(shown.contains("does the server speak TLS"), "{shown}");
        assert!(!shown.contains("certificate"), "{shown}");
        let secure = echo(Ca::new().sign(&["localhost"]).server());
        let (failure, _) = why(&context, to(&secure.url("ws", "/")));
        assert!(
            matches!(
                failure,
                ConnectFailure::Protocol(_) | ConnectFailure::HungUp(ConnectStep::Handshake)
            ),
            "{failure:?}"
        );
    }
}
