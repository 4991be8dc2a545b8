//! A program as SecLang again, everything resolved: what tests compare.

use super::super::*;
use crate::transform::Transformation;

/// The program as rules that would load to the same program.
pub(crate) fn dump(program: &Program) -> Vec<u8> {
    let mut out = Vec::new();
    settings(&program.settings, &mut out);
    for item in &program.items {
        match item {
            Item::Marker(name) => out.extend(format!("SecMarker \"{name}\"\n").bytes()),
            Item::Rule(rule) => chain(rule, &mut out),
        }
    }
    out
}

fn settings(settings: &Settings, out: &mut Vec<u8>) {
    let plain = Settings::default();
    let mut line = |text: String| out.extend(format!("{text}\n").bytes());
    let on = |on| if on { "On" } else { "Off" };
    if let Some(engine) = settings.engine {
        line(format!("SecRuleEngine {engine:?}"));
    }
    if let Some(access) = settings.request_body {
        line(format!("SecRequestBodyAccess {}", on(access)));
    }
    if let Some(access) = settings.response_body {
        line(format!("SecResponseBodyAccess {}", on(access)));
    }
    if settings.response_types != plain.response_types {
        line("SecResponseBodyMimeTypesClear".into());
        for kind in &settings.response_types {
            line(format!("SecResponseBodyMimeType \"{kind}\""));
        }
    }
    if settings.json_depth != plain.json_depth {
        line(format!(
            "SecRequestBodyJsonDepthLimit {}",
            settings.json_depth
        ));
    }
    if settings.arguments != plain.arguments {
        line(format!("SecArgumentsLimit {}", settings.arguments));
    }
    if settings.argument_separator != plain.argument_separator {
        let separator = char::from(settings.argument_separator);
        line(format!("SecArgumentSeparator {separator}"));
    }
    for component in &settings.components {
        line(format!("SecComponentSignature \"{component}\""));
    }
}

fn chain(rule: &Rule, out: &mut Vec<u8>) {
    let links = rule.conditions.len();
    for (link, condition) in rule.conditions.iter().enumerate() {
        let mut actions: Vec<Vec<u8>> = Vec::new();
        if link == 0 {
            head(rule, &mut actions);
        }
        effects(condition, &mut actions);
        if link + 1 < links {
            actions.push(b"chain".to_vec());
        }
        let indent = "  ".repeat(link);
        out.extend(indent.bytes());
        if condition.targets.is_empty() {
            out.extend(b"SecAction ");
        } else {
            out.extend(b"SecRule ");
            quoted(
                &condition
                    .targets
                    .iter()
                    .map(target)
                    .collect::<Vec<_>>()
                    .join(&b'|'),
                out,
            );
            out.push(b' ');
            let operator = &condition.operator;
            let word = OperatorName::ALL
                .iter()
                .find(|(name, _)| *name == operator.name)
                .unwrap()
                .1;
            let mut written = Vec::new();
            written.extend(if operator.negated { "!@" } else { "@" }.bytes());
            written.extend(word.bytes());
            let argument = text(&operator.argument);
            if !argument.is_empty() {
                written.push(b' ');
                written.extend(argument);
            }
            quoted(&written, out);
            out.push(b' ');
        }
        quoted(&actions.join(&b','), out);
        out.push(b'\n');
    }
}

fn head(rule: &Rule, actions: &mut Vec<Vec<u8>>) {
    let phase = Phase::ALL.iter().position(|phase| *phase == rule.phase);
    actions.push(format!("id:{}", rule.id).into());
    actions.push(format!("phase:{}", phase.unwrap() + 1).into());
    actions.push(match &rule.disruptive {
        Disruptive::Pass => "pass".into(),
        Disruptive::Deny => "deny".into(),
        Disruptive::Drop => "drop".into(),
        Disruptive::Allow(Allow::Transaction) => "allow".into(),
        Disruptive::Allow(Allow::Phase) => "allow:phase".into(),
        Disruptive::Allow(Allow::Request) => "allow:request".into(),
        Disruptive::Redirect(to) => value("redirect", &text(to)),
    });
    if rule.status != 403 {
        actions.push(format!("status:{}", rule.status).into());
    }
    actions.push(if rule.log { "log" } else { "nolog" }.into());
    if rule.log != rule.audit_log {
        actions.push(
            if rule.audit_log {
                "auditlog"
            } else {
                "noauditlog"
            }
            .into(),
        );
    }
    actions.extend(
        rule.message
            .iter()
            .map(|message| value("msg", &text(message))),
    );
    actions.extend(rule.severity.map(|s| format!("severity:{}", s.0).into()));
    actions.extend(rule.tags.iter().map(|tag| value("tag", &text(tag))));
    actions.extend(rule.revision.iter().map(|rev| value("rev", rev.as_bytes())));
    actions.extend(rule.version.iter().map(|ver| value("ver", ver.as_bytes())));
    actions.extend(rule.maturity.map(|n| format!("maturity:{n}").into()));
    actions.extend(rule.accuracy.map(|n| format!("accuracy:{n}").into()));
    actions.extend(
        rule.skip_after
            .iter()
            .map(|to| value("skipAfter", to.as_bytes())),
    );
    if rule.skip > 0 {
        actions.push(format!("skip:{}", rule.skip).into());
    }
    for sanitise in &rule.sanitise {
        actions.push(match sanitise {
            Sanitise::Argument(name) => value("sanitiseArg", name),
            Sanitise::Matched => b"sanitiseMatched".to_vec(),
            Sanitise::MatchedBytes { first, last } => {
                format!("sanitiseMatchedBytes:{first}/{last}").into()
            }
            Sanitise::RequestHeader(name) => value("sanitiseRequestHeader", name),
            Sanitise::ResponseHeader(name) => value("sanitiseResponseHeader", name),
        });
    }
}

