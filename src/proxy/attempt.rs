//! Step 9 of a request's life: whether an attempt may be made, where it goes, and what its end teaches.
//!
//! | asked | of | says no |
//! |---|---|---|
//! | the breaker | [`crate::upstream::breaker`] | [`Reason::BreakerOpen`] |
//! | the gate: a place for this request at the upstream, kept over its attempts | [`crate::upstream::limits`] | [`Reason::QueueFull`], [`Reason::QueueTimeout`] |
//! | the choice of an endpoint | [`crate::upstream::set`] | [`Reason::NoEndpoint`], or a wait until one has room |
//!
//! Whoever says no, or an attempt after which there is no other, leads to the fallbacks of the upstream ([`super::fallback`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use farmgate_plugin_api::Headers;
use http::StatusCode;

use super::ctx::Ctx;
use super::exchange::RequestExchange;
use super::{fallback, fields};
use crate::snapshot::UpstreamPlan;
use crate::telemetry::Reason;
use crate::telemetry::guard::{Attempt, NoRetry};
use crate::telemetry::reason::Source;
use crate::upstream::balance::random::next_u64;
use crate::upstream::breaker::{Admitted, Outcome};
use crate::upstream::hash::stable_hash;
use crate::upstream::limits::{Place, Shed};
use crate::upstream::outlier::Seen;
use crate::upstream::retry::{FailureClass, Retry, RetryGuard, RetryPolicy, needs_pause};
use crate::upstream::{NoPick, Picked};

/// What the upstream in charge has given this request.
#[derive(Debug, Default)]
pub struct Granted {
    /// Its place, for all attempts.
    place: Option<Place>,
    /// The breaker's leave for the attempt under way.
    admitted: Option<Admitted>,
    /// The budget's, for a further attempt.
    retry: Option<RetryGuard>,
    /// The pause before the next attempt.
    pause: Option<Duration>,
    /// The end of its first attempt was counted.
    first_told: bool,
    /// How long it waited for a place.
    pub queued: Option<Duration>,
}

/// Begins the next attempt: at the upstream in charge, or at one it falls back to.
///
/// # Errors
/// Nobody takes it. [`Ctx::stand_in`] holds the answer made here, if a fallback has one.
pub async fn begin(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
) -> Result<Arc<UpstreamPlan>, Reason> {
    // An attempt failed after which the fallbacks come.
    let mut failed = cx.falls_back.take();
    loop {
        let reason = match failed.take() {
            Some(reason) => reason,
            None => match at_upstream(cx, headers).await {
                Ok(plan) => return Ok(plan),
                Err(reason) => reason,
            },
        };
        if !fallback::next(cx, reason) {
            return Err(reason);
        }
    }
}

/// True if the attempt that begins may have to wait.
pub fn may_wait(cx: &Ctx) -> bool {
    let is_limited = cx
        .upstream
        .as_deref()
        .is_some_and(|plan| plan.gate.is_some());
    is_limited || cx.granted.pause.is_some() || cx.falls_back.is_some()
}

