//! The key log: the TLS secrets of one context, for Wireshark.
//!
//! With them a capture of this context's connections can be decrypted, by
//! anybody who has both. [RFC 9850], section 1.1, is plain about it: this is a
//! tool for debugging, not for production. Nothing is written unless somebody
//! asks, and when somebody does, a warning says so in the log, with the path.
//!
//! # Who asks
//! 1. The application, by [`KeyLog::file`], [`KeyLog::off`] or the handle.
//! 2. Else the environment: [`KeyLog::from_env`], the default, reads the
//!    variable whose name was chosen when this crate was built ([`env_name`]),
//!    once, when the context is built. A process with raised privileges
//!    (setuid, setgid, file capabilities) ignores it.
//! 3. Else nobody, and there is no log.
//!
//! A path that the application gave and that can't be used is an error of the
//! context's build. One that the environment gave is a warning, and the context
//! runs without a log: an environment must not stop a service. Once a log runs,
//! its troubles never reach TLS: they are counted in [`Stats`] and logged, once
//! for each cause, under the target `libwebsockets::keylog`.
//!
//! # Decrypting a capture in Wireshark
//! 1. Start the application with a log, through the API or the variable:
//!    `LWS_SSLKEYLOGFILE=/home/me/keys.log ./app`.
//! 2. Capture from before the connection is made: the handshake is needed.
//! 3. In Wireshark: *Edit → Preferences → Protocols → TLS → (Pre)-Master-Secret
//!    log filename*, or on the command line
//!    `tshark -r capture.pcap -o tls.keylog_file:/home/me/keys.log -Y websocket`.
//! 4. [`KeyLogHandle::disable`] and delete the file when done.
//!
//! # The file
//! Lines of the format of [RFC 9850], section 2: `label SP hex SP hex LF`, for
//! clients and servers, TLS 1.2 and 1.3, whatever labels the TLS library emits.
//! Those of a handshake go out in one append when it is done, together with those of
//! others that end in the same turn of the loop (on Linux and Android): before any
//! application data of the peer is delivered, and before the loop waits. When it fails,
//! they go out then. Several contexts and processes can share one file; a line that one of
//! them leaves torn, because it was killed or the disk was full in the midst of a write, is
//! ended by the next, or costs no more than a copy of its first record, which is written
//! again. The file is created for its owner alone (0600), and an existing one
//! is used only if it is a regular file of this user that nobody else can open; see
//! [`KeyLog`] for what can be allowed, and for Windows.
//!
//! # Why nothing is logged
//! [`capability`] tells it before there is a context, [`Stats::problem`] afterwards,
//! each as a [`Problem`] whose `Display` says what to do.
//!
//! # Reading logs
//! [`parse`] reads the records of any key log; [`Connections`] merges, counts and
//! splits them. [`clean`] removes the files of processes that are no more.
//!
//! # At run time
//! The context hands out a [`KeyLogHandle`]; it switches the log, moves it, and
//! tells what it did, from any thread, while handshakes run. While the log is
//! disabled, the TLS library makes no records; each step of a handshake costs a look-up and
//! one relaxed atomic load.
//!
//! [RFC 9850]: https://www.rfc-editor.org/rfc/rfc9850

mod batch;
mod capability;
mod clean;
mod config;
mod delivery;
mod env;
mod error;
mod file;
mod filter;
mod group;
mod handle;
mod limit;
mod log;
mod pcapng;
mod reader;
mod rotation;
mod session;
mod sink;
mod stats;
mod template;
#[cfg(test)]
pub(crate) mod tests;

use crate::forks::forks;
pub use capability::{capability, Capability};
pub use clean::{clean, CleanPolicy, Cleaned};
pub use config::KeyLog;
pub use env::env_name;
pub(crate) use env::start;
pub use error::KeyLogError;
pub use filter::{Facts, Filter};
pub use handle::KeyLogHandle;
pub use ipnet;
pub(crate) use log::Log;
pub use reader::{
    parse, ConnectionSecrets, Connections, Input, LineError, ParseError, Record, Records,
};
pub use rotation::{AutoOff, Retention, Rotation};
pub(crate) use session::Session;
pub use sink::MemoryLog;
pub use stats::{Problem, Source, Stats};

/// The target of every message of this module.
pub(crate) const TARGET: &str = "libwebsockets::keylog";

/// Puts values into a path: what comes out is one path, with no component that the
/// template hasn't, and its process is found again.
#[cfg(fuzzing)]
pub(crate) fn fuzz_template(template: &[u8], vhost: &str) {
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    let path = Path::new(std::ffi::OsStr::from_bytes(template));
    let Ok(template) = template::Template::parse(path) else {
        return;
    };
    let filled = template.expand(&template::Now::new(), vhost);
    let count = |path: &Path| {
        path.as_os_str()
            .as_bytes()
            .iter()
            .filter(|b| **b == b'/')
            .count()
    };
    assert_eq!(count(&filled), count(path), "a value leads elsewhere");
    let name = filled.as_os_str();
    if template.is_per_process() {
        let found = template.processes_of(name, &|rest| rest.is_empty());
        assert!(found.iter().all(|pid| *pid > 0));
    }
}
