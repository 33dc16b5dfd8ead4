//! Zeroes secrets, of keys and of the key log.

use std::sync::atomic::{compiler_fence, Ordering};

/// Zeroes a secret in a way that the compiler can't leave out.
pub(crate) fn wipe(secret: &mut [u8]) {
    for byte in secret.iter_mut() {
        // SAFETY: an exclusive reference is valid for a write.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    compiler_fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost: secrets that stay in freed memory.
    #[test]
    fn a_wiped_buffer_is_zero() {
        let mut secret = *b"CLIENT_RANDOM 00 11";
        wipe(&mut secret);
        assert_eq!(secret, [0; 19]);
    }
}
