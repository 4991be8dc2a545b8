//! What stands in when there is no answer to give: the fallbacks of the upstream, in order.

use std::sync::Arc;

use super::attempt::Granted;
use super::ctx::Ctx;
use crate::snapshot::UpstreamPlan;
use crate::snapshot::upstream::Fallback;
use crate::telemetry::Reason;
use crate::telemetry::guard::FallbackKind;
use crate::telemetry::reason::Source;
use crate::upstream::TriedSet;
use crate::upstream::retry::Attempts;

/// Where a request stands among the fallbacks of the upstream that its route chose.
#[derive(Clone, Default)]
pub struct Fallbacks {
    list: Option<Arc<[Fallback]>>,
    next: usize,
}

/// Puts an upstream in charge.
pub fn take_charge(cx: &mut Ctx, plan: &Arc<UpstreamPlan>) {
    let mut timeouts = plan.timeouts;
    if let Some(route) = cx.route.as_deref() {
        timeouts = route.upstream_timeouts.unwrap_or(plan.timeouts);
        timeouts.per_try = match &route.retry {
            Some(_) => route.per_try,
            None => plan.timeouts.per_try,
        };
    }
    cx.upstream_timeouts = Some(timeouts);
    cx.upstream = Some(Arc::clone(plan));
}

/// Goes on to the next fallback; true if it is another upstream. An answer made here is in [`Ctx::stand_in`] then.
pub fn next(cx: &mut Ctx, reason: Reason) -> bool {
    if reason.source() != Source::Upstream {
        return false;
    }
    while let Some(fallback) = upcoming(cx).first().cloned() {
        if cx.fallbacks.list.is_none() {
            cx.fallbacks.list = cx.upstream.as_ref().map(|plan| Arc::clone(&plan.fallbacks));
        }
        cx.fallbacks.next += 1;
        if !is_of_use(cx, &fallback) {
            continue;
        }
        let kind = match &fallback {
            Fallback::Stale => FallbackKind::Stale,
            Fallback::Upstream(_) => FallbackKind::Upstream,
            Fallback::Reply(_) => FallbackKind::Reply,
        };
        if let Some(plan) = &cx.upstream {
            plan.metrics.guard.fell_back(kind);
        }
        match fallback {
            // Whoever the fetch was made for gets what is stored when it fails.
            Fallback::Stale => return false,
            Fallback::Reply(reply) => {
                cx.stand_in = Some(Box::new((*reply).clone()));
                return false;
            }
            Fallback::Upstream(plan) => {
                cx.granted = Granted::default();
                cx.attempts = Attempts::default();
                cx.tried = TriedSet::new();
                cx.ended_as = None;
                cx.reason = Reason::Ok;
                cx.retry_after = None;
                if let Some(note) = &cx.fetch {
                    note.stand_in();
                }
                take_charge(cx, &plan);
                return true;
            }
        }
    }
    false
}

/// True if a fallback is left that can be used.
pub fn is_left(cx: &Ctx) -> bool {
    upcoming(cx).iter().any(|fallback| is_of_use(cx, fallback))
}

fn upcoming(cx: &Ctx) -> &[Fallback] {
    let list = match &cx.fallbacks.list {
        Some(list) => Some(list),
        None => cx.upstream.as_ref().map(|plan| &plan.fallbacks),
    };
    list.and_then(|list| list.get(cx.fallbacks.next..))
        .unwrap_or_default()
}

fn is_of_use(cx: &Ctx, fallback: &Fallback) -> bool {
    match fallback {
        Fallback::Stale => cx.fetch.as_ref().is_some_and(|note| note.is_covered()),
        // Its own doing must not be done twice.
        Fallback::Upstream(_) => !cx.is_spent,
        Fallback::Reply(_) => true,
    }
}
