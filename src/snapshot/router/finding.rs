//! What is odd about a set of routes: routes that can never win, and routes that only the order
//! of writing tells apart. Both are said only when they are certain.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::bucket::{Bucket, Ranked};
use super::tree::Tree;
use super::{Route, Router};

/// A set of routes that can make a lookup visit more trie nodes than this is reported.
pub const MAX_VISITS: u64 = 1024;

/// How many others each route is compared with at one place; beyond that nothing is certain.
const MAX_PEERS: usize = 512;

/// Something that `check` reports. Routes are the numbers they were added under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `route` can never win: wherever it stands, one of `by` fits too and comes first.
    Unreachable {
        /// The useless one.
        route: u32,
        /// Those that take its requests, each once.
        by: Vec<u32>,
    },
    /// Some request may fit both, and nothing but the order of writing decides. Said once per
    /// `later`, with one such `earlier`. Two routes that ask for different exact values of
    /// one field are not reported, although a client could send both values.
    SameRank {
        /// Wins.
        earlier: u32,
        /// Loses.
        later: u32,
    },
    /// A request can make a lookup visit this many nodes, more than [`MAX_VISITS`]: many routes
    /// have literals and `{name}` at the same places, in all combinations.
    Costly {
        /// See [`Router::worst_visits`].
        visits: u64,
    },
}

/// What was seen of one route over all its places.
#[derive(Clone, Default)]
struct Seen {
    /// Some place where nothing covers it.
    free: bool,
    /// Slots, so that they come out in the order of writing.
    covered_by: BTreeSet<u32>,
    /// The slot of the first route of the same rank.
    same: Option<u32>,
}

/// Looks at every place of every tree.
pub(super) fn find_all(router: &Router, trees: &[Arc<Tree>]) -> Vec<Finding> {
    let mut seen = vec![Seen::default(); router.routes.len()];
    for bucket in trees.iter().flat_map(|tree| tree.buckets()) {
        for one in bucket.iter() {
            let route = router.route(one.slot);
            if let (Some(route), Some(seen)) = (route, seen.get_mut(one.slot as usize)) {
                look(router, bucket, one, route, seen);
            }
        }
    }
    let index = |slot: u32| router.route(slot).map_or(slot, |route| route.index);
    let mut findings = Vec::new();
    for (route, seen) in router.routes.iter().zip(&seen) {
        if !seen.free && !seen.covered_by.is_empty() {
            let by = seen.covered_by.iter().map(|slot| index(*slot)).collect();
            findings.push(Finding::Unreachable {
                route: route.index,
                by,
            });
        } else if let Some(earlier) = seen.same {
            findings.push(Finding::SameRank {
                earlier: index(earlier),
                later: route.index,
            });
        }
    }
    let visits = router.worst_visits();
    if visits > MAX_VISITS {
        findings.push(Finding::Costly { visits });
    }
    findings
}

/// Compares one route with the others at the same place. Routes of other places never matter: a
/// pattern is covered by a more specific one nowhere (there is always a host or a path that only
/// the wider one takes), and less specific ones lose.
fn look(router: &Router, bucket: &Bucket, one: &Ranked, route: &Route, seen: &mut Seen) {
    let conditions = route.matches.conditions();
    let mut cover = None;
    for peer in bucket.peers(&route.matches).take(MAX_PEERS) {
        if peer.rank >= one.rank {
            continue;
        }
        let Some(other) = router.route(peer.slot) else {
            continue;
        };
        let covers = other.matches.covers(&route.matches);
        if other.matches.conditions() == conditions
            && seen.same.is_none_or(|slot| peer.slot < slot)
            && (covers || !other.matches.excludes(&route.matches))
        {
            seen.same = Some(peer.slot);
        }
        if covers {
            cover = Some(peer.slot);
            break;
        }
    }
    match cover {
        None => seen.free = true,
        Some(slot) => {
            seen.covered_by.insert(slot);
        }
    }
}
