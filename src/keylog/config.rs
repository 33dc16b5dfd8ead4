//! What an application asks of the key log when it builds a context.

use super::file::Format;
use super::filter::Filter;
use super::rotation::{AutoOff, Retention, Rotation};
use super::sink::{FileOptions, MemoryLog, Target};
use super::Capability;
use std::fs::File;
use std::path::{self, PathBuf};
use std::sync::Arc;

/// Whether and where a context logs its TLS secrets.
///
/// The default is [`KeyLog::from_env`]. What is asked here goes before the
/// environment: after [`KeyLog::off`] or [`KeyLog::file`] the variable isn't
/// read at all.
///
/// # The path
/// A path may have placeholders, so that processes and vhosts each have a file
/// of their own: `{pid}` stands for the process, `{exe}` for the program's name,
/// `{vhost}` for the name of the vhost that serves a connection (`client` for
/// those of clients), `{time}` for the moment at which the log was switched on
/// (`20261124T080000Z`). Values are made fit for a file's name: what isn't a
/// letter, a digit, `-`, `_` or `.` of ASCII becomes `_`. `{{` and `}}` stand for
/// a brace.
///
/// # The file
/// A relative path is taken from the directory that is current when it is
/// given, or, for the variable's, when the context is built; a later change of
/// directory doesn't move the log. Paths have any length and needn't be UTF-8.
///
/// The file is created with mode 0600, less what the umask takes away. An
/// existing file is appended to if it is a regular file, belongs to the
/// effective user, and gives its group and others no access at all
/// ([`allow_access_by_others`](Self::allow_access_by_others) lifts the last of
/// these). Symbolic links are not followed at the file itself; those in the
/// directories before it are.
///
/// On Windows the file is created with an access list of one entry, the user's,
/// and inherits nothing; the list of an existing file isn't looked at, but it has to
/// belong to the user, the administrators or the system, and to lie on a file system that
/// keeps such lists. It is
/// opened for appending only, and shared: whoever has the rights may read, write,
/// rename and delete it meanwhile. Devices, pipes and streams within other files are
/// refused, and so are files on other machines, unless
/// [`allow_network_path`](Self::allow_network_path) says otherwise.
#[doc(alias = "SSL_CTX_set_keylog_callback")]
#[derive(Clone, Debug)]
#[must_use = "a key log does nothing until a context is built with it"]
pub struct KeyLog {
    pub(super) request: Request,
    pub(super) enabled: bool,
    pub(super) options: FileOptions,
    pub(super) filter: Filter,
    pub(super) auto_off: AutoOff,
    pub(super) queue: Option<usize>,
}

/// Where the path comes from.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Off,
    Environment,
    File(PathBuf),
    Other(Target),
}

impl KeyLog {
    /// No log, whatever the environment says. The handle can still start one,
    /// with [`set_path`](super::KeyLogHandle::set_path) and
    /// [`enable`](super::KeyLogHandle::enable).
    pub fn off() -> Self {
        Self::new(Request::Off, false)
    }

    /// The log that the environment asks for, if it does: the default.
    ///
    /// The variable's name was chosen when this crate was built; see
    /// [`env_name`](super::env_name). It is read once, when the context is
    /// built. Unset and empty mean no log.
    #[doc(alias = "SSLKEYLOGFILE")]
    pub fn from_env() -> Self {
        Self::new(Request::Environment, true)
    }

