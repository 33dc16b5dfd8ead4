//! Builders: what they refuse, with what to change, and what their settings do.

mod common;

use common::peer::Raw;
use common::{client_context, loopback, noise, probe, probed, serve, Echo, Event, Running};
use libwebsockets::http::StatusCode;
#[cfg(feature = "_tls")]
use libwebsockets::tls::Pem;
use libwebsockets::{Client, Context, Error, Refusal, Vhost, WebSocketConfig};

/// Every text that could end a line or a string of C early.
const SMUGGLERS: [&str; 4] = ["a\0", "a\r", "a\nb", "a\r\nx: y"];

fn client() -> Client {
    Client::new("ws://localhost/").unwrap()
}

/// What is refused, and that the error says how to go on.
#[track_caller]
fn refused<T>(result: Result<T, libwebsockets::InvalidInput>, says: &[&str]) {
    let text = match result {
        Ok(_) => panic!("it is taken"),
        Err(error) => error.to_string(),
    };
    for word in says {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
    for control in ['\0', '\r', '\n'] {
        assert!(!text.contains(control), "{text:?}");
    }
}

#[test]
fn a_vhost_says_which_names_it_takes() {
    let name = |name: &str| loopback().name(name.to_owned());
    refused(name(""), &["host name", "letters"]);
    refused(name("a b"), &["\"a b\"", "letters"]);
    refused(name("ä"), &["letters"]);
    refused(name(&"a".repeat(254)), &["253"]);
    refused(name("."), &["\".\"", "host name"]);
    refused(name("a.."), &["\"a..\"", "host name"]);
    for bad in SMUGGLERS {
        refused(name(bad), &["host name", "letters"]);
    }
    assert!(name(&"a".repeat(253)).is_ok());
    assert!(name(&format!("{}.", "a".repeat(253))).is_ok());
}

#[test]
fn a_vhost_says_which_subprotocols_it_takes() {
    let subprotocol = |name: &str| loopback().subprotocol(name.to_owned(), |_| Ok(Echo));
    for bad in ["", "a b", "a,b", "ä", &"x".repeat(64)] {
        refused(subprotocol(bad), &["no subprotocol", "1 to 63 letters"]);
    }
    for bad in SMUGGLERS {
        refused(subprotocol(bad), &["no subprotocol", "1 to 63 letters"]);
    }
    let twice = subprotocol("a").unwrap();
    let twice = twice.subprotocol("a", |_| Ok(Echo));
    refused(twice, &["twice", "localhost", "leave one out"]);
    assert!(subprotocol(&"x".repeat(63)).is_ok());
}

#[test]
fn a_vhost_that_serves_nothing_says_what_it_needs() {
    let error = Context::builder().vhost(loopback()).build().unwrap_err();
    let text = error.to_string();
    for word in ["serves nothing", "localhost", "accept()", "subprotocol()"] {
        assert!(text.contains(word), "{text}");
    }
}

// Lost: a vhost that is there and that no request reaches, for lack of a name of its own.
#[test]
fn vhosts_that_hide_each_other_say_what_to_change() {
    let vhost = |host: &str, name: &str| {
        let address = (host.parse::<std::net::IpAddr>().unwrap(), 0);
        let vhost = Vhost::listen(address).accept(|_| Ok(Echo));
        vhost.name(name).unwrap()
    };
    let build = |vhosts: Vec<Vhost>| {
        let builder = vhosts
            .into_iter()
            .fold(Context::builder(), |b, v| b.vhost(v));
        match builder.build() {
            Ok(_) => Ok(()),
            Err(Error::InvalidInput(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    };
    const HERE: &str = "127.0.0.1";
    for other in ["one.test", "ONE.test", "one.test."] {
        let both = vec![vhost(HERE, "one.test"), vhost(HERE, other)];
        let says = [
            "127.0.0.1:0",
            other.trim_end_matches('.'),
            "name()",
            "address",
        ];
        refused(build(both), &says);
    }
    let unnamed = || loopback().accept(|_| Ok(Echo));
    refused(build(vec![unnamed(), unnamed()]), &["localhost", "name()"]);
    let apart = vec![vhost(HERE, "one.test"), vhost(HERE, "two.test")];
    assert!(build(apart).is_ok());
    let apart = vec![vhost(HERE, "one.test"), vhost("0.0.0.0", "one.test")];
    assert!(build(apart).is_ok());

    #[cfg(feature = "_tls")]
    {
        let tls = libwebsockets::tls::ServerTls::new(Pem::memory("none"), Pem::memory("none"));
        let both = vec![vhost(HERE, "one.test"), vhost(HERE, "two.test").tls(tls)];
        let says = ["one.test", "two.test", "127.0.0.1:0", "TLS", "address"];
        refused(build(both), &says);
    }
}

#[test]
fn a_refusal_says_which_headers_it_takes() {
    let header = |name: &str, value: &str| Refusal::forbidden().header(name, value);
    for bad in SMUGGLERS {
        refused(header(bad, "value"), &["header name", "use letters"]);
        refused(header("x-own", bad), &["value of \"x-own\"", "CR, LF, NUL"]);
    }
    refused(header("", "value"), &["header name"]);
    for own in ["Content-Length", "transfer-encoding", "Connection"] {
        refused(header(own, "1"), &["leave it out"]);
    }
    assert!(Refusal::new(StatusCode::UNAUTHORIZED)
        .header("x-own", "v")
        .is_ok());
}

#[test]
fn a_client_says_how_long_its_origin_may_be() {
    let origin = |length: usize| client().origin(&"o".repeat(length));
    refused(origin(1025), &["1024", "1025", "scheme, host and port"]);
    assert!(origin(1024).is_ok());
    for bad in SMUGGLERS {
        refused(
            client().origin(bad),
            &["value of \"origin\"", "CR, LF, NUL"],
        );
    }
}

#[test]
fn a_client_says_how_many_subprotocols_it_offers() {
    let mut to = client();
    for n in 0..16 {
        to = to.subprotocol(&format!("v{n}")).unwrap();
    }
    refused(to.clone().subprotocol("v16"), &["at most 16"]);
    refused(
        client().subprotocol("a").unwrap().subprotocol("a"),
        &["twice", "leave one out"],
    );
    for bad in SMUGGLERS {
        refused(client().subprotocol(bad), &["1 to 63 letters"]);
    }

    // All of them arrive, also if they are long.
    let server = serve(|vhost| {
        vhost
            .subprotocol(format!("{:x>63}", 15), |_| Ok(Echo))
            .unwrap()
    });
    let own = client_context();
    let (probe, events) = probe();
    let mut to = Client::new(&server.url("ws", "/")).unwrap();
    for n in 0..16 {
        to = to.subprotocol(&format!("{n:x>63}")).unwrap();
    }
    drop(own.handle.connect(to, probe).unwrap());
    events.open();
}

#[test]
fn a_client_says_how_much_its_headers_may_take() {
    let mut to = client();
    for n in 0..4 {
        to = to.header(&format!("x-{n}"), &"v".repeat(1000)).unwrap();
    }
    refused(
        to.header("x-4", &"v".repeat(100)),
        &["4096", "x-4", "fewer or shorter"],
    );
    for bad in SMUGGLERS {
        refused(client().header(bad, "v"), &["header name"]);
        refused(client().header("x-own", bad), &["value of \"x-own\""]);
    }
    refused(client().header("Host", "v"), &["host", "handshake"]);
}

// Lost: a request at the limits that each setting allows by itself.
#[test]
fn everything_at_its_limit_fits_the_handshake() {
    let server = serve(|vhost| vhost.subprotocol("last", |_| Ok(Echo)).unwrap());
    let path = format!("/{}", "p".repeat(8000));
    let mut to = Client::new(&server.url("ws", &path)).unwrap();
    to = to.origin(&"o".repeat(1024)).unwrap();
    for n in 0..15 {
        to = to.subprotocol(&format!("{n:x>63}")).unwrap();
    }
    to = to.subprotocol("last").unwrap();
    to = to.header("x-own", &"v".repeat(4080)).unwrap();
    let own = client_context();
    let (probe, events) = probe();
    drop(own.handle.connect(to, probe).unwrap());
    match events.next() {
        Event::Open { subprotocol, .. } => assert_eq!(subprotocol.as_deref(), Some("last")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_buffer_of_any_size_takes_messages_of_any_size() {
    for asked in [0, 40_000, 256 << 10, usize::MAX] {
        let (probe, events) = probe();
        let config = WebSocketConfig::new().fragments(true);
        let server = common::Running::start(move || {
            let vhost = loopback().config(config).accept(move |_| Ok(probe.clone()));
            Context::builder().receive_buffer(asked).vhost(vhost)
        });
        let mut raw = Raw::open(server.addr());
        events.open();
        raw.send_frame(0x82, &noise(1 << 20));
        let (mut whole, mut last) = (Vec::new(), false);
        while !last {
            let Event::Fragment {
                data,
                last: is_last,
                ..
            } = events.next()
            else {
                panic!("no fragment");
            };
            assert!(data.len() <= 16 << 10, "{asked}: {}", data.len());
            whole.extend(data);
            last = is_last;
        }
        assert!(whole == noise(1 << 20), "{asked}");
    }
}

#[test]
fn connections_beyond_the_room_of_a_context_wait_for_it() {
    let server = common::Running::start(|| {
        let vhost = loopback().accept(|_| Ok(Echo));
        Context::builder().max_fds(24).vhost(vhost)
    });
    let ask = |_| {
        let mut raw = Raw::connect(server.addr());
        raw.send(common::peer::upgrade("/", "").as_bytes());
        raw
    };
    let mut peers: std::collections::VecDeque<_> = (0..60).map(ask).collect();
    let mut most = 0;
    while let Some(mut raw) = peers.pop_front() {
        assert_eq!(raw.answer().status, 101);
        raw.send_frame(0x81, b"hello");
        assert_eq!(raw.frame().unwrap().payload, b"hello");
        most = most.max(server.handle.connections().len());
    }
    assert!(most <= 24, "{most} at once");
}

#[test]
fn the_librarys_version_is_one_that_is_supported() {
    let version = libwebsockets::library_version();
    let mut numbers = version.split(['.', '-']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        panic!("no version: {version:?}");
    };
    assert!(
        (4, 3) <= (major, minor) && (major, minor) <= (5, 0),
        "{version}"
    );
}

#[test]
fn a_vhost_and_a_context_show_what_they_are() {
    let vhost = || Vhost::listen(([127, 0, 0, 1], 9)).name("one.test").unwrap();
    let shown = format!("{:?}", vhost());
    assert!(
        shown.contains("127.0.0.1:9") && shown.contains("one.test"),
        "{shown}"
    );
    let (_server, events) = probed(WebSocketConfig::new());
    drop(events);
    let shown = format!("{:?}", Context::builder().vhost(vhost()));
    assert!(shown.contains("one.test"), "{shown}");
}

/// Lost: a server, for the C library's tables had no room for its listener.
#[test]
fn room_for_more_descriptors_than_there_can_be_is_room_for_all() {
    let server = Running::start(|| {
        let vhost = loopback().accept(|_| Ok(Echo));
        Context::builder().max_fds(u32::MAX).vhost(vhost)
    });
    Raw::open(server.addr());
}
