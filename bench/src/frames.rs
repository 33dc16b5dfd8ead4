//! WebSocket frames as a load generator needs them: made once, and counted.

/// The key that every frame is masked with.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A message of `size` bytes, which no compression would shorten by much.
pub fn payload(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..size).map(byte).collect()
}

/// The binary frame in which a client sends a payload.
pub fn masked(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0x80 | 127);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// Counts the messages that a server sends. Each has to be as long as what it
/// echoes; the first is compared byte by byte.
#[derive(Debug, Default)]
pub struct Counter {
    header: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
    /// Bytes of the present message that came already.
    message: usize,
    /// Whether the present frame is its message's last.
    last: bool,
    compared: bool,
}

impl Counter {
    /// Takes what was read; says how many messages ended in it.
    pub fn feed(&mut self, mut data: &[u8], sent: &[u8]) -> Result<usize, String> {
        let mut ended = 0;
        while !data.is_empty() {
            if self.left == 0 {
                self.header.push(data[0]);
                data = &data[1..];
                if !self.header_is_whole()? {
                    continue;
                }
                self.header.clear();
            } else {
                let (now, rest) = data.split_at(self.left.min(data.len()));
                if !self.compared && sent.get(self.message..self.message + now.len()) != Some(now) {
                    return Err("the echo differs from what was sent".into());
                }
                self.message += now.len();
                self.left -= now.len();
                data = rest;
            }
            if self.left == 0 && self.last {
                if self.message != sent.len() {
                    return Err(format!("an echo of {} bytes", self.message));
                }
                self.compared = true;
                self.message = 0;
                ended += 1;
            }
        }
        Ok(ended)
    }

    fn header_is_whole(&mut self) -> Result<bool, String> {
        let (first, length) = match self.header[..] {
            [first, length] if length < 126 => (first, u64::from(length)),
            [first, 126, a, b] => (first, u64::from(u16::from_be_bytes([a, b]))),
            [first, 127, a, b, c, d, e, f, g, h] => {
                (first, u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
            [_, length, ..] if length > 127 => return Err("a masked frame".into()),
            _ => return Ok(false),
        };
        // Continuation, text or binary: pings come only to those who are silent.
        if first & 0x0f > 2 {
            return Err(format!("a frame that begins with {first:#x}"));
        }
        self.last = first & 0x80 != 0;
        self.left = usize::try_from(length).map_err(|e| e.to_string())?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let sent = payload(300);
        let mut wire = vec![0x02, 100];
        wire.extend(&sent[..100]);
        wire.extend([0x80, 126, 0, 200]);
        wire.extend(&sent[100..]);
        let wire = [&wire[..], &wire[..]].concat();
        for step in [1, 3, 7, 300, wire.len()] {
            let mut counter = Counter::default();
            let count = |chunk| counter.feed(chunk, &sent).unwrap();
            assert_eq!(wire.chunks(step).map(count).sum::<usize>(), 2, "{step}");
        }
    }

    #[test]
    fn a_wrong_echo_is_noticed() {
        assert!(Counter::default().feed(&[0x82, 1, 5], &[4]).is_err());
        assert!(Counter::default().feed(&[0x82, 1, 4], &[4, 4]).is_err());
        assert!(Counter::default().feed(&[0x88, 0], &[4]).is_err());
        assert!(Counter::default().feed(&[0x82, 0x81], &[4]).is_err());
    }

    #[test]
    fn frames_have_the_shortest_length_and_are_masked() {
        assert_eq!(
            masked(&[0; 2]),
            [0x82, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x37, 0xfa]
        );
        assert_eq!(masked(&payload(126)).len(), 126 + 8);
        assert_eq!(masked(&payload(1 << 16)).len(), (1 << 16) + 14);
    }
}
