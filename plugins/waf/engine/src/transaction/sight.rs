//! What rules see: the values behind a target, and the text behind a macro.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::matched::Matched;
use super::tx::{Tx, TxValue, write_number};
use super::values::Values;
use crate::plan::compiled::{CompiledRule, Macros, Part, Selector, Target, View, view_of};
use crate::plan::slots::Slots;
use crate::seclang::{Piece, Variable};

/// A transaction's state, to read.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) values: &'a Values,
    pub(crate) tx: &'a Tx,
    pub(crate) slots: &'a Slots,
    pub(crate) matched: &'a Matched,
    pub(crate) rule: Option<&'a CompiledRule>,
    pub(crate) started: Instant,
    pub(crate) highest_severity: u8,
}

/// Gets a value with the name it has in its collection.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]);

impl Sight<'_> {
    /// Visits the values of a target, exclusions aside.
    pub(crate) fn each(&self, target: &Target, visit: Visit<'_>) {
        match target.view {
            View::Stored {
                lists: (first, second),
                names,
            } => {
                let mut none = true;
                for variable in [Some(first), second].into_iter().flatten() {
                    for entry in self.values.of(variable).1 {
                        let name = self.values.bytes(entry.name);
                        if target.selector.takes(name) {
                            none = false;
                            visit(
                                name,
                                if names {
                                    name
                                } else {
                                    self.values.bytes(entry.value)
                                },
                            );
                        }
                    }
                }
                if none && !target.variable.is_collection() && is_always_there(target.variable) {
                    visit(b"", b"");
                }
            }
            View::Tx => self.each_tx(&target.selector, visit),
            View::MatchedVar => {
                if let Some(found) = self.matched.last() {
                    visit(b"", &found.value);
                }
            }
            View::MatchedVarName => {
                if let Some(found) = self.matched.last() {
                    visit(b"", &found.display());
                }
            }
            View::MatchedVars | View::MatchedVarsNames => {
                for found in self.matched.all() {
                    let name = found.display();
                    if target.selector.takes(&name) {
                        let names = target.view == View::MatchedVarsNames;
                        visit(&name, if names { &name } else { &found.value });
                    }
                }
            }
            View::Computed => self.compute(target.variable, &target.selector, visit),
        }
    }

    fn each_tx(&self, selector: &Selector, visit: Visit<'_>) {
        let mut text = Vec::new();
        match selector {
            Selector::Slot(slot) => {
                if let Some(value) = self.tx.get(*slot) {
                    value.write(&mut text);
                    visit(self.slots.name(*slot), &text);
                }
            }
            other => {
                let mut visit = |name: &[u8], value: &TxValue| {
                    text.clear();
                    value.write(&mut text);
                    visit(name, &text);
                };
                match other {
                    Selector::Slots(slots, _) => {
                        for slot in slots {
                            if let Some(value) = self.tx.get(*slot) {
                                visit(self.slots.name(*slot), value);
                            }
                        }
                    }
                    _ => self.tx.each(self.slots, &mut visit),
                }
                for (name, value) in self.tx.made_up_values() {
                    if other.takes(name) {
                        visit(name, value);
                    }
                }
            }
        }
    }

    fn compute(&self, variable: Variable, selector: &Selector, visit: Visit<'_>) {
        let mut out = Vec::new();
        match variable {
            Variable::Env => {
                for (name, value) in std::env::vars_os() {
                    let name = name.as_encoded_bytes();
                    if selector.takes(name) {
                        visit(name, value.as_encoded_bytes());
                    }
                }
                return;
            }
            Variable::Rule => {
                for name in [&b"id"[..], b"rev", b"severity", b"logdata", b"msg"] {
                    out.clear();
                    if selector.takes(name) && self.write_rule(name, &mut out) {
                        visit(name, &out);
                    }
                }
                return;
            }
            Variable::FullRequest => self.write_full_request(&mut out),
            Variable::FullRequestLength => {
                self.write_full_request(&mut out);
                let length = out.len();
                out.clear();
                write_number(i64::try_from(length).unwrap_or(i64::MAX), &mut out);
            }
            Variable::HighestSeverity => write_number(i64::from(self.highest_severity), &mut out),
            Variable::ModsecBuild => out.extend_from_slice(b"030000000"),
            Variable::Duration => {
                let past = self.started.elapsed().as_millis();
                write_number(i64::try_from(past).unwrap_or(i64::MAX), &mut out);
            }
            time => write_time(time, SystemTime::now(), &mut out),
        }
        visit(b"", &out);
    }

    fn write_rule(&self, name: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(rule) = self.rule.map(|compiled| &compiled.rule) else {
            return false;
        };
        let text = |text: Option<&crate::seclang::Text>, out: &mut Vec<u8>| {
            let Some(text) = text else { return false };
            for piece in &text.0 {
                if let Piece::Literal(bytes) = piece {
                    out.extend_from_slice(bytes);
                }
            }
            true
        };
        match name {
            b"id" => write_number(i64::try_from(rule.id).unwrap_or(i64::MAX), out),
            b"rev" => match &rule.revision {
                Some(revision) => out.extend_from_slice(revision.as_bytes()),
                None => return false,
            },
            b"severity" => match rule.severity {
                Some(severity) => write_number(i64::from(severity.0), out),
                None => return false,
            },
            b"msg" => return text(rule.message.as_ref(), out),
            _ => {
                return text(
                    rule.conditions
                        .first()
                        .and_then(|first| first.log_data.as_ref()),
                    out,
                );
            }
        }
        true
    }

    fn write_full_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.values.first(Variable::RequestLine).unwrap_or_default());
        out.extend_from_slice(b"\n");
        for entry in self.values.of(Variable::RequestHeaders).1 {
            out.extend_from_slice(self.values.bytes(entry.name));
            out.extend_from_slice(b": ");
            out.extend_from_slice(self.values.bytes(entry.value));
            out.extend_from_slice(b"\n");
        }
        out.extend_from_slice(b"\n");
        out.extend_from_slice(self.values.first(Variable::RequestBody).unwrap_or_default());
    }

    /// Appends a text with its macros expanded. A macro without a value expands to nothing.
    pub(crate) fn expand(&self, text: &Macros, out: &mut Vec<u8>) {
        for part in &text.0 {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Tx(slot) => {
                    if let Some(value) = self.tx.get(*slot) {
                        value.write(out);
                    }
                }
                Part::Value(variable, key) => {
                    let selector = match key {
                        Some(key) => Selector::Name(key.clone()),
                        None => Selector::All,
                    };
                    let target = Target {
                        variable: *variable,
                        view: view_of(*variable),
                        selector,
                        count: false,
                    };
                    let mut first = true;
                    self.each(&target, &mut |_, value| {
                        if std::mem::take(&mut first) {
                            out.extend_from_slice(value);
                        }
                    });
                }
            }
        }
    }
}

