//! What this plugin makes of a token: pure but for the keys, which are looked at and never fetched.

use std::sync::Arc;
use std::time::Instant;

use farmgate_plugin_api::decode::Secret;
use farmgate_plugin_api::units::Duration;
use http::HeaderName;

use super::algorithm::Algorithm;
use super::cache::Verdict;
use super::claims::{Path, Requirements, has_audience, validity};
use super::identity::{ConsumerClaims, consumer, fields};
use super::jwks::Key;
use super::key::hmac_verifies;
use super::refusal::Refusal;
use super::store::{Held, Store};
use super::token::Token;

/// Most keys that are tried for one token.
const MAX_TRIES: usize = 8;

/// Who may have issued a token.
pub(super) struct Provider {
    pub(super) issuer: Box<str>,
    /// One of these must be in `aud`; none: any token.
    pub(super) audiences: Option<Box<[Box<str>]>>,
    /// All of one kind: for public keys, or for the secret.
    pub(super) algorithms: Box<[Algorithm]>,
    pub(super) leeway: Duration,
    /// In lower case, without `application/`; empty: any.
    pub(super) types: Box<[Box<str>]>,
    pub(super) require_exp: bool,
    pub(super) consumer_prefix: Box<str>,
    pub(super) keys: Keys,
}

/// What verifies a provider's signatures.
pub(super) enum Keys {
    /// A shared secret.
    Secret(Secret),
    /// Keys of the configuration or a file; they have no age.
    Given(Arc<Store>),
    /// Keys that are fetched.
    Fetched {
        store: Arc<Store>,
        /// They are not used when they are older.
        stale: std::time::Duration,
        /// Least time between two questions because of unknown keys.
        refetch: std::time::Duration,
    },
}

impl Keys {
    /// The keys, if they may be used now.
    fn usable(&self, now: Instant) -> Option<Arc<Held>> {
        let (store, stale) = match self {
            Self::Secret(_) => return None,
            Self::Given(store) => (store, None),
            Self::Fetched { store, stale, .. } => (store, Some(*stale)),
        };
        let held = store.keys();
        let held = held.as_ref()?;
        let is_young = stale.is_none_or(|stale| held.age(now) <= stale);
        is_young.then(|| Arc::clone(held))
    }

    /// True if what was verified with this generation of keys still stands.
    fn stands(&self, generation: u64, now: Instant) -> bool {
        let (store, stale) = match self {
            Self::Secret(_) => return true,
            Self::Given(store) => (store, None),
            Self::Fetched { store, stale, .. } => (store, Some(*stale)),
        };
        store.keys().as_ref().is_some_and(|held| {
            held.generation == generation && stale.is_none_or(|stale| held.age(now) <= stale)
        })
    }
}

/// Why nothing can be said about a token yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// The provider has no keys, or only too old ones.
    NoKeys(usize),
    /// None of the provider's keys has this name, or fits a token without one.
    UnknownKey(usize),
}

/// What is thought of a token.
pub(super) enum Opinion {
    /// It is right; whether tags were cut.
    Right(Verdict, bool),
    /// It is not.
    Wrong(Refusal),
    /// Keys are missing.
    Lacking(Lack),
}

/// The rules of one filter.
pub(super) struct Rules {
    pub(super) providers: Box<[Provider]>,
    pub(super) requirements: Requirements,
    pub(super) consumer: ConsumerClaims,
    pub(super) fields: Box<[(Path, HeaderName)]>,
}

impl Rules {
    /// The provider at this place of the list.
    pub(super) fn provider(&self, at: usize) -> Option<&Provider> {
        self.providers.get(at)
    }

    /// True if a remembered verdict holds now (`wall`: seconds since 1970).
    pub(super) fn holds(&self, verdict: &Verdict, now: Instant, wall: i64) -> bool {
        verdict.validity.holds(wall)
            && self
                .provider(verdict.provider)
                .is_some_and(|provider| provider.keys.stands(verdict.generation, now))
    }

