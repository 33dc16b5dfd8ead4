//! Socket addresses by descriptor, through std.

use super::sys;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpStream};

/// The address at the other end; `None` for a closed or a Unix domain socket.
pub(super) fn peer_addr(fd: sys::lws_sockfd_type) -> Option<SocketAddr> {
    borrow(fd)?.peer_addr().ok()
}

/// A stream that doesn't close the descriptor, which is the library's.
#[cfg(unix)]
fn borrow(fd: sys::lws_sockfd_type) -> Option<ManuallyDrop<TcpStream>> {
    use std::os::fd::FromRawFd;
    if fd < 0 {
        return None;
    }
    // SAFETY: ManuallyDrop never closes the descriptor, so that ownership stays with lws;
    // on a descriptor that isn't a TCP socket the calls made here return errors.
    Some(ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(fd) }))
}

/// A stream that doesn't close the socket, which is the library's.
#[cfg(windows)]
fn borrow(fd: sys::lws_sockfd_type) -> Option<ManuallyDrop<TcpStream>> {
    use std::os::windows::io::{FromRawSocket, RawSocket};
    if fd == sys::lws_sockfd_type::MAX {
        return None;
    }
    // SAFETY: ManuallyDrop never closes the socket, so that ownership stays with lws.
    let stream = unsafe { TcpStream::from_raw_socket(fd as RawSocket) };
    Some(ManuallyDrop::new(stream))
}