fn effects(condition: &Condition, actions: &mut Vec<Vec<u8>>) {
    for transformation in &condition.transformations {
        let (_, word) = Transformation::ALL
            .iter()
            .find(|(known, _)| known == transformation)
            .unwrap();
        actions.push(format!("t:{word}").into());
    }
    if condition.multi_match {
        actions.push(b"multiMatch".to_vec());
    }
    if condition.capture {
        actions.push(b"capture".to_vec());
    }
    actions.extend(
        condition
            .log_data
            .iter()
            .map(|data| value("logdata", &text(data))),
    );
    for set in &condition.set_vars {
        let name = text(&set.name);
        let (before, operation, to) = match &set.op {
            SetVarOp::Set(to) => ("tx.", "=", text(to)),
            SetVarOp::Add(by) => ("tx.", "=+", text(by)),
            SetVarOp::Subtract(by) => ("tx.", "=-", text(by)),
            SetVarOp::Unset => ("!tx.", "", Vec::new()),
        };
        let all = [before.as_bytes(), &name, operation.as_bytes(), &to].concat();
        actions.push(value("setvar", &all));
    }
    actions.extend(condition.ctls.iter().map(|ctl| value("ctl", &control(ctl))));
}

fn control(ctl: &Ctl) -> Vec<u8> {
    let on = |on: &bool| if *on { "On" } else { "Off" };
    let removal = |gone: &TargetRemoval| {
        let target = target(&Target {
            excluded: false,
            ..gone.as_target()
        });
        String::from_utf8(target).unwrap()
    };
    match ctl {
        Ctl::AuditEngine(to) => format!("auditEngine={to:?}"),
        Ctl::RuleEngine(to) => format!("ruleEngine={to:?}"),
        Ctl::RequestBodyAccess(to) => format!("requestBodyAccess={}", on(to)),
        Ctl::ResponseBodyAccess(to) => format!("responseBodyAccess={}", on(to)),
        Ctl::ForceRequestBodyVariable(to) => format!("forceRequestBodyVariable={}", on(to)),
        Ctl::RequestBodyProcessor(to) => format!("requestBodyProcessor={to:?}"),
        Ctl::RequestBodyLimit(to) => format!("requestBodyLimit={to}"),
        Ctl::ResponseBodyLimit(to) => format!("responseBodyLimit={to}"),
        Ctl::RuleRemoveById(first, last) => format!("ruleRemoveById={first}-{last}"),
        Ctl::RuleRemoveByTag(tag) => format!("ruleRemoveByTag={tag}"),
        Ctl::RuleRemoveByMsg(msg) => format!("ruleRemoveByMsg={msg}"),
        Ctl::RuleRemoveTargetById(first, last, gone) => {
            format!("ruleRemoveTargetById={first}-{last};{}", removal(gone))
        }
        Ctl::RuleRemoveTargetByTag(tag, gone) => {
            format!("ruleRemoveTargetByTag={tag};{}", removal(gone))
        }
        Ctl::RuleRemoveTargetByMsg(msg, gone) => {
            format!("ruleRemoveTargetByMsg={msg};{}", removal(gone))
        }
    }
    .into()
}

fn target(target: &Target) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(if target.excluded { "!" } else { "" }.bytes());
    out.extend(if target.count { "&" } else { "" }.bytes());
    out.extend(target.variable.word().bytes());
    match &target.selector {
        Selector::All => {}
        Selector::Name(name) => {
            let odd = name.starts_with(b"/") || name.iter().any(|byte| b"|, ".contains(byte));
            let quote: &[u8] = if odd { b"'" } else { b"" };
            out.extend([b":", quote, name, quote].concat());
        }
        Selector::Pattern(regex) => out.extend(format!(":/{regex}/").bytes()),
        Selector::XmlText => out.extend(b":/*"),
        Selector::XmlAttributes => out.extend(b"://@*"),
    }
    out
}

/// The text as written.
fn text(text: &Text) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(literal) => out.extend_from_slice(literal),
            Piece::Macro(variable, key) => {
                out.extend(format!("%{{{}", variable.word()).bytes());
                if let Some(key) = key {
                    out.push(b'.');
                    out.extend_from_slice(key);
                }
                out.push(b'}');
            }
        }
    }
    out
}

/// `name:'value'`.
fn value(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = format!("{name}:'").into_bytes();
    for byte in value {
        if *byte == b'\'' {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'\'');
    out
}

/// `"text"`.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
