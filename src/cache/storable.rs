//! Whether a response may be stored, and what is kept with it (RFC 9111 section 3).
//!
//! The questions are asked in the order of [`Refusal`]; the first that refuses is the reason that logs, `explain` and
//! Cache-Status show.

use http::StatusCode;
use http::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, SET_COOKIE};

use super::asked::{Asked, Bypass, Verb};
use super::compressible::is_compressible;
use super::control::{Directives, Reach};
use super::freshness::{Freshness, Received, Source};
use super::guard;
use super::key::KeyView;
use super::meta::{Flags, Meta};
use super::policy::{Policy, SetCookie};
use super::purge::{self, Marks};
use super::targeted;
use super::vary::{Vary, VaryRefusal};

/// Final statuses whose meaning this cache knows (RFC 9110 section 15), for `must-understand`; 206 and 304 are not
/// among them, as they are not stored by themselves.
const UNDERSTOOD: [u16; 39] = [
    200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405,
    406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503,
    504,
];

pub use crate::telemetry::cache::Refusal;

/// A response as it came from the origin, after `origin_head` plugins.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub fields: &'a HeaderMap,
    /// When it came.
    pub received: Received,
}

/// The directives that count for us: those of a targeted field, else those of Cache-Control. True if targeted.
pub fn directives(fields: &HeaderMap, policy: &Policy) -> (Directives, bool) {
    match targeted::directives(fields, &policy.targeted) {
        Some(directives) => (directives, true),
        None => (Directives::of_response(fields), false),
    }
}

/// A response that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What is kept with it.
    pub meta: Meta,
    /// Where its lifetime comes from.
    pub source: Source,
    /// Fields that are not kept in the stored copy, besides hop-by-hop ones: named by `no-cache="..."` or
    /// `private="..."`, and Set-Cookie where the policy strips it.
    pub left_out: Vec<HeaderName>,
}

/// Decides. `odd` is [`super::asked::Request::is_odd`] of the request as the client sent it.
///
/// # Errors
/// Why it is not stored.
pub fn judge(
    asked: &Asked,
    odd: bool,
    response: &Response<'_>,
    key: &KeyView<'_>,
    policy: &Policy,
) -> Result<Plan, Refusal> {
    match asked.may_look_up() {
        Err(Bypass::Method) => return Err(Refusal::Method),
        Err(Bypass::Body) => return Err(Refusal::RequestBody),
        Err(Bypass::Condition) => return Err(Refusal::RequestCondition),
        Ok(()) if asked.verb != Verb::Get => return Err(Refusal::Method),
        Ok(()) => {}
    }
    if asked.no_store {
        return Err(Refusal::RequestNoStore);
    }
    let status = response.status;
    if odd && status.as_u16() >= 400 {
        return Err(Refusal::OddRequest);
    }
    if status.is_informational() || matches!(status.as_u16(), 206 | 304) {
        return Err(Refusal::Partial);
    }
    plan(asked.authenticated, response, key, policy)
}

/// The response's side of [`judge`]; also for what a 304 made of a stored response.
///
/// # Errors
/// Why it is not stored.
pub fn plan(
    authenticated: bool,
    response: &Response<'_>,
    key: &KeyView<'_>,
    policy: &Policy,
) -> Result<Plan, Refusal> {
    let fields = response.fields;
    let (directives, targeted) = directives(fields, policy);
    permit(&directives, response.status, authenticated)?;
    let vary = Vary::of_response(fields, &policy.key).map_err(|refusal| match refusal {
        VaryRefusal::Any => Refusal::VaryAny,
        VaryRefusal::Client => Refusal::VaryClient,
        VaryRefusal::Many => Refusal::VaryMany,
    })?;
    let mut left_out = directives.fields.clone();
    if fields.contains_key(SET_COOKIE) && !left_out.contains(&SET_COOKIE) {
        match policy.set_cookie {
            SetCookie::Bypass => return Err(Refusal::SetCookie),
            SetCookie::Strip => left_out.push(SET_COOKIE),
            SetCookie::Keep => {}
        }
    }
    if policy.match_content_type
        && response.status.is_success()
        && !guard::type_fits(key.path, guard::content_type(fields))
    {
        return Err(Refusal::ContentType);
    }
    let tags = purge::tags(fields, &policy.tags).ok_or(Refusal::Tags)?;
    if content_length(fields).is_some_and(|bytes| bytes > policy.max_object_bytes) {
        return Err(Refusal::TooLarge);
    }
    let freshness = Freshness::of_response(
        response.status,
        fields,
        &directives,
        targeted,
        &response.received,
        policy,
    );
    let validator = fields.contains_key(ETAG) || freshness.last_modified_s.is_some();
    let meta = meta(
        response,
        &directives,
        &freshness,
        policy,
        validator,
        authenticated,
        vary,
        Marks::of(key, tags),
    );
    useful(&meta, &directives, &freshness, validator)?;
    Ok(Plan {
        meta,
        source: freshness.source,
        left_out,
    })
}

