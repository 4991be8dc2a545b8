//! The router: which route takes a request, and why the others did not.
//!
//! A route's match is the AND of what it gives; lists are OR. Of all routes that fit the whole
//! request one wins, compared in this order:
//!
//! 1. host: exact, then the longest wildcard, then none;
//! 2. path, segment by segment from the left: a literal, then `{name}`, then the closing `/*`, then none;
//! 3. the number of conditions (listeners, methods, each header, query and cookie field, sources);
//! 4. the order of writing.
//!
//! The order is built into the shape of the tables, so a lookup walks them from the best place to
//! the worst and takes the first route whose conditions hold: hosts by hash (`host`), a trie of
//! segments per host (`tree`), ranked candidates at each leaf (`bucket`). A lookup reads the request
//! through `Facts` only, and allocates nothing (but see [`Condition::regex`], and escaped query
//! values over 1 KiB).

mod bucket;
mod builder;
mod captures;
mod condition;
mod explain;
mod field;
mod finding;
mod host;
mod path;
mod split;
mod tree;

#[cfg(test)]
mod tests;

pub use builder::{MAX_ENTRIES, RouterBuilder, TooLarge};
pub use captures::Captures;
pub use condition::{Cidr, Condition, ConsumerMatch, FieldCondition, RouteMatch};
pub use explain::{Candidate, Level, Outcome, Why};
pub use field::MAX_VALUES;
pub use finding::{Finding, MAX_VISITS};
pub use host::{HostError, HostPattern};
pub use path::{MAX_CAPTURES, MAX_SEGMENTS, PathError, PathPattern};
pub use split::{Choice, MAX_SIDES, SideId, Split, SplitError};

use farmgate_plugin_api::Facts;

use bucket::{Ranked, Search};
use host::HostTable;

/// All routes of one snapshot, immutable and shared by every worker.
#[derive(Debug, Default)]
pub struct Router {
    /// In the order of writing; a slot is a place in here.
    routes: Vec<Route>,
    hosts: HostTable,
}

/// One route as it was added.
#[derive(Debug)]
struct Route {
    /// The caller's number for it.
    index: u32,
    matches: RouteMatch,
}

impl Router {
    /// The route that takes the request, as the number it was added under. `captures` then holds
    /// what its path pattern captured, and is empty when there is no route or no pattern.
    pub fn find<F: Facts + ?Sized>(&self, facts: &F, captures: &mut Captures) -> Option<u32> {
        captures.clear();
        let mut search = Search::new(&self.routes, facts);
        let won = self.hosts.first(&mut search)?;
        if won.captures {
            let paths = self.route(won.slot).map(|route| &route.matches.paths);
            if let Some(pattern) = paths.and_then(|paths| paths.get(won.pattern as usize)) {
                captures.fill(pattern, facts.path());
            }
        }
        Some(won.index)
    }

    /// How many places of the tables a lookup of this request looks at: the deterministic measure
    /// of its cost (segments, hosts and candidates).
    pub fn visits<F: Facts + ?Sized>(&self, facts: &F) -> u32 {
        let mut search = Search::new(&self.routes, facts);
        let _won: Option<&Ranked> = self.hosts.first(&mut search);
        search.visits()
    }

    /// The most trie nodes that any request can make a lookup visit: a property of the routes
    /// alone, so a client cannot raise it. See [`Finding::Costly`].
    pub fn worst_visits(&self) -> u64 {
        self.hosts.worst_visits()
    }

    /// Number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// True when there is no route at all.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    fn route(&self, slot: u32) -> Option<&Route> {
        self.routes.get(slot as usize)
    }
}
