//! Tables that are looked up by connection.

use super::ConnectionId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A table by connection.
pub(crate) type ById<T> = HashMap<ConnectionId, T, BuildHasherDefault<Spread>>;

/// Ids are given out one after another, by us: a multiplication will do, where the standard
/// library's hash, which withstands those who choose what is hashed, is a third of a look-up.
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
        // The highest bits depend on all of the id, the lowest on as many of its own.
        self.0 ^ (self.0 >> 32)
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
        // Those of one context, or of one in 64.
        for step in [1, 64] {
            let ids = (1000..).step_by(step).take(128).map(ConnectionId);
            let hashes: Vec<u64> = ids.map(|id| table.hasher().hash_one(id)).collect();
            let low: HashSet<u64> = hashes.iter().map(|hash| hash & 127).collect();
            let high: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            // By chance it would be 81.
            for distinct in [low.len(), high.len()] {
                assert!(distinct > 80, "{distinct}, in steps of {step}");
            }
        }
    }
}