    /// Looks at a token. Its claims count only after its signature.
    pub(super) fn judge(&self, text: &[u8], now: Instant, wall: i64) -> Opinion {
        let token = match Token::parse(text) {
            Ok(token) => token,
            Err(refusal) => return Opinion::Wrong(refusal),
        };
        let issuer = token.claims.get("iss").and_then(serde_json::Value::as_str);
        let named = |provider: &Provider| issuer == Some(&*provider.issuer);
        let Some(at) = self.providers.iter().position(named) else {
            return Opinion::Wrong(Refusal::Issuer);
        };
        let Some(provider) = self.provider(at) else {
            return Opinion::Wrong(Refusal::Issuer);
        };
        let generation = match signed(provider, &token, now) {
            Signed::Well(generation) => generation,
            Signed::Wrongly(refusal) => return Opinion::Wrong(refusal),
            Signed::NoKeys => return Opinion::Lacking(Lack::NoKeys(at)),
            Signed::UnknownKey => return Opinion::Lacking(Lack::UnknownKey(at)),
        };
        match self.read(provider, &token, wall) {
            Ok((verdict, cut)) => Opinion::Right(
                Verdict {
                    provider: at,
                    generation,
                    ..verdict
                },
                cut,
            ),
            Err(refusal) => Opinion::Wrong(refusal),
        }
    }

    /// The claims of a token that the provider did sign.
    fn read(
        &self,
        provider: &Provider,
        token: &Token<'_>,
        wall: i64,
    ) -> Result<(Verdict, bool), Refusal> {
        let claims = &token.claims;
        if !provider.types.is_empty() && !is_type(token.kind.as_deref(), &provider.types) {
            return Err(Refusal::Type);
        }
        if let Some(audiences) = &provider.audiences
            && !has_audience(claims, audiences)?
        {
            return Err(Refusal::Audience);
        }
        let validity = validity(claims, provider.leeway, provider.require_exp, wall)?;
        self.requirements.check(claims)?;
        let (consumer, cut) = consumer(claims, &self.consumer, &provider.consumer_prefix)?;
        let verdict = Verdict {
            validity,
            provider: 0,
            generation: 0,
            fields: fields(claims, &self.fields)?,
            consumer,
        };
        Ok((verdict, cut))
    }
}

/// RFC 7515 section 4.1.9: `application/` may be left out.
fn is_type(written: Option<&str>, types: &[Box<str>]) -> bool {
    let Some(written) = written else {
        return false;
    };
    let written = written.to_ascii_lowercase();
    let short = written.strip_prefix("application/").unwrap_or(&written);
    types.iter().any(|one| **one == *short)
}

enum Signed {
    /// With these keys.
    Well(u64),
    Wrongly(Refusal),
    NoKeys,
    UnknownKey,
}

fn signed(provider: &Provider, token: &Token<'_>, now: Instant) -> Signed {
    if !provider.algorithms.contains(&token.algorithm) {
        return Signed::Wrongly(Refusal::Algorithm);
    }
    let (algorithm, message) = (token.algorithm, token.message);
    if let Keys::Secret(secret) = &provider.keys {
        return match hmac_verifies(secret, algorithm, message, &token.signature) {
            true => Signed::Well(0),
            false => Signed::Wrongly(Refusal::Signature),
        };
    }
    let Some(held) = provider.keys.usable(now) else {
        return Signed::NoKeys;
    };
    let kid = token.kid.as_deref();
    let is_named = |key: &&Key| kid.is_some() && key.kid.as_deref() == kid;
    let may_be = |key: &&Key| kid.is_none() || key.kid.is_none() || is_named(key);
    let fits = |key: &&Key| key.fits(algorithm);
    // The key that is named comes first, whatever others there are.
    let named = held.set.0.iter().filter(is_named);
    let others = held
        .set
        .0
        .iter()
        .filter(may_be)
        .filter(|key| !is_named(key));
    let mut tried = named.chain(others).filter(fits).take(MAX_TRIES);
    if tried.any(|key| key.public.verifies(algorithm, message, &token.signature)) {
        return Signed::Well(held.generation);
    }
    match held.set.0.iter().any(|key| is_named(&key)) {
        true => Signed::Wrongly(Refusal::Signature),
        false => Signed::UnknownKey,
    }
}
