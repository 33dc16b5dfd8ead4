//! Tables that are looked up by connection.

use super::ConnectionId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by connection.
pub(crate) type ById<T> = HashMap<ConnectionId, T, BuildHasherDefault<Spread>>;

/// No peer chooses ids, so that none can make them collide: a multiplication will do, where
/// the standard library's hash is a third of a look-up.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write_u64(&mut self, id: u64) {
        // 2^64 divided by the golden ratio: neighbours are far apart (Knuth, TAOCP 6.4).
        self.0 = (self.0 ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::BuildHasher;

    /// Lost: look-ups in constant time. The table tells its places apart by the lowest bits
    /// of a hash, and what is in them by the highest seven.
    #[test]
    fn hashes_of_neighbours_differ_at_both_ends() {
        let table = ById::<()>::default();
        let hashes: Vec<u64> = (1000..1128)
            .map(|id| table.hasher().hash_one(ConnectionId(id)))
            .collect();
        let low: HashSet<u64> = hashes.iter().map(|hash| hash & 127).collect();
        let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        assert_eq!(low.len(), 128);
        assert!(high.len() > 100, "{}", high.len());
    }
}
