//! The memory of what was evicted unused: who comes back soon belongs to the main queue.

/// Marks of 16 bits in a table without chains: a newer ghost takes the place of an older one, so that the table
/// forgets by itself. One in 65,535 lookups is mistaken, which costs one place in the main queue.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    marks: Box<[u16]>,
}

impl Ghosts {
    /// `len` is a power of two.
    pub(super) fn new(len: usize) -> Self {
        Self {
            marks: vec![0; len].into(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.marks.len() * size_of::<u16>()
    }

    fn mark(&mut self, hash: u64) -> Option<(&mut u16, u16)> {
        // Not the bits that choose the bucket, and other ones for the mark than for its place.
        let at = (hash >> 20) as usize & self.marks.len().checked_sub(1)?;
        let mark = ((hash >> 48) as u16).max(1);
        Some((self.marks.get_mut(at)?, mark))
    }

    pub(super) fn remember(&mut self, hash: u64) {
        if let Some((place, mark)) = self.mark(hash) {
            *place = mark;
        }
    }

    /// Whether `hash` is remembered; it is not any more.
    pub(super) fn take(&mut self, hash: u64) -> bool {
        match self.mark(hash) {
            Some((place, mark)) if *place == mark => {
                *place = 0;
                true
            }
            _ => false,
        }
    }
}
