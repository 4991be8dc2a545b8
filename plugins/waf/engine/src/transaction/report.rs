//! What a transaction says of itself.

use crate::seclang::{Phase, Place, Severity};

/// What follows for the transaction after a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Refuse the request or its answer.
    Refuse(Refusal),
}

/// A refusal and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that refused; 0 when no rule did.
    pub rule: u64,
    /// How.
    pub kind: RefusalKind,
}

/// How a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// With this status.
    Deny {
        /// 400 to 599 as a rule; whatever the rule says.
        status: u16,
    },
    /// By closing the connection.
    Drop,
    /// With a redirect.
    Redirect {
        /// 301, 302, 303 or 307.
        status: u16,
        /// The target, macros expanded.
        location: Vec<u8>,
    },
    /// The work allowed for one transaction is used up: what was seen so far gave no reason to
    /// refuse, the rest was not looked at. The caller decides what follows.
    OverBudget,
}

/// A rule matched and wants it known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The rule's id.
    pub rule: u64,
    /// The phase it ran in.
    pub phase: Phase,
    /// Where the rule is written.
    pub place: Place,
    /// `msg`, macros expanded.
    pub message: Vec<u8>,
    /// `logdata`, macros expanded.
    pub data: Vec<u8>,
    /// The variable whose value matched the rule's first condition, e.g. `ARGS:q`.
    pub variable: Vec<u8>,
    /// The value that matched, after its transformations, at most [`MATCH_BYTES`] of it.
    pub value: Vec<u8>,
    /// `severity`.
    pub severity: Option<Severity>,
    /// `tag`s, macros expanded.
    pub tags: Vec<Vec<u8>>,
    /// False after `noauditlog`: for the error log only.
    pub audit: bool,
}

/// Most bytes of a value, of data and of a message that are kept of a match.
pub const MATCH_BYTES: usize = 512;

/// Most matches that are kept of a transaction; further ones count, and are scored, all the same.
pub const MATCHES: usize = 128;

/// The first bytes of a text, for a record.
pub(crate) fn cut(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(MATCH_BYTES);
    bytes
}
