//! What a key log tells about itself.

use super::env_name;
use std::fmt;

/// What a key log has done, who asked for it, and why it isn't logging.
///
/// A snapshot: counters go on while it is read. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Records that the system took whole.
    pub written: u64,
    /// Records that weren't written: no line of the format (a line break, a NUL,
    /// a byte that isn't printable ASCII, nothing, or more than 64 KiB), or taken
    /// before the log was switched off and due afterwards; those for which a
    /// [`queue`](super::KeyLog::queue) had no room, or which it had for a file that was to be
    /// removed ([`remove_on_drop`](super::KeyLog::remove_on_drop)).
    pub dropped: u64,
    /// Records that couldn't be written, or not whole, or at which the application's
    /// function panicked.
    pub failed: u64,
    /// Connections of which records were written.
    pub connections: u64,
    /// Connections that the filter left out, or for which its closure panicked.
    pub filtered_connections: u64,
    /// Connections over TLS that were opened, and whose secrets never came here;
    /// see [`Problem::HookNotCalled`].
    pub unhooked_connections: u64,
    /// New files that were begun.
    pub rotations: u64,
    /// The last error at run time, with the path and the system's reason. It
    /// stays when later records are written.
    pub last_error: Option<String>,
    /// Who asked for this log.
    pub requested_by: Source,
    /// Why nothing is logged at present; `None` if nothing but a filter, or a queue that is
    /// full, keeps records out.
    pub problem: Option<Problem>,
}

/// Who asked for a key log, by naming its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The application: by [`KeyLog::file`](super::KeyLog::file) or
    /// [`KeyLogHandle::set_path`](super::KeyLogHandle::set_path).
    Api,
    /// The environment: by the variable [`env_name`].
    Variable,
    /// Nobody.
    Off,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Api => f.write_str("the application"),
            Source::Variable => write!(f, "the variable {}", env_name().unwrap_or_default()),
            Source::Off => f.write_str("nobody"),
        }
    }
}

/// Why a key log writes nothing; its `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// Nobody named a path.
    NoPath,
    /// There is a path, but the log is switched off.
    Disabled,
    /// The variable is set, but this process runs with raised privileges, and
    /// its environment is somebody else's.
    VariableIgnored,
    /// The path can't be used.
    PathRefused {
        /// The message of the [`KeyLogError`](super::KeyLogError).
        reason: String,
    },
    /// The last record couldn't be written. Each later one tries again.
    Failing {
        /// The message of the [`KeyLogError`](super::KeyLogError).
        reason: String,
    },
    /// The log has reached a limit ([`AutoOff`](super::AutoOff)), and switched
    /// itself off.
    LimitReached {
        /// Which one: the time, the number of bytes, or the number of connections.
        limit: &'static str,
    },
    /// The TLS library didn't take the hook for some of this context's
    /// connections; their secrets are never seen.
    NoHook,
    /// The TLS library has no callback for key logs, or one that does nothing
    /// (LibreSSL before 3.5).
    NoCallback,
    /// Connections were opened whose `SSL_CTX` doesn't call this crate's hook any
    /// more, or never did: it wasn't made by this crate, or the C library made
    /// another when certificates were reloaded (5.0), or somebody set an info callback
    /// of their own (`SSL_CTX_set_info_callback`), by which the hook is called.
    HookNotCalled {
        /// How many.
        connections: u64,
    },
    /// OpenSSL itself logs the secrets of this process, as it can be built to do from 3.5 on
    /// (`enable-sslkeylog`) where `SSLKEYLOGFILE` is set: those of this crate's connections,
    /// too, and whether this log is on or off. Nothing here can keep it from that.
    LibraryLogs,
    /// Somebody sets a callback of their own for each `SSL_CTX`, as a library does that is
    /// loaded before others (`LD_PRELOAD`) to log secrets. This crate's takes its place: its
    /// connections are not in that log.
    CallbackReplaced,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoPath => {
                f.write_str("no path is set: build the context with KeyLog::file(), ")?;
                if let Some(name) = env_name() {
                    write!(
                        f,
                        "or with KeyLog::from_env() and the variable {name} set, "
                    )?;
                }
                f.write_str("or call set_path() and enable()")
            }
            Problem::Disabled => f.write_str("the key log is switched off: call enable()"),
            Problem::VariableIgnored => write!(
                f,
                "the variable {} is set but ignored, because this process runs with raised \
                 privileges (setuid, setgid or capabilities): use KeyLog::file() or set_path()",
                env_name().unwrap_or_default()
            ),
            Problem::LimitReached { limit } => write!(
                f,
                "the key log has switched itself off, for its limit is reached ({limit}): call \
                 enable() to start it again, or set another limit with KeyLog::auto_off()"
            ),
            Problem::PathRefused { reason } | Problem::Failing { reason } => f.write_str(reason),
            Problem::NoCallback => f.write_str(
                "the TLS library has no callback for key logs: build against OpenSSL 1.1.1 or \
                 newer, or AWS-LC",
            ),
            Problem::HookNotCalled { connections } => write!(
                f,
                "{connections} connection(s) use an SSL_CTX without the key log's hook: let \
                 this crate make it (no provided SSL_CTX, no info callback of your own), and build \
                 the context anew after certificates were reloaded"
            ),
            Problem::LibraryLogs => f.write_str(
                "OpenSSL itself logs the secrets of all connections of this process to the file \
                 that SSLKEYLOGFILE names, whether this log is on or off: unset that variable \
                 before the process starts, or use an OpenSSL built without enable-sslkeylog",
            ),
            Problem::CallbackReplaced => f.write_str(
                "somebody else sets a key log callback for each SSL_CTX, and this crate's takes \
                 its place: its connections are not in that other log",
            ),
            Problem::NoHook => f.write_str(
                "the TLS library did not take the key log's hook: build against OpenSSL 1.1.1 or \
                 newer, and look for an earlier out-of-memory error",
            ),
        }
    }
}
