//! `ctl:name=value`.

use super::super::action::{AuditEngine, BodyProcessor, Ctl, EngineMode, TargetRemoval};
use super::super::problem::{Notes, shown};
use super::{id_range, lookup, number, regex, switch, targets};

#[derive(Clone, Copy)]
pub(super) enum Word {
    AuditEngine,
    /// Read, without effect; why.
    Idle(&'static str),
    ForceRequestBodyVariable,
    RequestBodyAccess,
    RequestBodyLimit,
    RequestBodyProcessor,
    ResponseBodyAccess,
    ResponseBodyLimit,
    RuleEngine,
    RuleRemoveById,
    RuleRemoveByMsg,
    RuleRemoveByTag,
    RuleRemoveTargetById,
    RuleRemoveTargetByMsg,
    RuleRemoveTargetByTag,
}

pub(super) const WORDS: &[(Word, &str)] = &[
    (Word::AuditEngine, "auditEngine"),
    (
        Word::Idle("the audit log's lines have one form: `audit_log` in TOML"),
        "auditLogParts",
    ),
    (
        Word::Idle("the level of logs is the program's"),
        "debugLogLevel",
    ),
    (Word::ForceRequestBodyVariable, "forceRequestBodyVariable"),
    (Word::RequestBodyAccess, "requestBodyAccess"),
    (Word::RequestBodyLimit, "requestBodyLimit"),
    (Word::RequestBodyProcessor, "requestBodyProcessor"),
    (Word::ResponseBodyAccess, "responseBodyAccess"),
    (Word::ResponseBodyLimit, "responseBodyLimit"),
    (Word::RuleEngine, "ruleEngine"),
    (Word::RuleRemoveById, "ruleRemoveById"),
    (Word::RuleRemoveByMsg, "ruleRemoveByMsg"),
    (Word::RuleRemoveByTag, "ruleRemoveByTag"),
    (Word::RuleRemoveTargetById, "ruleRemoveTargetById"),
    (Word::RuleRemoveTargetByMsg, "ruleRemoveTargetByMsg"),
    (Word::RuleRemoveTargetByTag, "ruleRemoveTargetByTag"),
];

/// Bytes of a list of ids, at most: each id is combined with each target.
const LIST_BYTES: usize = 1_024;

const AUDIT: &[(AuditEngine, &str)] = &[
    (AuditEngine::On, "On"),
    (AuditEngine::Off, "Off"),
    (AuditEngine::RelevantOnly, "RelevantOnly"),
];

/// `SecRuleEngine`, `ctl:ruleEngine`.
pub(in super::super) const ENGINE: &[(EngineMode, &str)] = &[
    (EngineMode::On, "On"),
    (EngineMode::DetectionOnly, "DetectionOnly"),
    (EngineMode::Off, "Off"),
];

const PROCESSORS: &[(BodyProcessor, &str)] = &[
    (BodyProcessor::UrlEncoded, "URLENCODED"),
    (BodyProcessor::Multipart, "MULTIPART"),
    (BodyProcessor::Json, "JSON"),
    (BodyProcessor::Xml, "XML"),
];

/// Reads what follows `ctl:`. Lists of ids or targets become several.
pub(super) fn ctl(written: &[u8], notes: &mut Notes<'_>) -> Vec<Ctl> {
    let split = memchr::memchr(b'=', written).and_then(|at| written.split_at_checked(at));
    let (name, value) = match split {
        Some((name, value)) => (name.trim_ascii(), value.get(1..).unwrap_or_default()),
        None => (written.trim_ascii(), b"".as_slice()),
    };
    let Some(word) = lookup(WORDS, name) else {
        notes.unknown("ctl", name, WORDS.iter().map(|(_, word)| *word));
        return Vec::new();
    };
    let (name, value) = (shown(name), value.trim_ascii());
    let one = |ctl: Option<Ctl>, notes: &mut Notes<'_>, known: &str| {
        if ctl.is_none() {
            let found = shown(value);
            notes.error(
                format!("`ctl:{name}={found}`"),
                format!("write `ctl:{name}={known}`"),
            );
        }
        ctl.into_iter().collect()
    };
    match word {
        Word::AuditEngine => one(
            lookup(AUDIT, value).map(Ctl::AuditEngine),
            notes,
            "On`, `Off` or `RelevantOnly",
        ),
        Word::Idle(why) => {
            notes.warn(format!("`ctl:{name}` has no effect"), why);
            Vec::new()
        }
        Word::ForceRequestBodyVariable => one(
            switch(value).map(Ctl::ForceRequestBodyVariable),
            notes,
            "On` or `Off",
        ),
        Word::RequestBodyAccess => one(
            switch(value).map(Ctl::RequestBodyAccess),
            notes,
            "On` or `Off",
        ),
        Word::ResponseBodyAccess => one(
            switch(value).map(Ctl::ResponseBodyAccess),
            notes,
            "On` or `Off",
        ),
        Word::RequestBodyLimit => one(
            number(value).map(Ctl::RequestBodyLimit),
            notes,
            "N`, a number of bytes: `131072",
        ),
        Word::ResponseBodyLimit => one(
            number(value).map(Ctl::ResponseBodyLimit),
            notes,
            "N`, a number of bytes: `524288",
        ),
        Word::RequestBodyProcessor => one(
            lookup(PROCESSORS, value).map(Ctl::RequestBodyProcessor),
            notes,
            "URLENCODED`, `MULTIPART`, `JSON` or `XML",
        ),
        Word::RuleEngine => one(
            lookup(ENGINE, value).map(Ctl::RuleEngine),
            notes,
            "On`, `DetectionOnly` or `Off",
        ),
        Word::RuleRemoveById => ids(&name, value, notes)
            .into_iter()
            .map(|(first, last)| Ctl::RuleRemoveById(first, last))
            .collect(),
        Word::RuleRemoveByMsg => pattern(&name, value, notes)
            .map(Ctl::RuleRemoveByMsg)
            .into_iter()
            .collect(),
        Word::RuleRemoveByTag => pattern(&name, value, notes)
            .map(Ctl::RuleRemoveByTag)
            .into_iter()
            .collect(),
        Word::RuleRemoveTargetById => {
            let (which, removals) = removals(&name, value, notes);
            let ranges = ids(&name, which, notes);
            let each = |(first, last): (u64, u64)| {
                removals
                    .iter()
                    .map(move |gone| Ctl::RuleRemoveTargetById(first, last, gone.clone()))
            };
            ranges.into_iter().flat_map(each).collect()
        }
        Word::RuleRemoveTargetByMsg => {
            let (which, removals) = removals(&name, value, notes);
            let which = pattern(&name, which, notes);
            let each = |gone: TargetRemoval| Some(Ctl::RuleRemoveTargetByMsg(which.clone()?, gone));
            removals.into_iter().filter_map(each).collect()
        }
        Word::RuleRemoveTargetByTag => {
            let (which, removals) = removals(&name, value, notes);
            let which = pattern(&name, which, notes);
            let each = |gone: TargetRemoval| Some(Ctl::RuleRemoveTargetByTag(which.clone()?, gone));
            removals.into_iter().filter_map(each).collect()
        }
    }
}

