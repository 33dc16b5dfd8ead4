//! A buffer that waits to be used again.

use crate::message::Payload;
use std::cell::Cell;

/// The buffer of a long message that was sent, for the next one that comes. The
/// allocator may give that much back to the system, and page by page take it again.
#[derive(Default)]
pub(crate) struct Spare(Cell<Option<Payload>>);

/// What is worth it, and what isn't too much to hold for nothing.
const KEPT: std::ops::RangeInclusive<usize> = (8 << 10)..=(256 << 10);

impl Spare {
    /// An empty payload with room for `capacity` bytes, and not for many more.
    pub fn take(&self, capacity: usize) -> Payload {
        if KEPT.contains(&capacity) {
            match self.0.take() {
                Some(spare) if (capacity..=capacity * 2).contains(&spare.capacity()) => {
                    return spare;
                }
                other => self.0.set(other),
            }
        }
        Payload::with_capacity(capacity)
    }

    /// Keeps the buffer of a payload that nobody needs any more.
    pub fn keep(&self, mut payload: Payload) {
        if KEPT.contains(&payload.capacity()) {
            payload.clear();
            self.0.set(Some(payload));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let spare = Spare::default();
        let mut long = spare.take(10_000);
        long.extend_from_slice(&[7; 10_000]);
        let address = long.as_ptr();
        // As the C library leaves it.
        long.buffer_mut()[..10].fill(0xff);
        spare.keep(long);
        for other in [100, 4000, 11_000] {
            assert_ne!(spare.take(other).as_ptr(), address, "{other}");
        }
        let again = spare.take(9_000);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
        assert!(again.clone().into_text().is_ok());
        // One that is in use isn't given out twice.
        assert_ne!(spare.take(9_000).as_ptr(), address);
    }

    #[test]
    fn neither_small_nor_huge_ones_are_kept() {
        for size in [100, 1 << 20] {
            let spare = Spare::default();
            spare.keep(Payload::with_capacity(size));
            assert!(spare.0.take().is_none(), "{size}");
        }
    }
}
