//! What the rules keep with a stored response: everything a hit asks, computed once when the response came.
//!
//! A hit's decision is arithmetic on these numbers; no field of the response is parsed again.

use super::clock::Now;
use super::purge::Marks;
use super::vary::Vary;

pub mod encoding;
pub mod head;

/// Milliseconds by which a stored response may seem to come from the future before its age counts as unknown. Threads
/// read the clock at slightly different times.
const FUTURE_MS: u64 = 10_000;

/// Yes-or-no facts about a stored response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// The origin is asked before every reuse (`no-cache`).
    pub const NO_CACHE: Self = Self(1);
    /// Never sent stale: `must-revalidate`, `proxy-revalidate`.
    pub const MUST_REVALIDATE: Self = Self(1 << 1);
    /// Sent stale only as the origin's own stale-* words say: `s-maxage` (RFC 9111 section 5.2.2.10).
    pub const SHARED_LIFETIME: Self = Self(1 << 2);
    /// Does not change while it is fresh (RFC 8246).
    pub const IMMUTABLE: Self = Self(1 << 3);
    /// The lifetime is a guess from Last-Modified.
    pub const HEURISTIC: Self = Self(1 << 4);
    /// The lifetime is the policy's, as the origin said nothing.
    pub const POLICY: Self = Self(1 << 5);
    /// The request that filled it was authenticated.
    pub const AUTHENTICATED: Self = Self(1 << 6);
    /// It has an ETag or a Last-Modified to ask the origin with.
    pub const VALIDATOR: Self = Self(1 << 7);
    /// Not to be transformed (`no-transform`).
    pub const NO_TRANSFORM: Self = Self(1 << 8);

    /// Its body is plain, and of a kind that becomes much smaller.
    pub const COMPRESSIBLE: Self = Self(1 << 9);

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With `other` if `on`.
    #[must_use]
    pub const fn with_if(self, other: Self, on: bool) -> Self {
        if on { self.with(other) } else { self }
    }

    /// True if every fact of `other` holds.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    pub(super) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }
}

/// What the rules keep with a stored response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// When its head was received, or last confirmed by a 304; ms of the cache's timeline.
    pub received_ms: u64,
    /// The same by the wall clock, seconds since 1970; stands in for a Date that is missing.
    pub received_wall_s: u64,
    /// Its age when it was received, ms (RFC 9111 section 4.2.3, `corrected_initial_age`).
    pub initial_age_ms: u64,
    /// How long it is fresh, seconds.
    pub lifetime_s: u32,
    /// How long after that it may be sent while the origin is asked, seconds.
    pub stale_while_revalidate_s: u32,
    /// How long after that it may stand in for an error, seconds.
    pub stale_if_error_s: u32,
    /// Facts.
    pub flags: Flags,
    /// Date of the origin, seconds since 1970.
    pub date_s: Option<u64>,
    /// Last-Modified, seconds since 1970.
    pub last_modified_s: Option<u64>,
    /// What tells its variants apart.
    pub vary: Vary,
    /// What purges find it by.
    pub marks: Marks,
}

/// How old a stored response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Milliseconds since the origin made or confirmed it.
    Known(u64),
    /// It was stored at a time that has not come yet: the machine's clock was set back over a restart.
    Unknown,
}

impl Meta {
    /// Its age.
    pub fn age(&self, now: Now) -> Age {
        if self.received_ms > now.cache_ms.saturating_add(FUTURE_MS) {
            return Age::Unknown;
        }
        let resident = now.cache_ms.saturating_sub(self.received_ms);
        Age::Known(self.initial_age_ms.saturating_add(resident))
    }

    /// The Age field of an answer from it: whole seconds (RFC 9111 section 5.1).
    pub fn age_s(&self, now: Now) -> u64 {
        match self.age(now) {
            Age::Known(ms) => ms / 1000,
            Age::Unknown => self.initial_age_ms / 1000,
        }
    }

    /// Milliseconds of freshness that are left; negative once it is stale. None if its age is unknown.
    pub fn fresh_ms(&self, now: Now) -> Option<i64> {
        let Age::Known(age_ms) = self.age(now) else {
            return None;
        };
        let age_ms = i64::try_from(age_ms).unwrap_or(i64::MAX);
        Some((i64::from(self.lifetime_s) * 1000).saturating_sub(age_ms))
    }

    /// True if it may be sent without asking anybody (RFC 9111 section 4.2: lifetime above age).
    pub fn is_fresh(&self, now: Now) -> bool {
        !self.flags.has(Flags::NO_CACHE) && self.fresh_ms(now).is_some_and(|ms| ms > 0)
    }
}

#[cfg(test)]
mod tests;
