//! Where the endpoints of an upstream come from: how fresh they are, how much they change, what was refused.

use std::sync::Arc;

use super::book::Book;
use super::declare;
use super::family::{Counter, Family, Gauge, Group};
use super::{CounterCell, GaugeCell, GroupCell};
use crate::telemetry::guard::{Churn, SourceKind};

/// Handles of one upstream with discovery.
#[derive(Clone, Debug)]
pub struct DiscoveryMetrics {
    changes: Group,
    /// Seconds since a source last gave a good answer. Not exported before there was one.
    pub age: Gauge,
    /// 1 while that is more than `max_stale` ago.
    pub stale: Gauge,
    /// Endpoints with a private address, in thousandths of all.
    pub private: Gauge,
    /// Milliseconds from the last answer with a change to its being in use.
    pub lag: Gauge,
    /// Questions without a usable answer.
    pub failures: Counter,
    /// Addresses that were refused.
    pub refused: Counter,
    /// Sets that could not be written to disk.
    pub unsaved: Counter,
}

impl DiscoveryMetrics {
    /// So many endpoints came or went. None makes no series.
    pub fn changed(&self, how: Churn, endpoints: u64) {
        self.changes.add(how.index(), endpoints);
    }
}

/// The families behind [`DiscoveryMetrics`].
pub(super) struct DiscoveryFamilies {
    changes: Arc<Family<GroupCell>>,
    age: Arc<Family<GaugeCell>>,
    stale: Arc<Family<GaugeCell>>,
    private: Arc<Family<GaugeCell>>,
    lag: Arc<Family<GaugeCell>>,
    failures: Arc<Family<CounterCell>>,
    refused: Arc<Family<CounterCell>>,
    unsaved: Arc<Family<CounterCell>>,
}

impl DiscoveryFamilies {
    pub(super) fn register(book: &Book) -> prometheus::Result<Self> {
        Ok(Self {
            changes: book.counted(&declare::DISCOVERY_CHANGES)?,
            age: book.gauge(&declare::DISCOVERY_AGE)?,
            stale: book.gauge(&declare::DISCOVERY_STALE)?,
            private: book.gauge(&declare::DISCOVERY_PRIVATE)?,
            lag: book.gauge(&declare::DISCOVERY_LAG)?,
            failures: book.counted(&declare::DISCOVERY_FAILURES)?,
            refused: book.counted(&declare::DISCOVERY_REFUSED)?,
            unsaved: book.counted(&declare::DISCOVERY_UNSAVED)?,
        })
    }

    pub(super) fn upstream(&self, upstream: &str, source: SourceKind) -> DiscoveryMetrics {
        let of = [upstream, source.as_str()];
        DiscoveryMetrics {
            changes: self.changes.get(&of),
            age: self.age.get(&of),
            stale: self.stale.get(&of),
            private: self.private.get(&of),
            lag: self.lag.get(&of),
            failures: self.failures.get(&of),
            refused: self.refused.get(&of),
            unsaved: self.unsaved.get(&of),
        }
    }
}
