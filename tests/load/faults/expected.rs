//! What each fault may cost under each policy.
//!
//! The bounds follow from the words of the policies and the pace (125 requests a second, 42 to each endpoint):
//! - Round robin gives an endpoint of three a third of the requests, and a retry takes no turn: nothing costs more.
//! - Refused connections and resets are tried elsewhere, by the defaults too. Over these few seconds the budget has room for a third of
//!   the requests: a fifth, and 10 a second for ten seconds at once. Over longer ones it has not.
//! - Two checks 275 ms apart at most, each of 250 ms at most, and the first one not at once: 0.8 s.
//! - Two refused connections, or five failures, in a row: 0.1 s. With a silent endpoint they are known 0.5 s later (`first_byte`,
//!   `per_try`).
//! - Shares and times are compared once a second, in intervals of a second, the first of which began before the fault: 2 s.
//!
//! A time may be two to three times that on a busy machine, and costs what the pace brings in it. What a policy cannot help
//! with may cost its share.

use super::endpoint::Fault::{self, Garbage, Half500, Killed, Reset, Slow, SlowBody, Stopped};

/// How many requests at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Most {
    /// What was under way, and what it takes to know.
    Handful,
    /// What an endpoint gets in this many milliseconds.
    Within(u64),
    /// An endpoint's share.
    Third,
    /// Half of it, at random.
    Sixth,
}
use Most::{Handful, Sixth, Third, Within};

/// A handful; also what a count may be off by where requests are under way.
const HANDFUL: usize = 10;

impl Most {
    /// Of so many requests; `gap_ms` lies between two.
    pub(super) fn of(self, requests: usize, gap_ms: u64) -> usize {
        match self {
            Handful => HANDFUL,
            Within(ms) => usize::try_from(ms / gap_ms / 3).expect("a count") + HANDFUL,
            Third => requests / 3 + HANDFUL,
            Sixth => {
                // Six standard deviations of as many throws of a coin.
                let deviation = (requests as f64 / 12.0).sqrt();
                requests / 6 + (6.0 * deviation) as usize
            }
        }
    }
}

/// What a fault may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    /// Requests without a good answer.
    pub(super) failed: Most,
    /// Good answers that took long.
    pub(super) slow: Most,
    /// Milliseconds until the endpoint is out of use. None: it need not be.
    pub(super) out_ms: Option<u64>,
}

const fn stays(failed: Most, slow: Most) -> Cost {
    Cost {
        failed,
        slow,
        out_ms: None,
    }
}

const fn out(out_ms: u64, failed: Most, slow: Most) -> Cost {
    Cost {
        failed,
        slow,
        out_ms: Some(out_ms),
    }
}

/// Found by checks.
const CHECKED: u64 = 2000;
/// Found by failures in a row.
const IN_A_ROW: u64 = 1500;
/// Found by comparing.
const COMPARED: u64 = 3500;

/// By fault: with nothing but the defaults, with checks, with ejection, with retries, with all together.
pub(super) const TABLE: [(Fault, [Cost; 5]); 7] = [
    (
        Killed,
        [
            stays(Handful, Handful),
            out(CHECKED, Handful, Handful),
            out(IN_A_ROW, Handful, Handful),
            stays(Handful, Handful),
            out(IN_A_ROW, Handful, Handful),
        ],
    ),
    (
        Stopped,
        [
            // Some meet `timeouts.connect`, and have their answer late: nobody takes connections from the kernel's queue.
            stays(Third, Third),
            out(CHECKED, Within(CHECKED), Handful),
            out(IN_A_ROW, Within(IN_A_ROW), Handful),
            stays(Handful, Third),
            out(IN_A_ROW, Handful, Within(IN_A_ROW)),
        ],
    ),
    (
        Reset,
        [
            stays(Handful, Handful),
            out(CHECKED, Handful, Handful),
            out(IN_A_ROW, Handful, Handful),
            stays(Handful, Handful),
            out(IN_A_ROW, Handful, Handful),
        ],
    ),
    (
        Half500,
        [
            stays(Sixth, Handful),
            // Half of the checks are good: it comes and goes.
            stays(Sixth, Handful),
            out(COMPARED, Sixth, Handful),
            stays(Handful, Handful),
            out(COMPARED, Handful, Handful),
        ],
    ),
    (
        Slow,
        [
            stays(Handful, Third),
            out(CHECKED, Handful, Within(CHECKED)),
            out(COMPARED, Handful, Within(COMPARED)),
            stays(Handful, Third),
            out(CHECKED, Handful, Within(CHECKED)),
        ],
    ),
    (
        Garbage,
        [
            // An answer that makes no sense is one: it is not tried again.
            stays(Third, Handful),
            out(CHECKED, Within(CHECKED), Handful),
            out(IN_A_ROW, Handful, Handful),
            stays(Third, Handful),
            out(IN_A_ROW, Handful, Handful),
        ],
    ),
    (
        SlowBody,
        [
            stays(Handful, Third),
            out(CHECKED, Handful, Within(CHECKED)),
            // Times are those of heads.
            stays(Handful, Third),
            stays(Handful, Third),
            out(CHECKED, Handful, Within(CHECKED)),
        ],
    ),
];
