//! Limiting requests, phase by phase.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::exchange::Request;
use farmgate_plugin_api::filter::Outcome;
use farmgate_plugin_api::services::{Clock, Counter, CounterBy};
use farmgate_plugin_api::{
    Answer, Credential, Explained, Filter, Phases, Reply, UpstreamRequest, Verdict,
};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::exempt::Exempt;
use super::fields::{append_state, seconds};
use super::in_flight::Held;
use super::show;
use super::tier::{Decision, Limit, Tier, Tiers};
use super::top::Top;
use super::waiting::{Delay, NoPlace, Ticket};

/// The name of the field with the state of the limits.
pub(super) const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The name of the field with the settings of the limits.
pub(super) const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Timers of hosts are no finer.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// Keys that the report names.
const MOST_REPORTED: usize = 10;

/// Limits requests. A request passes if every limit that counts it has room; then all are charged.
/// Else none is.
pub(super) struct RateLimitFilter {
    pub(super) tiers: Tiers,
    pub(super) exempt: Exempt,
    pub(super) credentials: Vec<Credential>,
    /// None: requests over a limit are refused at once.
    pub(super) delay: Option<Delay>,
    pub(super) top: Arc<Top>,
    /// Keys in it.
    pub(super) top_keys: usize,
    pub(super) status: StatusCode,
    pub(super) dry_run: bool,
    pub(super) max_keys: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// What is counted.
pub(super) struct Metrics {
    pub(super) allowed: Arc<dyn Counter>,
    pub(super) denied: Arc<dyn Counter>,
    pub(super) denied_by: Arc<dyn CounterBy>,
    pub(super) dry_denied: Arc<dyn Counter>,
    pub(super) evicted: Arc<dyn Counter>,
    pub(super) exempt: Arc<dyn Counter>,
    pub(super) unknown_plan: Arc<dyn Counter>,
    pub(super) delayed: Arc<dyn Counter>,
    pub(super) waiting_full: Arc<dyn Counter>,
    pub(super) in_flight_full: Arc<dyn Counter>,
}

impl Filter for RateLimitFilter {
    fn phases(&self) -> Phases {
        let mut phases = Phases::REQUEST_HEAD;
        if self.tiers.all().any(|tier| !tier.gates.is_empty()) {
            phases = phases.and(Phases::LOG);
        }
        if self.exempt.header.is_some() {
            phases = phases.and(Phases::UPSTREAM_REQUEST);
        }
        phases
    }

    fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    fn request_head<'a>(&'a self, request: &'a mut dyn Request) -> Answer<'a> {
        if self.exempt.covers(&*request) {
            self.metrics.exempt.add(1);
            return Answer::CONTINUE;
        }
        let (tier, is_unknown) = self.tiers.of(request.consumer());
        if is_unknown {
            self.metrics.unknown_plan.add(1);
        }
        // A plugin that stands twice in a request's chains takes one place, not two.
        let gated = !tier.gates.is_empty() && held(request).is_none();
        let mut decision = tier.decide(&*request, self.clock.now(), self.max_keys, gated);
        if let Some((ticket, wait)) = self.line_up(&mut decision, tier, &*request) {
            let waited = self.wait(request, tier, gated, ticket, wait);
            return Answer::Wait(Box::pin(waited));
        }
        Answer::Now(self.conclude(request, tier, decision))
    }

    fn upstream_request<'a>(&'a self, request: &'a mut dyn UpstreamRequest) -> Answer<'a> {
        if let Some((name, _)) = &self.exempt.header {
            request.edit().remove(name);
        }
        Answer::CONTINUE
    }

    fn log(&self, request: &mut dyn Request, _outcome: &Outcome) {
        if let Some(held) = held(request) {
            held.release();
        }
    }

    fn explain(&self, request: &Explained<'_>) -> Vec<String> {
        if self.exempt.covers(request.facts) {
            return vec!["exempt: no limit counts it".to_owned()];
        }
        let (tier, is_unknown) = self.tiers.of(request.facts.consumer());
        let mut lines = show::standing(tier, request.facts, self.clock.now());
        if is_unknown {
            lines.insert(0, "its consumer's plan is not listed here".to_owned());
        }
        lines
    }

