//! Which certificate a server name gets.
//!
//! Built as a whole and never changed: a reload builds another and swaps it. A lookup hashes the name once, or twice
//! where a wildcard answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::certificate::{Certificate, KeyKind};
use super::offer::Offer;

/// The certificates of one `[[tls]]` by name.
#[derive(Debug, Default)]
pub struct Store {
    exact: HashMap<Box<str>, Kinds>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Kinds>,
    default: Option<Kinds>,
}

/// The certificates of one name, in the order of preference: what costs least to sign with first.
#[derive(Clone, Debug, Default)]
struct Kinds([Option<Arc<Certificate>>; 3]);

impl Kinds {
    fn place(kind: KeyKind) -> usize {
        match kind {
            KeyKind::P256 => 0,
            KeyKind::P384 => 1,
            KeyKind::Rsa => 2,
        }
    }

    fn each(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.0.iter().flatten()
    }

    fn for_offer(&self, offer: Offer) -> Option<&Arc<Certificate>> {
        self.each().find(|one| offer.accepts(one.kind()))
    }
}

/// Two certificates of one kind for one name: the one that lasts longer is served.
#[derive(Clone, Debug)]
pub struct Shadowed {
    /// The name.
    pub name: String,
    /// Served for it.
    pub by: Arc<Certificate>,
    /// Not served for it.
    pub shadowed: Arc<Certificate>,
}

/// Gathers certificates for a [`Store`].
#[derive(Debug, Default)]
pub struct StoreBuilder {
    store: Store,
    shadowed: Vec<Shadowed>,
}

impl StoreBuilder {
    /// Adds a certificate under all its names.
    pub fn add(&mut self, certificate: &Arc<Certificate>) {
        for name in certificate.names() {
            let (map, key) = match name.strip_prefix("*.") {
                Some(rest) => (&mut self.store.wildcard, rest),
                None => (&mut self.store.exact, name.as_str()),
            };
            let kinds = map.entry(key.into()).or_default();
            let Some(place) = kinds.0.get_mut(Kinds::place(certificate.kind())) else {
                continue;
            };
            let (by, shadowed) = match place.take() {
                None => (Arc::clone(certificate), None),
                Some(other) if other.not_after() < certificate.not_after() => {
                    (Arc::clone(certificate), Some(other))
                }
                Some(other) => (other, Some(Arc::clone(certificate))),
            };
            if let Some(shadowed) = shadowed {
                self.shadowed.push(Shadowed {
                    name: name.clone(),
                    by: Arc::clone(&by),
                    shadowed,
                });
            }
            *place = Some(by);
        }
    }

    /// The store. `default` is the name whose certificates are served without SNI and to names that no certificate
    /// has; without it such clients are refused. `None` when no certificate has that name.
    pub fn build(self, default: Option<&str>) -> Option<(Store, Vec<Shadowed>)> {
        let mut store = self.store;
        if let Some(name) = default {
            let name = lower(name);
            store.default = Some(store.kinds(&name)?.clone());
        }
        Some((store, self.shadowed))
    }
}

impl Store {
    /// The certificate for a client that asks for `server_name` and verifies what `offer` says. `None` is a refusal.
    ///
    /// An exact name stands above a wildcard. Where no kind fits the client, the first one of the name is given, so
    /// that the handshake fails for the true reason.
    pub fn find(&self, server_name: Option<&str>, offer: Offer) -> Option<&Arc<Certificate>> {
        let asked = server_name.map(lower);
        let asked = asked.as_deref();
        let exact = asked.and_then(|name| self.exact.get(name));
        if let Some(found) = exact.and_then(|kinds| kinds.for_offer(offer)) {
            return Some(found);
        }
        let wildcard = asked.and_then(|name| self.wildcard.get(parent(name)?));
        if let Some(found) = wildcard.and_then(|kinds| kinds.for_offer(offer)) {
            return Some(found);
        }
        let kinds = exact.or(wildcard).or(self.default.as_ref())?;
        kinds.for_offer(offer).or_else(|| kinds.each().next())
    }

    /// True if a certificate here is for `host` (in lower case, without port): what a connection may be asked for.
    pub fn covers(&self, host: &str) -> bool {
        self.kinds(host).is_some()
    }

    /// Every certificate once.
    pub fn certificates(&self) -> Vec<&Arc<Certificate>> {
        let mut all: Vec<&Arc<Certificate>> = Vec::new();
        for one in self.exact.values().chain(self.wildcard.values()) {
            all.extend(one.each());
        }
        all.sort_by_key(|one| one.fingerprint());
        all.dedup_by_key(|one| one.fingerprint());
        all
    }

    fn kinds(&self, name: &str) -> Option<&Kinds> {
        self.exact
            .get(name)
            .or_else(|| self.wildcard.get(parent(name)?))
    }
}

/// What follows the first label; a wildcard stands for one label, and never for none.
fn parent(name: &str) -> Option<&str> {
    let (label, rest) = name.split_once('.')?;
    (!label.is_empty()).then_some(rest)
}

/// In lower case, without a trailing dot.
fn lower(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests;
