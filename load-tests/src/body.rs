//! Bodies that can be checked: each object's is its own, and any part of it is known without making the rest, so that
//! neither the origin nor the generator keeps or makes one of 10 MiB.

/// The noise repeats after so many bytes. A prime: no buffer size falls into step with it.
const PERIOD: usize = 65_521;
/// The longest part that stands in one piece.
const PART_BYTES: usize = 128 * 1024;

/// All bodies: noise, read from another place for each object.
pub(crate) struct Bodies {
    noise: Vec<u8>,
}

impl Bodies {
    /// The same on every machine and in every process.
    pub(crate) fn new() -> Self {
        let mut state: u32 = 0x9E37_79B9;
        let mut noise: Vec<u8> = Vec::with_capacity(PERIOD + PART_BYTES);
        noise.resize_with(PERIOD, || {
            // xorshift32 (Marsaglia 2003); its upper bits are the better ones.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_be_bytes()[0]
        });
        while noise.len() < PERIOD + PART_BYTES {
            let rest = (PERIOD + PART_BYTES - noise.len()).min(PERIOD);
            noise.extend_from_within(..rest);
        }
        Self { noise }
    }

    /// The bytes of the body of `object` from `offset` on: at most `most` of them, at least one of those asked for.
    pub(crate) fn part(&self, object: u64, offset: usize, most: usize) -> &[u8] {
        let start = usize::try_from(object % PERIOD as u64).unwrap_or(0);
        let from = (start + offset % PERIOD) % PERIOD;
        &self.noise[from..from + most.min(PART_BYTES)]
    }

    /// Whether `bytes` stand at `offset` in the body of `object`.
    pub(crate) fn has(&self, object: u64, mut offset: usize, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let part = self.part(object, offset, bytes.len());
            let (now, later) = bytes.split_at(part.len());
            if now != part {
                return false;
            }
            offset += now.len();
            bytes = later;
        }
        true
    }
}

/// The number of the object at `target`: FNV-1a.
pub(crate) fn object(target: &[u8]) -> u64 {
    target.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A whole body, in parts of this length.
    fn whole(bodies: &Bodies, object: u64, bytes: usize, most: usize) -> Vec<u8> {
        let mut body = Vec::new();
        while body.len() < bytes {
            let part = bodies.part(object, body.len(), most.min(bytes - body.len()));
            body.extend_from_slice(part);
        }
        body
    }

    #[test]
    fn parts_of_any_length_make_the_same_body() {
        let bodies = Bodies::new();
        let body = whole(&bodies, 7, 300_000, usize::MAX);
        assert_eq!(body.len(), 300_000);
        assert_eq!(whole(&bodies, 7, 300_000, 1000), body);
        assert!(bodies.has(7, 0, &body) && bodies.has(7, 70_001, &body[70_001..]));
    }

    #[test]
    fn a_wrong_byte_place_or_object_is_seen() {
        let bodies = Bodies::new();
        let mut body = whole(&bodies, 7, 200_000, usize::MAX);
        assert!(!bodies.has(8, 0, &body));
        assert!(!bodies.has(7, 1, &body));
        body[199_999] ^= 1;
        assert!(!bodies.has(7, 0, &body));
        assert!(bodies.has(7, 0, &body[..199_999]));
    }

    #[test]
    fn targets_have_numbers_of_their_own() {
        let numbers: Vec<u64> = (0..300)
            .map(|at| object(format!("/o/{at}").as_bytes()) % PERIOD as u64)
            .collect();
        let mut once = numbers.clone();
        once.sort_unstable();
        once.dedup();
        // Two may share a start; nearly all must not.
        assert!(once.len() > 290, "{}", once.len());
        assert_eq!(object(b""), 0xCBF2_9CE4_8422_2325);
    }
}
