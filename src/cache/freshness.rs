//! How long a response is fresh and how old it came (RFC 9111 section 4.2).

use http::StatusCode;
use http::header::{AGE, DATE, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED, PRAGMA};

use super::control::{Directives, digits, read_line, trim_ows};
use super::date::parse_http_date;
use super::policy::Policy;

/// Statuses that may be stored for a guessed time (RFC 9110 section 15.1), without 206, which is not stored.
pub const HEURISTIC_STATUSES: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// The longest guess, seconds: a week. Beyond it a guess says more about the past than about the future.
const LONGEST_GUESS_S: u64 = 7 * 86_400;

/// Millionths in a whole.
const WHOLE: u32 = 1_000_000;

/// When a response came, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// The request was sent, ms of the cache's timeline.
    pub request_ms: u64,
    /// The head was received, ms of the cache's timeline.
    pub response_ms: u64,
    /// The same by the wall clock, seconds since 1970.
    pub wall_s: u64,
}

/// Where a lifetime comes from, in the order they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A targeted field, such as CDN-Cache-Control.
    Targeted,
    /// `s-maxage`
    SMaxAge,
    /// `max-age`
    MaxAge,
    /// Expires
    Expires,
    /// The policy's time for a status, or its default.
    Policy,
    /// A share of the age by Last-Modified.
    Heuristic,
    /// Nobody said anything.
    Nobody,
}

/// Freshness of a response as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// Lifetime, seconds; bounded by the policy.
    pub lifetime_s: u32,
    /// Where it comes from.
    pub source: Source,
    /// `corrected_initial_age`, ms.
    pub initial_age_ms: u64,
    /// Date, if it is there and can be read.
    pub date_s: Option<u64>,
    /// Last-Modified, if it is there and can be read.
    pub last_modified_s: Option<u64>,
}

impl Freshness {
    /// Computes it. `directives` are those that count: of a targeted field if there is one (then `targeted`), of
    /// Cache-Control otherwise.
    pub fn of_response(
        status: StatusCode,
        fields: &HeaderMap,
        directives: &Directives,
        targeted: bool,
        received: &Received,
        policy: &Policy,
    ) -> Self {
        let wall_s = received.wall_s;
        let date_s = single_date(fields, &DATE, wall_s);
        let last_modified_s = single_date(fields, &LAST_MODIFIED, wall_s);
        // A response without a usable Date was made when it came (RFC 9110 section 6.6.1).
        let date = date_s.unwrap_or(wall_s);

        let (lifetime_s, source) = lifetime(
            status,
            fields,
            directives,
            targeted,
            date,
            wall_s,
            last_modified_s,
            policy,
        );
        let age_value = age_value(fields);
        // An Age that cannot be read: stale, however long the lifetime.
        let lifetime_s = age_value.map_or(0, |_| lifetime_s);
        let delay_ms = received.response_ms.saturating_sub(received.request_ms);
        let apparent_ms = wall_s.saturating_sub(date).saturating_mul(1000);
        let corrected_ms = u64::from(age_value.unwrap_or(0)) * 1000 + delay_ms;
        Self {
            lifetime_s,
            source,
            initial_age_ms: apparent_ms.max(corrected_ms),
            date_s,
            last_modified_s,
        }
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "one call; each is a term of RFC 9111 section 4.2.1"
)]
fn lifetime(
    status: StatusCode,
    fields: &HeaderMap,
    directives: &Directives,
    targeted: bool,
    date_s: u64,
    wall_s: u64,
    last_modified_s: Option<u64>,
    policy: &Policy,
) -> (u32, Source) {
    let bound = |seconds| policy.ttl.bound(seconds);
    if let Some(seconds) = directives.s_maxage.or_stale() {
        let source = if targeted {
            Source::Targeted
        } else {
            Source::SMaxAge
        };
        return (bound(seconds), source);
    }
    if let Some(seconds) = directives.max_age.or_stale() {
        let source = if targeted {
            Source::Targeted
        } else {
            Source::MaxAge
        };
        return (bound(seconds), source);
    }
    // A targeted field replaces Expires too (RFC 9213 section 2.2).
    if !targeted && fields.contains_key(EXPIRES) {
        let expires = single_date(fields, &EXPIRES, wall_s).unwrap_or(0);
        let seconds = u32::try_from(expires.saturating_sub(date_s)).unwrap_or(u32::MAX);
        return (bound(seconds), Source::Expires);
    }
    // What the origin said may forbid a lifetime without naming one.
    if directives.decides() || (!targeted && says_pragma(fields, directives)) {
        return (0, Source::Nobody);
    }
    let by_status = policy.ttl.status.iter().any(|(of, _)| *of == status);
    if by_status {
        return (
            bound(policy.ttl.unsaid(status).unwrap_or(0)),
            Source::Policy,
        );
    }
    if let (Some(share), Some(modified)) = (policy.heuristic_millionths, last_modified_s)
        && (directives.public || HEURISTIC_STATUSES.contains(&status.as_u16()))
        && modified < date_s
    {
        let guess = ((date_s - modified).saturating_mul(u64::from(share.min(WHOLE)))
            / u64::from(WHOLE))
        .min(LONGEST_GUESS_S);
        let guess = u32::try_from(guess).unwrap_or(0);
        return (guess.min(policy.ttl.most_s), Source::Heuristic);
    }
    match policy.ttl.unsaid(status) {
        Some(seconds) => (bound(seconds), Source::Policy),
        None => (0, Source::Nobody),
    }
}

/// `Pragma: no-cache` in a response has no defined meaning (RFC 9111 section 5.4). Its senders mean that they do not
/// want to be cached, so no time of ours is put in where they gave none.
fn says_pragma(fields: &HeaderMap, directives: &Directives) -> bool {
    let mut says = false;
    if !directives.present {
        for line in fields.get_all(PRAGMA) {
            read_line(line.as_bytes(), &mut |name, _| {
                says |= name.eq_ignore_ascii_case(b"no-cache");
            });
        }
    }
    says
}

/// The date of a field that stands there once; two of them are none.
pub(super) fn single_date(fields: &HeaderMap, name: &HeaderName, now_s: u64) -> Option<u64> {
    let mut lines = fields.get_all(name).iter();
    let date = lines.next()?;
    match lines.next() {
        Some(_) => None,
        None => parse_http_date(date.as_bytes(), now_s),
    }
}

/// The Age a response came with; 0 without the field. None if it is not a number: RFC 9111 section 5.1 would have it
/// ignored, but an unreadable age is an age, and taking it for 0 would make old responses fresh.
///
/// Of a list in one line, `7200,0`, the first member counts (section 5.1). Two lines, also when something between
/// joined them with the comma and space that joining writes, are two caches that do not agree: none.
fn age_value(fields: &HeaderMap) -> Option<u32> {
    let mut lines = fields.get_all(AGE).iter();
    let Some(line) = lines.next() else {
        return Some(0);
    };
    if lines.next().is_some() {
        return None;
    }
    let value = trim_ows(line.as_bytes());
    match value.iter().position(|byte| *byte == b',') {
        None => digits(value),
        Some(at) => {
            let (first, rest) = value.split_at_checked(at)?;
            if rest.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
                return None;
            }
            rest.split(|byte| *byte == b',')
                .skip(1)
                .all(|member| digits(member).is_some())
                .then(|| digits(first))?
        }
    }
}

#[cfg(test)]
mod tests;
