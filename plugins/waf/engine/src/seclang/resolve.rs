//! Directives to rules: defaults, chains, removals and updates, in the order of the files.

use std::collections::{BTreeMap, HashMap};

use super::action::Disruptive;
use super::problem::{Notes, Report, shown};
use super::read::actions::{Action, actions};
use super::read::operators::operator;
use super::read::{targets, utf8};
use super::rule::{Condition, Item, Operator, OperatorName, Phase, Place, Program, Rule, Settings};
use super::target::Target;
use super::text::Text;
use super::words::Word;
use crate::transform::Transformation;

/// Links of one chain, at most.
const LINKS: usize = 64;

/// Actions of one `SecDefaultAction`, at most: every rule takes them over.
const DEFAULTS: usize = 64;

/// `SecDefaultAction` of one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    /// Rules that `block` do this.
    pub(super) disruptive: Option<Disruptive>,
    status: Option<u16>,
    transformations: Vec<Transformation>,
    /// Log flags.
    actions: Vec<Action>,
}

/// A rule or a link of a chain, read.
struct Draft {
    place: Place,
    targets: Vec<Target>,
    operator: Option<Operator>,
    actions: Vec<Action>,
}

impl Draft {
    fn chains(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::Chain))
    }
}

/// Takes directives, gives a program.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) items: Vec<Option<Item>>,
    /// Where each rule stands, removed ones left out.
    pub(super) ids: BTreeMap<u64, usize>,
    /// Every id that was ever given.
    seen: HashMap<u64, Place>,
    /// By phase.
    defaults: [Defaults; 5],
    /// The links of a chain that is not complete.
    open: Vec<Draft>,
    pub(super) settings: Settings,
    /// What updates and removals have cost.
    pub(super) visits: u64,
}

impl Builder {
    /// Takes a directive other than `Include`.
    pub(super) fn directive(
        &mut self,
        word: Word,
        name: &'static str,
        arguments: &[Vec<u8>],
        place: Place,
        report: &mut Report,
    ) {
        if !matches!(word, Word::Rule | Word::Action) {
            self.chain_ends(&format!("`{name}`"), report);
        }
        match word {
            Word::Rule => self.rule(arguments, place, report),
            Word::Action => self.action(arguments, place, report),
            Word::Marker => {
                let mut notes = report.at(&place);
                match arguments {
                    [marker] => {
                        let marker = utf8(marker, &mut notes);
                        self.items.extend(marker.map(|m| Some(Item::Marker(m))));
                    }
                    _ => notes.error(
                        "`SecMarker` needs one name",
                        "write `SecMarker \"END-MINE\"`",
                    ),
                }
            }
            Word::DefaultAction => self.default_action(arguments, &mut report.at(&place)),
            Word::RemoveById | Word::RemoveByMsg | Word::RemoveByTag => {
                self.remove(word, name, arguments, &mut report.at(&place));
            }
            Word::UpdateTargetById | Word::UpdateTargetByMsg | Word::UpdateTargetByTag => {
                self.update_targets(word, name, arguments, &mut report.at(&place));
            }
            Word::UpdateActionById => self.update_actions(name, arguments, &mut report.at(&place)),
            _ => super::setting::setting(
                &mut self.settings,
                word,
                name,
                arguments,
                &mut report.at(&place),
            ),
        }
    }

    /// A file ends: a chain may not go on in the next one.
    pub(super) fn file_ends(&mut self, report: &mut Report) {
        self.chain_ends("the file's end", report);
    }

    /// A line could not be read: it may have belonged to the open chain.
    pub(super) fn line_is_lost(&mut self) {
        self.open.clear();
    }

    /// Checks what concerns all rules, and gives the program.
    pub(super) fn finish(mut self, report: &mut Report) -> Program {
        self.chain_ends("the end", report);
        self.check_skips(report);
        Program {
            items: self.items.into_iter().flatten().collect(),
            settings: self.settings,
        }
    }

    fn chain_ends(&mut self, by: &str, report: &mut Report) {
        if let Some(last) = self.open.last() {
            report.at(&last.place).error(
                format!("the chain has no next link: {by} follows"),
                "write the `SecRule` that belongs to the chain, or remove `chain`",
            );
            self.open.clear();
        }
    }

    fn rule(&mut self, arguments: &[Vec<u8>], place: Place, report: &mut Report) {
        let mut notes = report.at(&place);
        let (targets, operator, list) = match arguments {
            [targets, operator] => (targets, operator, b"".as_slice()),
            [targets, operator, list] => (targets, operator, list.as_slice()),
            _ => {
                notes.error(
                    format!("`SecRule` has {} arguments instead of 3", arguments.len()),
                    "write `SecRule TARGETS \"@operator argument\" \"id:1,...\"`",
                );
                // Whether it was a link is unknown: what follows is judged alone.
                self.open.clear();
                return;
            }
        };
        let targets = targets::looked_at(targets, &mut notes).unwrap_or_default();
        let operator = self::operator(operator, &mut notes);
        let actions = actions(list, &mut notes);
        let draft = Draft {
            place,
            targets,
            operator,
            actions,
        };
        self.link(draft, report);
    }

