//! What protects upstreams and finds their endpoints: started here, and looked after once a second.

mod checks;
mod sources;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::proxy::connection::Node;
use crate::snapshot::{Snapshot, UpstreamPlan};
use crate::upstream::balance::random::next_u64;
use crate::upstream::discovery::follow::{self, Follower};
use crate::upstream::health::{Checker, Target};
use crate::upstream::limits::Waiting;
use crate::upstream::outlier::What;
use crate::upstream::{Endpoint, EndpointSet};

/// The time between two looks.
const TICK: Duration = Duration::from_secs(1);
/// So long a reload waits for the first word of sources that are new.
const FIRST_WORD: Duration = Duration::from_secs(3);
/// Looks between two of the imbalance.
const IMBALANCE_EVERY: u64 = 10;

/// The tasks that check endpoints and follow their sources. They end with it.
pub struct Guards {
    checker: Checker,
    follower: Follower,
    checked: Mutex<Vec<(u64, usize)>>,
    told: sources::Told,
}

impl Guards {
    /// Starts them on the current runtime. `state` is the folder for what was discovered.
    pub fn start(node: &Arc<Node>, state: Option<&Path>) -> Self {
        Self {
            checker: checks::checker(node),
            follower: sources::follower(node, state),
            checked: Mutex::default(),
            told: sources::Told::default(),
        }
    }

    /// A snapshot will be published: sources that are new in it may speak first, for a while, so that no request meets an
    /// upstream without endpoints.
    pub async fn anticipate(&self, snapshot: &Snapshot) {
        let wanted = sources::wanted(snapshot);
        if !wanted.is_empty() {
            self.follower.update(wanted);
            for name in self.follower.wait_first(FIRST_WORD).await {
                log::warn!("upstream {name} has no endpoint yet: requests to it get 503");
            }
        }
    }

    /// A snapshot is about to be published: its upstreams get what was found for those of their names.
    pub fn prepare(&self, snapshot: &Snapshot) {
        for status in self.follower.status() {
            if let Some(plan) = snapshot.upstreams.get(&status.upstream)
                && !status.endpoints.is_empty()
            {
                sources::take(plan, &status.endpoints);
            }
        }
    }

    /// It was published.
    pub fn published(&self, snapshot: &Snapshot) {
        self.follower.update(sources::wanted(snapshot));
        self.check(snapshot);
    }

    /// What the sources have said.
    pub fn sources(&self) -> Vec<follow::Status> {
        self.follower.status()
    }

    /// Tells the checker about endpoints that came and went.
    fn check(&self, snapshot: &Snapshot) {
        let targets = checks::targets(snapshot.upstreams.values().cloned());
        let print = |target: &Target| (target.key, Arc::as_ptr(&target.options) as usize);
        let now: Vec<_> = targets.iter().map(print).collect();
        let mut checked = self.checked.lock();
        if *checked != now {
            *checked = now;
            self.checker.update(targets);
        }
    }
}

/// Looks after the upstreams in force, until the runtime ends.
pub async fn look_after(node: Arc<Node>, guards: Arc<Guards>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0u64.. {
        ticks.tick().await;
        let now = Instant::now();
        let snapshot = node.current.load();
        guards.check(&snapshot);
        guards.told.count(&snapshot, &guards.sources());
        for plan in snapshot.upstreams.values() {
            look(plan, now);
            if number.is_multiple_of(IMBALANCE_EVERY)
                && let Some(imbalance) = plan.upstream.imbalance()
            {
                let guard = &plan.metrics.guard;
                guard.imbalance.set((imbalance * 1000.0) as i64);
            }
        }
    }
}

fn look(plan: &UpstreamPlan, now: Instant) {
    let set = plan.upstream.set();
    let shared = plan.upstream.shared();
    let changes = match &plan.outlier {
        Some(options) => shared
            .ejector
            .tick(options, set.endpoints(), now, next_u64()),
        None => shared.ejector.release(set.endpoints(), now),
    };
    for change in changes {
        let Some(endpoint) = set.endpoints().get(change.index) else {
            continue;
        };
        tell(plan, endpoint, &change.what);
    }
    let guard = &plan.metrics.guard;
    let available = |endpoint: &&Arc<Endpoint>| {
        endpoint.weight > 0 && endpoint.state.is_available() && !endpoint.state.is_drained()
    };
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    guard.endpoints.set(count(set.endpoints().len()));
    guard
        .available
        .set(count(set.endpoints().iter().filter(available).count()));
    guard.unresolved.set(count(unresolved(plan, &set)));
    if let Some(options) = &plan.breaker {
        let phase = shared.breaker.status(options, now).phase;
        guard.breaker.set(phase as i64);
    }
    if let Some(options) = &plan.gate {
        let status = shared.gate.status(options, now.into());
        let Waiting {
            critical,
            default,
            bulk,
        } = status.waiting;
        guard
            .waiting
            .set(i64::from(critical) + i64::from(default) + i64::from(bulk));
        guard.limit.set(status.limit.map_or(0, i64::from));
    }
}

/// Names among the endpoints that no address is known of.
fn unresolved(plan: &UpstreamPlan, set: &EndpointSet) -> usize {
    let names = plan.upstream.names();
    if names.is_empty() {
        return 0;
    }
    let host = |endpoint: &'_ Arc<Endpoint>| -> Option<Arc<str>> {
        let (host, _) = endpoint.configured.rsplit_once(':')?;
        Some(host.into())
    };
    let known: BTreeSet<Arc<str>> = set.endpoints().iter().filter_map(host).collect();
    names.iter().filter(|name| !known.contains(*name)).count()
}

fn tell(plan: &UpstreamPlan, endpoint: &Endpoint, what: &What) {
    let (name, address) = (plan.name(), &endpoint.address);
    match what {
        What::Ejected {
            cause,
            lasts,
            times,
        } => plan.ejected(endpoint, *cause, *lasts, *times),
        What::Spared { cause, verdict } => {
            let why = verdict.word();
            log::warn!(
                "upstream {name}: endpoint {address} stays although it fails ({why}): {cause}"
            );
        }
        What::Returned { why, out_for } => {
            let (why, seconds) = (why.word(), out_for.as_secs_f32());
            log::info!("upstream {name}: endpoint {address} is back after {seconds:.1} s ({why})");
        }
    }
}
