//! Many processes and threads that log real handshakes to one file: no line is
//! torn, and none is lost.
//!
//! `LIBWEBSOCKETS_STRESS_RECORDS=1000000 cargo test --release --test
//! keylog_stress` makes that many records in each of the tests, instead of a few
//! thousand.

#![cfg(feature = "keylog")]

mod common;

use common::certs::Ca;
use common::loopback;
use common::temp::TempDir;
use libwebsockets::keylog::{Input, KeyLog, Retention, Rotation};
use libwebsockets::{Client, Connection, Context, Handler};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PROCESSES: usize = 8;
const THREADS: usize = 4;

/// What a TLS 1.3 connection adds to the file: five records by each end.
const BY_CONNECTION: usize = 10;

const RECORDS: &str = "LIBWEBSOCKETS_STRESS_RECORDS";

/// Set for a child of this test program.
const PATH: &str = "LIBWEBSOCKETS_TEST_STRESS_PATH";
const CONNECTIONS: &str = "LIBWEBSOCKETS_TEST_STRESS_CONNECTIONS";
const MANNER: &str = "LIBWEBSOCKETS_TEST_STRESS_MANNER";

/// What is done to the file beside appending lines.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Plain,
    Rotated,
    /// A new file begins with the last records of the one before.
    Overlapping,
    #[cfg(feature = "keylog-gzip")]
    Compressed,
    Pcapng,
}

impl Manner {
    fn name(self) -> &'static str {
        match self {
            Manner::Plain => "plain",
            Manner::Rotated => "rotated",
            Manner::Overlapping => "overlapping",
            #[cfg(feature = "keylog-gzip")]
            Manner::Compressed => "compressed",
            Manner::Pcapng => "pcapng",
        }
    }

    fn rotates(self) -> bool {
        !matches!(self, Manner::Plain | Manner::Pcapng)
    }
}

/// Ends at once.
struct Brief;

impl Handler for Brief {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.abort();
    }
}

/// Waits for the other end.
struct Quiet;

impl Handler for Quiet {}

/// One context that connects to itself; the records that its log has written.
fn connect_over_and_over(keylog: KeyLog, connections: usize) -> u64 {
    let ca = Ca::new();
    let tls = ca.sign(&["localhost"]).server();
    let vhost = loopback().tls(tls).accept(|_| Ok(Quiet));
    let builder = Context::builder().vhost(vhost).keylog(keylog);
    let mut context = builder.max_fds(64).build().unwrap();
    let keylog = context.keylog().clone();
    let url = format!("wss://localhost:{}/", context.local_addr(0).unwrap().port());
    let to = Client::new(&url).unwrap().tls(ca.trust());
    for _ in 0..connections {
        let connecting = context.connect(to.clone(), Brief).unwrap();
        let outcome = loop {
            if let Some(outcome) = connecting.outcome() {
                break outcome;
            }
            context.service(Some(Duration::from_secs(10))).unwrap();
        };
        outcome.unwrap();
    }
    drop(context);
    let stats = keylog.stats();
    assert_eq!((stats.dropped, stats.failed), (0, 0));
    stats.written
}

/// Not a test of its own: what each process does.
#[test]
fn child() {
    let Some(path) = std::env::var_os(PATH).map(PathBuf::from) else {
        return;
    };
    let connections = std::env::var(CONNECTIONS).unwrap().parse().unwrap();
    let mut keylog = KeyLog::file(path);
    let manner = std::env::var(MANNER).unwrap();
    keylog = keylog.pcapng(manner == Manner::Pcapng.name());
    #[cfg(feature = "keylog-gzip")]
    let compresses = manner == Manner::Compressed.name();
    #[cfg(not(feature = "keylog-gzip"))]
    let compresses = false;
    #[cfg(feature = "keylog-gzip")]
    {
        keylog = keylog.compress(compresses);
    }
    let overlap = match manner == Manner::Overlapping.name() {
        true => 2_000,
        false => 0,
    };
    if compresses || overlap > 0 || manner == Manner::Rotated.name() {
        let rotation = Rotation::new().max_size(100_000).overlap(overlap);
        let retention = Retention::new().max_files(usize::MAX);
        keylog = keylog.rotation(rotation).retention(retention);
    }
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let keylog = keylog.clone();
            std::thread::spawn(move || connect_over_and_over(keylog, connections))
        })
        .collect();
    let written: u64 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    if compresses {
        // The threads that do it begin after two seconds.
        std::thread::sleep(Duration::from_secs(4));
    }
    println!("says: {written}");
}

