//! Buffers that wait to be used again.

use crate::message::Payload;
use std::cell::Cell;
use std::ops::RangeInclusive;

/// The buffers of a message that was sent, for the next one that comes: of a long one, for
/// the allocator may give that much back to the system, and page by page take it again; and
/// of one that is too long for the allocator's shortest way.
#[derive(Default)]
pub(crate) struct BufferCache([Cell<Option<Payload>>; 2]);

/// What is worth it, and what isn't too much to hold for nothing.
const KEPT: [RangeInclusive<usize>; 2] = [512..=(8 << 10) - 1, (8 << 10)..=(256 << 10)];

impl BufferCache {
    /// An empty payload with room for `capacity` bytes, and not for many more.
    pub fn take(&self, capacity: usize) -> Payload {
        if let Some(place) = self.place(capacity) {
            match place.take() {
                Some(spare) if (capacity..=capacity * 2).contains(&spare.capacity()) => {
                    return spare;
                }
                other => place.set(other),
            }
        }
        Payload::with_capacity(capacity)
    }

    /// Keeps the buffer of a payload that nobody needs any more.
    pub fn keep(&self, mut payload: Payload) {
        if let Some(place) = self.place(payload.capacity()) {
            payload.clear();
            place.set(Some(payload));
        }
    }

    fn place(&self, capacity: usize) -> Option<&Cell<Option<Payload>>> {
        let class = KEPT.iter().position(|kept| kept.contains(&capacity))?;
        self.0.get(class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let spare = BufferCache::default();
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

    /// Lost: the buffer of long messages, to short ones that come between them.
    #[test]
    fn a_short_one_takes_no_long_ones_place() {
        let spare = BufferCache::default();
        let (long, short) = (spare.take(10_000), spare.take(1000));
        let addresses = [long.as_ptr(), short.as_ptr()];
        spare.keep(long);
        spare.keep(short);
        assert_eq!(spare.take(10_000).as_ptr(), addresses[0]);
        assert_eq!(spare.take(1000).as_ptr(), addresses[1]);
    }

    #[test]
    fn neither_small_nor_huge_ones_are_kept() {
        for size in [100, 500, 1 << 20] {
            let spare = BufferCache::default();
            spare.keep(Payload::with_capacity(size));
            assert!(spare.0.iter().all(|place| place.take().is_none()), "{size}");
        }
    }
}
