//! What rules do when they match.

pub use crate::body::kind::Kind as BodyProcessor;

use super::target::{Selector, Target};
use super::text::Text;
use super::variable::Variable;

/// What follows for the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disruptive {
    /// `pass`: go on with the next rule.
    Pass,
    /// `deny`: refuse with the rule's status.
    Deny,
    /// `drop`: close the connection.
    Drop,
    /// `allow`: end the rules.
    Allow(Allow),
    /// `redirect`: answer with a redirect to this place.
    Redirect(Text),
}

/// How much `allow` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allow {
    /// `allow`: everything but the log phase.
    Transaction,
    /// `allow:phase`: this phase.
    Phase,
    /// `allow:request`: the phases of the request.
    Request,
}

/// `severity`, 0 (emergency) to 7 (debug).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(pub u8);

/// `setvar`: only the collection TX can be set (GLOBAL, IP, SESSION, USER, RESOURCE need a store of
/// their own, which this engine does not have: an error when the rules are loaded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetVar {
    /// The name in TX; may hold macros. Literals in lower case.
    pub name: Text,
    /// What happens to it.
    pub op: SetVarOp,
}

/// The operation of a [`SetVar`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetVarOp {
    /// `=value`; `setvar:tx.x` alone sets "1".
    Set(Text),
    /// `=+n`.
    Add(Text),
    /// `=-n`.
    Subtract(Text),
    /// `!tx.x`.
    Unset,
}

/// `sanitise...`: what the audit log must not show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sanitise {
    /// `sanitiseArg`: the argument of this name, in lower case.
    Argument(Box<[u8]>),
    /// `sanitiseMatched`: every value that matched.
    Matched,
    /// `sanitiseMatchedBytes`: what matched, but for so many bytes at its start and end.
    MatchedBytes {
        /// Bytes shown at the start.
        first: u32,
        /// Bytes shown at the end.
        last: u32,
    },
    /// `sanitiseRequestHeader`: the header of this name, in lower case.
    RequestHeader(Box<[u8]>),
    /// `sanitiseResponseHeader`: the header of this name, in lower case.
    ResponseHeader(Box<[u8]>),
}

/// `SecRuleEngine`, `ctl:ruleEngine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules run and may refuse.
    On,
    /// Rules run; nothing is refused.
    DetectionOnly,
    /// Rules do not run.
    Off,
}

/// `ctl:auditEngine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditEngine {
    /// Every transaction is logged.
    On,
    /// Those in which a rule matched.
    RelevantOnly,
    /// None.
    Off,
}

/// A rule's targets that a `ctl` takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRemoval {
    /// The variable.
    pub variable: Variable,
    /// Which values.
    pub selector: Selector,
}

impl TargetRemoval {
    /// The exclusion it amounts to.
    pub fn as_target(&self) -> Target {
        Target {
            count: false,
            excluded: true,
            variable: self.variable,
            selector: self.selector.clone(),
        }
    }
}

/// `ctl`: settings for the rest of the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ctl {
    /// `auditEngine`.
    AuditEngine(AuditEngine),
    /// `ruleEngine`.
    RuleEngine(EngineMode),
    /// `requestBodyAccess`.
    RequestBodyAccess(bool),
    /// `responseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `forceRequestBodyVariable`.
    ForceRequestBodyVariable(bool),
    /// `requestBodyProcessor`.
    RequestBodyProcessor(BodyProcessor),
    /// `requestBodyLimit`, in bytes.
    RequestBodyLimit(u64),
    /// `responseBodyLimit`, in bytes.
    ResponseBodyLimit(u64),
    /// `ruleRemoveById`: ids from the first to the last, both counted.
    RuleRemoveById(u64, u64),
    /// `ruleRemoveByTag`: a regex looked for in every tag.
    RuleRemoveByTag(Box<str>),
    /// `ruleRemoveByMsg`: a regex looked for in the message.
    RuleRemoveByMsg(Box<str>),
    /// `ruleRemoveTargetById`: ids from the first to the last.
    RuleRemoveTargetById(u64, u64, TargetRemoval),
    /// `ruleRemoveTargetByTag`.
    RuleRemoveTargetByTag(Box<str>, TargetRemoval),
    /// `ruleRemoveTargetByMsg`.
    RuleRemoveTargetByMsg(Box<str>, TargetRemoval),
}
