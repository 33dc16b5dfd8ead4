//! The guide's table of what the key log promises, and those of its tests that
//! belong nowhere else.

#![cfg(feature = "keylog")]

mod common;

use common::certs::Ca;
#[cfg(unix)]
use common::secrets::TLS13;
use common::secrets::{logged as server, visit};
use common::temp::TempDir;
use libwebsockets::keylog::{AutoOff, Filter, KeyLog, Problem};
use libwebsockets::Role;
use std::path::Path;

/// Every name that stands in the last column of the guide's last table.
fn promised() -> Vec<Vec<String>> {
    let guide = include_str!("../docs/keylog.md");
    let (_, table) = guide.split_once("| promise | tests |").expect("the table");
    let rows = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let tests = row.rsplit('|').nth(1).expect("a last column");
        let names = tests.split('`').skip(1).step_by(2);
        names.map(str::to_owned).collect()
    })
    .collect()
}

/// What the Rust files of a folder hold.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|end| end == "rs") {
            *text += &std::fs::read_to_string(&path).unwrap();
        }
    }
}

/// Lost: a promise of the guide's that nothing proves any more.
#[test]
fn each_promise_of_the_guide_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    sources(&root.join("src"), &mut text);
    sources(&root.join("tests"), &mut text);
    let promised = promised();
    assert_eq!(promised.len(), 13);
    for name in promised.into_iter().flat_map(|tests| {
        assert!(!tests.is_empty());
        tests
    }) {
        let at = text.find(&format!("fn {name}() {{"));
        let at = at.unwrap_or_else(|| panic!("there is no test {name}"));
        let before: Vec<_> = text[..at].lines().rev().take(4).collect();
        assert!(
            before.contains(&"#[test]") || before.contains(&"    #[test]"),
            "{name}"
        );
        assert!(
            !before.iter().any(|line| line.contains("#[ignore")),
            "{name}"
        );
    }
}

/// Lost: handshakes that take longer the slower the disk, and lines of others
/// between ours. Each write to a datagram socket is one datagram.
#[cfg(unix)]
#[test]
fn one_write_per_handshake() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    let ca = Ca::new();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let server = server(&ca, KeyLog::descriptor(OwnedFd::from(ours).into()));
    theirs.set_read_timeout(Some(common::WAIT)).unwrap();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..3 {
        visit(&server, &ca);
        let n = theirs.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..n]).unwrap();
        assert!(text.ends_with('\n'));
        let mut labels: Vec<_> = text.lines().filter_map(|l| l.split(' ').next()).collect();
        labels.sort_unstable();
        assert_eq!(labels, TLS13);
    }
    theirs.set_nonblocking(true).unwrap();
    assert!(theirs.recv(&mut buffer).is_err(), "and nothing else");
}

/// Lost: an afternoon with an empty file.
#[test]
fn says_why_nothing_is_logged() {
    let (ca, dir) = (Ca::new(), TempDir::new());
    let file = || KeyLog::file(dir.file("keys.log"));
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let mut cases = vec![
        (KeyLog::off(), "no path is set", "set_path()"),
        (file().enabled(false), "switched off", "call enable()"),
        (
            file().auto_off(AutoOff::new().after_connections(0)),
            "number of connections",
            "call enable()",
        ),
    ];
    #[cfg(target_os = "linux")]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
        let full = KeyLog::descriptor(full.unwrap());
        cases.push((full, "No space left", "check what it leads to"));
    }
    for (keylog, reason, remedy) in cases {
        let server = server(&ca, keylog);
        visit(&server, &ca);
        let stats = server.keylog.stats();
        assert_eq!(stats.written, 0);
        let problem = stats.problem.expect(reason).to_string();
        assert!(
            problem.contains(reason) && problem.contains(remedy),
            "{problem}"
        );
    }
    // There is no problem, but a filter that takes nothing: counters tell.
    let server = server(&ca, file().filter(Filter::new().role(Role::Client)));
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.filtered_connections), (0, 1));
    assert_eq!(stats.problem, None::<Problem>);
}
