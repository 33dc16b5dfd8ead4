//! Files on Unix: mode, owner, device and inode.

use super::{Identity, Look, Rules};
use crate::ffi::process::effective_user;
use crate::keylog::KeyLogError;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// How a log is opened beyond appending: not through a symbolic link, not
/// inherited by a program that is executed, without waiting for the reader of a
/// FIFO, and without making a terminal ours.
const OPEN_FLAGS: i32 = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;

/// Whether a path's form alone forbids it; nothing does here.
pub(super) fn check_path(_: &Path, _: &Rules) -> Result<(), KeyLogError> {
    Ok(())
}

/// The mode is given at creation, where the umask can only take bits away; to
/// change it later would leave a moment in which anybody can open the file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OPEN_FLAGS)
        .open(path)
}

pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    open(path)
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(OPEN_FLAGS)
        .open(path)
}

pub(super) fn identity(file: &File) -> io::Result<Identity> {
    file.metadata().map(|found| identify(&found))
}

pub(super) fn identity_at(path: &Path) -> io::Result<Identity> {
    fs::symlink_metadata(path).map(|found| identify(&found))
}

pub(super) fn look(file: &File) -> io::Result<Look> {
    let found = file.metadata()?;
    Ok(Look {
        removed: found.nlink() == 0,
        len: found.len(),
    })
}

pub(super) fn check_owner(path: &Path, found: &Metadata, rules: &Rules) -> Result<(), KeyLogError> {
    let user = effective_user();
    if found.uid() != user {
        return Err(KeyLogError::NotOwner {
            path: path.to_owned(),
            owner: found.uid(),
            user,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 && !rules.access_by_others {
        return Err(KeyLogError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

pub(super) fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device"
    } else if kind.is_block_device() {
        "a block device"
    } else {
        "of an unknown kind"
    }
}

fn identify(found: &Metadata) -> Identity {
    Identity {
        volume: found.dev(),
        number: found.ino().into(),
    }
}
