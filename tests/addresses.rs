//! IPv6 addresses.

mod common;

use common::Echo;
#[cfg(feature = "ipv6")]
use common::{client_context, probe, Running, WAIT};
use libwebsockets::{Client, Context, Vhost};

/// Exchanges a message with an echo server.
#[track_caller]
#[cfg(feature = "ipv6")]
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
    #[cfg(feature = "_tls")]
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
