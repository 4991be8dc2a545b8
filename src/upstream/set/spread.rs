//! How requests spread over priorities and zones, and when health is ignored. Pure arithmetic.
//!
//! **Priorities** as in Envoy ("Priority levels", "Panic threshold"): a tier's health is 1.4 times
//! its available share of weight, at most 1. The first tier takes its health, the next one what
//! is left as far as its health reaches, and so on; when all together reach less than 1, each
//! takes its part of the sum. So a tier of ten endpoints may lose two before its backup gets
//! anything.
//!
//! **Panic**, too: only when the tiers together reach less than 1, and then in each tier whose
//! available share is under the threshold: better some requests to endpoints that are thought to
//! be down than all of them to the few that are left, which would go down as well. Two shares are
//! told apart here: a drained endpoint is capacity that is missing, so requests spill over; but
//! nobody judged it, so it does not bring panic about.
//!
//! **Zones**: Envoy's zone-aware routing without its knowledge of the other nodes: the own zone
//! takes 1.4 times its available share, at most 1, and all others the rest. In panic both are
//! used by weight, as if there were no zones.

/// A share of all requests is written in parts of this.
pub(super) const WHOLE: u64 = 1 << 32;

/// Weights of the members of one tier, or of one zone of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Of all.
    pub(super) total: u64,
    /// Of those that are not drained.
    pub(super) judged: u64,
    /// Of those that are available and not drained.
    pub(super) available: u64,
}

impl Count {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            judged: self.judged.saturating_add(other.judged),
            available: self.available.saturating_add(other.available),
        }
    }

    /// What it can take of all requests: 1.4 times the available share, at most [`WHOLE`].
    fn health(self) -> u64 {
        part(
            self.available.saturating_mul(7),
            self.total.saturating_mul(5),
        )
    }

    fn is_short(self, threshold: f32) -> bool {
        (self.available as f64) < f64::from(threshold) * self.judged as f64
    }
}

/// What one tier gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// The end of its part of `0..WHOLE`; it begins where the part of the tier before ends.
    pub(super) until: u64,
    /// Health is ignored in it.
    pub(super) panic: bool,
}

/// `some / all` in parts of [`WHOLE`], at most that.
fn part(some: u64, all: u64) -> u64 {
    if some >= all {
        return if all == 0 { 0 } else { WHOLE };
    }
    (u128::from(some) * u128::from(WHOLE) / u128::from(all)) as u64
}

/// Spreads all requests over tiers, given in ascending priority. The last `until` is [`WHOLE`]
/// unless there is no tier.
pub(super) fn over_tiers(counts: &[Count], panic_threshold: f32) -> Vec<Share> {
    let healths: Vec<u64> = counts.iter().map(|count| count.health()).collect();
    let sum = healths
        .iter()
        .fold(0_u64, |sum, &one| sum.saturating_add(one));
    let mut shares = vec![Share::default(); counts.len()];
    let last = match sum {
        // Nothing is available: the first tier that may be chosen at all takes everything.
        0 => counts
            .iter()
            .position(|count| count.judged > 0)
            .unwrap_or(0),
        _ => healths.iter().rposition(|&health| health > 0).unwrap_or(0),
    };
    let mut until = 0_u64;
    for (number, (share, (count, &health))) in shares
        .iter_mut()
        .zip(counts.iter().zip(&healths))
        .enumerate()
    {
        let before = until;
        let scaled = if sum >= WHOLE {
            health
        } else {
            part(health, sum)
        };
        until = until.saturating_add(scaled).min(WHOLE);
        // The last one takes what rounding left.
        if number >= last {
            until = WHOLE;
        }
        let is_used = until > before;
        *share = Share {
            until,
            panic: sum < WHOLE && is_used && count.is_short(panic_threshold),
        };
    }
    shares
}

