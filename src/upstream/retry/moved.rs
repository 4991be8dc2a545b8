//! The window of a budget, in the form that another process takes over at an upgrade: without it the new process would
//! grant the reserve, and the share of what it has not seen, a second time within ten seconds.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::budget::{RetryBudget, SLOT_MS, SLOTS};

/// A slot of another process with more than this is nonsense.
const MOST: u64 = 1 << 32;

/// What was counted in the last ten seconds. Retries in flight do not move: they end in the old process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MovedBudget {
    /// First attempts and retries in slots of 100 ms, the current one first; what is missing at the end is nothing.
    pub slots: Vec<[u64; 2]>,
}

impl RetryBudget {
    /// What is to be moved; none if nothing was counted lately.
    pub fn moved(&self, now: Instant) -> Option<MovedBudget> {
        let mut slots = self.slots(now);
        while slots.pop_if(|slot| *slot == [0, 0]).is_some() {}
        (!slots.is_empty()).then_some(MovedBudget { slots })
    }

    /// Goes on where another process was, `age` ago. Slots of two processes do not begin together: first attempts are taken
    /// as older than they may be, retries as younger, so that the bound holds over both.
    pub fn restore(&self, moved: &MovedBudget, age: Duration, now: Instant) {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let older = age_ms.div_ceil(SLOT_MS).saturating_add(1);
        let (mut first_attempts, mut retries) = (Vec::new(), Vec::new());
        for (back, [first, again]) in (0..=SLOTS).zip(&moved.slots) {
            let younger = (back.saturating_add(age_ms / SLOT_MS)).saturating_sub(1);
            first_attempts.push((back.saturating_add(older), (*first).min(MOST)));
            retries.push((younger, (*again).min(MOST)));
        }
        self.add(now, &first_attempts, &retries);
    }
}