    fn action(&mut self, arguments: &[Vec<u8>], place: Place, report: &mut Report) {
        let mut notes = report.at(&place);
        let [list] = arguments else {
            notes.error(
                "`SecAction` needs its actions",
                "write `SecAction \"id:1,...\"`",
            );
            return;
        };
        let draft = Draft {
            actions: actions(list, &mut notes),
            place,
            targets: Vec::new(),
            operator: Some(Operator {
                negated: false,
                name: OperatorName::UnconditionalMatch,
                argument: Text::default(),
            }),
        };
        self.link(draft, report);
    }

    /// Takes a rule, or a link of the open chain.
    fn link(&mut self, draft: Draft, report: &mut Report) {
        if !self.open.is_empty() {
            let mut notes = report.at(&draft.place);
            for action in &draft.actions {
                if let Some(word) = of_starter(action) {
                    notes.error(
                        format!("`{word}` stands in a link of a chain"),
                        "write it in the chain's first rule",
                    );
                }
            }
            if self.open.len() >= LINKS {
                notes.error(format!("a chain has more than {LINKS} links"), "shorten it");
                self.open.clear();
                return;
            }
        }
        let more = draft.chains();
        self.open.push(draft);
        if !more {
            let drafts = std::mem::take(&mut self.open);
            self.complete(drafts, report);
        }
    }

    /// A chain is complete: a rule comes to be.
    fn complete(&mut self, drafts: Vec<Draft>, report: &mut Report) {
        let Some(first) = drafts.first() else { return };
        let place = first.place.clone();
        let mut notes = report.at(&place);
        let (mut id, mut phase) = (None, Phase::RequestBody);
        for action in &first.actions {
            match action {
                Action::Id(found) => id = Some(*found),
                Action::Phase(found) => phase = *found,
                _ => {}
            }
        }
        let Some(id) = id else {
            notes.error(
                "a rule without id",
                "write `id:N`, a number that no other rule has",
            );
            return;
        };
        if let Some(other) = self.seen.get(&id) {
            notes.error(
                format!("the id {id} is taken by the rule at {other}"),
                "give one of them another number",
            );
            return;
        }
        self.seen.insert(id, place.clone());
        let defaults = self.defaults_of(phase);
        let mut rule = Rule {
            place: place.clone(),
            id,
            phase,
            conditions: Vec::with_capacity(drafts.len()),
            disruptive: Disruptive::Pass,
            status: defaults.status.unwrap_or(403),
            message: None,
            severity: None,
            tags: Vec::new(),
            revision: None,
            version: None,
            maturity: None,
            accuracy: None,
            log: true,
            audit_log: true,
            skip_after: None,
            skip: 0,
            sanitise: Vec::new(),
        };
        for action in &defaults.actions {
            rule.apply(0, action.clone(), &defaults);
        }
        for (link, draft) in drafts.into_iter().enumerate() {
            // Without operator: its problem is noted, the program is not used.
            let Some(operator) = draft.operator else {
                return;
            };
            rule.conditions.push(Condition {
                place: draft.place,
                targets: draft.targets,
                operator,
                transformations: defaults.transformations.clone(),
                multi_match: false,
                capture: false,
                set_vars: Vec::new(),
                ctls: Vec::new(),
                log_data: None,
            });
            for action in draft.actions {
                rule.apply(link, action, &defaults);
            }
        }
        self.ids.insert(id, self.items.len());
        self.items.push(Some(Item::Rule(Box::new(rule))));
    }

    /// What `SecDefaultAction` said about a phase.
    pub(super) fn defaults_of(&self, phase: Phase) -> Defaults {
        self.defaults
            .get(phase as usize)
            .cloned()
            .unwrap_or_default()
    }

    fn default_action(&mut self, arguments: &[Vec<u8>], notes: &mut Notes<'_>) {
        const HELP: &str = "write `SecDefaultAction \"phase:2,log,auditlog,deny,status:403\"`";
        let [list] = arguments else {
            notes.error("`SecDefaultAction` needs its actions", HELP);
            return;
        };
        let mut defaults = Defaults::default();
        let mut phase = None;
        let actions = actions(list, notes);
        if actions.len() > DEFAULTS {
            notes.error(
                format!("`SecDefaultAction` has more than {DEFAULTS} actions"),
                HELP,
            );
            return;
        }
        for action in actions {
            match action {
                Action::Phase(found) => phase = Some(found),
                Action::Disruptive(found) => defaults.disruptive = Some(found),
                Action::Status(status) => defaults.status = Some(status),
                Action::Transform(found) => defaults.transformations.push(found),
                Action::TransformNone => defaults.transformations.clear(),
                Action::Log(_) | Action::AuditLog(_) | Action::Sanitise(_) => {
                    defaults.actions.push(action);
                }
                _ => notes.error(
                    "only phase, t, log flags, status and what `block` means may stand here",
                    HELP,
                ),
            }
        }
        match phase {
            Some(phase) if defaults.disruptive.is_some() => {
                if let Some(slot) = self.defaults.get_mut(phase as usize) {
                    *slot = defaults;
                }
            }
            Some(_) => notes.error("`SecDefaultAction` says not what `block` means", HELP),
            None => notes.error("`SecDefaultAction` names no phase", HELP),
        }
    }

