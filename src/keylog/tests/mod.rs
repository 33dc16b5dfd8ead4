//! Tests of the key log, without TLS: what records do to files.

#[cfg(feature = "keylog-gzip")]
mod compression;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod full_pipe;
mod hook;
pub(crate) mod machine;
mod pcapng;
mod queue;
mod records;
mod rotation;
mod sessions;
mod sinks;
mod switch;
mod turns;
#[cfg(windows)]
mod windows;

use super::{Facts, KeyLog, KeyLogHandle, Session};
use crate::connection::Role;
pub(crate) use machine::is_wine;
use machine::{leave_out, removed_files_keep_their_names};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{mpsc, Arc};
use std::time::Duration;

/// A directory of one test, removed when the test ends.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new(test: &str) -> Self {
        let name = format!("lws-keylog-{}-{test}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Dir(dir)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file that a key log may be appended to.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        #[cfg(unix)]
        set_mode(&path, 0o600);
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Longer than what stands still for a while on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Runs this on a thread; fails if it stands still for so long.
fn in_time(patience: Duration, f: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        let _ = tell.send(());
    });
    let done = told.recv_timeout(patience);
    assert!(
        done != Err(mpsc::RecvTimeoutError::Timeout),
        "it stands still"
    );
    thread.join().unwrap();
}

/// Lost: what nobody misses, for its test says that it has passed.
#[test]
fn what_a_machine_lacks_fails_a_test_unless_skips_are_allowed() {
    leave_out("nothing", true);
    let refused = std::panic::catch_unwind(|| leave_out("no root", false)).unwrap_err();
    let why = refused.downcast::<String>().unwrap();
    assert!(
        why.contains("no root") && why.contains("LIBWEBSOCKETS_ALLOW_SKIPS"),
        "{why}"
    );
}

/// What every secret of these tests consists of.
const SECRET: &str = "5ec2e7";

/// The `n`th line of a thread; all differ.
fn line(thread: usize, n: usize) -> String {
    format!("CLIENT_RANDOM {thread:032x}{n:032x} {}", SECRET.repeat(16))
}

fn start(path: &Path) -> KeyLogHandle {
    super::start(&KeyLog::file(path)).unwrap()
}

/// A connection of which nothing is known.
pub(crate) fn session(handle: &KeyLogHandle) -> Session {
    Session::new(Arc::clone(handle.log()), "vhost".into(), || Facts {
        role: Role::Server,
        vhost: "vhost",
        server_name: None,
        peer: None,
    })
}

/// A connection of a vhost, of which nothing has to be known.
fn session_of(handle: &KeyLogHandle, vhost: &str) -> Session {
    Session::new(Arc::clone(handle.log()), vhost.into(), || unreachable!())
}

/// What the hook does with a line that comes after a handshake.
pub(crate) fn record(handle: &KeyLogHandle, line: &str) {
    record_bytes(handle, line.as_bytes());
}

fn record_bytes(handle: &KeyLogHandle, line: &[u8]) {
    if handle.log().is_on() {
        let mut session = session(handle);
        session.finish();
        session.line(line);
    }
}

/// The lines of a file; fails if one isn't whole.
fn lines(path: &Path) -> Vec<String> {
    let content = fs::read_to_string(path).unwrap();
    assert!(content.is_empty() || content.ends_with('\n'));
    let whole = line(0, 0).len();
    for line in content.lines() {
        let fits = line.len() == whole && line.starts_with("CLIENT_RANDOM ");
        assert!(fits, "a torn line: {line:?}");
    }
    content.lines().map(str::to_owned).collect()
}
