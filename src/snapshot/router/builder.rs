//! From the matches of all routes to the tables of a router.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::condition::RouteMatch;
use super::finding::{Finding, find_all};
use super::host::{HostPattern, HostTable};
use super::tree::Tree;
use super::{Route, Router};

/// The most places (a route at a path of a host) that the tables of one router may have. Hosts
/// with the same routes are counted once.
pub const MAX_ENTRIES: usize = 2_000_000;

/// Collects the routes in the order of writing.
#[derive(Debug, Default)]
pub struct RouterBuilder {
    routes: Vec<Route>,
}

/// The tables would have more than [`MAX_ENTRIES`] places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// How many they would have.
    pub entries: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "hosts times paths of all routes make {} entries; at most {MAX_ENTRIES} are allowed",
            self.entries
        )
    }
}

impl std::error::Error for TooLarge {}

impl RouterBuilder {
    /// Starts without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next route in the order of writing. `index` is the caller's number for it, which
    /// lookups and findings give back.
    pub fn add(&mut self, index: u32, matches: RouteMatch) {
        self.routes.push(Route { index, matches });
    }

    /// Builds the tables, and says what is odd about the routes.
    pub fn build(self) -> Result<(Router, Vec<Finding>), TooLarge> {
        let routes = self.routes;
        let mut by_host: HashMap<Option<&HostPattern>, Vec<u32>> = HashMap::new();
        for (slot, route) in (0u32..).zip(&routes) {
            if route.matches.hosts.is_empty() {
                by_host.entry(None).or_default().push(slot);
            }
            for host in &route.matches.hosts {
                by_host.entry(Some(host)).or_default().push(slot);
            }
        }
        let mut by_slots: HashMap<Vec<u32>, Vec<Option<HostPattern>>> = HashMap::new();
        for (host, mut slots) in by_host {
            // A host that a route names twice.
            slots.dedup();
            by_slots.entry(slots).or_default().push(host.cloned());
        }
        let paths = |slot: &u32| {
            routes
                .get(*slot as usize)
                .map_or(0, |r| r.matches.paths.len())
        };
        let entries = by_slots
            .keys()
            .flatten()
            .map(|slot| paths(slot).max(1))
            .sum();
        if entries > MAX_ENTRIES {
            return Err(TooLarge { entries });
        }

        // Always in the same order, so that findings are.
        let mut by_slots: Vec<_> = by_slots.into_iter().collect();
        by_slots.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut trees: Vec<Arc<Tree>> = Vec::with_capacity(by_slots.len());
        let mut hosts = HostTable::default();
        for (slots, same) in by_slots {
            let tree = Arc::new(Tree::build(&slots, &routes));
            for host in same {
                hosts.insert(host, Arc::clone(&tree));
            }
            trees.push(tree);
        }
        let router = Router { routes, hosts };
        let findings = find_all(&router, &trees);
        Ok((router, findings))
    }
}
