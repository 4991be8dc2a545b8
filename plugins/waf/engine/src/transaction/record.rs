//! What is kept of matches, for the audit log and for people.

use super::Transaction;
use super::matched::Found;
use super::report::{MATCHES, Match, cut};
use crate::plan::compiled::CompiledRule;
use crate::seclang::{Sanitise, Variable};
use crate::work::Kind;

/// A match of a rule's first condition, before the whole chain is known to hold.
pub(super) struct Pending {
    pub(super) variable: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) data: Vec<u8>,
}

impl Transaction {
    /// What `sanitise...` of a rule that matched asks to hide.
    fn mask(&mut self, sanitise: &Sanitise, pending: &[Pending]) {
        let named =
            |variable: Variable, name: &[u8]| [variable.word().as_bytes(), b":", name].concat();
        let room = MATCHES.saturating_sub(self.masked.len());
        match sanitise {
            Sanitise::Argument(name) => {
                let kinds = [Variable::Args, Variable::ArgsGet, Variable::ArgsPost];
                self.masked
                    .extend(kinds.map(|kind| named(kind, name)).into_iter().take(room));
            }
            Sanitise::RequestHeader(name) => self.masked.extend(
                [named(Variable::RequestHeaders, name)]
                    .into_iter()
                    .take(room),
            ),
            Sanitise::ResponseHeader(name) => self.masked.extend(
                [named(Variable::ResponseHeaders, name)]
                    .into_iter()
                    .take(room),
            ),
            // All of the value: more than asked, as what is left would tell its length.
            Sanitise::Matched | Sanitise::MatchedBytes { .. } => {
                self.masked.extend(
                    pending
                        .iter()
                        .map(|pending| pending.variable.clone())
                        .take(room),
                );
            }
        }
    }

    /// `logdata` of the rule; that of a later link wins.
    pub(super) fn log_data(&self, compiled: &CompiledRule) -> Vec<u8> {
        let mut data = Vec::new();
        if let Some(text) = compiled
            .conditions
            .iter()
            .rev()
            .find_map(|condition| condition.log_data.as_ref())
        {
            self.sight(Some(compiled)).expand(text, &mut data);
        }
        cut(data)
    }

    /// A match to be told; when no more are kept, one without its texts, to be counted.
    pub(super) fn pending_or_count(&mut self, compiled: &CompiledRule, before: usize) -> Pending {
        let is_kept = self.matches.len() + before < MATCHES;
        if !is_kept && compiled.rule.sanitise.is_empty() {
            return Pending {
                variable: Vec::new(),
                value: Vec::new(),
                data: Vec::new(),
            };
        }
        let found = self.matched.last();
        let bytes = found.map_or(0, |found| found.name.len() + 2 * found.value.len());
        self.work.spend(Kind::Write, bytes);
        self.pending(compiled, self.matched.last())
    }

    pub(super) fn pending(&self, compiled: &CompiledRule, found: Option<&Found>) -> Pending {
        let data = match compiled.conditions.len() {
            1 => self.log_data(compiled),
            _ => Vec::new(),
        };
        Pending {
            variable: found.map(Found::display).unwrap_or_default(),
            value: cut(found.map(|found| found.value.clone()).unwrap_or_default()),
            data,
        }
    }

    /// Keeps the matches of a rule whose conditions all held.
    pub(super) fn record(&mut self, compiled: &CompiledRule, pending: Vec<Pending>) {
        let rule = &compiled.rule;
        if let Some(severity) = rule.severity {
            self.highest_severity = self.highest_severity.min(severity.0);
        }
        for sanitise in &rule.sanitise {
            self.mask(sanitise, &pending);
        }
        if pending.is_empty() {
            return;
        }
        if self.matches.len() >= MATCHES {
            self.matches_left_out += u32::try_from(pending.len()).unwrap_or(u32::MAX);
            return;
        }
        self.work.spend(Kind::Record, pending.len());
        let expand = |text| {
            let mut out = Vec::new();
            self.sight(Some(compiled)).expand(text, &mut out);
            cut(out)
        };
        let message = compiled.message.as_ref().map(expand).unwrap_or_default();
        let tags: Vec<Vec<u8>> = compiled.tags.iter().map(expand).collect();
        for pending in pending {
            if self.matches.len() >= MATCHES {
                self.matches_left_out += 1;
                continue;
            }
            self.matches.push(Match {
                rule: rule.id,
                phase: rule.phase,
                place: rule.place.clone(),
                message: message.clone(),
                data: pending.data,
                variable: pending.variable,
                value: pending.value,
                severity: rule.severity,
                tags: tags.clone(),
                audit: rule.audit_log,
            });
        }
    }
}

/// True if a match of the rule leaves a record.
pub(crate) fn is_told(compiled: &CompiledRule) -> bool {
    compiled.rule.log || compiled.rule.audit_log
}
