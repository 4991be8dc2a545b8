//! Where a record lies, in the 64 bits that the index keeps.
//!
//! | bits | what |
//! |---|---|
//! | 60..64 | disk |
//! | 59 | a record that changes the head of another one |
//! | 38..59 | the low 21 bits of the segment's number |
//! | 16..38 | where it begins, in units of 16 bytes |
//! | 0..16 | its length, in units of 4 KiB, rounded up; 65,535 means at least that |

use crate::index::Place;

/// What records are aligned to.
pub(crate) const ALIGN: u64 = 16;
/// Disks of a store.
pub(crate) const MOST_DISKS: usize = 16;
/// Segments of a disk at once, so that the low bits of a number name one.
pub(crate) const MOST_SEGMENTS: u64 = 1 << 20;
const SEGMENT_MASK: u64 = (1 << 21) - 1;
const OFFSET_MASK: u64 = (1 << 22) - 1;
const LEN_UNIT: u64 = 4096;

/// A place, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) disk: u8,
    pub(crate) meta: bool,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Bytes to read at once.
    pub(crate) len: u64,
}

impl Spot {
    pub(crate) fn place(&self) -> Place {
        let len = self.len.div_ceil(LEN_UNIT).min(0xffff);
        Place::from_bits(
            u64::from(self.disk) << 60
                | u64::from(self.meta) << 59
                | (self.segment & SEGMENT_MASK) << 38
                | ((self.offset / ALIGN) & OFFSET_MASK) << 16
                | len,
        )
    }

    /// `newest` is the number of the newest segment: the one meant is the latest not after it with these low bits.
    pub(crate) fn of(place: Place, newest: u64) -> Self {
        let bits = place.bits();
        let back = newest.wrapping_sub(bits >> 38) & SEGMENT_MASK;
        Self {
            disk: (bits >> 60) as u8,
            meta: bits >> 59 & 1 == 1,
            segment: newest.wrapping_sub(back),
            offset: (bits >> 16 & OFFSET_MASK) * ALIGN,
            len: (bits & 0xffff) * LEN_UNIT,
        }
    }

    pub(crate) fn disk_of(place: Place) -> usize {
        (place.bits() >> 60) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_what_was_put_in() {
        for (segment, newest) in [
            (1, 1),
            (5, 900),
            (SEGMENT_MASK, SEGMENT_MASK + 7),
            (3 << 21, (3 << 21) + 4),
        ] {
            let spot = Spot {
                disk: 15,
                meta: true,
                segment,
                offset: (64 << 20) - 16,
                len: 8192,
            };
            assert_eq!(Spot::of(spot.place(), newest), spot);
        }
        let long = Spot {
            disk: 0,
            meta: false,
            segment: 1,
            offset: 64,
            len: 1 << 40,
        };
        assert_eq!(Spot::of(long.place(), 1).len, 0xffff * LEN_UNIT);
    }
}
