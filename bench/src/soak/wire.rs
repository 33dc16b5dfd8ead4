//! As much of RFC 6455's framing as a load generator needs.

pub const CONTINUATION: u8 = 0;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

const MASK: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];

/// A frame as it came.
#[derive(Debug)]
pub struct Frame {
    pub last: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// A client's request to upgrade.
pub fn request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// A client's frame.
pub fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    frame.push(u8::from(last) << 7 | opcode);
    match payload.len() {
        n @ 0..=125 => frame.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            frame.push(0xfe);
            frame.extend((n as u16).to_be_bytes());
        }
        n => {
            frame.push(0xff);
            frame.extend((n as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// Takes a server's frame from the front of what was read, once it is whole.
pub fn take(input: &mut Vec<u8>) -> Result<Option<Frame>, String> {
    let (&[first, second], length_bytes) = match input.get(..2) {
        Some(head) => (head.first_chunk::<2>().ok_or("no header")?, &input[2..]),
        None => return Ok(None),
    };
    if second & 0x80 != 0 {
        return Err("a server masked a frame".into());
    }
    let extended = match second {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(extended) = length_bytes.get(..extended) else {
        return Ok(None);
    };
    let start = 2 + extended.len();
    let length = match extended {
        [] => usize::from(second),
        bytes => bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)),
    };
    let Some(payload) = input.get(start..).and_then(|rest| rest.get(..length)) else {
        return Ok(None);
    };
    let frame = Frame {
        last: first & 0x80 != 0,
        opcode: first & 0x0f,
        payload: payload.to_vec(),
    };
    input.drain(..start + length);
    Ok(Some(frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_once_they_are_whole() {
        for length in [0, 125, 126, 70_000] {
            let mut wire = frame(true, BINARY, &vec![7; length]);
            // As a server would have sent it: without the mask.
            let payload = wire.len() - length;
            wire.drain(payload - 4..payload);
            wire[1] &= 0x7f;
            wire[payload - 4..].fill(7);
            let mut short = wire[..wire.len() - 1].to_vec();
            assert!(take(&mut short).unwrap().is_none());
            let frame = take(&mut wire).unwrap().unwrap();
            assert!(frame.last && frame.opcode == BINARY && wire.is_empty());
            assert_eq!(frame.payload, vec![7; length]);
        }
        assert!(take(&mut vec![0x82, 0x80]).is_err());
    }
}