/// RFC 9111 sections 3 and 3.5, without what concerns freshness.
fn permit(directives: &Directives, status: StatusCode, authenticated: bool) -> Result<(), Refusal> {
    let understood = UNDERSTOOD.contains(&status.as_u16());
    if directives.must_understand && !understood {
        return Err(Refusal::NotUnderstood);
    }
    // A cache that understands the status may disregard `no-store` beside `must-understand` (section 5.2.2.3).
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStore);
    }
    if directives.private == Reach::Whole {
        return Err(Refusal::Private);
    }
    let for_all = directives.public
        || directives.must_revalidate
        || (directives.s_maxage.is_written() && !directives.broken);
    if authenticated && !for_all {
        return Err(Refusal::Authenticated);
    }
    Ok(())
}

#[allow(clippy::too_many_arguments, reason = "one call; each becomes a field")]
fn meta(
    response: &Response<'_>,
    directives: &Directives,
    freshness: &Freshness,
    policy: &Policy,
    validator: bool,
    authenticated: bool,
    vary: Vary,
    marks: Marks,
) -> Meta {
    let never_stale = directives.must_revalidate || directives.proxy_revalidate;
    // Our own windows are for responses that had a life: one that was stale from the start, often because its sender
    // meant "do not cache", is not sent to others on the strength of a default.
    let ours = !directives.s_maxage.is_written() && freshness.lifetime_s > 0;
    let window = |origin: Option<u32>, default: u32| match origin {
        _ if never_stale || directives.no_cache == Reach::Whole => 0,
        Some(seconds) => seconds,
        None if ours => default,
        None => 0,
    };
    Meta {
        received_ms: response.received.response_ms,
        received_wall_s: response.received.wall_s,
        initial_age_ms: freshness.initial_age_ms,
        lifetime_s: freshness.lifetime_s,
        stale_while_revalidate_s: window(
            directives.stale_while_revalidate.or_stale(),
            policy.stale_while_revalidate_s,
        ),
        stale_if_error_s: window(
            directives.stale_if_error.or_stale(),
            policy.stale_if_error_s,
        ),
        flags: Flags::default()
            .with_if(Flags::NO_CACHE, directives.no_cache == Reach::Whole)
            .with_if(Flags::MUST_REVALIDATE, never_stale)
            .with_if(Flags::SHARED_LIFETIME, directives.s_maxage.is_written())
            .with_if(Flags::IMMUTABLE, directives.immutable)
            .with_if(Flags::HEURISTIC, freshness.source == Source::Heuristic)
            .with_if(Flags::POLICY, freshness.source == Source::Policy)
            .with_if(Flags::AUTHENTICATED, authenticated)
            .with_if(Flags::VALIDATOR, validator)
            .with_if(Flags::NO_TRANSFORM, directives.no_transform)
            .with_if(
                Flags::COMPRESSIBLE,
                is_compressible(response.status, response.fields, directives.no_transform),
            ),
        date_s: freshness.date_s,
        last_modified_s: freshness.last_modified_s,
        vary,
        marks,
    }
}

/// Keeps out what no request could use.
fn useful(
    meta: &Meta,
    directives: &Directives,
    freshness: &Freshness,
    validator: bool,
) -> Result<(), Refusal> {
    // Stricter than section 3, which lets a 200 be stored for its status alone: without a word of the origin, of the
    // policy or of a heuristic nothing is kept, not even to be confirmed. Storing it would let requests share it
    // while it is filled.
    let spoken = freshness.source != Source::Nobody
        || directives.public
        || directives.must_revalidate
        || directives.no_cache == Reach::Whole;
    if !spoken {
        return Err(Refusal::NoFreshness);
    }
    let lives =
        !meta.flags.has(Flags::NO_CACHE) && u64::from(meta.lifetime_s) * 1000 > meta.initial_age_ms;
    let stale_ms = u64::from(meta.stale_while_revalidate_s.max(meta.stale_if_error_s)) * 1000;
    let lives_stale = u64::from(meta.lifetime_s) * 1000 + stale_ms > meta.initial_age_ms;
    if lives || lives_stale && stale_ms > 0 || validator {
        Ok(())
    } else {
        Err(Refusal::Stale)
    }
}

/// Content-Length, if it can be read: one number, however often it is repeated.
pub fn content_length(fields: &HeaderMap) -> Option<u64> {
    let mut found = None;
    for line in fields.get_all(CONTENT_LENGTH) {
        let text = line.to_str().ok()?.trim();
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let length = text.parse::<u64>().ok()?;
        if found.is_some_and(|other| other != length) {
            return None;
        }
        found = Some(length);
    }
    found
}

/// Whether a body that has ended is the whole of its response (RFC 9111 section 3.3): incomplete ones are not kept.
pub fn is_whole(fields: &HeaderMap, body_bytes: u64, ended_cleanly: bool) -> bool {
    ended_cleanly && content_length(fields).is_none_or(|length| length == body_bytes)
}

#[cfg(test)]
mod tests;
