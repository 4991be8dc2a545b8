//! What an upstream shares over reloads, and the two doors it needs to the outside.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::breaker::Breaker;
use super::control::Controls;
use super::endpoint::{EndpointId, EndpointState};
use super::limits::{Bulkhead, Gate};
use super::moved::MovedChange;
use super::outlier::Ejector;
use super::retry::RetryBudget;

/// An atomic on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Line(pub(super) AtomicU64);

impl Line {
    pub(super) const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Counts one more and gives what it was before.
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// State of one upstream, by its name.
#[derive(Debug, Default)]
pub struct UpstreamState {
    /// Where round robin goes on, by priority and whether outside of this node's zone: 512 at
    /// most. Sets keep their own; the lock is taken when one is built.
    cursors: Mutex<BTreeMap<(u8, bool), Arc<Line>>>,
    in_flight: Line,
    pub(super) controls: Controls,
    /// Opens when too much fails.
    pub breaker: Breaker,
    /// Places for requests.
    pub gate: Arc<Gate>,
    /// What retries may come to.
    pub budget: Arc<RetryBudget>,
    /// Decides who is left out.
    pub ejector: Ejector,
}

impl UpstreamState {
    /// The cursor of one priority, or of one side of it. Each has its own: members of one would
    /// not get their shares while choices among those of another move it.
    pub(super) fn cursor(&self, priority: u8, away: bool) -> Arc<Line> {
        let mut cursors = self.cursors.lock();
        Arc::clone(cursors.entry((priority, away)).or_default())
    }

    /// The runtime changes, for another process; `name` is the upstream's.
    pub fn changes(&self, name: &str) -> Vec<MovedChange> {
        self.controls.moved(name)
    }

    /// Attempts in flight to all endpoints. Counted only for policies that bound the load.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    pub(super) fn add_in_flight(&self) {
        self.in_flight.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sub_in_flight(&self) {
        self.in_flight.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds or makes what outlives a reload. Called when a set is built, never per request.
pub trait EndpointStore: Send + Sync {
    /// The state of an endpoint.
    fn endpoint(&self, id: &EndpointId) -> Arc<EndpointState>;
    /// The state of an upstream.
    fn upstream(&self, name: &Arc<str>) -> Arc<UpstreamState>;
    /// The places of all routes.
    fn bulkhead(&self) -> Arc<Bulkhead>;
}

/// A store that shares nothing: every state is new. For `check` and `explain`.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnsharedStore;

impl EndpointStore for UnsharedStore {
    fn endpoint(&self, _: &EndpointId) -> Arc<EndpointState> {
        Arc::default()
    }

    fn upstream(&self, _: &Arc<str>) -> Arc<UpstreamState> {
        Arc::default()
    }

    fn bulkhead(&self) -> Arc<Bulkhead> {
        Arc::default()
    }
}

/// What is known about names now. Never waits.
pub trait AddressBook: Send + Sync {
    /// The last good addresses of a host; `None` before its first answer.
    fn addresses(&self, host: &str) -> Option<Arc<[IpAddr]>>;
}

/// A book in which no name is resolved.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAddresses;

impl AddressBook for NoAddresses {
    fn addresses(&self, _: &str) -> Option<Arc<[IpAddr]>> {
        None
    }
}
