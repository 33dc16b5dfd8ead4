//! Files on Windows: share modes, and names that are no files.

use super::{Identity, Look, Rules};
use crate::ffi::keylog as ffi;
use crate::ffi::windows::{open_or_create, Mode};
use crate::keylog::KeyLogError;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Component, Path, Prefix};

// The names are those of the Windows SDK.
const FILE_READ_DATA: u32 = 0x0001;
const FILE_APPEND_DATA: u32 = 0x0004;
const FILE_READ_ATTRIBUTES: u32 = 0x0080;
const FILE_WRITE_ATTRIBUTES: u32 = 0x0100;
const SYNCHRONIZE: u32 = 0x0010_0000;
const FILE_SHARE_READ: u32 = 1;
const FILE_SHARE_WRITE: u32 = 2;
const FILE_SHARE_DELETE: u32 = 4;
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Without a further flag: the server of a pipe may not act in our name.
const SECURITY_SQOS_PRESENT: u32 = 0x0010_0000;

/// Refuses devices, pipes and, unless they are allowed, files on other machines.
pub(super) fn check_path(path: &Path, rules: &Rules) -> Result<(), KeyLogError> {
    match place(path) {
        Place::Local => {}
        Place::Network if rules.network_path => {}
        Place::Network => return Err(network_path(path)),
        Place::Device => {
            return Err(KeyLogError::NotRegular {
                path: path.to_owned(),
                kind: "a device or a pipe",
            })
        }
    }
    // A drive letter or a link can stand for another machine's directory.
    let Some(parent) = path.parent().filter(|_| !rules.network_path) else {
        return Ok(());
    };
    match fs::canonicalize(parent) {
        Ok(real) if place(&real) == Place::Local => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()), // reported later
        Ok(_) | Err(_) => Err(network_path(path)),
    }
}

/// `FILE_APPEND_DATA` without `FILE_WRITE_DATA`: the system puts each write at
/// the end, whoever else writes. Sharing everything, `DELETE` above all, lets
/// others remove and rename the file while it is open. A new file's access list
/// is given at its creation: to change it later would leave a moment in which
/// others can open the file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mode = Mode {
        access: FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        flags: FILE_FLAG_OPEN_REPARSE_POINT | SECURITY_SQOS_PRESENT,
    };
    open_or_create(path, &mode)
}

/// A lock needs more than the right to append.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    let mode = Mode {
        access: FILE_READ_DATA
            | FILE_APPEND_DATA
            | FILE_READ_ATTRIBUTES
            | FILE_WRITE_ATTRIBUTES
            | SYNCHRONIZE,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        flags: FILE_FLAG_OPEN_REPARSE_POINT | SECURITY_SQOS_PRESENT,
    };
    open_or_create(path, &mode)
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open_existing(path, FILE_READ_DATA | FILE_READ_ATTRIBUTES | SYNCHRONIZE)
}

pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let (volume, index, _) = ffi::file_identity(file)?;
    Ok(Identity { volume, index })
}

pub(super) fn identity_at(path: &Path) -> io::Result<Identity> {
    identity(&open_existing(path, FILE_READ_ATTRIBUTES)?)
}

pub(super) fn look(file: &File) -> io::Result<Look> {
    let (_, _, links) = ffi::file_identity(file)?;
    Ok(Look {
        removed: links == 0,
        len: file.metadata()?.len(),
    })
}

/// Windows has no mode; an existing file's access list is its maker's affair.
pub(super) fn check_owner(_: &Path, _: &Metadata, _: &Rules) -> Result<(), KeyLogError> {
    Ok(())
}

pub(super) fn describe(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else {
        "of an unknown kind"
    }
}

fn open_existing(path: &Path, access: u32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .access_mode(access)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    Local,
    Network,
    Device,
}

/// Where an absolute path leads, by its form.
fn place(path: &Path) -> Place {
    let Some(Component::Prefix(prefix)) = path.components().next() else {
        return Place::Device; // not absolute: nothing is known of it
    };
    match prefix.kind() {
        Prefix::Disk(_) | Prefix::VerbatimDisk(_) => Place::Local,
        Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Place::Network,
        Prefix::DeviceNS(_) | Prefix::Verbatim(_) => Place::Device,
    }
}

fn network_path(path: &Path) -> KeyLogError {
    KeyLogError::NetworkPath {
        path: path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost: secrets that an injected variable sends to another machine or to
    /// another program's pipe.
    #[test]
    fn a_paths_form_tells_where_it_leads() {
        let cases = [
            (r"C:\keys.log", Place::Local),
            (r"\\?\C:\keys.log", Place::Local),
            (r"\\server\share\keys.log", Place::Network),
            (r"//server/share/keys.log", Place::Network),
            (r"\\?\UNC\server\share\keys.log", Place::Network),
            (r"\\.\pipe\keys", Place::Device),
            (r"\\.\NUL", Place::Device),
            (r"\\?\GLOBALROOT\Device\Null", Place::Device),
            (r"keys.log", Place::Device),
        ];
        for (path, expected) in cases {
            assert_eq!(place(Path::new(path)), expected, "{path}");
        }
    }

    /// Lost: a directory that can't be cleaned up before the program ends.
    #[test]
    fn others_may_rename_and_remove_the_open_file() {
        let dir = crate::keylog::tests::Dir::new("share");
        let (path, renamed) = (dir.path("keys.log"), dir.path("keys.log.1"));
        let file = open(&path).unwrap();
        let before = identity(&file).unwrap();
        assert!(!look(&file).unwrap().removed);
        assert_eq!(identity_at(&path).unwrap(), before);
        fs::rename(&path, &renamed).unwrap();
        assert_eq!(identity_at(&renamed).unwrap(), before);
        fs::remove_file(&renamed).unwrap();
    }
}
