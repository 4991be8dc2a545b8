//! A ring of points, as libketama builds it, with a direct index instead of a binary search.

use crate::upstream::hash::mix;

/// Most points of one ring, all members together (plus one for each member beyond).
pub(super) const MAX_POINTS: u64 = 65_536;

/// Points sorted by hash. A key belongs to the first point at or after its hash.
#[derive(Debug)]
pub(super) struct Ring {
    hashes: Box<[u64]>,
    owners: Box<[u16]>,
    /// For each value of a hash's top bits: the first point at or after it.
    starts: Box<[u32]>,
    shift: u32,
}

impl Ring {
    pub(super) fn build(names: &[u64], weights: &[u32], per_unit: u32) -> Self {
        let per_unit = u64::from(per_unit.max(1));
        let units: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        // Halving, and not an exact fit: the number of an endpoint's points must not follow
        // every change of the others, or keys would move between endpoints that stayed.
        let halvings = (0..63)
            .find(|&shift| units.saturating_mul(per_unit) >> shift <= MAX_POINTS)
            .unwrap_or(63);
        let mut points = Vec::new();
        for (index, (&name, &weight)) in names.iter().zip(weights).enumerate() {
            let count = (u64::from(weight).saturating_mul(per_unit) >> halvings).max(1);
            let point = |number: u64| (mix(name ^ mix(number + 1)), index as u16);
            points.extend((0..count).map(point));
        }
        points.sort_unstable();
        let bits = (points.len().max(2).next_power_of_two()).trailing_zeros();
        let shift = 64 - bits;
        let mut starts = Vec::with_capacity(1 << bits);
        let mut next = 0;
        for top in 0..1_u64 << bits {
            while points.get(next).is_some_and(|point| point.0 >> shift < top) {
                next += 1;
            }
            starts.push(next as u32);
        }
        Self {
            hashes: points.iter().map(|point| point.0).collect(),
            owners: points.iter().map(|point| point.1).collect(),
            starts: starts.into_boxed_slice(),
            shift,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The slot a key belongs to.
    pub(super) fn find(&self, key: u64) -> usize {
        let top = (key >> self.shift) as usize;
        let start = self.starts.get(top).map_or(0, |&start| start as usize);
        let after = self.hashes.iter().skip(start);
        let slot = start + after.take_while(|&&point| point < key).count();
        if slot >= self.len() { 0 } else { slot }
    }

    pub(super) fn owner(&self, slot: usize) -> Option<usize> {
        self.owners.get(slot).map(|&owner| usize::from(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_what_a_search_finds() {
        let names: Vec<u64> = (0..7).map(mix).collect();
        let ring = Ring::build(&names, &[1, 2, 3, 1, 1, 9, 1], 160);
        assert_eq!(ring.len(), 18 * 160);
        let exact = ring.hashes[100];
        for key in (0..20_000_u64)
            .map(mix)
            .chain([0, u64::MAX, exact, exact + 1])
        {
            let slot = ring.hashes.partition_point(|&point| point < key) % ring.len();
            assert_eq!(ring.find(key), slot);
        }
    }

    #[test]
    fn points_are_bounded_and_nobody_is_left_out() {
        let names: Vec<u64> = (0..3).map(mix).collect();
        let ring = Ring::build(&names, &[1_000_000, 1_000_000, 1], 160);
        assert!(ring.len() as u64 <= MAX_POINTS + 3);
        assert!(ring.owners.contains(&2));
        assert_eq!(Ring::build(&[], &[], 160).find(5), 0);
        assert_eq!(Ring::build(&[], &[], 160).owner(0), None);
    }
}
