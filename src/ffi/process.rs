//! What is asked about this process and others.

/// The user whose rights this process has.
#[cfg(unix)]
#[doc(alias = "geteuid")]
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid() has no precondition and can't fail.
    unsafe { libc::geteuid() }
}

/// Whether a process with this id runs, or has ended and wasn't waited for yet.
/// Where that can't be told, it does.
#[cfg(unix)]
#[doc(alias = "kill")]
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(pid) = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0) else {
        return false; // no process has such an id
    };
    // SAFETY: signal 0 is not sent; it asks whether one could be.
    let result = unsafe { libc::kill(pid, 0) };
    let gone = || std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH);
    result == 0 || !gone()
}

/// Whether a process with this id runs. Where that can't be told, it does.
#[cfg(windows)]
#[doc(alias = "OpenProcess")]
pub(crate) fn is_alive(pid: u32) -> bool {
    use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
    use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, WAIT_OBJECT_0};
    use windows_sys::Win32::System::Threading::{
        OpenProcess, WaitForSingleObject, PROCESS_SYNCHRONIZE,
    };

    // SAFETY: the function takes any number.
    let handle = unsafe { OpenProcess(PROCESS_SYNCHRONIZE, 0, pid) };
    if handle.is_null() {
        let error = std::io::Error::last_os_error();
        return error.raw_os_error() != Some(ERROR_INVALID_PARAMETER as i32);
    }
    // SAFETY: it was opened just now, and nobody else has it.
    let handle = unsafe { OwnedHandle::from_raw_handle(handle) };
    // SAFETY: the handle is open; with no time to wait this only looks.
    let result = unsafe { WaitForSingleObject(handle.as_raw_handle(), 0) };
    result != WAIT_OBJECT_0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost: the log of a program that runs.
    #[test]
    fn this_process_is_alive_and_one_that_was_waited_for_is_not() {
        assert!(is_alive(std::process::id()));
        let program = if cfg!(windows) { "hostname" } else { "true" };
        let mut child = std::process::Command::new(program)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        child.wait().unwrap();
        drop(child);
        assert!(!is_alive(pid));
        assert!(!is_alive(u32::MAX));
    }

    /// A process of another user is alive, though it can't be sent a signal.
    #[cfg(unix)]
    #[test]
    fn the_first_process_is_alive() {
        assert!(is_alive(1));
    }
}
