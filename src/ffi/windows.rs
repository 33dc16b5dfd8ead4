//! What Windows does about files and the standard library doesn't offer: a file
//! that is its owner's alone from the moment it exists, and whose one is.

use std::ffi::{c_void, OsStr};
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::path::{Component, Path, Prefix};
use std::ptr::{null, null_mut, NonNull};

/// How a file is opened; the values are those of the Windows SDK.
pub(crate) struct Mode {
    pub access: u32,
    pub share: u32,
    pub flags: u32,
}

/// A security descriptor or a text, allocated by `LocalAlloc`.
type Memory = *mut c_void;

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
    fn GetCurrentProcess() -> RawHandle;
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
    fn LocalFree(memory: Memory) -> Memory;
}

#[link(name = "advapi32")]
unsafe extern "system" {
    fn OpenProcessToken(process: RawHandle, access: u32, token: *mut RawHandle) -> i32;
    fn GetTokenInformation(
        token: RawHandle,
        class: u32,
        information: *mut c_void,
        length: u32,
        needed: *mut u32,
    ) -> i32;
    fn GetSecurityInfo(
        handle: RawHandle,
        kind: u32,
        information: u32,
        owner: *mut Memory,
        group: *mut Memory,
        list: *mut Memory,
        system_list: *mut Memory,
        descriptor: *mut Memory,
    ) -> u32;
    fn ConvertSidToStringSidW(sid: *const c_void, text: *mut Memory) -> i32;
    fn ConvertStringSecurityDescriptorToSecurityDescriptorW(
        text: *const u16,
        revision: u32,
        descriptor: *mut Memory,
        size: *mut u32,
    ) -> i32;
}

/// What `LocalAlloc` gave; freed when dropped.
struct Local(NonNull<c_void>);

impl Local {
    /// # Safety
    /// `memory` is NULL or was given by `LocalAlloc`, to us.
    unsafe fn new(memory: Memory) -> io::Result<Self> {
        NonNull::new(memory)
            .map(Local)
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    /// # Safety
    /// What lies there is a text in UTF-16 that ends with a NUL.
    unsafe fn to_text(&self) -> String {
        let text = self.0.as_ptr().cast::<u16>();
        let is_unit = |i: &usize| {
            // SAFETY: the caller vouches for a NUL, and this isn't asked beyond it.
            let unit = unsafe { text.add(*i) };
            // SAFETY: as above.
            unsafe { *unit != 0 }
        };
        let length = (0..).take_while(is_unit).count();
        // SAFETY: as above; the text lives as long as `self`.
        let units = unsafe { std::slice::from_raw_parts(text, length) };
        String::from_utf16_lossy(units)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // SAFETY: it is ours (contract of `new`), and nothing points to it any more.
        unsafe { LocalFree(self.0.as_ptr()) };
    }
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
        descriptor: descriptor.0.as_ptr(),
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

/// The identifier (SID) of the user or group that a file belongs to. The handle has the right
/// to read that.
#[doc(alias = "GetSecurityInfo")]
pub(crate) fn owner(file: &File) -> io::Result<String> {
    const SE_FILE_OBJECT: u32 = 1;
    const OWNER: u32 = 1;

    let (mut sid, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the handle is open, both pointers are valid for a write; what is NULL isn't
    // wanted.
    let error = unsafe {
        let (handle, none) = (file.as_raw_handle(), null_mut());
        let (owner, all) = (&mut sid, &mut descriptor);
        GetSecurityInfo(handle, SE_FILE_OBJECT, OWNER, owner, none, none, none, all)
    };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error as i32));
    }
    // SAFETY: the function gives us this memory. The identifier lies in it.
    let _descriptor = unsafe { Local::new(descriptor) }?;
    // SAFETY: it is a SID, and lives until the end of this function.
    unsafe { sid_text(sid) }
}

/// Whether an identifier is that of the user whom this process runs as, or of those who may
/// read everything in any case: the administrators, whose group owns what they make in some
/// sessions, and the system.
pub(crate) fn is_ours(sid: &str) -> io::Result<bool> {
    Ok(["S-1-5-18", "S-1-5-32-544"].contains(&sid) || sid == current_user()?)
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

/// The identifier (SID) of the user whom this process runs as.
#[doc(alias = "GetTokenInformation")]
fn current_user() -> io::Result<String> {
    const TOKEN_QUERY: u32 = 8;
    const TOKEN_USER: u32 = 1;

    let mut token = null_mut();
    // SAFETY: the function has no precondition, and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: that is a valid handle, and `token` valid for a write.
    ok(unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the handle is open, and nobody else has it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // A TOKEN_USER, whose first member is a pointer to the SID behind it.
    let mut user = [null::<c_void>(); 32];
    let mut needed = 0;
    // SAFETY: the buffer is aligned for a TOKEN_USER, and valid for a write of that length.
    ok(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TOKEN_USER,
            user.as_mut_ptr().cast(),
            size_of_val(&user) as u32,
            &mut needed,
        )
    })?;
    // SAFETY: the call before left a pointer to a SID, which lies in `user`.
    unsafe { sid_text(user[0]) }
}

