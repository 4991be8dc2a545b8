//! One index over memory and disk.
//!
//! An [`slab::Entry`] of 40 bytes per object, in pages that grow one by one, found by chains of 4 bytes per bucket;
//! with the ghosts of S3-FIFO at most 48 bytes an object. The two queues of the memory tier run through the entries.
//! An object on disk and in memory has one entry; so a disk's place can never outlive a newer object in memory.

mod ghost;
mod queue;
pub(crate) mod slab;
pub(crate) mod table;

#[cfg(test)]
mod tests;

/// What the memory tier needs to know of an object.
pub(crate) trait Resident {
    /// Bytes it takes, counted by its queue.
    fn charge(&self) -> usize;
}

impl<H: crate::Head> Resident for crate::object::Object<H> {
    fn charge(&self) -> usize {
        crate::object::Object::charge(self)
    }
}

/// Where an object lies on disk; 0 means nowhere. What its bits mean, the disk tier knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place(u64);

impl Place {
    /// On no disk.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}
