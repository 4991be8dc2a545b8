//! SRV records (RFC 2782) as endpoints with priorities and weights. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::super::source::Found;
use crate::upstream::endpoint::MAX_WEIGHT;

/// One SRV record and the addresses of its target.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// Lower is first; any of 65,536.
    pub(super) priority: u16,
    /// Share within one priority, for the target as a whole.
    pub(super) weight: u16,
    /// The same at every address.
    pub(super) port: u16,
    /// Of the target; without one the record gives no endpoint.
    pub(super) addresses: Vec<IpAddr>,
}

/// Endpoints by priority, then address.
///
/// Priorities become their rank: 0 for the lowest number in use, so that a zone may count 10, 20, 30. A weight is the
/// target's: a target with two addresses gets as much as one with one, so weights are scaled where the numbers of
/// addresses differ. When all weights of a priority are 0, all are 1: RFC 2782 means "no choice to make" by that.
/// A weight of 0 beside others stays 0. An address that comes twice has the better priority, and the sum of its
/// weights there.
pub(super) fn endpoints(services: &[Service]) -> Vec<Found> {
    let used = || services.iter().filter(|one| !one.addresses.is_empty());
    let priorities: BTreeSet<u16> = used().map(|one| one.priority).collect();
    let mut taken = BTreeMap::new();
    for (rank, priority) in priorities.into_iter().enumerate() {
        let rank = u8::try_from(rank).unwrap_or(u8::MAX);
        for (address, weight) in shares(used().filter(|one| one.priority == priority)) {
            taken.entry(address).or_insert(Found {
                priority: rank,
                address,
                weight,
                zone: None,
            });
        }
    }
    let mut found: Vec<Found> = taken.into_values().collect();
    found.sort_unstable();
    found
}

/// The weights of the addresses of one priority.
fn shares<'a>(tier: impl Iterator<Item = &'a Service>) -> BTreeMap<SocketAddr, u32> {
    let mut targets: Vec<(u64, BTreeSet<SocketAddr>)> = tier
        .map(|one| (u64::from(one.weight), addresses(one)))
        .collect();
    if targets.iter().all(|(weight, _)| *weight == 0) {
        for (weight, _) in &mut targets {
            *weight = 1;
        }
    }
    let scale = scale(&targets);
    let mut weights: BTreeMap<SocketAddr, u64> = BTreeMap::new();
    for (weight, addresses) in targets {
        // Rounding must not silence an endpoint that has a share.
        let share = weight * scale / (addresses.len() as u64).max(1);
        let share = share.max(weight.min(1));
        for address in addresses {
            *weights.entry(address).or_default() += share;
        }
    }
    let bounded = |weight| u32::try_from(weight).map_or(MAX_WEIGHT, |w: u32| w.min(MAX_WEIGHT));
    let each = weights.into_iter();
    each.map(|(address, weight)| (address, bounded(weight)))
        .collect()
}

/// Each once.
fn addresses(service: &Service) -> BTreeSet<SocketAddr> {
    let each = service.addresses.iter();
    each.map(|ip| SocketAddr::new(*ip, service.port)).collect()
}

