//! The words of actions, and what becomes of each.

use super::super::action::Severity;
use super::super::rule::Phase;

/// The words of actions.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Accuracy,
    Allow,
    AuditLog,
    Block,
    Capture,
    Chain,
    Ctl,
    Deny,
    Drop,
    Id,
    Log,
    LogData,
    Maturity,
    Msg,
    MultiMatch,
    NoAuditLog,
    NoLog,
    Pass,
    Phase,
    Redirect,
    Rev,
    SanitiseArg,
    SanitiseMatched,
    SanitiseMatchedBytes,
    SanitiseRequestHeader,
    SanitiseResponseHeader,
    SetVar,
    Severity,
    Skip,
    SkipAfter,
    Status,
    Tag,
    Transform,
    Version,
    Xmlns,
    /// Read, without effect; why.
    Idle(&'static str),
    /// An error; why and what instead.
    Refused(&'static str, &'static str),
}

pub(super) const NOTHING_KEPT: &str =
    "nothing is kept beyond a transaction; for limits per client use the plugin `rate_limit`";

pub(super) const WORDS: &[(Word, &str)] = &[
    (Word::Accuracy, "accuracy"),
    (Word::Allow, "allow"),
    (
        Word::Refused("rules do not change bodies", "remove the action"),
        "append",
    ),
    (Word::AuditLog, "auditlog"),
    (Word::Block, "block"),
    (Word::Capture, "capture"),
    (Word::Chain, "chain"),
    (Word::Ctl, "ctl"),
    (Word::Deny, "deny"),
    (Word::Idle(NOTHING_KEPT), "deprecatevar"),
    (Word::Drop, "drop"),
    (
        Word::Refused("rules start no programs", "remove the action"),
        "exec",
    ),
    (Word::Idle(NOTHING_KEPT), "expirevar"),
    (Word::Id, "id"),
    (Word::Idle(NOTHING_KEPT), "initcol"),
    (Word::Log, "log"),
    (Word::LogData, "logdata"),
    (Word::Maturity, "maturity"),
    (Word::Msg, "msg"),
    (Word::MultiMatch, "multiMatch"),
    (Word::NoAuditLog, "noauditlog"),
    (Word::NoLog, "nolog"),
    (Word::Pass, "pass"),
    (
        Word::Refused(
            "a waiting request costs more than a refused one",
            "write `deny`",
        ),
        "pause",
    ),
    (Word::Phase, "phase"),
    (
        Word::Refused("rules do not change bodies", "remove the action"),
        "prepend",
    ),
    (
        Word::Refused(
            "rules do not choose the upstream",
            "write a `[[route]]` that matches these requests",
        ),
        "proxy",
    ),
    (Word::Redirect, "redirect"),
    (Word::Rev, "rev"),
    (Word::SanitiseArg, "sanitiseArg"),
    (Word::SanitiseMatched, "sanitiseMatched"),
    (Word::SanitiseMatchedBytes, "sanitiseMatchedBytes"),
    (Word::SanitiseRequestHeader, "sanitiseRequestHeader"),
    (Word::SanitiseResponseHeader, "sanitiseResponseHeader"),
    (
        Word::Idle("rules do not change the process's environment"),
        "setenv",
    ),
    (
        Word::Idle("the collection RESOURCE is always empty here"),
        "setrsc",
    ),
    (Word::Idle("SESSIONID stays empty here"), "setsid"),
    (Word::Idle("USERID stays empty here"), "setuid"),
    (Word::SetVar, "setvar"),
    (Word::Severity, "severity"),
    (Word::Skip, "skip"),
    (Word::SkipAfter, "skipAfter"),
    (Word::Status, "status"),
    (Word::Transform, "t"),
    (Word::Tag, "tag"),
    (Word::Version, "ver"),
    (Word::Xmlns, "xmlns"),
];

pub(super) const SEVERITIES: &[(Severity, &str)] = &[
    (Severity(0), "EMERGENCY"),
    (Severity(1), "ALERT"),
    (Severity(2), "CRITICAL"),
    (Severity(3), "ERROR"),
    (Severity(4), "WARNING"),
    (Severity(5), "NOTICE"),
    (Severity(6), "INFO"),
    (Severity(7), "DEBUG"),
];

pub(super) const PHASES: &[(Phase, &str)] = &[
    (Phase::RequestHead, "1"),
    (Phase::RequestBody, "2"),
    (Phase::RequestBody, "request"),
    (Phase::ResponseHead, "3"),
    (Phase::ResponseBody, "4"),
    (Phase::ResponseBody, "response"),
    (Phase::Log, "5"),
    (Phase::Log, "logging"),
];