async fn at_upstream(
    cx: &mut Ctx,
    headers: &mut (dyn Headers + '_),
) -> Result<Arc<UpstreamPlan>, Reason> {
    let plan = cx.upstream.clone().ok_or(Reason::Internal)?;
    if let Some(pause) = cx.granted.pause.take() {
        tokio::time::sleep(pause).await;
    }
    // The first attempt follows the filters at once; another one comes after a failure.
    let now = if cx.asked { Instant::now() } else { cx.clock };
    cx.clock = now;
    if now >= cx.deadline() {
        return Err(Reason::RequestTimeout);
    }
    admit(cx, &plan, now)?;
    if let Err(reason) = enter(cx, &plan).await {
        give_up(cx, &plan);
        return Err(reason);
    }
    let hash = plan.hash_key.as_ref().map(|source| {
        let facts = RequestExchange {
            cx: &mut *cx,
            headers,
            filter: u16::MAX,
        };
        source
            .with_key(&facts, stable_hash)
            .unwrap_or_else(|| fields::hash_ip(facts.cx.client))
    });
    let picked = match choose(cx, &plan, hash).await {
        Ok(picked) => picked,
        Err(reason) => {
            give_up(cx, &plan);
            return Err(reason);
        }
    };
    if picked.panic {
        plan.metrics.guard.panics.inc();
    }
    if cx.attempts.is_first() {
        plan.upstream.shared().budget.request(cx.clock);
    }
    let now = cx.clock;
    cx.picked = Some(picked);
    cx.asked = true;
    cx.reused = false;
    cx.retire_upstream = false;
    cx.times.attempt = Some(now);
    cx.times.connect = None;
    cx.times.sent = None;
    cx.times.first_byte = None;
    Ok(plan)
}

/// Asks the breaker.
fn admit(cx: &mut Ctx, plan: &UpstreamPlan, now: Instant) -> Result<(), Reason> {
    let Some(options) = &plan.breaker else {
        return Ok(());
    };
    match plan.upstream.shared().breaker.admit(options, now) {
        Ok((admitted, change)) => {
            cx.granted.admitted = Some(admitted);
            plan.breaker_changed(change);
            Ok(())
        }
        Err(refused) => {
            cx.retry_after = Some(refused.retry_after);
            plan.metrics.guard.shed(Reason::BreakerOpen);
            Err(Reason::BreakerOpen)
        }
    }
}

/// Takes a place, or waits for one.
async fn enter(cx: &mut Ctx, plan: &UpstreamPlan) -> Result<(), Reason> {
    let (Some(options), None) = (&plan.gate, &cx.granted.place) else {
        return Ok(());
    };
    let gate = &plan.upstream.shared().gate;
    let class = cx.class();
    if let Some(place) = gate.try_enter(options, class) {
        cx.granted.place = Some(place);
        return Ok(());
    }
    let begun = cx.clock;
    let until = tokio::time::Instant::from_std(cx.deadline());
    let entered = gate.enter(options, class, until).await;
    waited(cx, plan, begun);
    match entered {
        Ok(place) => {
            cx.granted.place = Some(place);
            Ok(())
        }
        Err(shed) => Err(turned_away(cx, plan, shed)),
    }
}

/// Chooses an endpoint, or waits until one has room.
async fn choose(cx: &mut Ctx, plan: &UpstreamPlan, hash: Option<u64>) -> Result<Picked, Reason> {
    let upstream = &plan.upstream;
    let (Some(options), Some(_)) = (&plan.gate, upstream.options().per_endpoint) else {
        let picked = upstream.pick(hash, &cx.tried, cx.clock);
        return picked.map_err(|_| Reason::NoEndpoint);
    };
    // Always by way of the gate: whoever waits is not overtaken.
    let until = tokio::time::Instant::from_std(cx.deadline());
    let (tried, begun) = (cx.tried.clone(), cx.clock);
    let mut asked = 0;
    let take = || {
        asked += 1;
        let now = if asked == 1 { begun } else { Instant::now() };
        match upstream.pick(hash, &tried, now) {
            Ok(picked) => Some(Ok(picked)),
            Err(NoPick::None) => Some(Err(Reason::NoEndpoint)),
            Err(NoPick::Full) => None,
        }
    };
    let gate = &upstream.shared().gate;
    let taken = gate.wait_for(options, cx.class(), until, take).await;
    if asked != 1 {
        waited(cx, plan, begun);
    }
    taken.unwrap_or_else(|shed| Err(turned_away(cx, plan, shed)))
}

fn waited(cx: &mut Ctx, plan: &UpstreamPlan, begun: Instant) {
    cx.clock = Instant::now();
    let took = cx.clock.saturating_duration_since(begun);
    plan.metrics
        .queue
        .observe_ns(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    cx.granted.queued = Some(cx.granted.queued.unwrap_or_default() + took);
}

fn turned_away(cx: &mut Ctx, plan: &UpstreamPlan, shed: Shed) -> Reason {
    let reason = match shed {
        Shed::Full => Reason::QueueFull,
        Shed::TimedOut => Reason::QueueTimeout,
    };
    cx.retry_after = Some(plan.upstream.shared().gate.retry_after());
    plan.metrics.guard.shed(reason);
    reason
}

/// No attempt is made after all.
fn give_up(cx: &mut Ctx, plan: &UpstreamPlan) {
    told_breaker(cx, plan, Outcome::Neither, Duration::ZERO);
    cx.granted.place = None;
    cx.granted.retry = None;
}

/// The head of an answer came.
pub fn answered(cx: &mut Ctx, status: StatusCode) {
    let Some(plan) = cx.upstream.clone() else {
        return;
    };
    let took = cx.times.first_byte.unwrap_or_default();
    let server_error = status.is_server_error();
    let outcome = match server_error {
        true => Outcome::Failure,
        false => Outcome::Success,
    };
    told_breaker(cx, &plan, outcome, took);
    told_outlier(cx, &plan, Seen::Answer { server_error }, Some(took));
    if let (Some(options), true) = (&plan.gate, cx.granted.place.is_some()) {
        let dropped = matches!(status.as_u16(), 503 | 429);
        let gate = &plan.upstream.shared().gate;
        gate.observe(options, took, dropped, cx.clock);
    }
    cx.ended_as = Some(match server_error {
        true => Attempt::ServerError,
        false => Attempt::Good,
    });
}

/// The attempt under way ended at `now`, for what reason the context says. Its answer was told before, if there was one.
pub fn ended(cx: &mut Ctx, now: Instant) {
    let Some(plan) = cx.upstream.clone() else {
        return;
    };
    let blameless = cx.reason.is_ok() || cx.reason.source() != Source::Upstream;
    let took = cx
        .times
        .attempt
        .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
    if cx.times.first_byte.is_none() && !blameless {
        told_breaker(cx, &plan, Outcome::Failure, took);
        let seen = match cx.times.sent {
            None => Seen::ConnectFailure,
            Some(_) => Seen::Failure,
        };
        told_outlier(cx, &plan, seen, None);
        if let (Some(options), true) = (&plan.gate, cx.granted.place.is_some()) {
            plan.upstream
                .shared()
                .gate
                .observe(options, took, true, now);
        }
        cx.ended_as = Some(Attempt::Failed);
    } else if cx.times.first_byte.is_some() && !blameless && cx.reason != Reason::UpstreamStatus {
        // Cut after its head.
        told_outlier(cx, &plan, Seen::Failure, None);
        cx.ended_as = Some(Attempt::Failed);
    }
    told_breaker(cx, &plan, Outcome::Neither, took);
    // The number of the attempt may be the next one's already.
    if let Some(how) = cx.ended_as
        && !std::mem::replace(&mut cx.granted.first_told, true)
    {
        plan.metrics.guard.first_try(how);
    }
}

/// The request has its answer, or none: what it held at its upstream is free.
pub fn over(cx: &mut Ctx) {
    if let (Some(plan), Some(how)) = (&cx.upstream, cx.ended_as)
        && cx.attempts.number() > 1
    {
        plan.metrics.guard.last_try(how);
    }
    // Given for an attempt that never began: the client left while it waited.
    if cx.granted.admitted.is_some()
        && let Some(plan) = cx.upstream.clone()
    {
        told_breaker(cx, &plan, Outcome::Neither, Duration::ZERO);
    }
    cx.granted.place = None;
    cx.granted.retry = None;
}

fn told_breaker(cx: &mut Ctx, plan: &UpstreamPlan, outcome: Outcome, took: Duration) {
    if let (Some(options), Some(admitted)) = (&plan.breaker, cx.granted.admitted.take()) {
        let breaker = &plan.upstream.shared().breaker;
        let change = breaker.record(options, admitted, outcome, took, cx.clock, next_u64());
        plan.breaker_changed(change);
    }
}

fn told_outlier(cx: &Ctx, plan: &UpstreamPlan, seen: Seen, took: Option<Duration>) {
    let (Some(options), Some(picked)) = (&plan.outlier, &cx.picked) else {
        return;
    };
    let outlier = &picked.endpoint().state.outlier;
    if let Some(cause) = outlier.record(options, seen, took) {
        plan.eject(options, picked.endpoint(), cause, cx.clock);
    }
}

/// What follows an attempt that failed in this way: another one, the fallbacks, or the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Another attempt.
    Again,
    /// A fallback.
    FallBack,
    /// Answer the client.
    End,
}

/// Decides, before the attempt's end is told. `replayable`: the body can be sent again.
pub fn after_failure(
    cx: &mut Ctx,
    reason: Reason,
    class: FailureClass,
    retry_after: Option<Duration>,
    replayable: bool,
) -> Then {
    let now = Instant::now();
    let undone = class == FailureClass::RefusedStream;
    cx.is_spent = !replayable || (cx.sent && !undone && !cx.method.is_idempotent());
    let verdict = match policy(cx) {
        Some(policy) if now < cx.deadline() => {
            retry(cx, &policy, class, retry_after, replayable, now)
        }
        _ => Retry::No,
    };
    let id = cx
        .picked
        .as_ref()
        .map(|picked| picked.endpoint().state.id());
    match verdict {
        Retry::Again => {
            cx.failed = Some(reason);
            if let Some(id) = id {
                cx.tried.insert(id);
            }
            Then::Again
        }
        // The endpoint is not at fault: an idle connection had ended.
        Retry::AgainFree => {
            cx.failed = Some(reason);
            Then::Again
        }
        Retry::No if fallback::is_left(cx) => Then::FallBack,
        Retry::No => Then::End,
    }
}

/// The rules in force.
pub fn policy(cx: &Ctx) -> Option<Arc<RetryPolicy>> {
    let own = cx.route.as_deref().and_then(|route| route.retry.clone());
    own.or_else(|| cx.upstream.as_deref().map(|plan| Arc::clone(&plan.retry)))
}

fn retry(
    cx: &mut Ctx,
    policy: &RetryPolicy,
    class: FailureClass,
    retry_after: Option<Duration>,
    replayable: bool,
    now: Instant,
) -> Retry {
    let mut attempts = cx.attempts;
    let verdict = attempts.failed(policy, &cx.method, class, cx.sent);
    let Some(plan) = cx.upstream.clone().filter(|_| verdict != Retry::No) else {
        return Retry::No;
    };
    let refused = |why| {
        plan.metrics.guard.not_retried(why);
        Retry::No
    };
    if !replayable {
        return refused(NoRetry::Body);
    }
    if verdict == Retry::AgainFree {
        // Bytes that were sent may have cost the endpoint something: the next ones are charged, though none is refused
        // for those in flight. An endpoint that dies takes all its connections with it at once.
        if let (true, Some(budget)) = (cx.sent, &policy.budget)
            && plan.upstream.shared().budget.charge(budget, now).is_err()
        {
            return refused(NoRetry::Budget);
        }
        cx.attempts = attempts;
        return verdict;
    }
    let left = cx.deadline().saturating_duration_since(now);
    let untried = plan.upstream.has_untried(&cx.tried, cx.picked.as_ref());
    let pause = match retry_after.is_some() || needs_pause(class, untried) {
        true => policy
            .backoff
            .pause(attempts.number(), retry_after, left, next_u64()),
        false => Some(Duration::ZERO),
    };
    let Some(pause) = pause else {
        return refused(NoRetry::Time);
    };
    if let Some(budget) = &policy.budget {
        let shared = plan.upstream.shared();
        match shared
            .budget
            .try_retry(budget, plan.upstream.in_flight(), now)
        {
            Ok(guard) => cx.granted.retry = Some(guard),
            Err(_) => return refused(NoRetry::Budget),
        }
    }
    cx.granted.pause = (!pause.is_zero()).then_some(pause);
    cx.attempts = attempts;
    verdict
}
