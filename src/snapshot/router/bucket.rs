//! The routes that end at one place of a tree, in the order in which they win.

use std::collections::HashMap;

use farmgate_plugin_api::Facts;
use foldhash::fast::FixedState;
use http::header::HeaderName;

use super::Route;
use super::condition::{Condition, RouteMatch};
use super::field::Field;

/// Up to here a list is walked from the front; longer ones are looked up by a field's value.
const SHORT: usize = 8;

/// The most fields that one bucket looks up.
const MAX_INDEXES: usize = 8;

/// One route at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranked {
    /// The place in the bucket: the lowest that fits wins.
    pub(super) rank: u32,
    /// The place in the order of writing.
    pub(super) slot: u32,
    /// Which of the route's paths stands here; `u32::MAX` for a route without paths.
    pub(super) pattern: u32,
    /// The caller's number of the route. It and the next two stand here so that a plain route is
    /// taken without a look at the route itself.
    pub(super) index: u32,
    /// The route has conditions to test.
    conditional: bool,
    /// The path captures something.
    pub(super) captures: bool,
}

/// A lookup under way.
pub(super) struct Search<'s, F: ?Sized> {
    routes: &'s [Route],
    facts: &'s F,
    visits: u32,
}

impl<'s, F: Facts + ?Sized> Search<'s, F> {
    pub(super) fn new(routes: &'s [Route], facts: &'s F) -> Self {
        Self {
            routes,
            facts,
            visits: 0,
        }
    }

    pub(super) fn facts(&self) -> &'s F {
        self.facts
    }

    pub(super) fn visit(&mut self) {
        self.visits = self.visits.saturating_add(1);
    }

    pub(super) fn visits(&self) -> u32 {
        self.visits
    }

    fn fits(&mut self, ranked: &Ranked) -> bool {
        self.visit();
        if !ranked.conditional {
            return true;
        }
        let route = self.routes.get(ranked.slot as usize);
        route.is_some_and(|route| route.matches.miss(self.facts).is_none())
    }
}

/// The candidates of one place. Those that ask for an exact value are found by that value, so a
/// thousand routes that differ by a tenant's header cost as much as one.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    indexes: Vec<Index>,
    /// What no index holds, by rank.
    rest: Vec<Ranked>,
}

/// Candidates by the exact value of one field.
#[derive(Debug)]
struct Index {
    field: OwnedField,
    /// Each list by rank. A fixed seed, so that findings come out the same each time.
    values: HashMap<Box<[u8]>, Vec<Ranked>, FixedState>,
}

#[derive(Debug)]
enum OwnedField {
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
}

impl OwnedField {
    fn new(field: Field<'_>) -> Self {
        match field {
            Field::Header(name) => Self::Header(name.clone()),
            Field::Query(name) => Self::Query(name.into()),
            Field::Cookie(name) => Self::Cookie(name.into()),
        }
    }

    fn get(&self) -> Field<'_> {
        match self {
            Self::Header(name) => Field::Header(name),
            Self::Query(name) => Field::Query(name),
            Self::Cookie(name) => Field::Cookie(name),
        }
    }
}

