//! Opening and creating files, and what can be asked of an open one.

use super::ok;
use super::security::{current_user, owner_alone};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle};
use std::path::{Component, Path, Prefix};
use std::ptr::null_mut;
use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, INVALID_HANDLE_VALUE};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FileIdInfo, FileStandardInfo, GetFileInformationByHandle,
    GetFileInformationByHandleEx, GetVolumeInformationByHandleW, BY_HANDLE_FILE_INFORMATION,
    FILE_ACCESS_RIGHTS, FILE_FLAGS_AND_ATTRIBUTES, FILE_ID_INFO, FILE_SHARE_MODE, OPEN_ALWAYS,
};
use windows_sys::Win32::System::SystemServices::FILE_PERSISTENT_ACLS;

/// How a file is opened.
pub(crate) struct Mode {
    pub access: FILE_ACCESS_RIGHTS,
    pub share: FILE_SHARE_MODE,
    pub flags: FILE_FLAGS_AND_ATTRIBUTES,
}

/// Opens a file, or creates it with an access list that has one entry: the user
/// whom this process runs as, who may do everything. Nothing is inherited from
/// the directory. The list of a file that is there already stays as it is. Tells whether
/// it was created.
#[doc(alias = "CreateFileW")]
pub(crate) fn open_or_create(path: &Path, mode: &Mode) -> io::Result<(File, bool)> {
    let descriptor = owner_alone(&current_user()?)?;
    let security = SECURITY_ATTRIBUTES {
        nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
        lpSecurityDescriptor: descriptor.as_ptr(),
        bInheritHandle: 0,
    };
    let name = system_name(path);
    // SAFETY: the name ends with a NUL, the descriptor lives until the end of this
    // function, and both are only read.
    let handle = unsafe {
        CreateFileW(
            name.as_ptr(),
            mode.access,
            mode.share,
            &security,
            OPEN_ALWAYS,
            mode.flags,
            null_mut(),
        )
    };
    // Of a file that was there, too.
    let said = io::Error::last_os_error();
    if handle == INVALID_HANDLE_VALUE {
        return Err(said);
    }
    // SAFETY: the handle is open, and nobody else has it.
    let file = unsafe { File::from_raw_handle(handle) };
    let was_there = said.raw_os_error() == Some(ERROR_ALREADY_EXISTS as i32);
    Ok((file, !was_there))
}

/// What becomes of an open file.
pub(crate) struct Standing {
    /// It has no name left, or will have none when it is closed.
    pub removed: bool,
    /// Its length in bytes.
    pub len: u64,
}

#[doc(alias = "GetFileInformationByHandleEx")]
pub(crate) fn standing(file: &File) -> io::Result<Standing> {
    /// `FILE_STANDARD_INFO` of winbase.h. That of windows-sys has Rust's `bool`, which a byte
    /// of the system's isn't, whatever it is.
    #[repr(C)]
    #[derive(Default)]
    struct Information {
        allocated: i64,
        end: i64,
        links: u32,
        delete_pending: u8,
        directory: u8,
    }

    let mut found = Information::default();
    let length = size_of::<Information>() as u32;
    let at = std::ptr::from_mut(&mut found).cast();
    // SAFETY: the handle is open as long as `file`; `found` has the layout and the length
    // that the function fills, and is valid for the write.
    ok(unsafe {
        GetFileInformationByHandleEx(file.as_raw_handle(), FileStandardInfo, at, length)
    })?;
    Ok(Standing {
        // Some file systems count the name that goes, and some know of one always.
        removed: found.delete_pending != 0 || found.links == 0,
        len: found.end.try_into().unwrap_or_default(),
    })
}

/// The volume of an open file, and the file's number there.
#[doc(alias = "GetFileInformationByHandleEx")]
#[doc(alias = "GetFileInformationByHandle")]
pub(crate) fn file_id(file: &File) -> io::Result<(u64, u128)> {
    let handle = file.as_raw_handle();
    let mut found = FILE_ID_INFO::default();
    let length = size_of::<FILE_ID_INFO>() as u32;
    let at = std::ptr::from_mut(&mut found).cast();
    // SAFETY: the handle is open as long as `file`; `found` has the layout and the length
    // that the function fills, and is valid for the write.
    let whole = unsafe { GetFileInformationByHandleEx(handle, FileIdInfo, at, length) };
    if whole != 0 {
        let number = u128::from_le_bytes(found.FileId.Identifier);
        return Ok((found.VolumeSerialNumber, number));
    }
    // Half of the number, which is the whole of it where a file system has no more (FAT); on
    // ReFS two files may have the same half.
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: as above.
    ok(unsafe { GetFileInformationByHandle(handle, &mut found) })?;
    let number = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok((found.dwVolumeSerialNumber.into(), number.into()))
}