    /// Every `skipAfter` has its marker behind it.
    fn check_skips(&self, report: &mut Report) {
        let mut markers: HashMap<&str, usize> = HashMap::new();
        for (at, item) in self.items.iter().enumerate() {
            if let Some(Item::Marker(name)) = item {
                markers.insert(name, at);
            }
        }
        for (at, item) in self.items.iter().enumerate() {
            let Some(Item::Rule(rule)) = item else {
                continue;
            };
            let Some(to) = &rule.skip_after else { continue };
            let id = to.parse().ok().and_then(|id: u64| self.ids.get(&id));
            let last = markers.get(&**to).max(id).copied();
            if last.is_none_or(|last| last <= at) {
                report.at(&rule.place).error(
                    match last {
                        Some(_) => format!(
                            "the marker `{}` of `skipAfter` does not stand behind the rule",
                            shown(to.as_bytes())
                        ),
                        None => format!(
                            "`skipAfter:{}`: there is no such marker",
                            shown(to.as_bytes())
                        ),
                    },
                    format!("write `SecMarker \"{to}\"` behind the rules to skip"),
                );
            }
        }
    }
}

/// What only the first rule of a chain may say.
pub(super) fn of_starter(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Id(_) => "id",
        Action::Phase(_) => "phase",
        Action::Disruptive(Disruptive::Pass) => "pass",
        Action::Disruptive(Disruptive::Deny) => "deny",
        Action::Disruptive(Disruptive::Drop) => "drop",
        Action::Disruptive(Disruptive::Allow(_)) => "allow",
        Action::Disruptive(Disruptive::Redirect(_)) => "redirect",
        Action::Block => "block",
        Action::Status(_) => "status",
        Action::Message(_) => "msg",
        Action::Severity(_) => "severity",
        Action::Tag(_) => "tag",
        Action::Revision(_) => "rev",
        Action::Version(_) => "ver",
        Action::Maturity(_) => "maturity",
        Action::Accuracy(_) => "accuracy",
        Action::Skip(_) => "skip",
        Action::SkipAfter(_) => "skipAfter",
        Action::Log(_)
        | Action::AuditLog(_)
        | Action::Chain
        | Action::Capture
        | Action::MultiMatch
        | Action::Transform(_)
        | Action::TransformNone
        | Action::SetVar(_)
        | Action::Ctl(_)
        | Action::LogData(_)
        | Action::Sanitise(_) => return None,
    })
}

impl Rule {
    /// Takes over an action, written in one of the links.
    pub(super) fn apply(&mut self, link: usize, action: Action, defaults: &Defaults) {
        let condition = self.conditions.get_mut(link);
        match action {
            // Read before: they say what the rule is.
            Action::Id(_) | Action::Phase(_) | Action::Chain => {}
            Action::Disruptive(disruptive) => self.disruptive = disruptive,
            Action::Block => {
                self.disruptive = defaults.disruptive.clone().unwrap_or(Disruptive::Pass);
            }
            Action::Status(status) => self.status = status,
            Action::Message(message) => self.message = Some(message),
            Action::Severity(severity) => self.severity = Some(severity),
            Action::Tag(tag) => self.tags.push(tag),
            Action::Revision(revision) => self.revision = Some(revision),
            Action::Version(version) => self.version = Some(version),
            Action::Maturity(maturity) => self.maturity = Some(maturity),
            Action::Accuracy(accuracy) => self.accuracy = Some(accuracy),
            Action::Log(log) => self.log = log,
            Action::AuditLog(log) => self.audit_log = log,
            Action::Skip(rules) => self.skip = rules,
            Action::SkipAfter(marker) => self.skip_after = Some(marker),
            Action::Sanitise(sanitise) => self.sanitise.push(sanitise),
            Action::Capture
            | Action::MultiMatch
            | Action::Transform(_)
            | Action::TransformNone
            | Action::SetVar(_)
            | Action::Ctl(_)
            | Action::LogData(_) => {
                if let Some(condition) = condition {
                    condition.apply(action);
                }
            }
        }
    }
}

impl Condition {
    /// Takes over an action that belongs to one link.
    fn apply(&mut self, action: Action) {
        match action {
            Action::Capture => self.capture = true,
            Action::MultiMatch => self.multi_match = true,
            Action::Transform(transformation) => self.transformations.push(transformation),
            Action::TransformNone => self.transformations.clear(),
            Action::SetVar(set) => self.set_vars.push(set),
            Action::Ctl(ctl) => self.ctls.push(ctl),
            Action::LogData(data) => self.log_data = Some(data),
            _ => {}
        }
    }
}