    fn report(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(delay) = &self.delay {
            let (waiting, most) = (delay.waiting.len(), delay.most);
            lines.push(format!("{waiting} of {most} requests wait"));
        }
        let limited = self.top.list(MOST_REPORTED, self.clock.now());
        lines.extend(show::limited(&limited, self.top.missed()));
        lines
    }
}

/// The places that this request has.
fn held<'r>(request: &'r mut (dyn Request + '_)) -> Option<&'r mut Held> {
    request.state()?.downcast_mut()
}

impl RateLimitFilter {
    /// A place in the line for a request that only a rate refuses; none if it is not to wait.
    fn line_up(
        &self,
        decision: &mut Decision,
        tier: &Tier,
        facts: &dyn Request,
    ) -> Option<(Ticket, Duration)> {
        let delay = self.delay.as_ref().filter(|_| !self.dry_run)?;
        let retry_ns = decision.retry_ns.filter(|_| decision.busy == 0)?;
        let limit = tier.limits.get(decision.slowest)?;
        let store = &*limit.store;
        let key = limit.source.with_key(facts, |bytes| store.key(bytes))?;
        match delay.enter((store.id(), key), retry_ns, limit.pace.step_ns()) {
            Ok(place) => Some(place),
            Err(NoPlace::TooLong(wait_ns)) => {
                decision.retry_ns = Some(wait_ns);
                None
            }
            Err(NoPlace::Full) => {
                self.metrics.waiting_full.add(1);
                None
            }
        }
    }

    /// Waits for room and decides again, until the request passes or has waited for as long as it may. Every
    /// decision is about the moment it is made at, so no limit is exceeded by requests that waited.
    async fn wait(
        &self,
        request: &mut dyn Request,
        tier: &Tier,
        gated: bool,
        ticket: Ticket,
        mut wait: Duration,
    ) -> Verdict {
        let longest = self
            .delay
            .as_ref()
            .map_or(Duration::ZERO, |one| one.longest);
        let until = self.clock.now() + longest;
        self.metrics.delayed.add(1);
        let decision = loop {
            self.clock.sleep(wait.max(SHORTEST_WAIT)).await;
            let now = self.clock.now();
            let decision = tier.decide(&*request, now, self.max_keys, gated);
            match decision.retry_ns.filter(|_| decision.busy == 0) {
                // Somebody who came later was quicker.
                Some(retry_ns) if now + Duration::from_nanos(retry_ns) <= until => {
                    wait = Duration::from_nanos(retry_ns);
                }
                _ => break decision,
            }
        };
        drop(ticket);
        self.conclude(request, tier, decision)
    }

    /// Tells the client and the metrics what was decided.
    fn conclude(&self, request: &mut dyn Request, tier: &Tier, decision: Decision) -> Verdict {
        if decision.evicted > 0 {
            self.metrics.evicted.add(decision.evicted);
        }
        if decision.table_full {
            self.metrics.in_flight_full.add(1);
        }
        let passes = decision.passes();
        if !passes {
            self.tell_who(request, tier, &decision);
        }
        let policy = tier.policy.as_ref().filter(|_| !self.dry_run);
        if let Some(policy) = policy {
            request.add_response_header(RATE_LIMIT_POLICY, policy.clone());
            if let Some(state) = state_field(tier, &decision) {
                request.add_response_header(RATE_LIMIT, state);
            }
        }
        let (retry_ns, is_rate) = (decision.retry_ns, decision.denied != 0);
        if let Some(held) = decision.held {
            request.set_state(Box::new(held));
        }
        if passes {
            self.metrics.allowed.add(1);
            return Verdict::Continue;
        }
        if self.dry_run {
            self.metrics.dry_denied.add(1);
            return Verdict::Continue;
        }
        self.metrics.denied.add(1);
        let detail = if is_rate {
            "rate_limited"
        } else {
            "concurrency_limited"
        };
        // When a request in flight ends nobody knows.
        let after = retry_ns.map_or(1, seconds).max(1);
        let reply = Reply::problem(self.status, detail);
        let reply = reply.header(header::RETRY_AFTER, HeaderValue::from(after));
        Verdict::Reply(Box::new(reply))
    }

    /// Counts a refusal by limit and by key, and notes it for `explain`.
    fn tell_who(&self, request: &mut dyn Request, tier: &Tier, decision: &Decision) {
        let would = match self.dry_run {
            true => "would be limited",
            false => "limited",
        };
        let is_set = |bits: u8, at: usize| bits >> at & 1 == 1;
        for (at, gate) in tier.gates.iter().enumerate() {
            if is_set(decision.busy, at) {
                self.metrics.denied_by.add(&gate.name, 1);
                request.note(&format!("{would} by {}", gate.name));
            }
        }
        for (at, limit) in tier.limits.iter().enumerate() {
            if is_set(decision.denied, at) {
                self.metrics.denied_by.add(&limit.name, 1);
                let shown = show::key(limit, &*request);
                request.note(&format!("{would} by {} {shown}", limit.name));
                self.keep_limited(limit, &*request, shown);
            }
        }
    }

    fn keep_limited(&self, limit: &Limit, facts: &dyn Request, shown: Box<str>) {
        let store = &*limit.store;
        let Some(key) = limit.source.with_key(facts, |bytes| store.key(bytes)) else {
            return;
        };
        let now = self.clock.now();
        self.top.add(&limit.name, key, self.top_keys, now, shown);
    }
}

/// The field `RateLimit`; none when no limit counted the request.
fn state_field(tier: &Tier, decision: &Decision) -> Option<HeaderValue> {
    let mut out = String::with_capacity(48 * tier.limits.len());
    for (limit, state) in tier.limits.iter().zip(&decision.states) {
        if let Some(state) = state {
            append_state(&limit.quoted, state.remaining, state.reset_ns, &mut out);
        }
    }
    if out.is_empty() {
        return None;
    }
    HeaderValue::from_maybe_shared(Bytes::from(out)).ok()
}
