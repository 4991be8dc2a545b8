//! What is counted.

use std::sync::Arc;
use std::time::Instant;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::services::{Counter, CounterBy, Gauge};

use super::refusal::REASONS;
use super::store::Store;

/// The counters of one plugin.
#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) verified: Arc<dyn Counter>,
    pub(super) cache_hits: Arc<dyn Counter>,
    pub(super) cache_evicted: Arc<dyn Counter>,
    pub(super) refused: Arc<dyn CounterBy>,
    pub(super) unavailable: Arc<dyn Counter>,
    pub(super) waiters_refused: Arc<dyn Counter>,
    pub(super) refetch_limited: Arc<dyn Counter>,
    pub(super) fetches: Arc<dyn CounterBy>,
    pub(super) state_errors: Arc<dyn Counter>,
    pub(super) tags_cut: Arc<dyn Counter>,
}

impl Metrics {
    pub(super) fn new(services: &dyn Services) -> Self {
        Self {
            verified: services.counter(
                "verified",
                "Tokens whose signature and claims were found right.",
            ),
            cache_hits: services
                .counter("cache_hits", "Requests that a remembered verdict let pass."),
            cache_evicted: services.counter(
                "cache_evicted",
                "Verdicts that were forgotten before their time to make room.",
            ),
            refused: services.counter_by("refused", "Refused requests.", "reason", REASONS),
            unavailable: services.counter(
                "unavailable",
                "Requests that found no keys in time; `fail` decided.",
            ),
            waiters_refused: services.counter(
                "waiters_refused",
                "Requests that did not wait for keys because too many did.",
            ),
            refetch_limited: services.counter(
                "refetch_limited",
                "Tokens with unknown keys that were refused without asking the provider.",
            ),
            fetches: services.counter_by("fetches", "Fetches of keys.", "result", 5),
            state_errors: services.counter(
                "state_errors",
                "Times that keys could not be written to disk, or those on disk could not be used.",
            ),
            tags_cut: services.counter("tags_cut", "Tokens with more tags than are kept."),
        }
    }
}

/// The gauges of one plugin, over all its providers.
pub(super) struct Board {
    /// Each with whether its keys are fetched, and so have an age.
    stores: Vec<(Arc<Store>, bool)>,
    keys: Arc<dyn Gauge>,
    age: Arc<dyn Gauge>,
    down: Arc<dyn Gauge>,
}

impl Board {
    /// For these keys, each with whether they are fetched.
    pub(super) fn new(services: &dyn Services, stores: Vec<(Arc<Store>, bool)>) -> Arc<Self> {
        Arc::new(Self {
            stores,
            keys: services.gauge("keys", "Usable keys."),
            age: services.gauge(
                "keys_age_seconds",
                "Since the provider confirmed its keys; the oldest of all providers.",
            ),
            down: services.gauge("providers_down", "Providers whose last fetch failed."),
        })
    }

    /// True if there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.stores.is_empty()
    }

    /// Sets them.
    pub(super) fn publish(&self, now: Instant) {
        let (mut keys, mut age, mut down) = (0, 0, 0);
        for (store, is_fetched) in &self.stores {
            if let Some(held) = store.keys().as_ref() {
                keys += held.set.len();
                if *is_fetched {
                    age = age.max(held.age(now).as_secs());
                }
            }
            down += i64::from(store.is_down());
        }
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        self.age.set(i64::try_from(age).unwrap_or(i64::MAX));
        self.down.set(down);
    }
}