/// What weights are multiplied by so that each can be divided by its number of addresses: their least common
/// multiple, as far as the greatest weight allows.
fn scale(targets: &[(u64, BTreeSet<SocketAddr>)]) -> u64 {
    let greatest = targets.iter().map(|(weight, _)| *weight).max();
    let most = u64::from(MAX_WEIGHT) / greatest.unwrap_or(1).max(1);
    let mut scale = 1;
    for (_, addresses) in targets {
        let count = (addresses.len() as u64).max(1);
        scale = scale / greatest_common_divisor(scale, count) * count;
        if scale > most {
            return most;
        }
    }
    scale
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(priority: u16, weight: u16, addresses: &[&str]) -> Service {
        let each = addresses.iter();
        Service {
            priority,
            weight,
            port: 80,
            addresses: each.map(|text| text.parse().unwrap()).collect(),
        }
    }

    fn told(services: &[Service]) -> Vec<(u8, String, u32)> {
        let each = endpoints(services).into_iter();
        each.map(|one| (one.priority, one.address.ip().to_string(), one.weight))
            .collect()
    }

    fn line(priority: u8, address: &str, weight: u32) -> (u8, String, u32) {
        (priority, address.into(), weight)
    }

    #[test]
    fn priorities_become_ranks_and_weights_stay() {
        let told = told(&[
            service(30, 1, &["10.0.0.3"]),
            service(10, 60, &["10.0.0.1"]),
            service(10, 20, &["10.0.0.2"]),
            service(20, 7, &[]),
        ]);
        let expected = [
            line(0, "10.0.0.1", 60),
            line(0, "10.0.0.2", 20),
            line(1, "10.0.0.3", 1),
        ];
        assert_eq!(
            told, expected,
            "a priority without an address takes no rank"
        );
    }

    #[test]
    fn zero_is_one_when_all_of_a_priority_are_zero() {
        let told = told(&[
            service(1, 0, &["10.0.0.1"]),
            service(1, 0, &["10.0.0.2"]),
            service(2, 0, &["10.0.0.3"]),
            service(2, 5, &["10.0.0.4"]),
        ]);
        let weights: Vec<u32> = told.iter().map(|(_, _, weight)| *weight).collect();
        assert_eq!(weights, [1, 1, 0, 5]);
    }

    #[test]
    fn a_target_has_its_weight_however_many_addresses_it_has() {
        let told = told(&[
            service(1, 1, &["10.0.0.1", "2001:db8::1"]),
            service(1, 1, &["10.0.0.2"]),
            service(1, 2, &["10.0.0.3", "10.0.0.4", "10.0.0.5"]),
        ]);
        let expected = [
            line(0, "10.0.0.1", 3),
            line(0, "10.0.0.2", 6),
            line(0, "10.0.0.3", 4),
            line(0, "10.0.0.4", 4),
            line(0, "10.0.0.5", 4),
            line(0, "2001:db8::1", 3),
        ];
        assert_eq!(told, expected);
        let even = [service(1, 9, &["10.0.0.1", "10.0.0.2"])];
        let weights: Vec<u32> = endpoints(&even).iter().map(|one| one.weight).collect();
        assert_eq!(weights, [9, 9], "the same number everywhere scales nothing");
    }

    #[test]
    fn great_weights_and_odd_counts_stay_in_range_and_nobody_is_silenced() {
        let many: Vec<String> = (0..97).map(|n| format!("10.1.0.{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let others: Vec<String> = (0..89).map(|n| format!("10.2.0.{n}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        let told = endpoints(&[
            service(1, 65535, &many),
            service(1, 65535, &["10.0.0.1"]),
            service(1, 1, &others),
        ]);
        assert_eq!(told.len(), 97 + 1 + 89);
        assert!(
            told.iter()
                .all(|one| (1..=MAX_WEIGHT).contains(&one.weight))
        );
    }

    #[test]
    fn an_address_that_comes_twice_is_one_endpoint() {
        let told = told(&[
            service(2, 9, &["10.0.0.1"]),
            service(1, 3, &["10.0.0.1", "10.0.0.1"]),
            service(1, 4, &["10.0.0.1"]),
        ]);
        assert_eq!(told, [line(0, "10.0.0.1", 7)]);
    }

    #[test]
    fn more_priorities_than_ranks_share_the_last() {
        let services: Vec<Service> = (0..300)
            .map(|n| service(n, 1, &[&format!("10.0.{}.{}", n / 250, n % 250)]))
            .collect();
        let told = endpoints(&services);
        assert_eq!(told.len(), 300);
        assert_eq!(told.last().map(|one| one.priority), Some(u8::MAX));
    }
}
