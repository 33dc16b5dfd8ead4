//! Files on Windows: share modes, and names that are no files.

use super::{Identity, Look, Rules};
use crate::ffi::windows::{
    file_id, is_ours, keeps_access_lists, open_or_create, owner, standing, Mode, Standing,
};
use crate::keylog::KeyLogError;
use std::fs::{self, File, FileTimes, FileType, Metadata, OpenOptions};
use std::io;
use std::os::windows::fs::{FileTimesExt, OpenOptionsExt};
use std::path::{Component, Path, Prefix};
use std::time::SystemTime;
use windows_sys::Win32::Storage::FileSystem::{
    FILE_APPEND_DATA, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_READ_DATA,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_WRITE_ATTRIBUTES, READ_CONTROL,
    SECURITY_SQOS_PRESENT, SYNCHRONIZE,
};

/// Refuses devices, pipes and, unless they are allowed, files on other machines.
pub(super) fn check_path(path: &Path, rules: &Rules) -> Result<(), KeyLogError> {
    match place(path) {
        Place::Local => {}
        Place::Network if rules.network_path => {}
        Place::Network => return Err(network_path(path)),
        Place::Device => return Err(not_regular(path, "a device or a pipe")),
        Place::Stream => return Err(not_regular(path, "a stream within another file")),
    }
    match rules.network_path || lies_here(path) {
        true => Ok(()),
        false => Err(network_path(path)),
    }
}

/// Whether a file of this path lies on this machine. A drive letter or a link can stand for
/// another machine's directory.
fn lies_here(path: &Path) -> bool {
    let Some(parent) = path.parent() else {
        return true;
    };
    match fs::canonicalize(parent) {
        Ok(real) => place(path) == Place::Local && place(&real) == Place::Local,
        Err(e) => e.kind() == io::ErrorKind::NotFound, // reported later
    }
}

/// Refuses an open file that everybody may read, and one that belongs to somebody else, who
/// may. Other machines have users and file systems of their own.
pub(super) fn check_opened(path: &Path, file: &File, rules: &Rules) -> Result<(), KeyLogError> {
    let fail = |source| super::cannot_open(path, source);
    if !lies_here(path) {
        return Ok(());
    }
    if !keeps_access_lists(file).map_err(fail)? {
        return match rules.access_by_others {
            true => Ok(()),
            false => Err(KeyLogError::NoAccessLists {
                path: path.to_owned(),
            }),
        };
    }
    let owner = owner(file).map_err(fail)?;
    match is_ours(&owner).map_err(fail)? {
        true => Ok(()),
        false => Err(KeyLogError::AnothersFile {
            path: path.to_owned(),
            owner: owner.into(),
        }),
    }
}

/// `FILE_APPEND_DATA` without `FILE_WRITE_DATA`: the system puts each write at
/// the end, whoever else writes. Sharing everything, `DELETE` above all, lets
/// others remove and rename the file while it is open. A new file's access list
/// is given at its creation: to change it later would leave a moment in which
/// others can open the file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let (file, created) = create(path, 0)?;
    if created {
        // The system makes a file as old as the one that had its name up to 15 s ago, and a
        // log that is rotated by age would be due for ever ("tunneling"). Where that can't be
        // set, it is as old as it is said to be.
        let _ = file.set_times(FileTimes::new().set_created(SystemTime::now()));
    }
    Ok(file)
}

/// A lock needs more than the right to append.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    create(path, FILE_READ_DATA).map(|(file, _)| file)
}

/// Opens or creates a file for appending, and more; tells whether it was created.
fn create(path: &Path, more: u32) -> io::Result<(File, bool)> {
    let mode = Mode {
        access: FILE_APPEND_DATA
            | FILE_READ_ATTRIBUTES
            | FILE_WRITE_ATTRIBUTES
            | READ_CONTROL
            | SYNCHRONIZE
            | more,
        share: FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
        // Without a further flag: the server of a pipe may not act in our name.
        flags: FILE_FLAG_OPEN_REPARSE_POINT | SECURITY_SQOS_PRESENT,
    };
    open_or_create(path, &mode)
}

pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open_existing(
        path,
        FILE_READ_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE,
    )
}

pub(super) fn identity(file: &File) -> io::Result<Identity> {
    let (volume, number) = file_id(file)?;
    Ok(Identity { volume, number })
}

pub(super) fn identity_at(path: &Path) -> io::Result<Identity> {
    identity(&open_existing(path, FILE_READ_ATTRIBUTES)?)
}

pub(super) fn look(file: &File) -> io::Result<Look> {
    let Standing { removed, len } = standing(file)?;
    Ok(Look { removed, len })
}

/// Windows has no mode. Whose a file is, is looked at once it is open.
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
    /// Data beside that of the file of that name, with its rights.
    Stream,
}

/// Where an absolute path leads, by its form.
fn place(path: &Path) -> Place {
    let mut components = path.components();
    let Some(Component::Prefix(prefix)) = components.next() else {
        return Place::Device; // not absolute: nothing is known of it
    };
    if components.any(|part| part.as_os_str().as_encoded_bytes().contains(&b':')) {
        return Place::Stream;
    }
    match prefix.kind() {
        Prefix::Disk(_) | Prefix::VerbatimDisk(_) => Place::Local,
        Prefix::UNC(..) | Prefix::VerbatimUNC(..) => Place::Network,
        Prefix::DeviceNS(_) | Prefix::Verbatim(_) => Place::Device,
    }
}

fn not_regular(path: &Path, kind: &'static str) -> KeyLogError {
    KeyLogError::NotRegular {
        path: path.to_owned(),
        kind,
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
            (r"C:\text.txt:keys.log", Place::Stream),
            (r"C:\keys.log::$DATA", Place::Stream),
        ];
        for (path, expected) in cases {
            assert_eq!(place(Path::new(path)), expected, "{path}");
        }
    }

    /// Lost: records that begin a new file each, because a new file seems old.
    #[test]
    fn a_new_file_is_new_and_one_that_is_there_stays_as_old_as_it_is() {
        let dir = crate::keylog::tests::Dir::new("age");
        let path = dir.path("keys.log");
        let created = |file: &File| file.metadata().unwrap().created().unwrap();
        let before = SystemTime::now() - std::time::Duration::from_secs(2);
        let file = open(&path).unwrap();
        assert!(created(&file) > before);
        let old = before - std::time::Duration::from_secs(1000);
        file.set_times(FileTimes::new().set_created(old)).unwrap();
        // Wine keeps no such time.
        assert!(created(&open(&path).unwrap()) < before || crate::keylog::tests::is_wine());
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