/// An identifier as text.
///
/// # Safety
/// `sid` points to a SID.
unsafe fn sid_text(sid: *const c_void) -> io::Result<String> {
    let mut text = null_mut();
    // SAFETY: it is a SID (contract of this function), and `text` valid for a write.
    ok(unsafe { ConvertSidToStringSidW(sid, &mut text) })?;
    // SAFETY: the function gives us this memory.
    let text = unsafe { Local::new(text) }?;
    // SAFETY: it is a text that ends with a NUL.
    Ok(unsafe { text.to_text() })
}

/// The security descriptor of a file that is one user's: protected from what its
/// directory hands down, with all rights for the user.
#[doc(alias = "ConvertStringSecurityDescriptorToSecurityDescriptorW")]
fn owner_alone(user: &str) -> io::Result<Local> {
    const SDDL_REVISION_1: u32 = 1;

    let text = format!("D:P(A;;FA;;;{user})\0");
    let text: Vec<u16> = text.encode_utf16().collect();
    let mut descriptor = null_mut();
    // SAFETY: the text ends with a NUL, and `descriptor` is valid for a write.
    ok(unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            null_mut(),
        )
    })?;
    // SAFETY: the function gives us this memory.
    unsafe { Local::new(descriptor) }
}

/// The system's `BOOL`.
fn ok(result: i32) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::{self, KeyLog};

    #[link(name = "advapi32")]
    unsafe extern "system" {
        fn ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor: Memory,
            revision: u32,
            information: u32,
            text: *mut Memory,
            length: *mut u32,
        ) -> i32;
    }

    /// The access list of a file, as text.
    fn access_list(path: &Path) -> String {
        const SE_FILE_OBJECT: u32 = 1;
        const DACL: u32 = 4;
        let file = File::open(path).unwrap();
        let (mut descriptor, mut text) = (null_mut(), null_mut());
        let none = null_mut();
        // SAFETY: the handle is open, `descriptor` valid for a write; what is NULL isn't wanted.
        let error = unsafe {
            let (handle, at) = (file.as_raw_handle(), &mut descriptor);
            GetSecurityInfo(handle, SE_FILE_OBJECT, DACL, none, none, none, none, at)
        };
        assert_eq!(error, 0);
        // SAFETY: the function gives us this memory.
        let descriptor = unsafe { Local::new(descriptor) }.unwrap();
        let from = descriptor.0.as_ptr();
        // SAFETY: it is a security descriptor, and `text` valid for a write.
        ok(unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                from,
                1,
                DACL,
                &mut text,
                null_mut(),
            )
        })
        .unwrap();
        // SAFETY: the function gives us this memory.
        let text = unsafe { Local::new(text) }.unwrap();
        // SAFETY: it is a text that ends with a NUL.
        unsafe { text.to_text() }
    }

    /// Whom the entries of an access list are about.
    fn named(list: &str) -> Vec<&str> {
        let entries = list.split('(').skip(1);
        let mut named: Vec<_> = entries
            .map(|entry| entry.trim_end_matches(')').rsplit(';').next().unwrap())
            .collect();
        named.sort_unstable();
        named.dedup();
        named
    }

    /// Lost: secrets that everybody on the machine can read, where the directory
    /// lets everybody read its files.
    #[test]
    fn the_file_is_the_owners_alone() {
        let dir = keylog::tests::Dir::new("owner");
        let (plain, path) = (dir.path("plain"), dir.path("keys.log"));
        std::fs::write(&plain, "").unwrap();
        drop(keylog::start(&KeyLog::file(&path)).unwrap());
        let user = current_user().unwrap();
        let (plain, own) = (access_list(&plain), access_list(&path));
        if keylog::tests::is_wine() {
            // Wine keeps a mode of Unix, and lets the system in whatever the list is.
            assert!(named(&plain).contains(&"WD"), "everybody: {plain}");
            let others: Vec<_> = named(&own).into_iter().filter(|n| *n != "SY").collect();
            assert_eq!(others, [user], "{own}");
        } else {
            assert_eq!(own, format!("D:P(A;;FA;;;{user})"));
        }
    }

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
        std::fs::remove_file(&path).unwrap();
        // Wine doesn't tell.
        assert!(standing(&file).unwrap().removed || keylog::tests::is_wine());
    }
}
