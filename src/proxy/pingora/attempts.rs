//! After a failed attempt: another one, or the end.

use std::sync::Arc;
use std::time::Instant;

use crate::proxy::ctx::Ctx;
use crate::proxy::finish::attempt_ended;
use crate::telemetry::Reason;
use crate::upstream::retry::{FailureClass, Retry};

/// Whether the failed attempt is followed by another one, and what is noted of it.
pub(super) fn decide(cx: &mut Ctx, reason: Reason, class: FailureClass) -> bool {
    let policy = cx
        .route
        .as_deref()
        .and_then(|route| route.retry.clone())
        .or_else(|| cx.upstream.as_deref().map(|plan| Arc::clone(&plan.retry)));
    let sent = cx.sent;
    let verdict = match policy {
        Some(policy) if Instant::now() < cx.deadline() => {
            cx.attempts.failed(&policy, &cx.method, class, sent)
        }
        _ => Retry::No,
    };
    cx.reason = reason;
    if let Some(plan) = &cx.upstream
        && let Some(picked) = &cx.picked
    {
        plan.endpoint_failed(picked.endpoint(), reason);
    }
    let id = cx
        .picked
        .as_ref()
        .map(|picked| picked.endpoint().state.id());
    attempt_ended(cx, Instant::now());
    match verdict {
        Retry::No => false,
        Retry::Again => {
            cx.failed = Some(reason);
            if let Some(id) = id {
                cx.tried.insert(id);
            }
            true
        }
        // The endpoint is not at fault: an idle connection had ended.
        Retry::AgainFree => {
            cx.failed = Some(reason);
            true
        }
    }
}
