//! How a context waits for what it serves.
//!
//! On Linux and Android by epoll, as an event library of our own, so that a turn costs
//! what happens in it and not what is open. Elsewhere by the C library's own poll.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod poll;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use epoll::EventLoop;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) use poll::EventLoop;