/// Runs the processes; the records that they say they have written.
fn run(path: &Path, connections: usize, manner: Manner) -> u64 {
    let start = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["child", "--exact", "--nocapture"])
            .env(PATH, path)
            .env(CONNECTIONS, connections.to_string())
            .env(MANNER, manner.name())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    let mut written = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout);
        let says = text.split("says: ").nth(1).expect("it says how many");
        written += says.lines().next().unwrap().parse::<u64>().unwrap();
    }
    written
}

/// How old a file is, by its name: 0 is the one that is written to.
fn age(name: &str) -> u32 {
    let number = name.trim_end_matches(".gz").rsplit('.').next();
    number.and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// How many bytes of a file are the end of the one before.
fn overlap(before: &str, text: &str) -> usize {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    let found = ends.take_while(|end| *end <= 2_000);
    let longest = found.filter(|end| before.ends_with(&text[..*end])).last();
    longest.expect("a new file begins with what came last")
}

fn stress(manner: Manner) {
    let records = std::env::var(RECORDS).map_or(5_000, |n| n.parse().unwrap());
    let connections = usize::div_ceil(records, BY_CONNECTION * PROCESSES * THREADS);
    let dir = TempDir::new();
    let written = run(&dir.file("keys.log"), connections, manner);
    let files: Vec<_> = dir
        .names()
        .into_iter()
        // One that was being compressed as its process ended is still there as it was.
        .filter(|name| !name.ends_with(".lock") && !name.ends_with(".gz-part"))
        .collect();
    let (mut lines, mut blank) = (0, 0);
    let mut by_random = HashMap::<String, usize>::new();
    let mut texts = Vec::new();
    for name in &files {
        let input = Input::open(dir.file(name)).unwrap();
        let text = std::io::read_to_string(input).unwrap();
        assert!(text.ends_with('\n'));
        texts.push((age(name), text));
    }
    texts.sort();
    for (at, (_, text)) in texts.iter().enumerate() {
        let begin = match texts.get(at + 1) {
            Some((_, before)) if manner == Manner::Overlapping => overlap(before, text),
            _ => 0,
        };
        // A blank line ends what may have been torn; readers skip it (RFC 9850).
        for line in text[begin..].lines() {
            if line.is_empty() {
                blank += 1;
                continue;
            }
            let fields: Vec<_> = line.split(' ').collect();
            let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
            let [label, random, secret] = fields[..] else {
                panic!("a torn line: {line:?}");
            };
            // The secrets are of AES-128 or AES-256: 32 or 48 bytes.
            let whole = random.len() == 64 && matches!(secret.len(), 64 | 96);
            let whole = whole && hex(random) && hex(secret);
            let known = label.ends_with("_SECRET") || label.ends_with("_SECRET_0");
            assert!(whole && known, "a torn line: {line:?}");
            lines += 1;
            *by_random.entry(random.to_owned()).or_default() += 1;
        }
    }
    let handshakes = connections * PROCESSES * THREADS;
    assert_eq!(written, (handshakes * BY_CONNECTION) as u64);
    assert_eq!(lines, handshakes * BY_CONNECTION);
    // Of a pcapng file, what reads it ends each block's last line.
    let most = if manner == Manner::Pcapng {
        handshakes * 2
    } else {
        PROCESSES * THREADS
    };
    assert!(blank <= most, "{blank} blank lines");
    assert_eq!(by_random.len(), handshakes);
    assert!(by_random.values().all(|n| *n == BY_CONNECTION));
    assert_eq!(manner.rotates(), files.len() > 1, "{files:?}");
    #[cfg(feature = "keylog-gzip")]
    {
        let compressed = files.iter().any(|name| name.ends_with(".gz"));
        assert_eq!(manner == Manner::Compressed, compressed, "{files:?}");
    }
    println!(
        "{lines} records of {handshakes} handshakes by {PROCESSES} processes with {THREADS} \
         threads each, in {} files: none torn, none lost, {blank} lines blank",
        files.len()
    );
}

#[test]
fn several_processes_one_file() {
    stress(Manner::Plain);
}

#[test]
fn several_processes_rotate_one_file() {
    stress(Manner::Rotated);
}

/// Lost: connections, for whoever follows the path from file to file; or a log in which
/// records are twice.
#[test]
fn several_processes_rotate_one_file_and_begin_with_what_came_last() {
    stress(Manner::Overlapping);
}

/// Lost: a file of records for each that two processes compressed at once.
#[cfg(feature = "keylog-gzip")]
#[test]
fn several_processes_compress_the_old_files_of_one_log() {
    stress(Manner::Compressed);
}

#[test]
fn several_processes_one_pcapng_file() {
    stress(Manner::Pcapng);
}
