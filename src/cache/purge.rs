//! Purges as stamps: "everything of this scope that was asked for before this moment is gone (or stale)".
//!
//! A purge writes one stamp, however many objects it concerns. A hit compares the stamps of its scopes with the moment
//! its fill began: not when it was stored, so a purge that came during the fill wins. The largest stamp of each kind
//! counts, so stamps can be applied twice, in any order, and on many nodes.
//!
//! The table of stamps lives in the store; this module says which scopes a response has and what stamps mean.

use http::header::{HeaderMap, HeaderName};

use super::clock::Now;
use super::control::trim_ows;
use super::key::query::write as write_query;
use super::key::{Hasher, KeyView, QueryRules};
use super::meta::Meta;

/// Segments of a path that a prefix purge can tell apart. A deeper prefix stands for its ancestor of this depth: a
/// purge takes too much rather than too little.
pub const MOST_PREFIXES: usize = 16;

/// Tags of one response; further ones are not kept, and the response is not stored (see [`tags`]).
pub const MOST_TAGS: usize = 128;

/// The longest tag, bytes.
pub const LONGEST_TAG: usize = 1024;

/// What a purge concerns. Routes and sides of an upstream are not told apart: a URL is gone wherever it was cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Every object.
    All,
    /// One host, with its port unless it is the scheme's own; of every scheme.
    Host(u64),
    /// All paths of a host that begin so; of every scheme.
    Prefix(u64),
    /// One URL with every variant.
    Url(u64),
    /// All responses that carry a tag; over all hosts.
    Tag(u64),
}

impl Scope {
    /// A host.
    pub fn host(host: &str) -> Self {
        Self::Host(short(b'h', &[host.as_bytes()]))
    }

    /// A prefix of paths: `/static/` and everything below. It ends with a segment: a missing `/` at the end is added,
    /// so `/a` is `/a/` and does not concern `/ab`.
    pub fn prefix(host: &str, path: &str) -> Self {
        let depth = prefixes(path).count();
        let whole = match path.ends_with('/') || depth == MOST_PREFIXES {
            true => prefixes(path).last().unwrap_or("/").to_owned(),
            false => format!("{path}/"),
        };
        Self::Prefix(prefix_hash(host, &whole))
    }

    /// A URL: normalised, and with the query as its route's policy counts it.
    pub fn url(
        scheme: &str,
        host: &str,
        path: &str,
        query: Option<&str>,
        rules: &QueryRules,
    ) -> Self {
        let mut counted = Vec::new();
        let query = query.filter(|query| write_query(query, rules, &mut counted));
        Self::Url(url_hash(
            scheme,
            host,
            path,
            query.map(|_| counted.as_slice()),
        ))
    }

    /// A tag; letter case counts.
    pub fn tag(tag: &[u8]) -> Self {
        Self::Tag(short(b't', &[tag]))
    }
}

/// The scopes a stored response belongs to, hashed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its URL.
    pub url: u64,
    /// Its host.
    pub host: u64,
    /// Its path's prefixes, at most [`MOST_PREFIXES`].
    pub prefixes: Vec<u64>,
    /// Its tags, at most [`MOST_TAGS`].
    pub tags: Vec<u64>,
}

impl Marks {
    /// The marks of a response stored under a key, with its tags.
    pub fn of(key: &KeyView<'_>, tags: Vec<u64>) -> Self {
        let Scope::Host(host) = Scope::host(key.host) else {
            return Self::default();
        };
        Self {
            url: url_hash(key.scheme, key.host, key.path, key.query.map(str::as_bytes)),
            host,
            prefixes: prefixes(key.path)
                .map(|prefix| prefix_hash(key.host, prefix))
                .collect(),
            tags,
        }
    }

    /// Every scope a purge may name this response by.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        [Scope::All, Scope::Host(self.host), Scope::Url(self.url)]
            .into_iter()
            .chain(self.prefixes.iter().copied().map(Scope::Prefix))
            .chain(self.tags.iter().copied().map(Scope::Tag))
    }
}

/// `/`, `/a/`, `/a/b/` of `/a/b/c`: up to the last slash.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(at, _)| path.get(..=at))
        .take(MOST_PREFIXES)
}

