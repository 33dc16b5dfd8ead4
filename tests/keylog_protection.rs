//! Files that can't be written, or not any more, and what becomes of the program
//! then. Each outcome is one that the guide, `docs/keylog.md`, tells who operates
//! it.
//!
//! What changes a whole process (a limit, a mount, another root) is done to
//! children of this test program.

#![cfg(all(feature = "keylog", target_os = "linux"))]

mod common;

use common::certs::Ca;
use common::programs::{Ended, Program};
use common::secrets::{lines, logged as server, randoms, visit};
use common::temp::TempDir;
use common::Running;
use libwebsockets::keylog::{KeyLog, Problem, Rotation};
use libwebsockets::Context;
use std::fs;
use std::os::unix::fs::{chroot, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Set for a child of this test program, which then plays a part.
const PART: &str = "LIBWEBSOCKETS_TEST_PROTECTION";
const LOG: &str = "LIBWEBSOCKETS_TEST_PROTECTION_LOG";

/// A set-up that this machine doesn't allow ends with it.
const NOT_ALLOWED: i32 = 77;

const NOBODY: u32 = 65_534;

/// More connections than any file here has room for.
const MANY: usize = 200;

/// Not a test of its own: what the children do.
#[test]
fn child() {
    let Ok(part) = std::env::var(PART) else {
        return;
    };
    let path = PathBuf::from(std::env::var_os(LOG).unwrap());
    let log = KeyLog::file(&path);
    match &*part {
        "fill" => fill(log),
        "fill a queue" => fill(log.queue(1 << 20)),
        "fill pcapng" => fill_pcapng(log.pcapng(true)),
        "fill and heal" => fill_and_heal(&path),
        "build" => println!("says: {}", refusal(log)),
        "build in a removed folder" => {
            std::env::set_current_dir(&path).unwrap();
            fs::remove_dir(&path).unwrap();
            println!("says: {}", refusal(KeyLog::file("keys.log")));
        }
        "change root" => change_root(log, &path),
        "change root and rotate" => change_root(log.rotation(Rotation::new().max_size(1)), &path),
        "give up rights" => give_up_rights(log.rotation(Rotation::new().max_size(1))),
        other => panic!("no such part: {other}"),
    }
}

/// Runs [`child`] in a shell that has done this before.
fn play(set_up: &str, part: &str, log: &Path) -> Ended {
    play_in(Command::new("sh"), set_up, part, log)
}

/// As [`play`], with mounts that only the child sees; `None` if the machine
/// doesn't allow them.
fn play_with_mounts(mount: &str, part: &str, log: &Path) -> Option<Ended> {
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !is_root() {
        // Who isn't root may be it in a user namespace.
        unshare.arg("--map-root-user");
    }
    unshare.arg("sh");
    let ended = play_in(
        unshare,
        &format!("{mount} || exit {NOT_ALLOWED}"),
        part,
        log,
    );
    if ended.status == Some(NOT_ALLOWED) || ended.stderr.starts_with("unshare:") {
        let why = ended.stderr.trim();
        common::machine::skip(&format!("no mounts are allowed here: {why}"));
        return None;
    }
    Some(ended)
}

fn play_in(mut shell: Command, set_up: &str, part: &str, log: &Path) -> Ended {
    let script = format!("{set_up}\nexec \"$0\" child --exact --nocapture");
    shell
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(PART, part)
        .env(LOG, log);
    Program::start(&mut shell).end()
}

/// What the child says, which ends well.
#[track_caller]
fn says(ended: &Ended) -> &str {
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let says = ended
        .stdout
        .iter()
        .find_map(|line| line.split("says: ").nth(1));
    says.unwrap_or_else(|| panic!("it says nothing: {ended:?}"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The error of a context's build.
fn refusal(keylog: KeyLog) -> String {
    let began = Instant::now();
    let error = Context::builder().keylog(keylog).build().unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "it was waited for"
    );
    error.to_string()
}

/// Makes connections until no record gets through, and some more.
fn fill(keylog: KeyLog) {
    let ca = Ca::new();
    let server = server(&ca, keylog);
    let failed = || server.keylog.stats().failed > 0;
    let filled = (0..MANY).any(|_| {
        visit(&server, &ca);
        failed()
    });
    assert!(filled, "there is room for all");
    visit(&server, &ca);
    let stats = server.keylog.stats();
    let Some(Problem::Failing { reason }) = stats.problem else {
        panic!("{stats:?}");
    };
    assert_eq!(stats.last_error.as_ref(), Some(&reason));
    println!("says: written={} {reason}", stats.written);
}

/// Blocks up to the limit; the next goes to a new file.
fn fill_pcapng(keylog: KeyLog) {
    let ca = Ca::new();
    let server = server(&ca, keylog);
    let cut = (0..MANY).any(|_| {
        visit(&server, &ca);
        server.keylog.stats().failed > 0
    });
    assert!(cut, "there is room for all");
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.failed, stats.rotations, stats.problem), (5, 1, None));
    println!("says: {}", stats.last_error.unwrap());
}

/// Two processes' logs, or what is the same to the file, on a disk that is full;
/// then somebody makes room.
fn fill_and_heal(path: &Path) {
    let ca = Ca::new();
    let filler = path.with_file_name("filler");
    fs::write(&filler, vec![0; 64 << 10]).unwrap_err();
    let room = fs::OpenOptions::new().write(true).open(&filler).unwrap();
    room.set_len(32 << 10).unwrap();
    drop(room);
    let servers = [0, 1].map(|_| server(&ca, KeyLog::file(path)));
    let fails = |server: &Running| {
        visit(server, &ca);
        server.keylog.stats().failed > 0
    };
    // The first leaves a torn line; the second finds no room at all.
    assert!(
        (0..MANY).any(|_| fails(&servers[0])),
        "there is room for all"
    );
    assert!(fails(&servers[1]));
    assert_eq!(servers[1].keylog.stats().written, 0);
    let reason = servers[0].keylog.stats().last_error.unwrap();
    fs::remove_file(&filler).unwrap();
    assert!(!fs::read(path).unwrap().ends_with(b"\n"), "no line is torn");
    for server in servers.iter().rev() {
        let before = server.keylog.stats().written;
        visit(server, &ca);
        let stats = server.keylog.stats();
        assert_eq!((stats.written, stats.problem), (before + 5, None));
    }
    let written: u64 = servers.iter().map(|s| s.keylog.stats().written).sum();
    assert_eq!(whole_lines(path), written, "what is counted is there");
    println!("says: written={written} {reason}");
}

/// How many whole records a file has. One that was cut off may be there, but on
/// a line of its own.
fn whole_lines(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let is_whole = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        fields.len() == 3 && fields[1].len() == 64 && matches!(fields[2].len(), 64 | 96)
    };
    let (whole, cut): (Vec<_>, Vec<_>) = text
        .lines()
        .filter(|line| !line.is_empty())
        .partition(|line| is_whole(line));
    for line in cut {
        let labels = ["CLIENT_", "SERVER_", "EXPORTER_"].map(|label| line.matches(label).count());
        assert!(
            labels.iter().sum::<usize>() <= 1,
            "two in one line: {line:?}"
        );
    }
    whole.len() as u64
}

