//! The trie of path segments for one host.
//!
//! Every node is reached over one way only, so a lookup visits a node at most once, whatever the
//! path. At a node the ways are tried from the most specific to the least: the literal child, the
//! `{name}` child, the routes that close here with `/*`.

use std::collections::HashMap;

use farmgate_plugin_api::Facts;
use foldhash::fast::RandomState;

use super::Route;
use super::bucket::{Bucket, Ranked, Search};
use super::path::{PathPattern, Segment};

/// Up to here the children of a node are searched in a sorted list; more are hashed.
const FEW: usize = 8;

/// All routes of one host.
#[derive(Debug, Default)]
pub(super) struct Tree {
    root: Node,
    /// Routes without paths.
    any: Bucket,
    worst_visits: u64,
}

/// What may follow after the segments so far.
#[derive(Debug, Default)]
struct Node {
    /// The literal child of an empty segment (a closing slash). It stands by itself because
    /// comparing nothing with nothing may be slow: the masked load of some `memcmp`s faults on
    /// the address that stands for an empty text, and is repaired at a hundred times its cost.
    empty: Option<Box<Node>>,
    literals: Literals,
    name: Option<Box<Node>>,
    /// Routes whose path ends here.
    end: Bucket,
    /// Routes that close with `/*` here.
    open: Bucket,
}

#[derive(Debug)]
enum Literals {
    Few(Vec<(Box<str>, Node)>),
    Many(HashMap<Box<str>, Node, RandomState>),
}

impl Default for Literals {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

/// A node while the tree grows.
#[derive(Default)]
struct Sprout {
    literals: HashMap<Box<str>, Sprout>,
    name: Option<Box<Sprout>>,
    end: Vec<(u32, u32)>,
    open: Vec<(u32, u32)>,
}

impl Tree {
    /// Builds the tree of the routes in these slots.
    pub(super) fn build(slots: &[u32], routes: &[Route]) -> Self {
        let mut root = Sprout::default();
        let mut any = Vec::new();
        for &slot in slots {
            let paths = routes
                .get(slot as usize)
                .map(|route| route.matches.paths.as_slice());
            let paths = paths.unwrap_or_default();
            if paths.is_empty() {
                any.push((slot, u32::MAX));
            }
            for (pattern, path) in (0u32..).zip(paths) {
                root.insert(path, (slot, pattern));
            }
        }
        let root = root.grow(routes);
        let worst_visits = root.worst_visits();
        Self {
            root,
            any: Bucket::build(any, routes),
            worst_visits,
        }
    }

    /// The first route that fits, from the most specific path to the routes without paths.
    pub(super) fn first<'t, F: Facts + ?Sized>(
        &'t self,
        search: &mut Search<'_, F>,
    ) -> Option<&'t Ranked> {
        let path = search.facts().path().strip_prefix('/');
        let won = path.and_then(|path| self.root.first(Some(path), search));
        won.or_else(|| self.any.first(search))
    }

    /// The most nodes that one path can make a lookup visit.
    pub(super) fn worst_visits(&self) -> u64 {
        self.worst_visits
    }

    /// All places where routes stand.
    pub(super) fn buckets(&self) -> Vec<&Bucket> {
        let mut buckets = vec![&self.any];
        self.root.collect(&mut buckets);
        buckets
    }
}

impl Node {
    /// `left` is the path after the slash that follows the segments so far; none at its end.
    fn first<'t, F: Facts + ?Sized>(
        &'t self,
        left: Option<&str>,
        search: &mut Search<'_, F>,
    ) -> Option<&'t Ranked> {
        search.visit();
        let Some(left) = left else {
            return self.end.first(search).or_else(|| self.open.first(search));
        };
        let (segment, left) = match memchr::memchr(b'/', left.as_bytes()) {
            Some(at) => (left.get(..at)?, left.get(at + 1..)),
            None => (left, None),
        };
        let (literal, name) = if segment.is_empty() {
            (self.empty.as_deref(), None)
        } else {
            (self.literals.get(segment), self.name.as_deref())
        };
        for node in literal.into_iter().chain(name) {
            if let Some(won) = node.first(left, search) {
                return Some(won);
            }
        }
        self.open.first(search)
    }

    /// A segment leads to one literal child at most, and to the named one: so this is exact for
    /// the longest of all ways, not a sum over them.
    fn worst_visits(&self) -> u64 {
        let literal = self.literals.nodes().map(Self::worst_visits).max();
        let name = self.name.as_ref().map(|node| node.worst_visits());
        let empty = self.empty.as_ref().map(|node| node.worst_visits());
        let named = literal.unwrap_or(0).saturating_add(name.unwrap_or(0));
        1u64.saturating_add(named.max(empty.unwrap_or(0)))
    }

    fn collect<'t>(&'t self, buckets: &mut Vec<&'t Bucket>) {
        buckets.extend([&self.end, &self.open]);
        let children = self.empty.iter().chain(&self.name).map(|node| &**node);
        for node in children.chain(self.literals.nodes()) {
            node.collect(buckets);
        }
    }
}

impl Literals {
    fn get(&self, segment: &str) -> Option<&Node> {
        match self {
            Self::Few(list) => list
                .iter()
                .find(|(text, _)| **text == *segment)
                .map(|(_, node)| node),
            Self::Many(map) => map.get(segment),
        }
    }

    fn nodes(&self) -> Box<dyn Iterator<Item = &Node> + '_> {
        match self {
            Self::Few(list) => Box::new(list.iter().map(|(_, node)| node)),
            Self::Many(map) => Box::new(map.values()),
        }
    }
}

impl Sprout {
    fn insert(&mut self, path: &PathPattern, candidate: (u32, u32)) {
        let mut at = self;
        for segment in path.segments() {
            at = match segment {
                Segment::Literal(text) => at.literals.entry(text.clone()).or_default(),
                Segment::Name => at.name.get_or_insert_default(),
            };
        }
        if path.is_open() {
            &mut at.open
        } else {
            &mut at.end
        }
        .push(candidate);
    }

    fn grow(mut self, routes: &[Route]) -> Node {
        let empty = self.literals.remove("");
        let children = self
            .literals
            .into_iter()
            .map(|(text, child)| (text, child.grow(routes)));
        let literals = if children.len() <= FEW {
            Literals::Few(children.collect())
        } else {
            Literals::Many(children.collect())
        };
        Node {
            empty: empty.map(|child| Box::new(child.grow(routes))),
            literals,
            name: self.name.map(|child| Box::new(child.grow(routes))),
            end: Bucket::build(self.end, routes),
            open: Bucket::build(self.open, routes),
        }
    }
}
