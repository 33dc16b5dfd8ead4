//! Unmasking of what clients send (RFC 6455 §5.3), in one pass with its copy.

use super::sys;

/// The masking key, from a payload's first byte on.
pub(crate) type Mask = [u8; 4];

/// Appends bytes, unmasked.
pub(crate) fn append(to: &mut Vec<u8>, masked: &[u8], mask: Mask) {
    let before = to.len();
    to.reserve(masked.len());
    let room = to.spare_capacity_mut().as_mut_ptr().cast::<u8>();
    // SAFETY: there is room for as many bytes, which nobody else can have borrowed; the
    // function reads them and the mask's four, and writes only there.
    unsafe { sys::lwsrs_unmask(room, masked.as_ptr(), masked.len(), mask.as_ptr()) };
    // SAFETY: they have been written, all of them, and the capacity is there.
    unsafe { to.set_len(before + masked.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_of_the_mask() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let plain: Vec<u8> = (0..100u8).map(|n| n.wrapping_mul(7)).collect();
        for len in 0..plain.len() {
            let masked = plain[..len].iter().zip(mask.iter().cycle());
            let masked: Vec<u8> = masked.map(|(byte, key)| byte ^ key).collect();
            for start in [0, 1, 7] {
                let mut to = vec![0xee; start];
                append(&mut to, &masked, mask);
                assert_eq!(to[..start], [0xee; 7][..start]);
                assert_eq!(to[start..], plain[..len], "{len} after {start}");
            }
        }
    }
}