/// Lost: a service that ends because its key log has reached a limit of size,
/// which is what the system does to whom SIGXFSZ takes by surprise.
#[test]
fn a_limit_of_the_files_size_kills_nobody() {
    for (part, full) in [
        ("fill", "keys.log"),
        ("fill a queue", "keys.log"),
        ("fill pcapng", "keys.log.1"),
    ] {
        let dir = TempDir::new();
        let path = dir.file("keys.log");
        // In blocks of 512 or 1024 bytes, as the shell has it.
        let ended = play("ulimit -f 8", part, &path);
        let says = says(&ended);
        assert!(says.contains("cannot be written"), "{part}: {says}");
        if part == "fill" {
            assert!(says.contains("File too large"), "{says}");
            let written = format!("written={} ", whole_lines(&path));
            assert!(says.starts_with(&written), "{written}: {says}");
        }
        let len = fs::metadata(dir.file(full)).unwrap().len();
        assert!(matches!(len, 4096 | 8192), "{part}: {len}");
    }
}

/// Lost: connections that end because a disk is full, or a log that stays silent,
/// or torn, when there is room again.
#[test]
fn a_full_disk_stops_no_connection_and_the_log_heals_when_there_is_room() {
    let dir = TempDir::new();
    let mount = format!("mount -t tmpfs -o size=48k none '{}'", dir.path().display());
    let Some(ended) = play_with_mounts(&mount, "fill and heal", &dir.file("keys.log")) else {
        return;
    };
    let says = says(&ended);
    assert!(says.contains("No space left on device"), "{says}");
}

/// Lost: a context whose log nobody can write, and that doesn't say so.
#[test]
fn a_read_only_mount_is_an_error_of_the_build() {
    let dir = TempDir::new();
    for name in ["new.log", "old.log"] {
        let path = dir.file(name);
        if name == "old.log" {
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let folder = dir.path().display();
        let mount =
            format!("mount --bind '{folder}' '{folder}' && mount -o remount,bind,ro '{folder}'");
        let Some(ended) = play_with_mounts(&mount, "build", &path) else {
            return;
        };
        let says = says(&ended);
        assert!(says.contains("Read-only file system"), "{says}");
        assert!(says.contains(&format!("{path:?}")), "{says}");
    }
    assert_eq!(dir.names(), ["old.log"]);
}

/// Lost: why there is no log in a folder that isn't there any more.
#[test]
fn a_relative_path_in_a_removed_folder_is_an_error_of_the_build() {
    let dir = TempDir::new();
    let gone = dir.file("gone");
    fs::create_dir(&gone).unwrap();
    let ended = play("", "build in a removed folder", &gone);
    let says = says(&ended);
    assert!(says.contains("\"keys.log\" cannot be opened"), "{says}");
}

/// A log that is open, and then a root in which its path means something else.
fn change_root(keylog: KeyLog, path: &Path) {
    let ca = Ca::new();
    let server = server(&ca, keylog);
    visit(&server, &ca);
    chroot(path.with_file_name("root")).unwrap();
    std::env::set_current_dir("/").unwrap();
    visit(&server, &ca);
    // By now it looks at its path again.
    std::thread::sleep(Duration::from_millis(1100));
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.failed, stats.problem), (15, 0, None));
    println!(
        "says: {}",
        stats.last_error.unwrap_or("nothing is wrong".into())
    );
}