fn prefix_hash(host: &str, prefix: &str) -> u64 {
    short(b'p', &[host.as_bytes(), prefix.as_bytes()])
}

fn url_hash(scheme: &str, host: &str, path: &str, query: Option<&[u8]>) -> u64 {
    let parts = [scheme.as_bytes(), host.as_bytes(), path.as_bytes()];
    match query {
        None => short(b'u', &parts),
        Some(query) => {
            let [scheme, host, path] = parts;
            short(b'q', &[scheme, host, path, query])
        }
    }
}

fn short(purpose: u8, parts: &[&[u8]]) -> u64 {
    let mut hasher = Hasher::new(purpose);
    for part in parts {
        hasher.part(part);
    }
    hasher.finish_short()
}

/// The tags of a response, hashed, from the fields the policy names; none when there are more than can be kept: such
/// a response could not be purged by all of them, so it is not stored.
///
/// Fields of lists (`Cache-Tag`) are cut at commas, `Surrogate-Key` and `xkey` at spaces too, as their senders do.
pub fn tags(fields: &HeaderMap, names: &[HeaderName]) -> Option<Vec<u64>> {
    let mut found: Vec<u64> = Vec::new();
    for name in names {
        let spaced = matches!(name.as_str(), "surrogate-key" | "xkey");
        for line in fields.get_all(name) {
            let cut = |byte: &u8| *byte == b',' || (spaced && matches!(byte, b' ' | b'\t'));
            for tag in line.as_bytes().split(cut).map(trim_ows) {
                if tag.is_empty() {
                    continue;
                }
                let Scope::Tag(hash) = Scope::tag(tag) else {
                    continue;
                };
                if tag.len() > LONGEST_TAG || found.len() == MOST_TAGS {
                    return None;
                }
                if !found.contains(&hash) {
                    found.push(hash);
                }
            }
        }
    }
    Some(found)
}

/// What a purge leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurgeKind {
    /// A stale object: it may be confirmed by the origin, or stand in for its errors.
    Soft,
    /// Nothing.
    Hard,
}

/// The stamps of one scope: of each kind the latest. Ms of the cache's timeline; 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The latest soft purge.
    pub soft_ms: u64,
    /// The latest hard purge.
    pub hard_ms: u64,
}

impl Stamps {
    /// Joins two readings: the same in any order, any number of times.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            soft_ms: self.soft_ms.max(other.soft_ms),
            hard_ms: self.hard_ms.max(other.hard_ms),
        }
    }

    /// With one purge more.
    #[must_use]
    pub fn purged(self, kind: PurgeKind, at_ms: u64) -> Self {
        self.join(match kind {
            PurgeKind::Soft => Self {
                soft_ms: at_ms,
                hard_ms: 0,
            },
            PurgeKind::Hard => Self {
                soft_ms: 0,
                hard_ms: at_ms,
            },
        })
    }

    /// What is left of an object whose fill began at `fill_start_ms`. A purge at the same millisecond counts.
    pub fn verdict(self, fill_start_ms: u64) -> Purged {
        // 0 is no purge, even for an object of no known start.
        let hits = |at_ms: u64| at_ms > 0 && at_ms >= fill_start_ms;
        if hits(self.hard_ms) {
            Purged::Gone
        } else if hits(self.soft_ms) {
            Purged::Stale {
                since_ms: self.soft_ms,
            }
        } else {
            Purged::No
        }
    }
}

/// What purges left of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purged {
    /// It was not purged.
    #[default]
    No,
    /// It is stale since then, however fresh its origin called it.
    Stale {
        /// Ms of the cache's timeline.
        since_ms: u64,
    },
    /// It is as if it were not stored.
    Gone,
}

/// Asks `stamps` for every scope of a stored response.
pub fn judge(meta: &Meta, stamps: &mut dyn FnMut(Scope) -> Option<Stamps>) -> Purged {
    meta.marks
        .scopes()
        .filter_map(stamps)
        .fold(Stamps::default(), Stamps::join)
        .verdict(meta.fill_start_ms)
}

/// The moment to stamp a purge with, so that it covers every fill that began until now: the clock may read the same
/// millisecond again afterwards, and such a fill is purged too.
pub fn stamp_ms(now: Now) -> u64 {
    now.cache_ms.max(1)
}

#[cfg(test)]
mod tests;
