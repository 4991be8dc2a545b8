//! Cheap random numbers for balancing and jitter. Not for secrets.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// Wang Yi's wyrand: one addition and one 64x64 to 128 bit multiplication a number.
#[derive(Clone, Copy, Debug)]
pub struct Wyrand(u64);

impl Wyrand {
    /// A generator that starts at `seed`; the same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, all 64 bits random.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let wide = (self.0 as u128) * ((self.0 ^ 0xe703_7ed1_a0b4_28db) as u128);
        (wide >> 64) as u64 ^ wide as u64
    }
}

/// A number in `0..bound` from 64 random bits (Lemire's multiply-shift); 0 if `bound` is 0.
pub const fn below(random: u64, bound: u64) -> u64 {
    (((random as u128) * (bound as u128)) >> 64) as u64
}

thread_local! {
    static THREAD: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
}

/// The next number of this thread's generator.
pub fn next_u64() -> u64 {
    THREAD.with(|cell| {
        let mut generator = Wyrand(cell.get());
        let number = generator.next_u64();
        cell.set(generator.0);
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_the_bound_and_cover_it() {
        let mut generator = Wyrand::new(1);
        let mut counts = [0_u32; 5];
        for _ in 0..50_000 {
            counts[below(generator.next_u64(), 5) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&n| (9_500..10_500).contains(&n)),
            "{counts:?}"
        );
        assert_eq!(below(u64::MAX, 0), 0);
    }

    #[test]
    fn threads_differ() {
        let here = next_u64();
        let there = std::thread::spawn(next_u64).join().unwrap();
        assert_ne!(here, there);
    }
}
