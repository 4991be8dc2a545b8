//! Power of two choices: draw two members by weight, let the policy compare them.
//!
//! Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001). Drawing by
//! weight gives idle endpoints their shares; comparing by load does the rest. Unequal weights are
//! drawn in constant time with an alias table (Vose 1991).

use super::random::{Wyrand, below};
use super::{Choice, generator};
use crate::upstream::set::Member;

/// Least and most blind draws before all members are read.
const DRAWS: std::ops::RangeInclusive<usize> = 8..=64;

/// A draw reads a member far away, reading all goes in order: as many draws are worth a try.
const MEMBERS_PER_DRAW: usize = 16;

/// The least while a member warms up: then most draws may fail without anything being wrong.
const MIN_WARM_DRAWS: usize = 32;

/// One column of the alias table: itself below `limit`, else `other`.
#[derive(Clone, Copy, Debug)]
struct Column {
    limit: u32,
    other: u32,
}

/// How members are drawn.
#[derive(Debug)]
pub(super) struct TwoChoices {
    /// Empty when all weights are equal.
    alias: Box<[Column]>,
}

impl TwoChoices {
    pub(super) fn build(members: &[Member]) -> Self {
        let weights: Vec<u32> = members.iter().map(|member| member.weight).collect();
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        Self {
            alias: if equal {
                Box::default()
            } else {
                alias_table(&weights)
            },
        }
    }

    /// Chooses between two allowed members. `second_wins(choice, first, second)` says if the second
    /// is better; a tie stays with the first, which keeps the shares by weight.
    pub(super) fn choose(
        &self,
        choice: &Choice<'_>,
        second_wins: impl Fn(&Choice<'_>, &Member, &Member) -> bool,
    ) -> Option<usize> {
        let members = choice.members;
        let mut random = generator(choice.pick);
        let better = |first: usize, second: usize| match (members.get(first), members.get(second)) {
            (Some(a), Some(b)) if second_wins(choice, a, b) => second,
            _ => first,
        };
        if members.len() == 2 {
            let first = if choice.ramp.is_some() {
                // The draw by weight as it is now, which the alias table does not know.
                choice.draw(random.next_u64(), None)?.min(1)
            } else {
                self.sample(2, &mut random).min(1)
            };
            let second = 1 - first;
            return match (choice.allowed(first), choice.allowed(second)) {
                (Some(_), Some(_)) => Some(better(first, second)),
                (Some(_), None) => Some(first),
                (None, Some(_)) => Some(second),
                (None, None) => None,
            };
        }
        let mut first = None;
        let mut repeats = 0;
        let least = match choice.ramp {
            Some(_) => MIN_WARM_DRAWS,
            None => *DRAWS.start(),
        };
        let draws = (members.len() / MEMBERS_PER_DRAW).clamp(least, *DRAWS.end());
        for _ in 0..draws {
            let drawn = self.sample_other(members.len(), first, &mut random);
            match first {
                // A heavy endpoint meets itself: as if two machines stood behind it.
                Some(one) if drawn == one => {
                    repeats += 1;
                    if repeats == 2 {
                        return first;
                    }
                }
                _ if choice.accepted(drawn, &mut random).is_none() => {}
                Some(one) => return Some(better(one, drawn)),
                None => first = Some(drawn),
            }
        }
        let first = first.or_else(|| choice.draw(random.next_u64(), None))?;
        match choice.draw(random.next_u64(), Some(first)) {
            Some(second) => Some(better(first, second)),
            None => Some(first),
        }
    }

    /// A member drawn by weight.
    fn sample(&self, len: usize, random: &mut Wyrand) -> usize {
        let bits = random.next_u64();
        if self.alias.is_empty() {
            return below(bits, len as u64) as usize;
        }
        // High bits choose the column; the low ones are independent enough to choose inside.
        let column = below(bits, self.alias.len() as u64) as usize;
        match self.alias.get(column) {
            Some(slot) if bits as u32 >= slot.limit => slot.other as usize,
            _ => column,
        }
    }

    /// As `sample`; with equal weights never `first` again.
    fn sample_other(&self, len: usize, first: Option<usize>, random: &mut Wyrand) -> usize {
        match first {
            Some(first) if self.alias.is_empty() => {
                let step = 1 + below(random.next_u64(), len as u64 - 1) as usize;
                let index = first + step;
                if index >= len { index - len } else { index }
            }
            _ => self.sample(len, random),
        }
    }
}

/// Vose's construction in whole numbers: a weight times `len` is shared out in units of the sum.
fn alias_table(weights: &[u32]) -> Box<[Column]> {
    let len = weights.len() as u128;
    let total: u128 = weights.iter().map(|&weight| u128::from(weight)).sum();
    let mut parts: Vec<u128> = weights
        .iter()
        .map(|&weight| u128::from(weight) * len)
        .collect();
    let full = Column {
        limit: u32::MAX,
        other: 0,
    };
    let mut columns = vec![full; weights.len()];
    for (index, column) in columns.iter_mut().enumerate() {
        column.other = index as u32;
    }
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..parts.len()).partition(|&index| parts[index] < total);
    while let (Some(little), Some(&big)) = (small.pop(), large.last()) {
        columns[little] = Column {
            limit: (parts[little] * u128::from(u32::MAX) / total) as u32,
            other: big as u32,
        };
        parts[big] -= total - parts[little];
        if parts[big] < total {
            large.pop();
            small.push(big);
        }
    }
    columns.into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alias_table_gives_every_member_its_share() {
        for weights in [
            vec![1, 3],
            vec![5, 1, 1],
            vec![1, 1_000_000, 3, 77],
            vec![1, 2, 3, 4, 5],
        ] {
            let table = TwoChoices {
                alias: alias_table(&weights),
            };
            let total: u32 = weights.iter().sum();
            let mut counts = vec![0_u32; weights.len()];
            let mut random = Wyrand::new(7);
            for _ in 0..200_000 {
                counts[table.sample(weights.len(), &mut random)] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let (got, want) = (
                    f64::from(*count) / 200_000.0,
                    f64::from(*weight) / f64::from(total),
                );
                assert!((got - want).abs() < 0.005, "{weights:?} {counts:?}");
            }
        }
    }
}
