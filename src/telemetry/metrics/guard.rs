//! What protects upstreams: breakers, limits, budgets, ejections, fallbacks, discovery.

use std::sync::Arc;

use super::book::Book;
use super::declare;
use super::family::{Counter, Family, Gauge, Group};
use super::{CounterCell, GaugeCell, GroupCell};
use crate::telemetry::guard::{Attempt, BreakerChange, Ejection, FallbackKind, NoRetry};
use crate::telemetry::reason::Reason;

/// Handles of one upstream.
#[derive(Clone, Debug)]
pub struct GuardMetrics {
    first: Group,
    last: Group,
    not_retried: Group,
    shed: Group,
    fallbacks: Group,
    ejections: Group,
    breaker_changes: Group,
    /// 0 closed, 1 open, 2 half open.
    pub breaker: Gauge,
    /// Requests that wait for a place.
    pub waiting: Gauge,
    /// The limit of requests at a time, where one is in force.
    pub limit: Gauge,
    /// Endpoints that may get requests.
    pub available: Gauge,
    /// All endpoints.
    pub endpoints: Gauge,
    /// Names that were never resolved.
    pub unresolved: Gauge,
    /// Requests that were sent without a look at health.
    pub panics: Counter,
    /// The highest load of an endpoint over the mean, in thousandths.
    pub imbalance: Gauge,
}

impl GuardMetrics {
    /// The first attempt of a request ended.
    #[inline]
    pub fn first_try(&self, how: Attempt) {
        self.first.inc(how.index());
    }

    /// The last attempt of a request ended, where it was not the first.
    pub fn last_try(&self, how: Attempt) {
        self.last.inc(how.index());
    }

    /// An attempt that the rules allow was not made.
    pub fn not_retried(&self, why: NoRetry) {
        self.not_retried.inc(why.index());
    }

    /// A request found no place.
    pub fn shed(&self, why: Reason) {
        self.shed.inc(why.index());
    }

    /// Something stood in for an answer.
    pub fn fell_back(&self, to: FallbackKind) {
        self.fallbacks.inc(to.index());
    }

    /// An endpoint was left out.
    pub fn ejected(&self, why: Ejection) {
        self.ejections.inc(why.index());
    }

    /// The breaker came to this.
    pub fn breaker_changed(&self, to: BreakerChange) {
        self.breaker_changes.inc(to.index());
        self.breaker.set(to.index() as i64);
    }
}

/// The families behind [`GuardMetrics`].
pub(super) struct GuardFamilies {
    first: Arc<Family<GroupCell>>,
    last: Arc<Family<GroupCell>>,
    not_retried: Arc<Family<GroupCell>>,
    shed: Arc<Family<GroupCell>>,
    fallbacks: Arc<Family<GroupCell>>,
    ejections: Arc<Family<GroupCell>>,
    breaker_changes: Arc<Family<GroupCell>>,
    breaker: Arc<Family<GaugeCell>>,
    waiting: Arc<Family<GaugeCell>>,
    limit: Arc<Family<GaugeCell>>,
    available: Arc<Family<GaugeCell>>,
    endpoints: Arc<Family<GaugeCell>>,
    unresolved: Arc<Family<GaugeCell>>,
    panics: Arc<Family<CounterCell>>,
    imbalance: Arc<Family<GaugeCell>>,
}

impl GuardFamilies {
    pub(super) fn register(book: &Book) -> prometheus::Result<Self> {
        Ok(Self {
            first: book.counted(&declare::UPSTREAM_FIRST_TRIES)?,
            last: book.counted(&declare::UPSTREAM_LAST_TRIES)?,
            not_retried: book.counted(&declare::UPSTREAM_NOT_RETRIED)?,
            shed: book.counted(&declare::UPSTREAM_SHED)?,
            fallbacks: book.counted(&declare::UPSTREAM_FALLBACKS)?,
            ejections: book.counted(&declare::UPSTREAM_EJECTIONS)?,
            breaker_changes: book.counted(&declare::UPSTREAM_BREAKER_CHANGES)?,
            breaker: book.gauge(&declare::UPSTREAM_BREAKER)?,
            waiting: book.gauge(&declare::UPSTREAM_WAITING)?,
            limit: book.gauge(&declare::UPSTREAM_LIMIT)?,
            available: book.gauge(&declare::UPSTREAM_AVAILABLE)?,
            endpoints: book.gauge(&declare::UPSTREAM_ENDPOINTS)?,
            unresolved: book.gauge(&declare::UPSTREAM_UNRESOLVED)?,
            panics: book.counted(&declare::UPSTREAM_PANICS)?,
            imbalance: book.gauge(&declare::UPSTREAM_IMBALANCE)?,
        })
    }

    pub(super) fn upstream(&self, upstream: &str) -> GuardMetrics {
        let of = [upstream];
        GuardMetrics {
            first: self.first.get(&of),
            last: self.last.get(&of),
            not_retried: self.not_retried.get(&of),
            shed: self.shed.get(&of),
            fallbacks: self.fallbacks.get(&of),
            ejections: self.ejections.get(&of),
            breaker_changes: self.breaker_changes.get(&of),
            breaker: self.breaker.get(&of),
            waiting: self.waiting.get(&of),
            limit: self.limit.get(&of),
            available: self.available.get(&of),
            endpoints: self.endpoints.get(&of),
            unresolved: self.unresolved.get(&of),
            panics: self.panics.get(&of),
            imbalance: self.imbalance.get(&of),
        }
    }
}
