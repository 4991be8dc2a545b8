//! What is known of endpoints and upstreams, in the form that another process takes over at an upgrade.
//!
//! Every field has a default and unknown ones are passed over: the two processes may be of different versions, and
//! what a later one knows about an endpoint (a breaker, say) is a field more.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::discovery::NameStatus;
use super::endpoint::{EndpointId, EndpointState};
use super::health::MovedHealth;
use super::outlier::MovedOutlier;
use super::ramp::millis;

/// One endpoint. It is the same one while upstream, configured text and resolved address are.
///
/// The marks of `Unavailable` do not move: whoever sets one also clears it. What led to them does, and the checks and
/// ejections of the other process set them again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedEndpoint {
    /// The upstream's name.
    pub upstream: String,
    /// The address as configured, in canonical text.
    pub configured: String,
    /// For a configured name: the resolved address.
    pub resolved: Option<SocketAddr>,
    /// Its average response time, if it has one.
    pub latency: Option<MovedLatency>,
    /// Attempts that were begun.
    pub requests_total: u64,
    /// Attempts that failed.
    pub failures_total: u64,
    /// Connections that were opened.
    pub opened_total: u64,
    /// How long it has warmed up, in milliseconds; none when it is warm.
    pub warming_ms: Option<u64>,
    /// What its checks said.
    pub health: Option<MovedHealth>,
    /// What its answers said, and how long it is left out for them.
    pub outlier: Option<MovedOutlier>,
}

/// An average response time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedLatency {
    /// As of its last sample, in seconds.
    pub seconds: f32,
    /// Time since that sample, in milliseconds: stamps of one process mean nothing in another.
    pub age_ms: u64,
}

/// A runtime change by an operator, with the entry it belongs to: it holds while the entry is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedChange {
    /// The upstream's name.
    pub upstream: String,
    /// What was changed: an entry's text, or one of its resolved addresses.
    pub address: String,
    /// The entry's text.
    pub configured: String,
    /// The entry's weight as configured.
    pub entry_weight: u32,
    /// The entry's priority.
    pub entry_priority: u8,
    /// The entry's zone.
    pub entry_zone: Option<String>,
    /// It gets no new requests.
    pub drained: bool,
    /// The weight instead of the configured one.
    pub weight: Option<u32>,
}

/// The last good answer about a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedName {
    /// The name.
    pub host: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Time since the answer, in milliseconds.
    pub age_ms: u64,
}

impl MovedEndpoint {
    /// What is to be moved of an endpoint; none if nothing is known about it yet.
    pub fn of(id: &EndpointId, state: &EndpointState, now: Instant) -> Option<Self> {
        let moved = Self {
            upstream: id.upstream.to_string(),
            configured: id.configured.to_string(),
            resolved: id.resolved,
            latency: state
                .latency_and_age(now)
                .map(|(seconds, age)| MovedLatency {
                    seconds,
                    age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                }),
            requests_total: state.requests_total(),
            failures_total: state.failures_total(),
            opened_total: state.opened_total(),
            warming_ms: state.warming_for(now).map(millis),
            health: state.health.moved(now),
            outlier: state.outlier.moved(now),
        };
        let is_known = moved.requests_total > 0
            || moved.opened_total > 0
            || moved.latency.is_some()
            || moved.warming_ms.is_some()
            || moved.health.is_some()
            || moved.outlier.is_some();
        is_known.then_some(moved)
    }

    /// Its identity.
    pub fn id(&self) -> EndpointId {
        EndpointId {
            upstream: self.upstream.as_str().into(),
            configured: self.configured.as_str().into(),
            resolved: self.resolved,
        }
    }

    /// Adds this to what is known about the endpoint. It was taken `age` ago.
    pub fn apply(&self, state: &EndpointState, now: Instant, age: Duration) {
        if let Some(health) = &self.health {
            state.health.restore(health, age, now);
        }
        if let Some(outlier) = &self.outlier {
            state.outlier.restore(outlier, now, age);
        }
        if let Some(latency) = self.latency {
            let since = Duration::from_millis(latency.age_ms).saturating_add(age);
            state.restore_latency(now, latency.seconds, since);
        }
        if let Some(warming_ms) = self.warming_ms {
            let since = Duration::from_millis(warming_ms).saturating_add(age);
            state.restore_warm_up(now, since);
        }
        state.add_totals(self.requests_total, self.failures_total, self.opened_total);
    }
}

impl MovedName {
    /// What is to be moved of a name; none before its first good answer.
    pub fn of(status: &NameStatus) -> Option<Self> {
        let age = status.age.filter(|_| !status.addresses.is_empty())?;
        Some(Self {
            host: status.host.to_string(),
            addresses: status.addresses.to_vec(),
            age_ms: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        })
    }
}
