//! What tests ask of a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Whether reading and writing return at once where they would wait. Other flags are cleared.
#[doc(alias = "fcntl")]
pub(crate) fn set_nonblocking(descriptor: &impl AsFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::O_NONBLOCK } else { 0 };
    let descriptor = descriptor.as_fd();
    // SAFETY: the descriptor is open as long as it is borrowed.
    match unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
