//! The Maglev table: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
//! Balancer" (NSDI 2016), section 3.4, with weights as in Envoy.

use crate::upstream::hash::mix;

/// Slots of the table, a prime.
pub(super) const SLOTS: u64 = 65_537;

const FREE: u16 = u16::MAX;

/// The owner of every slot.
#[derive(Debug)]
pub(super) struct Maglev {
    owners: Box<[u16]>,
}

/// A member's own order of the slots.
struct Permutation {
    next: u64,
    skip: u64,
    /// Rounds times weight at which this member takes its next slot. From 0, so that in the
    /// first round everybody gets one.
    due: u64,
}

impl Maglev {
    pub(super) fn build(names: &[u64], weights: &[u32]) -> Self {
        let largest = weights.iter().copied().max().unwrap_or(0);
        if largest == 0 {
            return Self {
                owners: Box::default(),
            };
        }
        let mut orders: Vec<Permutation> = names
            .iter()
            .map(|&name| Permutation {
                next: mix(name ^ 0x9e37_79b9_7f4a_7c15) % SLOTS,
                skip: mix(name ^ 0xc2b2_ae3d_27d4_eb4f) % (SLOTS - 1) + 1,
                due: 0,
            })
            .collect();
        let mut owners = vec![FREE; SLOTS as usize];
        let mut left = SLOTS;
        let mut round = 0;
        while left > 0 {
            round += 1;
            for (index, (order, &weight)) in orders.iter_mut().zip(weights).enumerate() {
                if round * u64::from(weight) < order.due || left == 0 {
                    continue;
                }
                order.due += u64::from(largest);
                while owners[order.next as usize] != FREE {
                    order.next = (order.next + order.skip) % SLOTS;
                }
                owners[order.next as usize] = index as u16;
                left -= 1;
            }
        }
        Self {
            owners: owners.into_boxed_slice(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.owners.len()
    }

    /// The slot a key belongs to.
    pub(super) fn find(&self, key: u64) -> usize {
        (key % SLOTS) as usize
    }

    pub(super) fn owner(&self, slot: usize) -> Option<usize> {
        self.owners.get(slot).map(|&owner| usize::from(owner))
    }
}
