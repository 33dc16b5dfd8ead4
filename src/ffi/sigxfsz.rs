//! Writes to a file that may have reached the limit of its size.

use std::io::{self, Write};

/// Writes once. Where the process has a limit for the size of its files
/// (`RLIMIT_FSIZE`) the system sends SIGXFSZ to a thread that writes beyond it,
/// which ends a program that isn't prepared for it. Here it is an error like any
/// other (EFBIG).
///
/// What a signal does to the process is the application's affair. So this thread
/// alone holds the signal back for the length of the write, and takes it.
#[cfg(unix)]
pub(crate) fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let held = held::Held::new();
    let result = to.write(bytes);
    if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EFBIG)) {
        held.take();
    }
    result
}

/// Writes once: there is no such limit here.
#[cfg(not(unix))]
pub(crate) fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    to.write(bytes)
}

#[cfg(unix)]
mod held {
    use libc::sigset_t;
    use std::mem::MaybeUninit;

    /// Holds the signal back in this thread until it is dropped.
    pub struct Held {
        /// The thread's mask.
        before: sigset_t,
        /// One was waiting already, and isn't ours to take.
        others: bool,
    }

    impl Held {
        #[doc(alias = "pthread_sigmask")]
        pub fn new() -> Self {
            let it = only();
            let mut before = MaybeUninit::uninit();
            // SAFETY: `it` is a set, `before` is valid for a write.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &it, before.as_mut_ptr()) };
            // SAFETY: the call can't fail with these arguments, and has filled it.
            let before = unsafe { before.assume_init() };
            Held {
                // What isn't held back by the thread itself can't be waiting.
                others: is_in(&before) && is_waiting(),
                before,
            }
        }

        /// Takes the signal that a write has sent to this thread.
        #[doc(alias = "sigwait")]
        pub fn take(&self) {
            // Only if it is there: waiting for it might take forever.
            if self.others || !is_waiting() {
                return;
            }
            let (it, mut taken) = (only(), 0);
            // SAFETY: `it` is a set, `taken` is valid for a write.
            unsafe { libc::sigwait(&it, &mut taken) };
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            // SAFETY: `before` is the mask that the system gave; NULL asks for nothing.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
        }
    }

    /// The set of this signal alone.
    fn only() -> sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `set` is valid for a write.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: it is a set since the last statement.
        unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ) };
        // SAFETY: as above.
        unsafe { set.assume_init() }
    }

    #[doc(alias = "sigpending")]
    fn is_waiting() -> bool {
        let mut set = only();
        // SAFETY: `set` is valid for a write.
        unsafe { libc::sigpending(&mut set) };
        is_in(&set)
    }

    fn is_in(set: &sigset_t) -> bool {
        // SAFETY: `set` is a set.
        unsafe { libc::sigismember(set, libc::SIGXFSZ) == 1 }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::held::Held;
    use super::*;

    /// A file system that sends the signal, as the real one does at the limit.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            // SAFETY: raise() has no precondition; this thread holds the signal back.
            unsafe { libc::raise(libc::SIGXFSZ) };
            Err(io::Error::from_raw_os_error(libc::EFBIG))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Lost: a program that ends because its key log is full. Also the thread's
    /// own mask, and a signal that somebody else waits for.
    #[test]
    fn the_signal_of_a_write_is_taken_and_no_other() {
        for _ in 0..2 {
            write(&mut Full, b"x").unwrap_err();
        }
        assert_eq!(write(&mut Vec::new(), b"x").unwrap(), 1);
        let outer = Held::new();
        // Held back by the application, which doesn't want ours.
        write(&mut Full, b"x").unwrap_err();
        // SAFETY: raise() has no precondition; this thread holds the signal back.
        unsafe { libc::raise(libc::SIGXFSZ) };
        let inner = Held::new();
        inner.take();
        drop(inner);
        // It is still there for whoever waits for it: this would wait forever else.
        let (mut set, mut taken) = (std::mem::MaybeUninit::uninit(), 0);
        // SAFETY: `set` is valid for a write.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: it is a set since the last statement.
        unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ) };
        // SAFETY: `set` is a set, `taken` is valid for a write.
        unsafe { libc::sigwait(set.as_ptr(), &mut taken) };
        assert_eq!(taken, libc::SIGXFSZ);
        drop(outer);
    }
}
