//! Other addresses than IPv4's: IPv6, and Unix domain sockets.

mod common;

use common::Echo;
#[cfg(any(feature = "ipv6", feature = "unix-sockets"))]
use common::{client_context, probe, Running, WAIT};
use libwebsockets::{Client, Context, Vhost};

/// Exchanges a message with an echo server.
#[track_caller]
#[cfg(any(feature = "ipv6", feature = "unix-sockets"))]
fn echoes(to: Client) {
    let client = client_context();
    let (probe, events) = probe();
    let connecting = client.handle.connect(to, probe).unwrap();
    let id = connecting.wait(WAIT).unwrap();
    assert_eq!(events.open(), id);
    client.handle.send(id, "hello").unwrap();
    assert_eq!(events.message().as_text(), Some("hello"));
}

#[cfg(feature = "ipv6")]
mod ipv6 {
    use super::*;
    use std::net::Ipv6Addr;

    fn serve(address: Ipv6Addr) -> Running {
        Running::start(move || {
            Context::builder().vhost(Vhost::listen((address, 0)).accept(|_| Ok(Echo)))
        })
    }

    #[test]
    fn an_address_in_brackets_is_connected_to() {
        let server = serve(Ipv6Addr::LOCALHOST);
        let port = server.addr().port();
        assert!(server.addr().is_ipv6());
        echoes(Client::new(&format!("ws://[::1]:{port}/")).unwrap());
    }

    #[test]
    fn every_address_takes_ipv4_as_well() {
        let server = serve(Ipv6Addr::UNSPECIFIED);
        let port = server.addr().port();
        echoes(Client::new(&format!("ws://[::1]:{port}/")).unwrap());
        echoes(Client::new(&format!("ws://127.0.0.1:{port}/")).unwrap());
    }

    // Lost: every TLS connection to a numeric IPv6 address, or its check.
    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_is_checked_for_the_address() {
        let ca = common::certs::Ca::new();
        for (name, right) in [("::1", true), ("localhost", false)] {
            let tls = ca.sign(&[name]).server();
            let server = Running::start(move || {
                let vhost = Vhost::listen((Ipv6Addr::LOCALHOST, 0)).tls(tls);
                Context::builder().vhost(vhost.accept(|_| Ok(Echo)))
            });
            let url = format!("wss://[::1]:{}/", server.addr().port());
            let to = Client::new(&url).unwrap().tls(ca.trust());
            if right {
                echoes(to);
                continue;
            }
            let client = client_context();
            let connecting = client.handle.connect(to, probe().0).unwrap();
            let error = connecting.wait(WAIT).unwrap_err().to_string();
            // Said by OpenSSL or, as X509_V_ERR_IP_ADDRESS_MISMATCH, by the C library.
            let mismatch = ["address", "X509_V_ERR = 64"];
            assert!(mismatch.iter().any(|text| error.contains(text)), "{error}");
        }
    }
}

#[cfg(not(feature = "ipv6"))]
#[test]
fn without_the_feature_ipv6_is_refused_with_its_name() {
    let vhost = Vhost::listen((std::net::Ipv6Addr::LOCALHOST, 0)).accept(|_| Ok(Echo));
    let error = Context::builder().vhost(vhost).build().unwrap_err();
    assert!(
        matches!(error, libwebsockets::Error::InvalidInput(_)),
        "{error:?}"
    );
    assert!(error.to_string().contains("`ipv6`"), "{error}");
    let error = Client::new("ws://[::1]/").unwrap_err().to_string();
    assert!(error.contains("`ipv6`"), "{error}");
}

#[cfg(all(feature = "unix-sockets", unix))]
mod unix {
    use super::*;
    use common::temp::TempDir;
    use libwebsockets::{Connection, Handler};
    use std::sync::mpsc;

    struct Tells(mpsc::Sender<bool>);

    impl Handler for Tells {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.send(conn.peer_addr().is_none()).unwrap();
        }
    }

    #[test]
    fn a_unix_domain_socket_is_served_and_connected_to() {
        let dir = TempDir::new();
        let path = dir.file("socket");
        let listen = path.clone();
        let _server = Running::start(move || {
            Context::builder().vhost(Vhost::listen_unix(listen).accept(|_| Ok(Echo)))
        });
        echoes(Client::unix(&path, "/").unwrap());
    }

    #[test]
    fn its_peers_have_no_address_and_its_path_is_a_request() {
        let dir = TempDir::new();
        let path = dir.file("socket");
        let listen = path.clone();
        let (tell, told) = mpsc::channel();
        let _server = Running::start(move || {
            let vhost = Vhost::listen_unix(listen).accept(move |request| {
                assert_eq!(request.path(), "/room");
                assert_eq!(request.query(), [("n".to_owned(), "1".to_owned())]);
                Ok(Tells(tell.clone()))
            });
            Context::builder().vhost(vhost)
        });
        let client = client_context();
        let to = Client::unix(&path, "/room?n=1").unwrap();
        let connecting = client.handle.connect(to, probe().0).unwrap();
        connecting.wait(WAIT).unwrap();
        assert!(told.recv_timeout(WAIT).unwrap());
    }

    #[test]
    fn a_path_that_fits_no_socket_is_refused() {
        let long = std::path::PathBuf::from("/tmp").join("x".repeat(120));
        let error = Client::unix(&long, "/").unwrap_err().to_string();
        assert!(error.contains("100"), "{error}");
        let vhost = Vhost::listen_unix(&long).accept(|_| Ok(Echo));
        let error = Context::builder().vhost(vhost).build().unwrap_err();
        assert!(error.to_string().contains("100"), "{error}");
    }
}
