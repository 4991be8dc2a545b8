//! WebSocket frames towards a client, followed by their headers (RFC 6455 section 5.2).
//!
//! Nothing is judged or changed: all that is asked is where a frame ends, since a frame of ours can stand only
//! between two others.

/// The longest header: two bytes, eight of length, four of a mask.
const HEADER_BYTES: usize = 14;
/// The end of the head of the 101 response.
const HEAD_END: &[u8; 4] = b"\r\n\r\n";
/// The opcode of a Close frame.
const CLOSE: u8 = 0x8;
/// Going away (RFC 6455 section 7.4.1).
const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();

/// Where a stream of frames stands.
#[derive(Clone, Copy, Debug)]
pub struct FrameTrack {
    at: At,
    closing: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Inside the head of the response: so many bytes of its end were seen.
    Head(u8),
    /// So many bytes of a frame's header were seen.
    Header(u8, [u8; HEADER_BYTES]),
    /// So many bytes of a frame's payload are still to come; at least one.
    Payload(u64),
}

const BETWEEN: At = At::Header(0, [0; HEADER_BYTES]);

impl Default for FrameTrack {
    /// Before the head of the 101 response.
    fn default() -> Self {
        Self {
            at: At::Head(0),
            closing: false,
        }
    }
}

impl FrameTrack {
    /// These bytes go to the client.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// How many of these bytes belong to what is under way; 0 between two frames.
    pub fn rest(&self, bytes: &[u8]) -> usize {
        let mut probe = *self;
        let mut length = 0;
        while !probe.is_between() && length < bytes.len() {
            length += probe.step(bytes.get(length..).unwrap_or_default());
        }
        length
    }

    /// True between two frames.
    pub fn is_between(&self) -> bool {
        matches!(self.at, At::Header(0, _))
    }

    /// True once the origin has sent a Close frame of its own: nothing may follow it.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Takes at least one byte, and none beyond the part of a frame that is under way.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let Some(&byte) = bytes.first() else { return 0 };
        match &mut self.at {
            At::Head(seen) => {
                *seen = match HEAD_END.get(usize::from(*seen)) {
                    Some(next) if *next == byte => *seen + 1,
                    _ => u8::from(byte == b'\r'),
                };
                if usize::from(*seen) == HEAD_END.len() {
                    self.at = BETWEEN;
                }
                1
            }
            At::Header(seen, header) => {
                if let Some(place) = header.get_mut(usize::from(*seen)) {
                    *place = byte;
                }
                *seen += 1;
                let [first, second, ..] = *header;
                if usize::from(*seen) >= 2 && usize::from(*seen) == header_bytes(second) {
                    self.closing |= first & 0x0f == CLOSE;
                    self.at = match payload_bytes(header) {
                        0 => BETWEEN,
                        length => At::Payload(length),
                    };
                }
                1
            }
            At::Payload(left) => {
                let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(*left);
                *left -= here;
                if *left == 0 {
                    self.at = BETWEEN;
                }
                usize::try_from(here).unwrap_or(bytes.len())
            }
        }
    }
}

/// The length of a header, as its second byte says.
fn header_bytes(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    2 + length + mask
}

fn payload_bytes(header: &[u8; HEADER_BYTES]) -> u64 {
    let [_, second, a, b, c, d, e, f, g, h, ..] = *header;
    match second & 0x7f {
        126 => u64::from(u16::from_be_bytes([a, b])),
        127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
        short => u64::from(short),
    }
}

/// A Close frame that says that the server goes away, with `why` for people: at most 100 bytes of it.
pub fn going_away(why: &str) -> Vec<u8> {
    let why = why.as_bytes();
    let why = why.get(..100).unwrap_or(why);
    let length = u8::try_from(GOING_AWAY.len() + why.len()).unwrap_or(2);
    let mut frame = vec![0x80 | CLOSE, length];
    frame.extend_from_slice(&GOING_AWAY);
    frame.extend_from_slice(why);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let mut out = vec![0x80 | opcode];
        let mask = if masked { 0x80 } else { 0 };
        match payload {
            0..=125 => out.push(mask | payload as u8),
            126..=65_535 => {
                out.push(mask | 126);
                out.extend((payload as u16).to_be_bytes());
            }
            _ => {
                out.push(mask | 127);
                out.extend((payload as u64).to_be_bytes());
            }
        }
        if masked {
            out.extend([1, 2, 3, 4]);
        }
        out.extend(std::iter::repeat_n(b'\r', payload));
        out
    }

    fn tracked(pieces: &[&[u8]]) -> FrameTrack {
        let mut track = FrameTrack::default();
        track.pass(HEAD);
        for piece in pieces {
            track.pass(piece);
        }
        track
    }

    #[test]
    fn it_stands_between_frames_exactly_after_each() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            for masked in [false, true] {
                let frame = frame(2, payload, masked);
                assert!(tracked(&[&frame, &frame]).is_between());
                for cut in [1, 2, 3, frame.len() / 2, frame.len() - 1] {
                    if cut == 0 || cut >= frame.len() {
                        continue;
                    }
                    let track = tracked(&[&frame, &frame[..cut]]);
                    assert!(!track.is_between(), "{payload} {masked} {cut}");
                    let mut next = frame[cut..].to_vec();
                    assert_eq!(track.rest(&next), next.len());
                    next.extend(&frame);
                    assert_eq!(track.rest(&next), frame.len() - cut, "no byte of the next");
                }
            }
        }
    }

    #[test]
    fn byte_by_byte_is_the_same() {
        let all: Vec<u8> = [frame(1, 5, false), frame(0, 300, true), frame(9, 0, false)].concat();
        let mut ends = Vec::new();
        let mut track = tracked(&[]);
        for (at, byte) in all.iter().enumerate() {
            track.pass(&[*byte]);
            if track.is_between() {
                ends.push(at + 1);
            }
        }
        assert_eq!(ends, [7, 7 + 308, 7 + 308 + 2]);
    }

    #[test]
    fn the_head_is_no_frame() {
        let mut track = FrameTrack::default();
        for byte in HEAD {
            assert!(!track.is_between());
            assert_eq!(track.rest(b"x"), 1);
            track.pass(&[*byte]);
        }
        assert!(track.is_between());
        // Carriage returns in a row do not hide the end of the head.
        let mut track = FrameTrack::default();
        track.pass(b"HTTP/1.1 101\r\r\n\r\n");
        assert!(track.is_between());
    }

    #[test]
    fn a_close_of_the_origin_is_seen() {
        assert!(!tracked(&[&frame(1, 3, false)]).is_closing());
        assert!(tracked(&[&frame(8, 2, false)]).is_closing());
        assert!(!tracked(&[&frame(8, 2, false)[..1]]).is_closing());
    }

    #[test]
    fn our_own_close_is_one_frame_with_1001() {
        let close = going_away("the node goes");
        assert_eq!(close[..4], [0x88, 15, 0x03, 0xe9]);
        let track = tracked(&[&close]);
        assert!(track.is_between() && track.is_closing());
        assert!(going_away(&"x".repeat(300)).len() <= 2 + 125);
    }
}
