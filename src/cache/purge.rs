//! What purges select by: the names of a stored response, and the scopes that name them.
//!
//! A purge is a mark on a scope in the store (`farmgate_store::purge`), compared with the start of an object's fill on
//! each hit. Here is what both sides agree on: how a URL, a host, a prefix and a tag become numbers. Hashes have 64
//! bits: a collision purges too much, never too little.

use farmgate_store::purge::Scope;
use http::header::{HeaderMap, HeaderName};

use super::control::trim_ows;
use super::key::query::write as write_query;
use super::key::{Hasher, KeyView, QueryRules};

/// Tags of one response; further ones are not kept, and the response is not stored (see [`tags`]).
pub const MOST_TAGS: usize = 128;

/// The longest tag, bytes.
pub const LONGEST_TAG: usize = 1024;

/// One host, with its port unless it is the scheme's own; of every scheme.
pub fn host(host: &str) -> Scope {
    Scope::Host(host_mark(host))
}

/// All paths of a host that begin so; of every scheme. A prefix ends with a segment: a missing `/` at the end is added,
/// so `/a` is `/a/` and does not concern `/ab`.
pub fn prefix(host: &str, path: &str) -> Scope {
    let slash = if path.ends_with('/') { "" } else { "/" };
    Scope::prefix(host_mark(host), format!("{path}{slash}").as_bytes())
}

/// One URL with every variant, on all routes and sides: normalised, and with the query as its route's policy counts it.
pub fn url(scheme: &str, host: &str, path: &str, query: Option<&str>, rules: &QueryRules) -> Scope {
    let mut counted = Vec::new();
    let query = query.filter(|query| write_query(query, rules, &mut counted));
    let query = query.map(|_| counted.as_slice());
    Scope::Url(url_mark(scheme, host, path, query))
}

/// All responses that carry a tag, over all hosts; letter case counts.
pub fn tag(tag: &[u8]) -> Scope {
    Scope::Tag(tag_mark(tag))
}

/// The names a purge may select a stored response by, besides its path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Its URL.
    pub url: u64,
    /// Its host.
    pub host: u64,
    /// Its tags, at most [`MOST_TAGS`].
    pub tags: Vec<u64>,
}

impl Marks {
    /// The marks of a response stored under a key, with its tags.
    pub fn of(key: &KeyView<'_>, tags: Vec<u64>) -> Self {
        Self {
            url: url_mark(key.scheme, key.host, key.path, key.query.map(str::as_bytes)),
            host: host_mark(key.host),
            tags,
        }
    }
}

fn host_mark(host: &str) -> u64 {
    mark(b'h', &[host.as_bytes()])
}

fn tag_mark(tag: &[u8]) -> u64 {
    mark(b't', &[tag])
}

fn url_mark(scheme: &str, host: &str, path: &str, query: Option<&[u8]>) -> u64 {
    let parts = [scheme.as_bytes(), host.as_bytes(), path.as_bytes()];
    match query {
        None => mark(b'u', &parts),
        Some(query) => {
            let [scheme, host, path] = parts;
            mark(b'q', &[scheme, host, path, query])
        }
    }
}

fn mark(purpose: u8, parts: &[&[u8]]) -> u64 {
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
                let hash = tag_mark(tag);
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

/// What purges left of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purged {
    /// It was not purged, or so that the store does not give it any more.
    #[default]
    No,
    /// It is stale since then, however fresh its origin called it.
    Stale {
        /// Ms of the cache's timeline.
        since_ms: u64,
    },
}

#[cfg(test)]
mod tests;
