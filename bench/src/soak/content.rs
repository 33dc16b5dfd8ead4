//! Messages that tell whose they are and which: nothing lost, changed, or out of
//! order stays unnoticed.

use super::random::Random;
use super::Fail;

/// Lengths around the borders of frame headers and buffers, most of them short.
const LENGTHS: [usize; 12] = [
    16, 16, 24, 100, 125, 126, 500, 1000, 4096, 16_000, 65_535, 65_536,
];

/// The message number `sequence` of the sender `id`.
pub fn of(id: u64, sequence: u64) -> Vec<u8> {
    let mut random = Random::new(id.rotate_left(32) ^ sequence);
    let length = LENGTHS[random.below(LENGTHS.len())];
    of_length(id, sequence, length)
}

/// The same with a length of one's own, at least 16.
pub fn of_length(id: u64, sequence: u64, length: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(length + 8);
    message.extend(id.to_le_bytes());
    message.extend(sequence.to_le_bytes());
    let mut random = Random::new(!id ^ sequence.rotate_left(16));
    message.extend(random.bytes(length.saturating_sub(message.len())));
    message
}

/// Whether this is the message that is due.
pub fn check(got: &[u8], expected: &[u8]) -> Result<(), Fail> {
    if got == expected {
        return Ok(());
    }
    let number =
        |m: &[u8]| -> Option<u64> { Some(u64::from_le_bytes(m.get(8..16)?.try_into().ok()?)) };
    Err(format!(
        "message {:?} ({} bytes) came instead of {:?} ({} bytes)",
        number(got),
        got.len(),
        number(expected),
        expected.len()
    )
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_sender_number_or_byte_is_noticed() {
        let message = of(3, 7);
        assert!(check(&message, &of(3, 7)).is_ok());
        assert!(check(&message, &of(3, 8)).is_err());
        assert!(check(&message, &of(4, 7)).is_err());
        let mut changed = message.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(check(&changed, &message).is_err());
    }
}
