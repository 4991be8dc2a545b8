//! The memory that a key's answers cannot be stored ("hit-for-miss"): without it, requests for such a key would wait for
//! each other one after the other, each hoping to share an answer that never can be shared.

use super::clock::Now;
use super::policy::Policy;
use super::storable::Refusal;

/// The longest memory, seconds, whatever a policy says: origins change their mind.
pub const LONGEST_S: u32 = 600;

/// A key whose answers cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unstored {
    /// Why the last one was not.
    pub why: Refusal,
    /// Until when requests go past each other, ms of the cache's timeline.
    pub until_ms: u64,
}

impl Unstored {
    /// What to remember after a refusal; none if the next answer may well be stored.
    pub fn remember(why: Refusal, policy: &Policy, now: Now) -> Option<Self> {
        let seconds = policy.unstored_s.min(LONGEST_S);
        (why.lasts() && seconds > 0).then(|| Self {
            why,
            until_ms: now.cache_ms.saturating_add(u64::from(seconds) * 1000),
        })
    }

    /// True while requests of this key are not to wait for each other. A later answer that can be stored ends it at
    /// once: whoever stores forgets.
    pub fn holds(&self, now: Now) -> bool {
        now.cache_ms < self.until_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_remembered_for_a_bounded_time() {
        let now = Now::at_ms(1_000_000);
        let policy = Policy::default();
        let memory = Unstored::remember(Refusal::Private, &policy, now).expect("lasts");
        assert!(memory.holds(Now::at_ms(1_119_999)));
        assert!(!memory.holds(Now::at_ms(1_120_000)));
        let long = Policy {
            unstored_s: u32::MAX,
            ..Policy::default()
        };
        let memory = Unstored::remember(Refusal::Private, &long, now).expect("lasts");
        assert_eq!(memory.until_ms, 1_000_000 + u64::from(LONGEST_S) * 1000);
        let off = Policy {
            unstored_s: 0,
            ..Policy::default()
        };
        assert_eq!(Unstored::remember(Refusal::Private, &off, now), None);
    }

    #[test]
    fn what_a_request_brought_about_is_forgotten() {
        let now = Now::at_ms(1);
        for why in [
            Refusal::Method,
            Refusal::RequestBody,
            Refusal::RequestCondition,
            Refusal::RequestNoStore,
            Refusal::OddRequest,
            Refusal::Partial,
            Refusal::Authenticated,
        ] {
            assert_eq!(
                Unstored::remember(why, &Policy::default(), now),
                None,
                "{why:?}"
            );
        }
    }
}