/// False for what a request may lack; every other single variable has at least an empty value.
fn is_always_there(variable: Variable) -> bool {
    !matches!(
        variable,
        Variable::RequestBody
            | Variable::ResponseBody
            | Variable::AuthType
            | Variable::UserId
            | Variable::SessionId
    )
}

/// Appends a time variable, in UTC.
fn write_time(variable: Variable, now: SystemTime, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |past| i64::try_from(past.as_secs()).unwrap_or(0));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date: H. Hinnant, "chrono-compatible low-level date algorithms".
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    // Writing to a Vec does not fail.
    let _ = match variable {
        Variable::Time => write!(
            out,
            "{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        ),
        Variable::TimeEpoch => write!(out, "{seconds}"),
        Variable::TimeHour => write!(out, "{:02}", second / 3600),
        Variable::TimeMin => write!(out, "{:02}", second / 60 % 60),
        Variable::TimeSec => write!(out, "{:02}", second % 60),
        Variable::TimeDay => write!(out, "{day}"),
        Variable::TimeMon => write!(out, "{}", month - 1),
        Variable::TimeWday => write!(out, "{}", (days + 4).rem_euclid(7)),
        Variable::TimeYear => write!(out, "{year}"),
        _ => Ok(()),
    };
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::write_time;
    use crate::seclang::Variable;

    #[test]
    fn times_are_told_in_utc() {
        // 2024-02-29 23:05:09, a Thursday.
        let now = UNIX_EPOCH + Duration::from_secs(1_709_247_909);
        for (variable, expected) in [
            (Variable::Time, "23:05:09"),
            (Variable::TimeYear, "2024"),
            (Variable::TimeMon, "1"),
            (Variable::TimeDay, "29"),
            (Variable::TimeWday, "4"),
            (Variable::TimeEpoch, "1709247909"),
        ] {
            let mut out = Vec::new();
            write_time(variable, now, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
