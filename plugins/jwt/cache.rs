//! Verdicts about tokens that were verified: bounded, read without a lock, and without the tokens.

use std::hash::Hasher;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use farmgate_plugin_api::Consumer;
use http::{HeaderName, HeaderValue};
use siphasher::sip128::{Hasher128, SipHasher13};

use super::claims::Validity;

/// Places among which a verdict may stand.
const WAYS: usize = 4;

/// What a verified token means for this plugin.
pub(super) struct Verdict {
    /// When it holds.
    pub(super) validity: Validity,
    /// The provider, by its place in the list.
    pub(super) provider: usize,
    /// The keys it was verified with.
    pub(super) generation: u64,
    /// Fields for the origin.
    pub(super) fields: Box<[(HeaderName, HeaderValue)]>,
    /// Who sends it.
    pub(super) consumer: Option<Consumer>,
}

/// A token's name in the cache: 128 bits of SipHash-1-3 under a secret. Two of a million tokens
/// fall together with a chance below 10^-26, and nobody without the secret can look for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name(u128);

struct Entry {
    name: Name,
    verdict: Arc<Verdict>,
}

/// What storing a verdict did to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// Nothing was lost.
    Clean,
    /// One that still held was forgotten.
    Evicted,
}

/// The verdicts of one filter: a table of sets of [`WAYS`] places, which never grows.
pub(super) struct Cache {
    secret: (u64, u64),
    sets: usize,
    places: Box<[ArcSwapOption<Entry>]>,
}

impl Cache {
    /// With room for at most `entries`, under this secret.
    pub(super) fn new(entries: usize, secret: [u8; 16]) -> Self {
        let ways = entries.min(WAYS);
        let sets = entries.checked_div(ways).unwrap_or(0);
        let (high, low) = secret.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |all, b| (all << 8) | u64::from(*b));
        Self {
            secret: (number(high), number(low)),
            sets,
            places: (0..sets * ways).map(|_| ArcSwapOption::empty()).collect(),
        }
    }

    /// The name of a token.
    pub(super) fn name(&self, token: &[u8]) -> Name {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        hasher.write(token);
        Name(hasher.finish128().as_u128())
    }

    /// The places where this name may stand.
    fn set(&self, name: Name) -> &[ArcSwapOption<Entry>] {
        let ways = self.places.len().checked_div(self.sets).unwrap_or(0);
        let sets = u128::try_from(self.sets).unwrap_or(u128::MAX);
        let at = name.0.checked_rem(sets).unwrap_or(0);
        let at = usize::try_from(at).unwrap_or(0) * ways;
        self.places.get(at..at + ways).unwrap_or_default()
    }

    /// The verdict about the token of this name.
    pub(super) fn get(&self, name: Name) -> Option<Arc<Verdict>> {
        self.set(name).iter().find_map(|place| {
            let entry: Guard<Option<Arc<Entry>>> = place.load();
            let entry = entry.as_ref().filter(|entry| entry.name == name)?;
            Some(Arc::clone(&entry.verdict))
        })
    }

    /// Remembers a verdict. In a full set the one that ends first makes room.
    pub(super) fn put(&self, name: Name, verdict: &Arc<Verdict>, now: i64) -> Stored {
        let mut best: Option<(&ArcSwapOption<Entry>, i64)> = None;
        for place in self.set(name) {
            let ends = match &*place.load() {
                None => i64::MIN,
                Some(entry) if entry.name == name => {
                    best = Some((place, i64::MIN));
                    break;
                }
                Some(entry) => entry.verdict.validity.ends,
            };
            if best.is_none_or(|(_, least)| ends < least) {
                best = Some((place, ends));
            }
        }
        let Some((place, ends)) = best else {
            return Stored::Clean;
        };
        let verdict = Arc::clone(verdict);
        place.store(Some(Arc::new(Entry { name, verdict })));
        match ends > now {
            true => Stored::Evicted,
            false => Stored::Clean,
        }
    }

    /// Entries that are there, for tests.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let taken = self.places.iter().filter(|place| place.load().is_some());
        taken.count()
    }
}
