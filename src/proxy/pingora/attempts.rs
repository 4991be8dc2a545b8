//! After a failed attempt: another one, a fallback, or the end.

use std::time::{Instant, SystemTime};

use http::{StatusCode, header};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

use super::Error;
use crate::proxy::attempt::{self, Then, after_failure};
use crate::proxy::ctx::Ctx;
use crate::proxy::finish::attempt_ended;
use crate::telemetry::Reason;
use crate::upstream::retry::{FailureClass, parse_retry_after};

/// Whether the failed attempt is followed by anything but the end, and what is noted of it.
pub(super) fn decide(cx: &mut Ctx, reason: Reason, class: FailureClass, replayable: bool) -> bool {
    let then = after_failure(cx, reason, class, None, replayable);
    end(cx, reason, then)
}

/// The head of an answer came: true if it is not to be passed on, since its status is one of `retry.on` and something else
/// may be had.
pub(super) fn leaves(session: &Session, cx: &mut Ctx, response: &ResponseHeader) -> bool {
    let status = response.status;
    attempt::answered(cx, status);
    if !is_wanted_again(cx, status) {
        return false;
    }
    let after = response.headers.get(header::RETRY_AFTER);
    let after = after.and_then(|value| parse_retry_after(value.as_bytes(), SystemTime::now()));
    let class = FailureClass::Status(status.as_u16());
    let replayable = is_replayable(session, cx);
    let then = after_failure(cx, Reason::UpstreamStatus, class, after, replayable);
    cx.answer_left = (then != Then::End).then_some(then);
    cx.answer_left.is_some()
}

fn is_wanted_again(cx: &Ctx, status: StatusCode) -> bool {
    let failed = status.is_server_error() || status.is_client_error();
    failed && attempt::policy(cx).is_some_and(|policy| policy.on.wants_status(status.as_u16()))
}

/// Ends the attempt whose answer is left.
pub(super) fn answer_left() -> Error {
    let kind = pingora_core::ErrorType::Custom(Reason::UpstreamStatus.as_str());
    pingora_core::Error::new_up(kind)
}

/// The attempt whose answer was left has ended.
pub(super) fn left(cx: &mut Ctx, then: Then) -> bool {
    end(cx, Reason::UpstreamStatus, then)
}

fn end(cx: &mut Ctx, reason: Reason, then: Then) -> bool {
    cx.reason = reason;
    if let Some(plan) = &cx.upstream
        && let Some(picked) = &cx.picked
    {
        plan.endpoint_failed(picked.endpoint(), reason);
    }
    attempt_ended(cx, Instant::now());
    if then == Then::FallBack {
        cx.falls_back = Some(reason);
    }
    then != Then::End
}

/// True if the body can be sent again from its beginning.
pub(super) fn is_replayable(session: &Session, cx: &Ctx) -> bool {
    let kept = attempt::policy(cx)
        .is_some_and(|policy| session.body_bytes_read() as u64 <= policy.replay_bytes);
    match cx.replay {
        Some(_) => cx.replay_complete || session.body_bytes_read() as u64 == cx.replay_read,
        None => kept && !session.as_ref().retry_buffer_truncated(),
    }
}
