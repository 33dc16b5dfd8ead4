//! What Windows does about files and the standard library doesn't offer: a file
//! that is its owner's alone from the moment it exists, and whose one is.

mod files;
mod security;

pub(crate) use files::{file_id, keeps_access_lists, open_or_create, standing, Mode, Standing};
pub(crate) use security::{is_ours, owner};

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;
use windows_sys::core::BOOL;
use windows_sys::Win32::Foundation::LocalFree;

/// A security descriptor or a text, given by `LocalAlloc`; freed when dropped.
struct Local(NonNull<c_void>);

impl Local {
    /// # Safety
    /// `memory` is NULL or was given by `LocalAlloc`, to us.
    unsafe fn new<T>(memory: *mut T) -> io::Result<Self> {
        NonNull::new(memory.cast())
            .map(Local)
            .ok_or_else(|| io::ErrorKind::OutOfMemory.into())
    }

    fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr()
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

fn ok(result: BOOL) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
