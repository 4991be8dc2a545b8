//! What protects upstreams: what it has learned goes along.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::World;
use super::parts::Part;
use super::records::{Given, Records};
use crate::upstream::breaker;
use crate::upstream::limits::MovedLimit;
use crate::upstream::retry::MovedBudget;

/// Circuit breakers that are not as they began.
pub(super) struct Breakers;

#[derive(Serialize, Deserialize)]
struct MovedBreaker {
    upstream: String,
    breaker: breaker::Moved,
}

impl Part for Breakers {
    fn name(&self) -> &'static str {
        "breakers"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let now = Instant::now();
        for plan in world.node.current.load().upstreams.values() {
            if plan.breaker.is_some() {
                out.put(&MovedBreaker {
                    upstream: plan.name().to_string(),
                    breaker: plan.upstream.shared().breaker.moved(now),
                });
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let snapshot = world.node.current.load();
        let age = given.age;
        given.each(|moved: MovedBreaker| {
            let plan = snapshot.upstreams.get(moved.upstream.as_str());
            let plan = plan.ok_or("no upstream has this name")?;
            let known = moved.breaker.aged(age);
            plan.upstream
                .shared()
                .breaker
                .restore(&known, Instant::now());
            Ok(1)
        });
    }
}

/// What adaptive limits have learned.
pub(super) struct AdaptiveLimits;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct MovedAdaptive {
    upstream: String,
    limit: f64,
    base_seconds: f64,
}

impl Part for AdaptiveLimits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        for plan in world.node.current.load().upstreams.values() {
            let is_adaptive = plan
                .gate
                .as_ref()
                .is_some_and(|gate| gate.adaptive.is_some());
            if let (true, Some(moved)) =
                (is_adaptive, plan.upstream.shared().gate.adaptive().moved())
            {
                out.put(&MovedAdaptive {
                    upstream: plan.name().to_string(),
                    limit: moved.limit,
                    base_seconds: moved.base_seconds,
                });
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let snapshot = world.node.current.load();
        given.each(|moved: MovedAdaptive| {
            let plan = snapshot.upstreams.get(moved.upstream.as_str());
            let plan = plan.ok_or("no upstream has this name")?;
            let gate = plan.gate.as_ref();
            gate.and_then(|gate| gate.adaptive.as_ref())
                .ok_or("the upstream has no adaptive limit here")?;
            // Bounds of this configuration hold wherever the limit is read.
            plan.upstream.shared().gate.adaptive().restore(MovedLimit {
                limit: moved.limit,
                base_seconds: moved.base_seconds,
            });
            Ok(1)
        });
    }
}

/// Windows of the budgets of retries.
pub(super) struct Budgets;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct UpstreamBudget {
    upstream: String,
    budget: MovedBudget,
}

impl Part for Budgets {
    fn name(&self) -> &'static str {
        "budgets"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let now = Instant::now();
        // All: a route may have a budget where its upstream has none.
        for plan in world.node.current.load().upstreams.values() {
            if let Some(budget) = plan.upstream.shared().budget.moved(now) {
                out.put(&UpstreamBudget {
                    upstream: plan.name().to_string(),
                    budget,
                });
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let snapshot = world.node.current.load();
        let (age, now) = (given.age, Instant::now());
        given.each(|moved: UpstreamBudget| {
            let plan = snapshot.upstreams.get(moved.upstream.as_str());
            let plan = plan.ok_or("no upstream has this name")?;
            plan.upstream
                .shared()
                .budget
                .restore(&moved.budget, age, now);
            Ok(1)
        });
    }
}
