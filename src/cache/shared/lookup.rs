//! Looking up: the key, then the variant of the request.

use http::HeaderMap;

use super::{Hit, Place, SharedCache};
use crate::cache::key::Key;
use crate::cache::meta::Meta;
use crate::cache::purge::Purged;
use crate::cache::serve::Forward;
use crate::cache::vary::VaryRules;

/// What a lookup came to.
pub struct Lookup {
    /// Where it looked last: what a fetch for this request is about, as far as is known.
    pub place: Place,
    /// What is there, or what is missing.
    pub found: Result<Found, Forward>,
}

/// A stored response of the key and variant of a request.
#[derive(Debug)]
pub struct Found {
    /// It.
    pub hit: Hit,
    /// The store's key of it.
    pub key: farmgate_store::Key,
}

impl Found {
    /// What the rules know of it.
    pub fn meta(&self) -> &Meta {
        &self.hit.head().meta
    }

    /// What purges left of it.
    pub fn purged(&self) -> Purged {
        match self.hit.soft() {
            None => Purged::No,
            Some(soft) => Purged::Stale {
                since_ms: soft.since_ms,
            },
        }
    }
}

impl SharedCache {
    /// Looks for the response to a request: `fields` are the client's. Waits for a disk at most.
    pub async fn lookup(&self, key: &Key, fields: &HeaderMap, rules: &VaryRules) -> Lookup {
        let root = Place::root(key.hash);
        let missing = |place, why| Lookup {
            place,
            found: Err(why),
        };
        let Some(first) = self.at(&root).await else {
            return missing(root, Forward::UriMiss);
        };
        // Two texts of one hash: nobody can make them on purpose, and one is never taken for the other.
        if first.hit.head().key.text != key.text {
            return missing(root, Forward::Miss);
        }
        let Some(variants) = &first.hit.head().variants else {
            return Lookup {
                place: root,
                found: Ok(first),
            };
        };
        let variance = first.meta().vary.variance(fields, rules);
        let place = Place {
            primary: key.hash,
            variant: Some(variants.place(&variance)),
        };
        match self.at(&place).await {
            Some(found) if found.hit.head().key.text == key.text => Lookup {
                place,
                found: Ok(found),
            },
            Some(_) => missing(place, Forward::Miss),
            None => missing(place, Forward::VaryMiss),
        }
    }

    pub(super) async fn at(&self, place: &Place) -> Option<Found> {
        let (key, looked) = {
            let store = self.store();
            let key = store.key(&place.primary.0, place.variance());
            let looked = store.lookup(&key);
            (key, looked)
        };
        let hit = match looked {
            farmgate_store::Lookup::Hit(hit) => hit,
            farmgate_store::Lookup::Miss => return None,
            // Boxed: rare, and its state would lie in the future of each request.
            waiting @ farmgate_store::Lookup::Disk(_) => Box::pin(waiting.fetched()).await?,
        };
        Some(Found { hit, key })
    }
}