impl Bucket {
    /// Ranks the candidates, given as slot and pattern, and builds the indexes.
    pub(super) fn build(mut candidates: Vec<(u32, u32)>, routes: &[Route]) -> Self {
        let matches = |slot: u32| routes.get(slot as usize).map(|route| &route.matches);
        candidates.sort_by_key(|(slot, pattern)| {
            let conditions = matches(*slot).map_or(0, RouteMatch::conditions);
            (std::cmp::Reverse(conditions), *slot, *pattern)
        });
        // Two patterns of one route at one place differ in names only; the first one written counts.
        candidates.dedup_by_key(|(slot, _)| *slot);
        let ranked = (0u32..)
            .zip(candidates)
            .filter_map(|(rank, (slot, pattern))| {
                let route = routes.get(slot as usize)?;
                let path = route.matches.paths.get(pattern as usize);
                Some(Ranked {
                    rank,
                    slot,
                    pattern,
                    index: route.index,
                    conditional: route.matches.conditions() > 0,
                    captures: path.is_some_and(|path| path.names().is_some()),
                })
            });
        let ranked: Vec<Ranked> = ranked.collect();
        if ranked.len() <= SHORT {
            return Self {
                indexes: Vec::new(),
                rest: ranked,
            };
        }
        let mut uses: HashMap<(Field<'_>, &str), usize> = HashMap::new();
        for pair in ranked
            .iter()
            .filter_map(|r| matches(r.slot))
            .flat_map(exact_fields)
        {
            *uses.entry(pair).or_default() += 1;
        }
        let mut by_field: HashMap<Field<'_>, Vec<(&str, Ranked)>> = HashMap::new();
        let mut rest = Vec::new();
        for one in ranked {
            let pairs = matches(one.slot).into_iter().flat_map(exact_fields);
            // The rarest value tells most.
            match pairs.min_by_key(|pair| (uses.get(pair).copied(), pair.0.key())) {
                Some((field, value)) => by_field.entry(field).or_default().push((value, one)),
                None => rest.push(one),
            }
        }
        let mut by_field: Vec<_> = by_field.into_iter().collect();
        by_field.sort_by_key(|(field, list)| (std::cmp::Reverse(list.len()), field.key()));
        for (_, list) in by_field.split_off(by_field.len().min(MAX_INDEXES)) {
            rest.extend(list.into_iter().map(|(_, one)| one));
        }
        rest.sort_by_key(|one| one.rank);
        let indexes = by_field
            .into_iter()
            .map(|(field, list)| Index::build(field, list));
        Self {
            indexes: indexes.collect(),
            rest,
        }
    }

    /// The best candidate whose conditions hold.
    pub(super) fn first<'t, F: Facts + ?Sized>(
        &'t self,
        search: &mut Search<'_, F>,
    ) -> Option<&'t Ranked> {
        let mut best = None;
        for index in &self.indexes {
            index.field.get().any(search.facts(), |value| {
                search.visit();
                if let Some(list) = value.with_bytes(|bytes| index.values.get(bytes)) {
                    best = better(best, list, search);
                }
                false
            });
        }
        better(best, &self.rest, search)
    }

    /// All candidates.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Ranked> {
        let indexed = self.indexes.iter().flat_map(|index| index.values.values());
        indexed.flatten().chain(&self.rest)
    }

    /// All candidates but those whose exact values certainly exclude `route`.
    pub(super) fn peers<'b>(&'b self, route: &'b RouteMatch) -> impl Iterator<Item = &'b Ranked> {
        let indexed = self.indexes.iter().flat_map(move |index| {
            let field = index.field.get();
            let mine = exact_fields(route).find(|(other, _)| *other == field);
            let one = mine.and_then(|(_, value)| index.values.get(value.as_bytes()));
            let all = mine.is_none().then(|| index.values.values());
            one.into_iter().chain(all.into_iter().flatten()).flatten()
        });
        indexed.chain(&self.rest)
    }
}

impl Index {
    /// `list` is sorted by rank.
    fn build(field: Field<'_>, list: Vec<(&str, Ranked)>) -> Self {
        let mut values: HashMap<Box<[u8]>, Vec<Ranked>, FixedState> = HashMap::default();
        for (value, one) in list {
            values.entry(value.as_bytes().into()).or_default().push(one);
        }
        Self {
            field: OwnedField::new(field),
            values,
        }
    }
}

/// The exact values that a route asks for.
fn exact_fields(matches: &RouteMatch) -> impl Iterator<Item = (Field<'_>, &str)> {
    matches
        .fields()
        .filter_map(|(field, condition)| match condition {
            Condition::Exact(value) => Some((field, value.as_str())),
            Condition::Regex(_) | Condition::Present => None,
        })
}

/// The best so far, or the first of the list that beats it and fits.
fn better<'t, F: Facts + ?Sized>(
    best: Option<&'t Ranked>,
    list: &'t [Ranked],
    search: &mut Search<'_, F>,
) -> Option<&'t Ranked> {
    let limit = best.map_or(u32::MAX, |best| best.rank);
    let mut ahead = list.iter().take_while(|one| one.rank < limit);
    ahead.find(|one| search.fits(one)).or(best)
}