/// The own zone's part of its tier's requests, out of [`WHOLE`].
pub(super) fn of_own_zone(own: Count, away: Count, panic: bool) -> u64 {
    if panic {
        return part(own.judged, own.judged.saturating_add(away.judged));
    }
    match (own.available, away.available) {
        (0, _) => 0,
        (_, 0) => WHOLE,
        _ => own.health(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn up(available: u64, total: u64) -> Count {
        Count {
            total,
            judged: total,
            available,
        }
    }

    fn percents(counts: &[Count], threshold: f32) -> Vec<(u64, bool)> {
        let mut before = 0;
        let one = |share: &Share| {
            let percent = ((share.until - before) * 100 + WHOLE / 2) / WHOLE;
            before = share.until;
            (percent, share.panic)
        };
        over_tiers(counts, threshold).iter().map(one).collect()
    }

    /// The tables of Envoy's documentation, "Priority levels" and "Panic threshold".
    #[test]
    fn tiers_spill_over_as_in_envoy() {
        let full = up(100, 100);
        let table = [
            ([100, 100, 100], [100, 0, 0]),
            ([72, 72, 100], [100, 0, 0]),
            ([71, 71, 100], [99, 1, 0]),
            ([50, 50, 100], [70, 30, 0]),
            ([25, 100, 100], [35, 65, 0]),
            ([25, 25, 100], [35, 35, 30]),
            ([25, 25, 20], [36, 36, 29]),
            ([0, 0, 100], [0, 0, 100]),
        ];
        for (available, expected) in table {
            let counts = available.map(|one| up(one, full.total));
            let got: Vec<u64> = percents(&counts, 0.0).iter().map(|one| one.0).collect();
            assert_eq!(got, expected, "{available:?}");
        }
    }

    #[test]
    fn panic_is_for_tiers_that_are_short_when_all_are() {
        let of = |available: [u64; 2]| percents(&available.map(|one| up(one, 100)), 0.5);
        assert_eq!(of([72, 0]), [(100, false), (0, false)]);
        assert_eq!(of([5, 65]), [(7, true), (93, false)], "98 % together");
        assert_eq!(of([5, 70]), [(7, false), (93, false)], "enough together");
        assert_eq!(of([25, 25]), [(50, true), (50, true)]);
        assert_eq!(of([0, 30]), [(0, false), (100, true)]);
        assert_eq!(of([0, 0]), [(100, true), (0, false)]);
        assert_eq!(percents(&[up(49, 100)], 0.5), [(100, true)]);
        assert_eq!(percents(&[up(50, 100)], 0.5), [(100, false)]);
        assert_eq!(percents(&[up(0, 100)], 0.0), [(100, false)]);
        assert!(over_tiers(&[], 0.5).is_empty());
    }

    #[test]
    fn a_drain_spills_over_and_does_not_bring_panic() {
        let drained = Count {
            total: 100,
            judged: 40,
            available: 40,
        };
        assert_eq!(percents(&[drained], 0.5), [(100, false)]);
        assert_eq!(
            percents(&[drained, up(100, 100)], 0.5),
            [(56, false), (44, false)]
        );
        // A tier that is drained whole is none that could panic.
        let gone = Count {
            total: 100,
            ..Count::default()
        };
        assert_eq!(
            percents(&[gone, up(0, 100)], 0.5),
            [(0, false), (100, true)]
        );
    }

    #[test]
    fn the_own_zone_takes_what_it_can() {
        let of = |own, away| (of_own_zone(own, away, false) * 100 + WHOLE / 2) / WHOLE;
        assert_eq!(of(up(10, 10), up(20, 20)), 100);
        assert_eq!(of(up(8, 10), up(20, 20)), 100);
        assert_eq!(of(up(5, 10), up(1, 20)), 70);
        assert_eq!(of(up(0, 10), up(20, 20)), 0);
        assert_eq!(of(up(1, 10), up(0, 20)), 100);
        assert_eq!(of_own_zone(up(0, 10), up(2, 30), true), WHOLE / 4);
    }

    prop_compose! {
        fn count()(total in 1_u64..=4_096_000_000, drained in 0.0..=1.0_f64, down in 0.0..=1.0_f64)
            -> Count {
            let judged = (total as f64 * drained) as u64;
            Count { total, judged, available: (judged as f64 * down) as u64 }
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_whole(
            counts in proptest::collection::vec(count(), 1..6),
            threshold in 0.0..=1.0_f32,
        ) {
            let shares = over_tiers(&counts, threshold);
            let mut before = 0;
            for (share, count) in shares.iter().zip(&counts) {
                prop_assert!(share.until >= before);
                let anything = counts.iter().any(|count| count.available > 0);
                if share.until > before && anything && count.available == 0 {
                    // One part in four billion may be rounded to a tier's neighbour, no more.
                    prop_assert!(share.until - before <= counts.len() as u64);
                }
                before = share.until;
            }
            prop_assert_eq!(before, WHOLE);
            let own = of_own_zone(counts[0], *counts.last().unwrap(), shares[0].panic);
            prop_assert!(own <= WHOLE);
        }

        #[test]
        fn a_healthy_first_tier_takes_all_and_a_loss_never_brings_more(
            counts in proptest::collection::vec(count(), 2..5),
            lost in 0.0..=1.0_f64,
        ) {
            let mut counts = counts;
            counts[0] = up(counts[0].total, counts[0].total);
            prop_assert_eq!(over_tiers(&counts, 0.5)[0].until, WHOLE);
            counts[1] = up(counts[1].total, counts[1].total);
            let first = |available: u64, counts: &mut [Count]| {
                counts[0].available = available;
                over_tiers(counts, 0.5)[0].until
            };
            let some = (counts[0].total as f64 * lost) as u64;
            let (more, less) = (first(some, &mut counts), first(some / 2, &mut counts));
            prop_assert!(less <= more);
        }
    }
}
