//! When a certificate is ordered: decisions on a given clock, in seconds since 1970.

use sha2::{Digest, Sha256};

/// Shortest pause after a failure, in seconds.
const RETRY_FIRST_S: i64 = 60;
/// Longest pause after failures, in seconds.
const RETRY_LAST_S: i64 = 3_600;
/// The same when a certificate is about to run out. Authorities allow some five failed validations an hour.
const RETRY_URGENT_S: i64 = 900;
/// Longest time that an authority can ask us to stay away, in seconds.
const MAX_RETRY_AFTER_S: i64 = 86_400;

/// No window is followed so soon after a certificate begins, in seconds: an authority that says "now" for every new
/// one would have us order without end.
const WINDOW_REST_S: i64 = 6 * 3_600;

/// What a certificate says about its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Its first second.
    pub not_before: i64,
    /// Its last.
    pub not_after: i64,
}

impl Lifetime {
    fn seconds(self) -> i64 {
        self.not_after.saturating_sub(self.not_before).max(0)
    }

    /// The last tenth: from here on an order is urgent.
    fn urgent_from(self) -> i64 {
        self.not_after.saturating_sub(self.seconds() / 10)
    }
}

/// When the authority would like a renewal (RFC 9773 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: i64,
    /// Its end.
    pub end: i64,
}

/// Why an order is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no certificate for these names.
    Missing,
    /// Two thirds of its lifetime are over, and this node's share of the spread.
    Age,
    /// The authority's window is reached.
    Suggested,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Order.
    Now(Why),
    /// Nothing before this time.
    At(i64),
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The certificate's, if there is one for the names that are asked for.
    pub life: Option<Lifetime>,
    /// The authority's wish.
    pub window: Option<Window>,
    /// No attempt before this time, after a failure.
    pub next_attempt: Option<i64>,
    /// This node's share of every spread; see [`seed`].
    pub seed: u64,
}

/// Whether to order now, or when.
pub fn due(facts: &Facts, now: i64) -> Due {
    let (at, why) = match facts.life {
        None => (now, Why::Missing),
        Some(life) => match facts.window {
            Some(window) => (in_window(life, window, facts.seed), Why::Suggested),
            None => (by_age(life, facts.seed), Why::Age),
        },
    };
    // One that lies further ahead than any pause was noted under a clock that was wrong.
    let longest = MAX_RETRY_AFTER_S + MAX_RETRY_AFTER_S / 10;
    let held_back = facts.next_attempt;
    let held_back = held_back.filter(|at| *at <= now.saturating_add(longest));
    let at = at.max(held_back.unwrap_or(i64::MIN));
    if at <= now {
        Due::Now(why)
    } else {
        Due::At(at)
    }
}

/// Two thirds of the lifetime, and up to a twentieth of it more by `seed`: nodes that share a storage do not all
/// start at once, and the first one spares the others the order.
pub fn by_age(life: Lifetime, seed: u64) -> i64 {
    let seconds = life.seconds();
    life.not_before
        .saturating_add(seconds / 3 * 2)
        .saturating_add(part_of(seconds / 20, seed))
}

/// A point in the authority's window by `seed` (RFC 9773 section 4.2). Never in the urgent tenth: a window that lies
/// there, or behind the end, is a mistake we do not follow. Nor in the first six hours, or the first twentieth of a
/// short lifetime.
pub fn in_window(life: Lifetime, window: Window, seed: u64) -> i64 {
    let length = window.end.saturating_sub(window.start).max(0);
    let rest = (life.seconds() / 20).min(WINDOW_REST_S);
    let first = life.not_before.saturating_add(rest);
    window
        .start
        .saturating_add(part_of(length, seed))
        .max(first)
        .min(life.urgent_from())
}

/// How long to wait after `failures` failures in a row, in seconds: a minute, doubled each time up to an hour, or
/// 15 minutes when the certificate is in its last tenth. What the authority asks for is kept up to a day. Up to a
/// tenth more by `seed`.
pub fn retry_delay_s(
    failures: u32,
    retry_after_s: Option<i64>,
    life: Option<Lifetime>,
    now: i64,
    seed: u64,
) -> i64 {
    let most = match life {
        Some(life) if now >= life.urgent_from() => RETRY_URGENT_S,
        _ => RETRY_LAST_S,
    };
    let doubled = RETRY_FIRST_S << failures.saturating_sub(1).min(10);
    let own = doubled.min(most);
    let asked = retry_after_s.unwrap_or(0).clamp(0, MAX_RETRY_AFTER_S);
    let wait = own.max(asked);
    wait + part_of(wait / 10, seed)
}

/// A number that is the same for a node and a certificate at every start, and spread over nodes.
pub fn seed(node: &str, certificate: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(node.as_bytes());
    hash.update([0]);
    hash.update(certificate.as_bytes());
    hash.finalize()
        .iter()
        .take(8)
        .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}

/// From 0 to `length` by `seed`.
fn part_of(length: i64, seed: u64) -> i64 {
    let length = u64::try_from(length).unwrap_or(0);
    let part = (u128::from(length) * u128::from(seed)) >> 64;
    i64::try_from(part).unwrap_or(0)
}

#[cfg(test)]
mod tests;
