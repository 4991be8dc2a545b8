//! What an upstream shares over reloads, and the two doors it needs to the outside.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::Controls;
use super::endpoint::{EndpointId, EndpointState};
use super::moved::MovedChange;

/// An atomic on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line(AtomicU64);

/// State of one upstream, by its name.
#[derive(Debug, Default)]
pub struct UpstreamState {
    /// Where round robin goes on; one for the first tier, one for all the others.
    cursors: [Line; 2],
    in_flight: Line,
    pub(super) controls: Controls,
}

impl UpstreamState {
    /// The next slot for round robin in the first tier (`false`) or in a lower one (`true`).
    pub(super) fn next_slot(&self, lower: bool) -> u64 {
        let [first, rest] = &self.cursors;
        let line = if lower { rest } else { first };
        line.0.fetch_add(1, Ordering::Relaxed)
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