/// Lost: the log of a program that locks itself up once it runs; or its secrets,
/// to a file in there.
#[test]
fn a_log_that_was_opened_before_chroot_goes_on() {
    if !is_root() {
        return common::machine::skip("only root can change its root directory");
    }
    for (part, same_folder) in [
        ("change root", false),
        ("change root", true),
        ("change root and rotate", true),
    ] {
        let dir = TempDir::new();
        let path = dir.file("keys.log");
        let root = dir.file("root");
        let inside = root.join(dir.path().strip_prefix("/").unwrap());
        fs::create_dir_all(if same_folder { &inside } else { &root }).unwrap();
        // LeakSanitizer looks for the process' threads in /proc, which isn't there then.
        let ended = play("export ASAN_OPTIONS=detect_leaks=0", part, &path);
        let says = says(&ended);
        match part.contains("rotate") {
            true => assert!(says.contains("changed its root directory"), "{says}"),
            false => assert_eq!(says, "nothing is wrong"),
        }
        assert_eq!(randoms(&lines(&path)).len(), 3, "{part}");
        if same_folder {
            assert_eq!(fs::read_dir(&inside).unwrap().count(), 0);
        }
    }
}

/// A log that root has opened, and that is then an ordinary user's.
fn give_up_rights(keylog: KeyLog) {
    let ca = Ca::new();
    let server = server(&ca, keylog);
    visit(&server, &ca);
    // SAFETY: setuid() has no precondition; glibc does it for all threads.
    assert_eq!(unsafe { libc::setuid(NOBODY) }, 0);
    visit(&server, &ca);
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.failed, stats.problem), (15, 0, None));
    println!("says: {}", stats.last_error.unwrap());
}

/// Lost: the log of a service that starts as root and goes on as somebody else,
/// from the first rotation on.
#[test]
fn a_log_that_cannot_be_rotated_after_rights_were_given_up_goes_on() {
    if !is_root() {
        return common::machine::skip("only root can become another user");
    }
    let dir = TempDir::new();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.file("keys.log");
    let ended = play("", "give up rights", &path);
    let says = says(&ended);
    assert!(says.contains("cannot be rotated"), "{says}");
    assert_eq!(randoms(&lines(&path)).len(), 3);
}

/// Lost: secrets in the wrong hands, or a context that waits for somebody to read
/// a FIFO. Each is refused at once, and the guide says how.
#[test]
fn what_is_no_file_of_ours_is_refused_at_once_as_the_guide_says() {
    let dir = TempDir::new();
    let with = |name: &str, mode: u32| {
        let path = dir.file(name);
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let fifo = |name: &str| {
        let path = dir.file(name);
        assert!(Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success());
        path
    };
    let (lonely, read) = (fifo("lonely"), fifo("read"));
    // Opened for both, it needs no writer.
    let _reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&read)
        .unwrap();
    let link = dir.file("link");
    std::os::unix::fs::symlink(with("target", 0o600), &link).unwrap();
    let strangers = match std::os::unix::fs::chown(with("strangers", 0o600), Some(NOBODY), None) {
        Ok(()) => dir.file("strangers"),
        Err(_) => "/etc/passwd".into(), // root's
    };
    let cases = [
        (lonely, "is a FIFO"),
        (read, "is a FIFO"),
        (dir.path().to_owned(), "is a directory"),
        ("/dev/null".into(), "is a character device"),
        ("/dev/full".into(), "is a character device"),
        (link, "is a symbolic link"),
        (strangers, "belongs to user"),
        (with("group", 0o640), "has mode 0640"),
        (with("others", 0o602), "has mode 0602"),
        (dir.missing(), "does not exist"),
        (dir.file(&"n".repeat(300)), "cannot be opened"),
    ];
    let guide = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keylog.md")).unwrap();
    for (path, outcome) in cases {
        let said = refusal(KeyLog::file(&path));
        assert!(said.contains(outcome), "{said}");
        assert!(said.contains(&format!("{path:?}")), "{said}");
        let told = outcome.split(" 0").next().unwrap();
        assert!(guide.contains(told), "the guide doesn't tell {told:?}");
    }
}

/// Lost: the same for a device that is given on purpose; it needs no rights.
#[test]
fn a_descriptor_without_room_stops_no_connection() {
    let ca = Ca::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let server = server(&ca, KeyLog::descriptor(full));
    visit(&server, &ca);
    let stats = server.keylog.stats();
    assert_eq!((stats.written, stats.failed), (0, 5));
    let Some(Problem::Failing { reason }) = stats.problem else {
        panic!("{stats:?}");
    };
    assert!(reason.contains("No space left on device"), "{reason}");
}
