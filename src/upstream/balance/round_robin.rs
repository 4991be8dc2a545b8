//! Smooth weighted round robin: the order of nginx's `ngx_http_upstream_round_robin`, computed
//! once and walked with one atomic addition.
//!
//! nginx changes every endpoint's current weight under a lock on each choice. Its choices repeat
//! after sum(weights) steps, so the sequence is stored and all threads walk it with one cursor.
//! A slot whose endpoint may not be chosen is used up, so that the others keep their order and
//! their shares.
//!
//! A retry takes no turn: it begins at a slot drawn at random. Else the retries of an endpoint that
//! fails would bring its next turn nearer, and it would meet more requests than its share: of two
//! endpoints all instead of half of them, of three half instead of a third.

use super::random::Wyrand;
use super::{Choice, generator};
use crate::upstream::set::Member;

/// Longest stored sequence. Weights that need more are scaled down to it; each endpoint keeps at
/// least one slot. With more endpoints than slots the sequence has one slot for each.
pub const MAX_SLOTS: usize = 4096;

/// Slots taken before the choice becomes a weighted draw among what is allowed.
const MAX_STEPS: usize = 64;

/// The stored sequence: indexes of members.
#[derive(Debug)]
pub struct RoundRobin {
    sequence: Box<[u16]>,
}

impl RoundRobin {
    pub(super) fn build(members: &[Member]) -> Self {
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        Self {
            sequence: smooth_sequence(&weights),
        }
    }

    pub(super) fn pick(&self, choice: &Choice<'_>) -> Option<usize> {
        if self.sequence.is_empty() {
            return None;
        }
        let mut random = generator(choice.pick);
        if let Some(index) = self.step(choice, &mut random) {
            return Some(index);
        }
        if !choice.any_allowed() {
            return None;
        }
        (1..MAX_STEPS)
            .find_map(|_| self.step(choice, &mut random))
            .or_else(|| choice.draw(random.next_u64(), None))
    }

    /// Takes the next slot, or any for a retry; `None` if its endpoint may not be chosen, or warms up and has no luck.
    fn step(&self, choice: &Choice<'_>, random: &mut Wyrand) -> Option<usize> {
        let turn = match choice.pick.tried.is_empty() {
            true => choice.cursor.next(),
            false => random.next_u64(),
        };
        let slot = turn % self.sequence.len() as u64;
        let index = usize::from(*self.sequence.get(slot as usize)?);
        choice.accepted(index, random).map(|_| index)
    }
}

/// The order in which nginx would choose, over one whole period.
fn smooth_sequence(weights: &[u32]) -> Box<[u16]> {
    let weights = slots_per_member(weights);
    let total: i64 = weights.iter().sum();
    if weights.iter().all(|&weight| weight == 1) {
        return (0..weights.len()).map(|index| index as u16).collect();
    }
    let mut current = vec![0_i64; weights.len()];
    let mut sequence = Vec::with_capacity(total as usize);
    for _ in 0..total {
        let mut best = 0;
        for (index, weight) in weights.iter().enumerate() {
            current[index] += weight;
            if current[index] > current[best] {
                best = index;
            }
        }
        current[best] -= total;
        sequence.push(best as u16);
    }
    sequence.into_boxed_slice()
}

/// Weights over their greatest common divisor, scaled down if the sequence would be too long.
fn slots_per_member(weights: &[u32]) -> Vec<i64> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    if total / u64::from(divisor) <= MAX_SLOTS as u64 {
        return weights
            .iter()
            .map(|&weight| i64::from(weight / divisor))
            .collect();
    }
    // Rounded down and at least one, so the sum stays within MAX_SLOTS + members.
    let scaled = |&weight: &u32| (u64::from(weight) * MAX_SLOTS as u64 / total).max(1) as i64;
    weights.iter().map(scaled).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(weights: &[u32]) -> String {
        let letter = |&index: &u16| char::from(b'a' + index as u8);
        smooth_sequence(weights).iter().map(letter).collect()
    }

    #[test]
    fn the_order_is_nginx_s() {
        assert_eq!(letters(&[5, 1, 1]), "aabacaa");
        assert_eq!(letters(&[4, 2, 3]), "acbacabca");
        assert_eq!(letters(&[1, 1, 1]), "abc");
        assert_eq!(letters(&[500, 100, 100]), "aabacaa");
        assert_eq!(letters(&[7, 7]), "ab");
        assert_eq!(letters(&[]), "");
    }

    #[test]
    fn large_weights_are_scaled_and_keep_their_shares() {
        let sequence = smooth_sequence(&[1_000_000, 333_333, 1]);
        assert!(sequence.len() <= MAX_SLOTS + 3);
        let count = |member| sequence.iter().filter(|&&index| index == member).count();
        let share = count(0) as f64 / sequence.len() as f64;
        assert!((share - 0.75).abs() < 0.001, "{share}");
        assert_eq!(count(2), 1);
    }
}