/// Whether the file's file system keeps access lists: FAT doesn't, and lets everybody in.
#[doc(alias = "GetVolumeInformationByHandleW")]
pub(crate) fn keeps_access_lists(file: &File) -> io::Result<bool> {
    let mut flags = 0;
    let (handle, serial) = (file.as_raw_handle(), null_mut());
    // SAFETY: the handle is open as long as `file`, and `flags` valid for a write; what is
    // NULL isn't wanted.
    ok(unsafe {
        let (name, system) = (null_mut(), null_mut());
        GetVolumeInformationByHandleW(handle, name, 0, serial, null_mut(), &mut flags, system, 0)
    })?;
    Ok(flags & FILE_PERSISTENT_ACLS != 0)
}

/// A path as the system takes it, whatever its length: with more than 260 units
/// it has to be in the verbatim form. The path is absolute.
fn system_name(path: &Path) -> Vec<u16> {
    const LONG: usize = 240;

    let mut name: Vec<u16> = path.as_os_str().encode_wide().collect();
    if name.len() >= LONG {
        let (prefix, rest) = match path.components().next() {
            Some(Component::Prefix(p)) if matches!(p.kind(), Prefix::Disk(_)) => (r"\\?\", 0),
            Some(Component::Prefix(p)) if matches!(p.kind(), Prefix::UNC(..)) => (r"\\?\UNC", 1),
            _ => ("", 0),
        };
        let prefix = OsStr::new(prefix).encode_wide();
        name = prefix.chain(name.into_iter().skip(rest)).collect();
    }
    name.push(0);
    name
}

#[cfg(test)]
mod tests {
    use super::super::{is_ours, owner};
    use super::*;
    use crate::keylog;

    /// Lost: a log in a deep directory.
    #[test]
    fn a_long_path_is_given_in_the_verbatim_form() {
        let text = |path: &str| String::from_utf16(&system_name(Path::new(path))).unwrap();
        let long = "d".repeat(250);
        assert_eq!(text(r"C:\keys.log"), "C:\\keys.log\0");
        assert_eq!(text(&format!(r"C:\{long}")), format!("\\\\?\\C:\\{long}\0"));
        let unc = format!(r"server\share\{long}");
        assert_eq!(text(&format!(r"\\{unc}")), format!("\\\\?\\UNC\\{unc}\0"));
        let verbatim = format!(r"\\?\C:\{long}");
        assert_eq!(text(&verbatim), format!("{verbatim}\0"));
    }

    /// Lost: how old a file is, whose name another had a moment ago; or that a file isn't ours.
    #[test]
    fn it_is_told_whether_a_file_is_new_and_whose_it_is() {
        let dir = keylog::tests::Dir::new("made");
        let path = dir.path("keys.log");
        let mode = Mode {
            access: 0x0012_0084, // appending, attributes, whose it is, waiting
            share: 7,
            flags: 0,
        };
        let (file, created) = open_or_create(&path, &mode).unwrap();
        assert!(created);
        assert!(!open_or_create(&path, &mode).unwrap().1);
        assert!(keeps_access_lists(&file).unwrap());
        assert!(is_ours(&owner(&file).unwrap()).unwrap());
        assert!(!is_ours("S-1-5-21-1-2-3-500").unwrap());
        assert!(!standing(&file).unwrap().removed);
        let other = File::create(dir.path("other")).unwrap();
        let again = open_or_create(&path, &mode).unwrap().0;
        assert_eq!(file_id(&file).unwrap(), file_id(&again).unwrap());
        assert_ne!(file_id(&file).unwrap(), file_id(&other).unwrap());
        std::fs::remove_file(&path).unwrap();
        // Wine doesn't tell.
        assert!(standing(&file).unwrap().removed || keylog::tests::is_wine());
    }
}
