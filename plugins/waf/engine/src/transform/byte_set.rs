//! A set of byte values.

/// Which byte values occur: 256 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// No byte.
    pub const EMPTY: Self = Self([0; 4]);

    /// The bytes of a string.
    pub fn of(bytes: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        for &byte in bytes {
            set.insert(byte);
        }
        set
    }

    /// The bytes from `first` to `last`, both counted.
    #[must_use]
    pub const fn range(first: u8, last: u8) -> Self {
        let mut set = [0u64; 4];
        let mut byte = first as usize;
        while byte <= last as usize {
            set[byte >> 6] |= 1 << (byte & 63);
            byte += 1;
        }
        Self(set)
    }

    /// These bytes, in a constant.
    #[must_use]
    pub const fn from_bytes(bytes: &[u8]) -> Self {
        let mut set = [0u64; 4];
        let mut at = 0;
        while at < bytes.len() {
            set[(bytes[at] >> 6) as usize] |= 1 << (bytes[at] & 63);
            at += 1;
        }
        Self(set)
    }

    /// Adds one.
    #[inline]
    pub fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    /// True if it is in the set.
    #[inline]
    pub const fn contains(&self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    /// True if the sets have a byte in common.
    #[inline]
    pub const fn meets(&self, other: &Self) -> bool {
        (self.0[0] & other.0[0])
            | (self.0[1] & other.0[1])
            | (self.0[2] & other.0[2])
            | (self.0[3] & other.0[3])
            != 0
    }

    /// True if it has a byte that the other set has not.
    #[inline]
    pub const fn leaves(&self, other: &Self) -> bool {
        (self.0[0] & !other.0[0])
            | (self.0[1] & !other.0[1])
            | (self.0[2] & !other.0[2])
            | (self.0[3] & !other.0[3])
            != 0
    }

    /// The bytes that both sets have, in order.
    pub fn common(&self, other: &Self) -> impl Iterator<Item = u8> {
        let words = [
            self.0[0] & other.0[0],
            self.0[1] & other.0[1],
            self.0[2] & other.0[2],
            self.0[3] & other.0[3],
        ];
        words
            .into_iter()
            .zip([0u8, 64, 128, 192])
            .flat_map(|(mut word, base)| {
                std::iter::from_fn(move || {
                    let bit = u8::try_from(word.trailing_zeros())
                        .ok()
                        .filter(|bit| *bit < 64)?;
                    word &= word - 1;
                    Some(base + bit)
                })
            })
    }

    /// What is in either of them.
    #[must_use]
    pub const fn union(&self, other: &Self) -> Self {
        Self([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSet;

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = ByteSet::of(b"a%\0\xff");
        for byte in 0..=255u8 {
            assert_eq!(set.contains(byte), b"a%\0\xff".contains(&byte), "{byte}");
        }
        assert!(set.meets(&ByteSet::range(0x80, 0xff)));
        assert!(!set.meets(&ByteSet::range(b'b', b'z')));
        assert_eq!(
            set.common(&ByteSet::range(b'a', 0xff)).collect::<Vec<_>>(),
            b"a\xff"
        );
        assert!(set.leaves(&ByteSet::of(b"a%\0")) && !set.leaves(&ByteSet::range(0, 0xff)));
        assert_eq!(
            ByteSet::from_bytes(b"a%").union(&ByteSet::of(b"\0\xff")),
            set
        );
    }
}
