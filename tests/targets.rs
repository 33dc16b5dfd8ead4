//! Request targets: what a factory is told of path and query, and what is no target.

mod common;

use common::peer::{ask, upgrade, Raw};
use common::{serve, Echo};
use std::sync::mpsc;

#[test]
fn an_empty_query_holds_nothing() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.accept(move |request| {
            report.send(request.query().to_vec()).unwrap();
            Ok(Echo)
        })
    });
    for target in ["/", "/?", "/?&", "/?&&"] {
        assert_eq!(ask(server.addr(), &upgrade(target, "")).status, 101);
        let query = seen.recv_timeout(common::WAIT).unwrap();
        assert_eq!(query, [], "{target}");
    }
}

#[test]
fn path_traversal_never_reaches_the_factory_as_such() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.accept(move |request| {
            report.send(request.path().to_owned()).unwrap();
            Ok(Echo)
        })
    });
    for path in ["/a/../../b", "/%2e%2e/%2e%2e/b", "/a/..%2f..%2fb"] {
        let mut raw = Raw::connect(server.addr());
        if raw.ask(&upgrade(path, "")).status == 101 {
            let path = seen.recv_timeout(common::WAIT).unwrap();
            assert!(!path.split('/').any(|piece| piece == ".."), "{path}");
        }
    }
}

#[test]
fn a_plus_and_what_separates_pairs_mean_themselves_only_where_they_are_encoded() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.accept(move |request| {
            let query = request.query().iter();
            let query: Vec<_> = query.map(|(n, v)| format!("{n}={v}")).collect();
            report
                .send(format!("{} {}", request.path(), query.join(" | ")))
                .unwrap();
            Ok(Echo)
        })
    });
    for (target, read) in [
        ("/c%2B%2B", "/c++ "),
        ("/c++", "/c   "),
        ("/rock%26roll", "/rock&roll "),
        ("/rock&roll;jazz", "/rock,roll,jazz "),
        ("/a//b/./c/../d", "/a/b/d "),
        ("/?a+b=c+d;e=f", "/ a b=c d | e=f"),
        ("/?a%26b=1%3B2%2B", "/ a&b=1;2+"),
        ("/?a=%FF", "/ a=\u{fffd}"),
        ("/?b%3Dc=1%3D2", "/ b_c=1=2"),
    ] {
        assert_eq!(ask(server.addr(), &upgrade(target, "")).status, 101);
        let seen = seen.recv_timeout(common::WAIT).unwrap();
        assert_eq!(seen, read, "{target}");
    }
}

// Lost: a query that is part of the path, which may be logged, and no query.
#[test]
fn a_query_begins_at_its_question_mark_whatever_the_path_ends_in() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.accept(move |request| {
            let token = request.query_value("token").map(str::to_owned);
            report.send((request.path().to_owned(), token)).unwrap();
            Ok(Echo)
        })
    });
    for (target, path) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/.", "/"),
        ("/a/.", "/a/"),
        ("/..", "/"),
        ("/../..", "/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a"),
        ("/a/../", "/"),
        ("/%2e%2e", "/"),
        ("/a...", "/a..."),
        ("/..a", "/..a"),
        ("/..%3fa", "/..?a"),
        ("/.%3fa", "/.?a"),
    ] {
        for (query, token) in [("", None), ("?token=1", Some("1"))] {
            let request = upgrade(&format!("{target}{query}"), "");
            assert_eq!(ask(server.addr(), &request).status, 101);
            let (seen, value) = seen.recv_timeout(common::WAIT).unwrap();
            assert_eq!((&*seen, value.as_deref()), (path, token), "{target}{query}");
        }
    }
}

/// RFC 9112 §3.2.2: a server takes such a target, and RFC 6455 §4.1: a client may send it.
#[test]
fn a_target_may_be_a_url_of_the_host() {
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.accept(move |request| {
            let first = request.query().first().map(|(name, _)| name.clone());
            report.send((request.path().to_owned(), first)).unwrap();
            Ok(Echo)
        })
    });
    for (target, path, query) in [
        ("http://localhost/p/q", "/p/q", None),
        ("HTTPS://LocalHost/p?a", "/p", Some("a")),
        ("http://localhost/", "/", None),
        ("http://localhost", "/", None),
    ] {
        let answer = ask(server.addr(), &upgrade(target, ""));
        assert_eq!(answer.status, 101, "{target}");
        let (seen, first) = seen.recv_timeout(common::WAIT).unwrap();
        assert_eq!((&*seen, first.as_deref()), (path, query), "{target}");
    }
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let server = serve(|vhost| vhost.accept(|_| Ok(Echo)));
    for target in [
        "*",
        "http://other/p",
        "http://localhost/../other/p",
        "ws://localhost",
        "localhost:80",
        "a",
        "../a",
    ] {
        let answer = ask(server.addr(), &upgrade(target, ""));
        assert_eq!(answer.status, 400, "{target}");
    }
}
