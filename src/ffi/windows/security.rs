//! Users, and who may do what with a file.

use super::{ok, Local};
use std::fs::File;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo,
    SDDL_REVISION_1, SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    GetTokenInformation, TokenUser, OWNER_SECURITY_INFORMATION, PSID, TOKEN_QUERY, TOKEN_USER,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// The identifier (SID) of the user or group that a file belongs to. The handle has the right
/// to read that.
#[doc(alias = "GetSecurityInfo")]
pub(crate) fn owner(file: &File) -> io::Result<String> {
    const OWNER: u32 = OWNER_SECURITY_INFORMATION;

    let (mut sid, mut descriptor) = (null_mut(), null_mut());
    // SAFETY: the handle is open, both pointers are valid for a write; what is NULL isn't
    // wanted.
    let error = unsafe {
        let (handle, kind) = (file.as_raw_handle(), SE_FILE_OBJECT);
        let (owner, all) = (&mut sid, &mut descriptor);
        let (group, list, system_list) = (null_mut(), null_mut(), null_mut());
        GetSecurityInfo(handle, kind, OWNER, owner, group, list, system_list, all)
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

/// The identifier (SID) of the user whom this process runs as.
#[doc(alias = "GetTokenInformation")]
pub(super) fn current_user() -> io::Result<String> {
    let mut token = null_mut();
    // SAFETY: the function has no precondition, and returns a constant.
    let process = unsafe { GetCurrentProcess() };
    // SAFETY: that is a valid handle, and `token` valid for a write.
    ok(unsafe { OpenProcessToken(process, TOKEN_QUERY, &mut token) })?;
    // SAFETY: the handle is open, and nobody else has it.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    // The SID lies behind it, of 68 bytes at most.
    let mut user = [TOKEN_USER::default(); 8];
    let mut needed = 0;
    // SAFETY: the buffer is of such structs, and valid for a write of that length.
    ok(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            user.as_mut_ptr().cast(),
            size_of_val(&user) as u32,
            &mut needed,
        )
    })?;
    // SAFETY: the call before left a pointer to a SID, which lies in `user`.
    unsafe { sid_text(user[0].User.Sid) }
}

/// An identifier as text.
///
/// # Safety
/// `sid` points to a SID.
unsafe fn sid_text(sid: PSID) -> io::Result<String> {
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
pub(super) fn owner_alone(user: &str) -> io::Result<Local> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keylog::{self, KeyLog};
    use std::path::Path;
    use windows_sys::Win32::Security::Authorization::ConvertSecurityDescriptorToStringSecurityDescriptorW;
    use windows_sys::Win32::Security::DACL_SECURITY_INFORMATION;

    /// The access list of a file, as text.
    fn access_list(path: &Path) -> String {
        const DACL: u32 = DACL_SECURITY_INFORMATION;
        let file = File::open(path).unwrap();
        let (mut descriptor, mut text) = (null_mut(), null_mut());
        // SAFETY: the handle is open, `descriptor` valid for a write; what is NULL isn't wanted.
        let error = unsafe {
            let (handle, kind) = (file.as_raw_handle(), SE_FILE_OBJECT);
            let (owner, group, list) = (null_mut(), null_mut(), null_mut());
            let (system_list, all) = (null_mut(), &mut descriptor);
            GetSecurityInfo(handle, kind, DACL, owner, group, list, system_list, all)
        };
        assert_eq!(error, 0);
        // SAFETY: the function gives us this memory.
        let descriptor = unsafe { Local::new(descriptor) }.unwrap();
        let from = descriptor.as_ptr();
        // SAFETY: it is a security descriptor, and `text` valid for a write.
        ok(unsafe {
            ConvertSecurityDescriptorToStringSecurityDescriptorW(
                from,
                SDDL_REVISION_1,
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
            // Nothing is inherited, and there is one entry. The system has short names for some.
            let (flags, entry) = own.split_once('(').unwrap();
            assert!(["D:P", "D:PAI"].contains(&flags), "{own}");
            let whom = entry.strip_prefix("A;;FA;;;").unwrap_or_default();
            assert!([&*format!("{user})"), "LA)"].contains(&whom), "{own}");
        }
    }
}
