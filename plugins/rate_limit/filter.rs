//! Deciding about requests: all limits of a plugin together.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::services::{Clock, Counter};
use farmgate_plugin_api::{Answer, Facts, Filter, Phases, Reply, Source};
use http::{HeaderName, HeaderValue, StatusCode, header};
use parking_lot::MutexGuard;

use super::fields::{append_state, seconds};
use super::gcra::{Check, Pace, Stamp};
use super::store::{Key, Shard, Store, Stored};

/// Most limits of one plugin.
pub(super) const MAX_LIMITS: usize = 8;

/// The name of the field with the state of the limits.
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The name of the field with the settings of the limits.
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Limits requests. A request passes if every limit that counts it has room; then all are charged.
/// Else none is.
pub(super) struct RateLimitFilter {
    /// At most [`MAX_LIMITS`], in the order of their stores' numbers: every plugin, of every
    /// snapshot, takes the locks in the same order.
    pub(super) limits: Box<[Limit]>,
    pub(super) status: StatusCode,
    /// The field `RateLimit-Policy`; none: no fields are written.
    pub(super) policy: Option<HeaderValue>,
    pub(super) dry_run: bool,
    pub(super) max_keys: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// One limit.
pub(super) struct Limit {
    pub(super) source: Source,
    /// Its name as a structured-field string.
    pub(super) quoted: Box<str>,
    pub(super) pace: Pace,
    pub(super) store: Arc<Store>,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) allowed: Arc<dyn Counter>,
    pub(super) denied: Arc<dyn Counter>,
    pub(super) dry_denied: Arc<dyn Counter>,
    pub(super) evicted: Arc<dyn Counter>,
}

/// What all limits together say of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Nanoseconds until no limit would refuse any more; none: the request passes.
    pub(super) retry_ns: Option<u64>,
    /// Keys that were forgotten to make room.
    pub(super) evicted: u64,
    /// What each limit says; none where the request has no key.
    pub(super) states: [Option<State>; MAX_LIMITS],
}

/// What one limit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) remaining: u64,
    pub(super) reset_ns: u64,
}

/// A limit's locked shard, and what will be stored in it.
struct Claim<'s> {
    shard: MutexGuard<'s, Shard>,
    key: Key,
    now_ns: u64,
    tat: Option<Stamp>,
}

impl Filter for RateLimitFilter {
    fn phases(&self) -> Phases {
        Phases::REQUEST_HEAD
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        let decision = self.decide(&*request, self.clock.now());
        if decision.evicted > 0 {
            self.metrics.evicted.add(decision.evicted);
        }
        if self.dry_run {
            let counter = match decision.retry_ns {
                Some(_) => &self.metrics.dry_denied,
                None => &self.metrics.allowed,
            };
            counter.add(1);
            return Answer::CONTINUE;
        }
        if let Some(policy) = &self.policy {
            request.add_response_header(RATE_LIMIT_POLICY, policy.clone());
            if let Some(state) = self.state_field(&decision) {
                request.add_response_header(RATE_LIMIT, state);
            }
        }
        let Some(retry_ns) = decision.retry_ns else {
            self.metrics.allowed.add(1);
            return Answer::CONTINUE;
        };
        self.metrics.denied.add(1);
        let after = HeaderValue::from(seconds(retry_ns).max(1));
        let reply = Reply::problem(self.status, "rate_limited").header(header::RETRY_AFTER, after);
        Answer::reply(reply)
    }
}

impl RateLimitFilter {
    /// Decides about a request and charges it if it passes. All shards stay locked from the first
    /// check to the last charge, so two threads never both take what is left for one.
    pub(super) fn decide(&self, facts: &dyn Facts, now: Instant) -> Decision {
        let mut decision = Decision::default();
        let mut claims: [Option<Claim<'_>>; MAX_LIMITS] = Default::default();
        let places = claims.iter_mut().zip(&mut decision.states);
        for (limit, (claim, state)) in self.limits.iter().zip(places) {
            let store = &*limit.store;
            let Some(key) = limit.source.with_key(facts, |bytes| store.key(bytes)) else {
                continue;
            };
            let Some(mut shard) = store.lock(key) else {
                continue;
            };
            let now_ns = store.ns(now);
            let (tat, told) = match limit.pace.check(shard.get(key), now_ns) {
                Check::Allow {
                    tat,
                    remaining,
                    reset_ns,
                } => (Some(tat), (remaining, reset_ns)),
                Check::Deny {
                    correction,
                    retry_ns,
                    reset_ns,
                } => {
                    if let Some(tat) = correction {
                        shard.set(key, tat);
                    }
                    let longest = decision.retry_ns.unwrap_or(0).max(retry_ns);
                    decision.retry_ns = Some(longest);
                    (None, (0, reset_ns))
                }
            };
            let (remaining, reset_ns) = told;
            *state = Some(State {
                remaining,
                reset_ns,
            });
            *claim = Some(Claim {
                shard,
                key,
                now_ns,
                tat,
            });
        }
        if decision.retry_ns.is_none() {
            decision.evicted = self.charge(&mut claims);
        }
        decision
    }

    /// Stores the new stamps; returns how many keys were forgotten for it.
    fn charge(&self, claims: &mut [Option<Claim<'_>>]) -> u64 {
        let mut evicted = 0;
        for (limit, claim) in self.limits.iter().zip(claims) {
            let Some(claim) = claim else { continue };
            let Some(tat) = claim.tat else { continue };
            let shard = &mut *claim.shard;
            let stored = limit
                .store
                .put(shard, claim.key, tat, claim.now_ns, self.max_keys);
            evicted += u64::from(stored == Stored::Evicted);
        }
        evicted
    }

    /// The field `RateLimit`; none when no limit counted the request.
    fn state_field(&self, decision: &Decision) -> Option<HeaderValue> {
        let mut out = String::with_capacity(48 * self.limits.len());
        for (limit, state) in self.limits.iter().zip(&decision.states) {
            if let Some(state) = state {
                append_state(&limit.quoted, state.remaining, state.reset_ns, &mut out);
            }
        }
        if out.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(Bytes::from(out)).ok()
    }
}
