//! Stamps: the order of fills and purges.

/// A moment in the order of fills and purges of one store: the number of the start of the process (24 bits) and a
/// counter (40 bits). Later stamps are greater, over restarts too, and no wall clock is asked: a clock that is set
/// back cannot let a purge miss what was fetched before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(u64);

/// Bits of the counter within one start.
const COUNTER_BITS: u32 = 40;
/// Starts that can be told apart; one per second lasts half a year, and then the store begins anew.
pub(crate) const MOST_BOOTS: u32 = (1 << (64 - COUNTER_BITS)) - 1;

impl Stamp {
    /// Before everything.
    pub const ZERO: Self = Self(0);

    /// The first of a start of the process.
    pub(crate) fn first_of(boot: u32) -> Self {
        Self(u64::from(boot.min(MOST_BOOTS)) << COUNTER_BITS)
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As a number: what identifies an object's generation.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Which start of the process it is from.
    #[must_use]
    pub fn boot(self) -> u32 {
        // 24 bits remain.
        (self.0 >> COUNTER_BITS) as u32
    }
}
