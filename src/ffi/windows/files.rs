//! Opening and creating files, and what can be asked of an open one.

use super::security::{current_user, owner_alone};
use super::{ok, Memory};
use std::ffi::{c_void, OsStr};
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, RawHandle};
use std::path::{Component, Path, Prefix};
use std::ptr::null_mut;

/// How a file is opened; the values are those of the Windows SDK.
pub(crate) struct Mode {
    pub access: u32,
    pub share: u32,
    pub flags: u32,
}

/// `SECURITY_ATTRIBUTES` of minwinbase.h.
#[repr(C)]
struct SecurityAttributes {
    length: u32,
    descriptor: Memory,
    inherit_handle: i32,
}

#[link(name = "kernel32")]
unsafe extern "system" {
    fn CreateFileW(
        name: *const u16,
        access: u32,
        share: u32,
        security: *const SecurityAttributes,
        disposition: u32,
        flags: u32,
        template: RawHandle,
    ) -> RawHandle;
    fn GetFileInformationByHandle(file: RawHandle, information: *mut c_void) -> i32;
    fn GetFileInformationByHandleEx(
        file: RawHandle,
        class: u32,
        information: *mut c_void,
        length: u32,
    ) -> i32;
    fn GetVolumeInformationByHandleW(
        file: RawHandle,
        name: *mut u16,
        name_length: u32,
        serial_number: *mut u32,
        longest_name: *mut u32,
        flags: *mut u32,
        file_system: *mut u16,
        file_system_length: u32,
    ) -> i32;
}

/// Opens a file, or creates it with an access list that has one entry: the user
/// whom this process runs as, who may do everything. Nothing is inherited from
/// the directory. The list of a file that is there already stays as it is. Tells whether
/// it was created.
#[doc(alias = "CreateFileW")]
pub(crate) fn open_or_create(path: &Path, mode: &Mode) -> io::Result<(File, bool)> {
    const OPEN_ALWAYS: u32 = 4;
    const ERROR_ALREADY_EXISTS: i32 = 183;

    let descriptor = owner_alone(&current_user()?)?;
    let security = SecurityAttributes {
        length: size_of::<SecurityAttributes>() as u32,
        descriptor: descriptor.as_ptr(),
        inherit_handle: 0,
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
    if handle.addr() == usize::MAX {
        return Err(said); // INVALID_HANDLE_VALUE
    }
    // SAFETY: the handle is open, and nobody else has it.
    let file = unsafe { File::from_raw_handle(handle) };
    Ok((file, said.raw_os_error() != Some(ERROR_ALREADY_EXISTS)))
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
    const FILE_STANDARD_INFO: u32 = 1;

    /// `FILE_STANDARD_INFO` of winbase.h.
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
        GetFileInformationByHandleEx(file.as_raw_handle(), FILE_STANDARD_INFO, at, length)
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
    const FILE_ID_INFO: u32 = 18;

    /// `FILE_ID_INFO` of winbase.h.
    #[repr(C)]
    #[derive(Default)]
    struct Information {
        volume: u64,
        number: [u8; 16],
    }

    /// `BY_HANDLE_FILE_INFORMATION` of fileapi.h.
    #[repr(C)]
    #[derive(Default)]
    struct ByHandle {
        attributes: u32,
        creation_time: [u32; 2],
        access_time: [u32; 2],
        write_time: [u32; 2],
        volume: u32,
        size: [u32; 2],
        links: u32,
        index_high: u32,
        index_low: u32,
    }

    let handle = file.as_raw_handle();
    let mut found = Information::default();
    let length = size_of::<Information>() as u32;
    let at = std::ptr::from_mut(&mut found).cast();
    // SAFETY: the handle is open as long as `file`; `found` has the layout and the length
    // that the function fills, and is valid for the write.
    let whole = unsafe { GetFileInformationByHandleEx(handle, FILE_ID_INFO, at, length) };
    if whole != 0 {
        return Ok((found.volume, u128::from_le_bytes(found.number)));
    }
    // Half of the number, which is the whole of it where a file system has no more (FAT); on
    // ReFS two files may have the same half.
    let mut found = ByHandle::default();
    // SAFETY: as above.
    ok(unsafe { GetFileInformationByHandle(handle, std::ptr::from_mut(&mut found).cast()) })?;
    let number = u64::from(found.index_high) << 32 | u64::from(found.index_low);
    Ok((found.volume.into(), number.into()))
}

/// Whether the file's file system keeps access lists: FAT doesn't, and lets everybody in.
#[doc(alias = "GetVolumeInformationByHandleW")]
pub(crate) fn keeps_access_lists(file: &File) -> io::Result<bool> {
    const FILE_PERSISTENT_ACLS: u32 = 8;

    let mut flags = 0;
    let (handle, none) = (file.as_raw_handle(), null_mut());
    // SAFETY: the handle is open as long as `file`, and `flags` valid for a write; what is
    // NULL isn't wanted.
    ok(unsafe {
        let (name, system) = (null_mut(), null_mut());
        GetVolumeInformationByHandleW(handle, name, 0, none, null_mut(), &mut flags, system, 0)
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
