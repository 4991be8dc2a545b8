//! What becomes of a request that has a key: the whole decision, from top to bottom.
//!
//! | # | stored response | request | then |
//! |---|---|---|---|
//! | 1 | none, another variant, purged hard, another key of the same hash | `only-if-cached` | 504 |
//! | 2 | the same | any | fetch: [`Serve::Fetch`] |
//! | 3 | any, usable as it is by 6, 7 or 8 | `only-if-cached` | that answer; otherwise 504 |
//! | 4 | any | `no-cache` | ask the origin, reason `request` |
//! | 5 | fresh | `max-age` below its age, or `min-fresh` above what is left | ask, reason `request` (not for `max-age` when `immutable`) |
//! | 6 | fresh | any | hit |
//! | 7 | stale since less than its stale-while-revalidate | as 5 does not forbid | hit, and one request asks in the background |
//! | 8 | stale, may be sent stale | `max-stale` above its staleness | hit |
//! | 9 | stale, `no-cache`, of unknown age, or purged softly | any | ask, reason `stale` |
//!
//! Asking means a conditional request if there is a validator. When it fails (no connection, no answer, 500, 502,
//! 503, 504), the stored response is sent if [`Ask::stale_if_error`] says so. `no-cache` and a request's own
//! `no-cache` never are answered stale, `must-revalidate` and `proxy-revalidate` never, `s-maxage` only as far as the
//! origin's own stale-if-error reaches.

use super::asked::Asked;
use super::clock::Now;
use super::meta::{Flags, Meta};
use super::purge::Purged;

pub use crate::telemetry::cache::Forward;

/// A question to the origin about a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Why.
    pub why: Forward,
    /// True if the stored response may be sent when the origin fails.
    pub stale_if_error: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serve {
    /// The stored response is sent.
    Hit(Hit),
    /// The origin is asked; a 304 confirms the stored response.
    Revalidate(Ask),
    /// The origin is asked for the whole.
    Fetch(Forward),
    /// 504: the client wants nothing but a stored response (RFC 9111 section 5.2.1.7).
    OnlyIfCached,
}

/// How a stored response is sent without waiting for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// It is fresh.
    Fresh,
    /// It is stale, and one request is to renew it in the background.
    StaleWhileRevalidate,
    /// It is stale, and the client takes it so.
    MaxStale,
}

/// Without a stored response that fits.
pub fn without(asked: &Asked, why: Forward) -> Serve {
    match asked.only_if_cached {
        true => Serve::OnlyIfCached,
        false => Serve::Fetch(why),
    }
}

/// With a stored response of this key and variant.
pub fn decide(asked: &Asked, meta: &Meta, purged: Purged, now: Now) -> Serve {
    let serve = with(asked, meta, purged, now);
    match serve {
        Serve::Revalidate(_) if asked.only_if_cached => Serve::OnlyIfCached,
        serve => serve,
    }
}

fn with(asked: &Asked, meta: &Meta, purged: Purged, now: Now) -> Serve {
    let fresh_ms = remaining_ms(meta, purged, now);
    let ask = |why| {
        Serve::Revalidate(Ask {
            why,
            stale_if_error: !asked.no_cache && may_cover_errors(meta, fresh_ms),
        })
    };
    if asked.no_cache {
        return ask(Forward::Request);
    }
    let Some(fresh_ms) = fresh_ms.filter(|_| !meta.flags.has(Flags::NO_CACHE)) else {
        return ask(Forward::Stale);
    };
    let too_old = asked
        .max_age_s
        .is_some_and(|most_s| meta.age_s(now) > u64::from(most_s) || most_s == 0);
    if fresh_ms > 0 {
        let immutable = meta.flags.has(Flags::IMMUTABLE);
        let short = fresh_ms < i64::from(asked.min_fresh_s).saturating_mul(1000);
        return match (too_old && !immutable) || short {
            true => ask(Forward::Request),
            false => Serve::Hit(Hit::Fresh),
        };
    }
    // From here on it is stale by this many ms.
    let stale_ms = fresh_ms.saturating_neg();
    let never = meta.flags.has(Flags::MUST_REVALIDATE);
    if never || too_old || asked.min_fresh_s > 0 {
        return ask(Forward::Stale);
    }
    if stale_ms < i64::from(meta.stale_while_revalidate_s) * 1000 {
        return Serve::Hit(Hit::StaleWhileRevalidate);
    }
    let tolerated = asked
        .max_stale_s
        .is_some_and(|most_s| most_s == u32::MAX || stale_ms <= i64::from(most_s) * 1000);
    if tolerated && !meta.flags.has(Flags::SHARED_LIFETIME) && purged == Purged::No {
        return Serve::Hit(Hit::MaxStale);
    }
    ask(Forward::Stale)
}

/// Freshness that is left, with a soft purge: stale since the purge at the latest.
fn remaining_ms(meta: &Meta, purged: Purged, now: Now) -> Option<i64> {
    let fresh_ms = meta.fresh_ms(now)?;
    match purged {
        Purged::Stale { since_ms } => {
            let since = i64::try_from(now.cache_ms.saturating_sub(since_ms)).unwrap_or(i64::MAX);
            Some(fresh_ms.min(since.saturating_neg()))
        }
        Purged::No => Some(fresh_ms),
    }
}

fn may_cover_errors(meta: &Meta, fresh_ms: Option<i64>) -> bool {
    if meta.flags.has(Flags::NO_CACHE) || meta.flags.has(Flags::MUST_REVALIDATE) {
        // While it is fresh nothing forbids it: the request asked, the origin failed, and the RFC lets a fresh
        // response be used.
        return !meta.flags.has(Flags::NO_CACHE) && fresh_ms.is_some_and(|ms| ms > 0);
    }
    match fresh_ms {
        None => false,
        Some(ms) if ms > 0 => true,
        Some(ms) => ms.saturating_neg() < i64::from(meta.stale_if_error_s) * 1000,
    }
}

/// Whether requests that waited for a fill may be answered from it (RFC 9111 section 4): as if it had been stored
/// before they came. A response that is stale at birth answers the one that asked.
pub fn may_share(asked: &Asked, meta: &Meta, now: Now) -> bool {
    matches!(decide(asked, meta, Purged::No, now), Serve::Hit(_))
}

/// Statuses of an origin that count as an error for stale-if-error (RFC 5861 section 4).
pub fn is_error(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

#[cfg(test)]
mod tests;
