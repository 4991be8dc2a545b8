//! What protects an upstream, as `farmgate status` shows it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::snapshot::UpstreamPlan;
use crate::upstream::discovery::follow;
use crate::upstream::set::TierStatus;
use crate::upstream::{EndpointSet, EndpointState};

/// Why an endpoint is left out, and for how long; null if it never was.
pub(super) fn ejection(state: &EndpointState, now: Instant) -> Value {
    let status = state.outlier.status(now);
    if status.cause.is_none() && status.ejections_total == 0 {
        return Value::Null;
    }
    json!({
        "cause": status.cause.map(|cause| cause.to_string()),
        "seconds_left": status.cause.map(|_| seconds(status.left)),
        "times": status.times,
        "flaps": status.flaps,
        "ejections": status.ejections_total,
    })
}

/// What the checks say; null without checks.
pub(super) fn health(state: &EndpointState, plan: &UpstreamPlan, now: Instant) -> Value {
    if plan.health.is_none() {
        return Value::Null;
    }
    let status = state.health.status(now);
    json!({
        "phase": status.phase.word(),
        "since_seconds": status.since.map(seconds),
        "good": status.good,
        "bad": status.bad,
        "last_seconds": status.last_age.map(seconds),
        "error": status.error.map(|(error, age)| json!({
            "kind": error.kind.word(),
            "text": error.text(),
            "seconds_ago": seconds(age),
        })),
        "flaps": status.flaps,
    })
}

/// Where the endpoints came from; null where the configuration has them.
pub(super) fn discovery(plan: &UpstreamPlan, sources: &[follow::Status]) -> Value {
    let Some(status) = sources.iter().find(|one| one.upstream == *plan.name()) else {
        return Value::Null;
    };
    let counts = &status.counts;
    json!({
        "source": *status.origin,
        "told_by": *status.told_by,
        "from": status.provenance.word(),
        "age_seconds": status.age.map(seconds),
        "stale": status.is_stale,
        "private": status.private,
        "failures": status.failures,
        "error": status.error.as_ref().map(ToString::to_string),
        "left_out": status.left_out,
        "lag_ms": u64::try_from(status.lag.as_millis()).unwrap_or(u64::MAX),
        "updates": counts.updates,
        "added": counts.added,
        "removed": counts.removed,
        "refused": counts.refused,
    })
}

/// How the requests are shared out among the priorities, and whether health is ignored.
pub(super) fn priorities(set: &EndpointSet, now: Instant) -> Value {
    let tiers = set.tiers(now);
    let tier = |tier: &TierStatus| {
        json!({
            "priority": tier.priority,
            "share": tier.share,
            "own_zone": tier.own_zone,
            "panic": tier.panic,
            "endpoints": tier.endpoints,
            "available": tier.available,
        })
    };
    tiers.iter().map(tier).collect()
}

/// The breaker; null without one.
pub(super) fn breaker(plan: &UpstreamPlan, now: Instant) -> Value {
    let Some(options) = &plan.breaker else {
        return Value::Null;
    };
    let status = plan.upstream.shared().breaker.status(options, now);
    json!({
        "phase": status.phase.word(),
        "manual": status.manual.word(),
        "since_seconds": seconds(status.since),
        "requests": status.requests,
        "error_share": status.error_share,
        "slow_share": status.slow_share,
        "open_seconds_left": status.open_left.map(seconds),
        "opened": status.opened_total,
    })
}

/// Requests at a time; null without a limit.
pub(super) fn limits(plan: &UpstreamPlan, now: Instant) -> Value {
    let Some(options) = &plan.gate else {
        return Value::Null;
    };
    let status = plan.upstream.shared().gate.status(options, now.into());
    json!({
        "in_flight": status.in_flight,
        "limit": status.limit,
        "waiting": {
            "critical": status.waiting.critical,
            "default": status.waiting.default,
            "bulk": status.waiting.bulk,
        },
        "longest_wait_ms": u64::try_from(status.longest_wait.as_millis()).unwrap_or(u64::MAX),
    })
}

/// The budget of retries; null without one.
pub(super) fn retries(plan: &UpstreamPlan, now: Instant) -> Value {
    let Some(options) = &plan.retry.budget else {
        return Value::Null;
    };
    let status = plan.upstream.shared().budget.status(options, now);
    json!({
        "in_flight": status.in_flight,
        "window_requests": status.first_attempts,
        "window_retries": status.retries,
        "left": status.left,
        "granted": status.granted_total,
        "refused": status.refused_window_total + status.refused_in_flight_total,
    })
}

/// Rounded to tenths.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
