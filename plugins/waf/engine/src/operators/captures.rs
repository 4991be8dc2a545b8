//! What an operator found: TX:0 to TX:9.

/// How many byte strings are kept.
pub const CAPTURES: usize = 10;

/// Up to ten byte strings, by number. Buffers are used again, so a value that lives as long as its
/// worker allocates only for the longest strings it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    slots: [Vec<u8>; CAPTURES],
    /// Bit n: slot n is set.
    set: u16,
}

impl Captures {
    /// One of them; None when it is not set.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let slot = self.slots.get(index)?;
        (self.set & (1 << index) != 0).then_some(slot.as_slice())
    }

    /// Sets one; beyond the last nothing happens.
    pub fn set(&mut self, index: usize, value: &[u8]) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.clear();
            slot.extend_from_slice(value);
            self.set |= 1 << index;
        }
    }

    /// Forgets all of them, and keeps their buffers.
    pub fn clear(&mut self) {
        self.set = 0;
    }

    /// True when none is set.
    pub fn is_empty(&self) -> bool {
        self.set == 0
    }

    /// Those that are set, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &[u8])> {
        (0..CAPTURES).filter_map(|index| Some((index, self.get(index)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_are_kept_and_forgotten() {
        let mut captures = Captures::default();
        assert!(captures.is_empty());
        captures.set(0, b"a");
        captures.set(9, b"");
        captures.set(10, b"lost");
        assert_eq!(captures.get(0), Some(b"a".as_slice()));
        assert_eq!(captures.get(1), None);
        assert_eq!(captures.get(9), Some(b"".as_slice()));
        assert_eq!(captures.get(10), None);
        assert_eq!(captures.iter().count(), 2);
        captures.clear();
        assert!(captures.is_empty());
        assert_eq!(captures.get(0), None);
    }
}