    /// A log in this file, whatever the environment says.
    ///
    /// A file that can't be used is an error when the context is built.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let given = path.into();
        // What can't be made absolute is kept, for the context's build to refuse.
        let path = path::absolute(&given).unwrap_or(given);
        Self::new(Request::File(path), true)
    }

    /// A log in memory alone, whatever the environment says.
    pub fn memory(memory: &MemoryLog) -> Self {
        Self::new(Request::Other(Target::Memory(memory.clone())), true)
    }

    /// A log that a function of the application gets: lines with their ends, those
    /// of a handshake together. It is called on the context's thread, in the midst
    /// of the handshake, or with a [`queue`](Self::queue) on the thread that
    /// writes; where it panics, [`Context::run`](crate::Context::run) resumes the
    /// panic, and what it was called with counts as failed. It may use the log's handle,
    /// but if it owns one, neither is ever freed.
    ///
    /// With a queue it must never wait for the context's thread, which may be waiting for it:
    /// in [`disable`](super::KeyLogHandle::disable), say, where both would stand still for ever.
    /// Without one, as it is called in the midst of a handshake, it should be quick.
    ///
    /// Handshakes that are under way when the context is dropped come when it is gone.
    ///
    /// ```
    /// use libwebsockets::keylog::KeyLog;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let keylog = KeyLog::function(move |lines| {
    ///     let _ = sender.send(lines.to_vec());
    /// });
    /// # drop((keylog, receiver));
    /// ```
    pub fn function(function: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        let function = Target::Function(Arc::new(function));
        Self::new(Request::Other(function), true)
    }

    /// A log in a file that is open already, such as a descriptor that this
    /// process has inherited. It is written to as it is: nothing is checked, and a
    /// pipe that nobody reads holds handshakes up unless there is a
    /// [`queue`](Self::queue).
    ///
    /// ```no_run
    /// # #[cfg(unix)] {
    /// use libwebsockets::keylog::KeyLog;
    /// use std::os::fd::OwnedFd;
    /// # fn inherited() -> OwnedFd { unimplemented!() }
    /// let descriptor: OwnedFd = inherited();
    /// let keylog = KeyLog::descriptor(descriptor.into());
    /// # }
    /// ```
    pub fn descriptor(file: File) -> Self {
        let file = Target::Descriptor(Arc::new(file.into()));
        Self::new(Request::Other(file), true)
    }

    /// Whether the log is on from the start: true unless this is
    /// [`KeyLog::off`].
    ///
    /// With false the path is checked when the context is built, but no file is
    /// opened or created before
    /// [`enable`](super::KeyLogHandle::enable). So it is after
    /// [`KeyLog::from_env`] too: the variable names the file, and the program says
    /// when. With true after [`KeyLog::off`] there is no path, and the context's
    /// build fails.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Accepts a file whose mode lets its group or others read or write it.
    /// Off by default: whoever reads the file can decrypt the connections.
    ///
    /// On Windows it accepts a file system that keeps no access lists (FAT). A new
    /// file gets mode 0600, or an access list of one entry, all the same.
    pub fn allow_access_by_others(mut self, allow: bool) -> Self {
        self.options.rules.access_by_others = allow;
        self
    }

    /// Accepts a file on another machine (`\\server\share\keys.log`, or a drive
    /// letter that stands for one). Off by default: the secrets would cross the
    /// network, and an injected variable could send them away.
    ///
    /// Windows only; no effect elsewhere.
    pub fn allow_network_path(mut self, allow: bool) -> Self {
        self.options.rules.network_path = allow;
        self
    }

    /// Which connections are logged, and which of their secrets. All are
    /// without it.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// When the log begins a new file. Without it, only when
    /// [`KeyLogHandle::rotate`](super::KeyLogHandle::rotate) asks.
    pub fn rotation(mut self, rotation: Rotation) -> Self {
        self.options.rotation = Some(rotation);
        self
    }

    /// Which old files are kept when a new one is begun. Without it, ten.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.options.retention = Some(retention);
        self
    }

    /// Compresses old files with gzip, on a thread of its own: `keys.log.1.gz`.
    /// Off by default. What goes wrong is logged, and leaves the file as it is.
    #[cfg(feature = "keylog-gzip")]
    pub fn compress(mut self, compress: bool) -> Self {
        self.options.compress = compress;
        self
    }

    /// Writes the file as pcapng: Decryption Secrets Blocks, one for each handshake or for
    /// several that end at once, instead of lines. Off by default. Such a file and a capture
    /// make one that carries its own keys: `cat keys.pcapng capture.pcapng > both.pcapng`, if
    /// both are pcapng. It has no overlap when it is rotated.
    ///
    /// Files alone are written so; memory, functions and descriptors get lines.
    pub fn pcapng(mut self, pcapng: bool) -> Self {
        self.options.format = match pcapng {
            true => Format::Pcapng,
            false => Format::Lines,
        };
        self
    }

    /// Writes on a thread of its own, for disks that are slow: up to this many bytes wait,
    /// and what finds no room is dropped, counted
    /// ([`Stats::dropped`](super::Stats::dropped)), and noted in the file by a comment where
    /// it is missing. Without it, a handshake waits for its records to be written.
    ///
    /// Records may then reach the file after the connection's first data.
    /// [`disable`](super::KeyLogHandle::disable) and
    /// [`set_path`](super::KeyLogHandle::set_path) wait until all is written and the file is
    /// closed, but not on the thread that writes. The end of the context, and of the last
    /// handle after it, waits for at most 5 seconds; what isn't written by then is written
    /// as long as the process lives. A log that switches itself off
    /// ([`auto_off`](Self::auto_off)) waits for nothing.
    pub fn queue(mut self, max_bytes: usize) -> Self {
        self.queue = Some(max_bytes);
        self
    }

    /// When the log switches itself off. Never without it.
    pub fn auto_off(mut self, auto_off: AutoOff) -> Self {
        self.auto_off = auto_off;
        self
    }

    /// Removes the file, with its old ones and its lock, when the context is
    /// dropped, also by a panic that unwinds. Off by default. A log that is
    /// switched off by [`disable`](super::KeyLogHandle::disable) by then stays, and so do the
    /// files of a path that was changed, and what another process goes on to write; one that a
    /// [limit](Self::auto_off) ended goes. One that is switched on afterwards goes with the last
    /// handle.
    ///
    /// With a [`queue`](Self::queue) whose disk doesn't get on for 5 seconds, what still
    /// waits is dropped, and counted, and the thread that writes removes the file once it
    /// gets on.
    pub fn remove_on_drop(mut self, remove: bool) -> Self {
        self.options.remove = remove;
        self
    }

    /// Whether a context with this log, built now, would log secrets, and why it
    /// would not. Opens and creates no file.
    ///
    /// ```
    /// use libwebsockets::keylog::KeyLog;
    /// let found = KeyLog::file("/no/such/folder/keys.log").capability();
    /// assert!(!found.is_capable());
    /// println!("{found}");
    /// ```
    pub fn capability(&self) -> Capability {
        Capability::of(self)
    }

    fn new(request: Request, enabled: bool) -> Self {
        KeyLog {
            request,
            enabled,
            options: FileOptions::default(),
            filter: Filter::default(),
            auto_off: AutoOff::default(),
            queue: None,
        }
    }
}

impl Default for KeyLog {
    fn default() -> Self {
        Self::from_env()
    }
}