/// Ids and ranges, separated by spaces.
fn ids(name: &str, value: &[u8], notes: &mut Notes<'_>) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    if value.len() > LIST_BYTES {
        notes.error(
            format!("`ctl:{name}`: the list is longer than {LIST_BYTES} bytes"),
            "write ranges: `941100-941999`",
        );
        return ranges;
    }
    for word in value.split(u8::is_ascii_whitespace) {
        match id_range(word) {
            Some(range) => ranges.push(range),
            None if word.is_empty() && !ranges.is_empty() => {}
            None => notes.error(
                format!("`ctl:{name}`: `{}` is no id", shown(word)),
                "write an id, or the first and the last one: `941100-941999`",
            ),
        }
    }
    ranges
}

/// A regex for tags or messages.
fn pattern(name: &str, value: &[u8], notes: &mut Notes<'_>) -> Option<Box<str>> {
    if value.is_empty() {
        notes.error(
            format!("`ctl:{name}` says not which"),
            "write the tag or message, or a regex for it",
        );
        return None;
    }
    regex(value, notes)
}

/// `which;TARGET|TARGET`.
fn removals<'a>(
    name: &str,
    value: &'a [u8],
    notes: &mut Notes<'_>,
) -> (&'a [u8], Vec<TargetRemoval>) {
    let Some((which, list)) = memchr::memchr(b';', value).and_then(|at| value.split_at_checked(at))
    else {
        notes.error(
            format!("`ctl:{name}={}` names no target", shown(value)),
            format!("write `ctl:{name}=which;ARGS:name`"),
        );
        return (value, Vec::new());
    };
    let list = targets::targets(list.get(1..).unwrap_or_default(), notes).unwrap_or_default();
    let mut removals = Vec::new();
    for target in list {
        if target.count || target.excluded {
            notes.error(
                format!("`ctl:{name}`: a target to remove takes no `!` or `&`"),
                "write the variable alone: `ARGS:name`",
            );
        } else {
            removals.push(TargetRemoval {
                variable: target.variable,
                selector: target.selector,
            });
        }
    }
    (which.trim_ascii(), removals)
}
