//! Where vhosts listen, looked at before the C library does: it says little of
//! what is wrong.

use crate::error::{Error, InvalidInput};
use crate::ffi::vhost::Listen;
use crate::server::ListenAddress;
use std::collections::HashMap;
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr, TcpListener};
#[cfg(feature = "unix-sockets")]
use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
};
#[cfg(all(feature = "unix-sockets", unix))]
use std::{fs::TryLockError, io, thread, time::Duration};

/// What earlier vhosts of the context listen on, and later ones share.
#[derive(Default)]
pub(super) struct Shared {
    /// The real ports of addresses.
    pub ports: HashMap<SocketAddr, u16>,
    #[cfg(feature = "unix-sockets")]
    pub sockets: HashSet<PathBuf>,
}

/// What is held until the C library has bound where a vhost listens.
#[cfg(feature = "unix-sockets")]
pub(super) type Lock = Option<FolderLock>;
#[cfg(not(feature = "unix-sockets"))]
pub(super) type Lock = ();

/// How the C library is told to listen there, where nothing is in its way.
pub(super) fn prepare(at: &ListenAddress, shared: &Shared) -> Result<(Listen, Lock), Error> {
    match at {
        ListenAddress::Tcp(address) => {
            let known = shared.ports.get(address).copied();
            Ok((tcp(address, known)?, Lock::default()))
        }
        #[cfg(feature = "unix-sockets")]
        ListenAddress::Unix(path) => {
            let listen = unix(path)?;
            let is_first = !shared.sockets.contains(path);
            Ok((listen, is_first.then(|| make_way(path)).transpose()?))
        }
    }
}

/// Why a vhost couldn't be made. The library doesn't say; a second look may.
pub(super) fn explain(at: &ListenAddress, error: Error) -> Error {
    if !matches!(error, Error::Library { .. }) {
        return error;
    }
    let look = match at {
        ListenAddress::Tcp(address) => tcp(address, None).map(drop),
        #[cfg(feature = "unix-sockets")]
        ListenAddress::Unix(path) => make_way(path).map(drop),
    };
    look.err().unwrap_or(error)
}

/// How the C library is told to listen on a TCP address. `known`: the port that
/// an earlier vhost with this address has.
fn tcp(address: &SocketAddr, known: Option<u16>) -> Result<Listen, Error> {
    if address.is_ipv6() && !cfg!(feature = "ipv6") {
        return Err(InvalidInput::new(format!(
            "listening on {address} needs this crate's feature `ipv6`"
        ))
        .into());
    }
    if known.is_none() {
        // The library only says that it failed. Binding here first tells why.
        TcpListener::bind(address).map_err(|source| Error::listen(address, source))?;
    }
    let interface = match address.ip() {
        ip if ip.is_unspecified() => None,
        IpAddr::V4(ip) => CString::new(ip.to_string()).ok(),
        IpAddr::V6(ip) => CString::new(ip.to_string()).ok(),
    };
    Ok(Listen {
        interface,
        port: known.unwrap_or(address.port()),
        is_unix: false,
        is_ipv6: address.is_ipv6(),
    })
}

/// How the C library is told to listen on a Unix domain socket.
#[cfg(feature = "unix-sockets")]
fn unix(path: &Path) -> Result<Listen, Error> {
    let text = crate::validate::socket_path(path)?;
    let text = CString::new(text).map_err(|e| InvalidInput::new(e.to_string()))?;
    Ok(Listen {
        interface: Some(text),
        port: 0,
        is_unix: true,
        is_ipv6: false,
    })
}

/// The turn of one that is about to listen below a folder: what is at a path stays as it
/// was seen until the C library has bound it. It ends when this is dropped.
#[cfg(feature = "unix-sockets")]
pub(super) struct FolderLock(Option<File>);

#[cfg(all(feature = "unix-sockets", unix))]
impl FolderLock {
    /// Waits for one's turn. Who locks the folder for other reasons, or may not read it,
    /// is served without.
    fn take(path: &Path) -> FolderLock {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let Ok(folder) = File::open(folder) else {
            return FolderLock(None);
        };
        for _ in 0..100 {
            match folder.try_lock() {
                Ok(()) => return FolderLock(Some(folder)),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
                Err(TryLockError::Error(_)) => break,
            }
        }
        FolderLock(None)
    }
}

#[cfg(feature = "unix-sockets")]
impl Drop for FolderLock {
    fn drop(&mut self) {
        // Said outright, for a process that was forked meanwhile has the file, too.
        let _ = self.0.as_ref().map(File::unlock);
    }
}

/// Removes the socket of a server that is gone; anything else at the path, or
/// one that can't be bound, is an error.
#[cfg(all(feature = "unix-sockets", unix))]
fn make_way(path: &Path) -> Result<FolderLock, Error> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::UnixListener;
    let turn = FolderLock::take(path);
    let clear = || {
        match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(found) if !found.file_type().is_socket() => {
                let why = "what is there is no socket: remove it, or choose another path";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            Ok(_) if is_served(path)? => {
                return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
            }
            Ok(_) => std::fs::remove_file(path)?,
        }
        // The library only says that it failed. Binding here first tells why.
        drop(UnixListener::bind(path)?);
        std::fs::remove_file(path)
    };
    match clear() {
        Ok(()) => Ok(turn),
        Err(source) => Err(Error::listen(path.display(), source)),
    }
}

#[cfg(all(feature = "unix-sockets", not(unix)))]
fn make_way(_: &Path) -> Result<FolderLock, Error> {
    Ok(FolderLock(None))
}

/// Whether some process has bound the socket at the path. Connecting with a
/// socket of another type tells, without a connection and without waiting.
#[cfg(all(feature = "unix-sockets", unix))]
fn is_served(path: &Path) -> io::Result<bool> {
    match std::os::unix::net::UnixDatagram::unbound()?.connect(path) {
        Ok(()) => Ok(true),
        Err(e) => match e.raw_os_error() {
            Some(libc::ECONNREFUSED) => Ok(false),
            Some(libc::EPROTOTYPE) => Ok(true),
            _ => Err(e),
        },
    }
}

/// The file of a socket that a context listens on. When this is dropped, the
/// file is removed, unless it has been replaced.
#[cfg(feature = "unix-sockets")]
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    #[cfg(unix)]
    id: Option<(u64, u64)>,
    /// Whose it is. A process that was forked from that one has a copy of this.
    owner: u32,
}

#[cfg(feature = "unix-sockets")]
impl SocketFile {
    pub fn new(path: &Path) -> Self {
        SocketFile {
            // The working folder may be another one later.
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            #[cfg(unix)]
            id: identity(path),
            owner: std::process::id(),
        }
    }
}

#[cfg(feature = "unix-sockets")]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.owner != std::process::id() {
            return;
        }
        // The socket is still open, so that no other file has its number.
        #[cfg(unix)]
        if self.id.is_none() || identity(&self.path) != self.id {
            return;
        }
        // One that can't be removed is replaced when the path is used again.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What tells a file from another at the same path.
#[cfg(all(feature = "unix-sockets", unix))]
fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
