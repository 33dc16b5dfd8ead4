//! Zeroes secrets, of keys and of the key log.

use std::sync::atomic::{compiler_fence, Ordering};

/// Zeroes a secret in a way that the compiler can't leave out.
pub(crate) fn wipe(secret: &mut [u8]) {
    // By chunks, for the key log does it with each handshake.
    let (chunks, rest) = secret.as_chunks_mut::<32>();
    for chunk in chunks {
        // SAFETY: an exclusive reference is valid for a write.
        unsafe { std::ptr::write_volatile(chunk, [0; 32]) };
    }
    for byte in rest {
        // SAFETY: as above.
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
        for len in [0, 1, 19, 32, 33, 95, 96] {
            let mut secret = vec![b'5'; len + 1];
            wipe(&mut secret[..len]);
            assert_eq!(secret[..len], vec![0; len]);
            assert_eq!(secret[len], b'5', "what comes after it");
        }
    }
}
