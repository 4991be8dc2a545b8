//! The batch: every distinct string is scanned once, and only what its literals allow is asked of it.
//!
//! What comes out are the matches of the checks ([`crate::plan::checks`]), the same that
//! [`super::evaluate`] would find; the rules then run in order and take theirs from here.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Transaction;
use super::evaluate::is_excluded;
use super::matched::Found;
use super::recall::{LONGEST, Recall};
pub(super) use super::strings::Strings;
use super::strings::{Id, NONE};
use crate::injection;
use crate::operators::{Captures, Op};
use crate::plan::checks::{Check, Checks, Classes, PhaseChecks};
use crate::plan::compiled::{Condition, Exclude, View};
use crate::plan::profile::Profile;
use crate::plan::{Gate, Plan, PlanRule};
use crate::seclang::Phase;
use crate::transform::{ByteSet, Transformation};
use crate::work::{Kind, Work};

/// A check matched a string: the one it came from, and what the transformations made of it.
#[derive(Clone, Copy, Debug)]
struct Hit {
    check: u16,
    source: Id,
    result: Id,
}

/// Key of a profile: plan, phase, classes.
type ProfileKey = (u64, Phase, Classes);

/// Most profiles that a thread keeps.
const PROFILES: usize = 512;

/// Buffers of a thread, and what the running phase has found.
#[derive(Default)]
pub(crate) struct Batch {
    hits: Vec<Hit>,
    /// The checks that matched anything.
    matched: Vec<u64>,
    /// By string: its classes in this phase.
    classes: Vec<Classes>,
    active: Vec<Id>,
    /// By step: the string it left.
    steps: Vec<Id>,
    made: Vec<u8>,
    recall: Recall,
    profiles: HashMap<ProfileKey, Rc<Profile>, foldhash::fast::RandomState>,
}

thread_local! {
    static SPARE: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// The buffers of this thread.
pub(super) fn take() -> Box<Batch> {
    SPARE.take().unwrap_or_default()
}

/// Keeps the buffers for the next phase on this thread.
pub(super) fn give_back(batch: Box<Batch>) {
    SPARE.set(Some(batch));
}

impl Batch {
    /// Finds all matches of the phase's checks.
    pub(super) fn run(&mut self, plan: &Plan, phase: Phase, transaction: &mut Transaction) {
        self.hits.clear();
        self.matched.clear();
        let Some((checks, asked)) = plan.checks(phase) else {
            return;
        };
        transaction.work.spend(Kind::Rules, plan.len(phase));
        self.matched.resize(checks.words, 0);
        self.classes.clear();
        self.active.clear();
        for list in &asked.lists {
            self.gather(checks, asked.classes, *list, transaction);
            if transaction.work.is_over() {
                return;
            }
        }
        let active = std::mem::take(&mut self.active);
        // Strings of one list stand together, so the profile is mostly that of the string before.
        let mut last: Option<(Classes, Rc<Profile>)> = None;
        for id in &active {
            let Some(classes) = self.classes.get(*id as usize).copied() else {
                continue;
            };
            let profile = match last.take() {
                Some((known, profile)) if known == classes => profile,
                _ => self.profile(plan, phase, asked, classes),
            };
            self.judge(plan, checks, &profile, *id, transaction);
            last = Some((classes, profile));
            if transaction.work.is_over() {
                break;
            }
        }
        self.active = active;
        // By string too, so that [`Self::found`] goes to its hits at once; what one string gave stays in
        // order.
        self.hits.sort_by_key(|hit| (hit.check, hit.source));
    }

    /// What a phase asks of strings of these classes; worked out once.
    fn profile(
        &mut self,
        plan: &Plan,
        phase: Phase,
        asked: &PhaseChecks,
        classes: Classes,
    ) -> Rc<Profile> {
        let key = (plan.number(), phase, classes);
        if let Some(profile) = self.profiles.get(&key) {
            return Rc::clone(profile);
        }
        if self.profiles.len() >= PROFILES {
            self.profiles.clear();
        }
        let profile = Rc::new(asked.profile(plan.rule_set().chains(), classes));
        self.profiles.insert(key, Rc::clone(&profile));
        profile
    }

    /// Notes the classes of every string of a list.
    fn gather(
        &mut self,
        checks: &Checks,
        wanted: Classes,
        list: crate::seclang::Variable,
        transaction: &mut Transaction,
    ) {
        let Some(member) = checks.membership(list) else {
            return;
        };
        let Transaction {
            values,
            strings,
            ids,
            work,
            ..
        } = transaction;
        let (first, entries) = values.of(list);
        work.spend(Kind::Entries, entries.len());
        let end = first as usize + entries.len();
        if ids.len() < end {
            ids.resize(end, (NONE, NONE));
        }
        let mut lower = [0u8; 64];
        for (entry, ids) in entries
            .iter()
            .zip(ids.get_mut(first as usize..end).unwrap_or_default())
        {
            let (mut of_value, mut of_name) = (member.values, member.names);
            if !member.named.is_empty() {
                let name = values.bytes(entry.name);
                let lower = match lower.get_mut(..name.len()) {
                    Some(lower) => {
                        lower.copy_from_slice(name);
                        lower.make_ascii_lowercase();
                        &*lower
                    }
                    // Longer than any name in rules that is worth a class: look it up as it is.
                    None => name,
                };
                if let Some((values, names)) = member.named.get(lower) {
                    of_value |= values;
                    of_name |= names;
                }
            }
            if of_value & wanted != 0 {
                if ids.1 == NONE {
                    ids.1 = strings.of_value(values, entry.value);
                    work.spend(Kind::String, entry.value.len as usize);
                }
                self.note(ids.1, of_value & wanted);
            }
            if of_name & wanted != 0 {
                if ids.0 == NONE {
                    ids.0 = strings.of_value(values, entry.name);
                    work.spend(Kind::String, entry.name.len as usize);
                }
                self.note(ids.0, of_name & wanted);
            }
        }
    }

    fn note(&mut self, id: Id, classes: Classes) {
        let at = id as usize;
        if self.classes.len() <= at {
            self.classes.resize(at + 1, 0);
        }
        if let Some(known) = self.classes.get_mut(at) {
            if *known == 0 {
                self.active.push(id);
            }
            *known |= classes;
        }
    }

    /// Finds what matches one string, which may be known.
    fn judge(
        &mut self,
        plan: &Plan,
        checks: &Checks,
        profile: &Profile,
        source: Id,
        transaction: &mut Transaction,
    ) {
        let bytes = transaction.strings.bytes(&transaction.values, source);
        if bytes.len() > LONGEST {
            return self.ask_all(plan, checks, profile, source, transaction);
        }
        let digest = self.recall.digest(profile.number(), bytes);
        if let Some(known) = self.recall.get(digest) {
            transaction.work.done += u64::from(known.cost);
            for check in known.matches() {
                self.hit(check, source, source);
            }
            return;
        }
        let (before, hits) = (transaction.work.done, self.hits.len());
        self.ask_all(plan, checks, profile, source, transaction);
        let new = self.hits.get(hits..).unwrap_or_default();
        if !transaction.work.is_over() && new.iter().all(|hit| hit.result == source) {
            let cost = transaction.work.done - before;
            self.recall
                .keep(digest, cost, new.iter().map(|hit| hit.check));
        }
    }

    fn hit(&mut self, check: u16, source: Id, result: Id) {
        self.hits.push(Hit {
            check,
            source,
            result,
        });
        if let Some(word) = self.matched.get_mut(usize::from(check >> 6)) {
            *word |= 1 << (check & 63);
        }
    }

    /// Asks everything of one string that may match it.
    fn ask_all(
        &mut self,
        plan: &Plan,
        checks: &Checks,
        profile: &Profile,
        source: Id,
        transaction: &mut Transaction,
    ) {
        let left = profile.left(&transaction.strings.present(&transaction.values, source));
        transaction.work.spend(Kind::Steps, left.steps.len() + 1);
        for asked in [&left.unchanged.last, &left.unchanged.every] {
            self.candidates(plan, checks, asked, source, source, transaction);
        }
        self.steps.clear();
        self.steps.resize(profile.len(), source);
        for number in &left.steps {
            if transaction.work.is_over() {
                return;
            }
            let Some(step) = profile.step(*number) else {
                continue;
            };
            let parent = self
                .steps
                .get(usize::from(step.parent))
                .copied()
                .unwrap_or(source);
            let made = step
                .transformation
                .and_then(|transformation| self.transformed(transformation, parent, transaction));
            let id = made.unwrap_or(parent);
            if let Some(place) = self.steps.get_mut(usize::from(*number)) {
                *place = id;
            }
            let Some(asked) = &step.asked else { continue };
            self.candidates(plan, checks, &asked.last, source, id, transaction);
            if made.is_some() {
                self.candidates(plan, checks, &asked.every, source, id, transaction);
            }
        }
    }

    /// The string that a transformation makes of another; none if it changes nothing.
    fn transformed(
        &mut self,
        transformation: Transformation,
        parent: Id,
        transaction: &mut Transaction,
    ) -> Option<Id> {
        let Transaction {
            values,
            strings,
            work,
            ..
        } = transaction;
        if !transformation.may_change(&strings.present(values, parent)) {
            return None;
        }
        let bytes = strings.bytes(values, parent);
        work.spend(Kind::Transform, bytes.len());
        if !transformation.apply(bytes, &mut self.made) {
            return None;
        }
        work.spend(Kind::String, self.made.len());
        let id = strings.of_made(values, &self.made);
        if transformation.only_changes_case() && strings.met(id, 0).is_none() {
            strings.share_met(parent, id);
        }
        Some(id)
    }

    fn candidates(
        &mut self,
        plan: &Plan,
        checks: &Checks,
        asked: &[u64],
        source: Id,
        id: Id,
        transaction: &mut Transaction,
    ) {
        if asked.iter().all(|word| *word == 0) {
            return;
        }
        let Transaction {
            values,
            strings,
            work,
            ..
        } = transaction;
        let present = strings.present(values, id);
        let words = checks.prefilter.words();
        if strings.met(id, words).is_none() {
            strings.set_met(values, id, words, |bytes, met| {
                work.spend(Kind::Scan, bytes.len());
                checks.prefilter.scan(bytes, &present, met);
            });
        }
        let Some(met) = strings.met(id, words) else {
            return;
        };
        let bytes = strings.bytes(values, id);
        for ((asked, met_word), (always, at)) in
            asked.iter().zip(met).zip(checks.always.iter().zip(0u16..))
        {
            let mut left = asked & (met_word | always);
            while left != 0 {
                let bit = left.trailing_zeros();
                left &= left - 1;
                let Ok(number) = u16::try_from(u32::from(at) * 64 + bit) else {
                    continue;
                };
                let Some(check) = checks.list.get(usize::from(number)) else {
                    continue;
                };
                if !meets(check, met) {
                    continue;
                }
                if check.decided || ask(plan, check, bytes, &present, work) {
                    self.hit(number, source, id);
                }
                if work.is_over() {
                    return;
                }
            }
        }
    }

    /// The next rule at or after a place that may match.
    pub(super) fn next<'r>(
        &self,
        rules: &'r [PlanRule],
        at: usize,
    ) -> Option<(usize, &'r PlanRule)> {
        let left = rules.get(at..)?;
        let found = left.iter().position(|rule| match rule.gate {
            Gate::Check(check) => self
                .matched
                .get(usize::from(check >> 6))
                .is_some_and(|word| word & (1 << (check & 63)) != 0),
            Gate::Ask | Gate::True => true,
        })?;
        Some((at + found, left.get(found)?))
    }

    /// The values for which a check's condition holds, in the order of its targets.
    pub(super) fn found(
        &self,
        check: u16,
        condition: &Condition,
        removed: &[&Exclude],
        transaction: &Transaction,
        work: &mut Work,
        found: &mut Vec<Found>,
    ) {
        let start = self.hits.partition_point(|hit| hit.check < check);
        let end = self.hits.partition_point(|hit| hit.check <= check);
        let hits = self.hits.get(start..end).unwrap_or_default();
        let Transaction {
            values,
            strings,
            ids,
            plan,
            ..
        } = transaction;
        for target in &condition.targets {
            let View::Stored { lists, names } = target.view else {
                continue;
            };
            for variable in [Some(lists.0), lists.1].into_iter().flatten() {
                let (first, entries) = values.of(variable);
                work.spend(Kind::Entries, entries.len());
                for (entry, at) in entries.iter().zip(first as usize..) {
                    let name = values.bytes(entry.name);
                    let Some((of_name, of_value)) = ids.get(at).copied() else {
                        continue;
                    };
                    let id = if names { of_name } else { of_value };
                    let from = hits.partition_point(|hit| hit.source < id);
                    let mine = hits.get(from..).unwrap_or_default();
                    for hit in mine.iter().take_while(|hit| hit.source == id) {
                        if work.is_over() {
                            return;
                        }
                        if !target.selector.takes(name)
                            || is_excluded(condition, removed, target, name)
                        {
                            continue;
                        }
                        let value = strings.bytes(values, hit.result);
                        work.spend(Kind::Found, name.len() + value.len());
                        found.push(Found {
                            variable: target.variable,
                            count: false,
                            name: name.to_vec(),
                            value: value.to_vec(),
                            captures: condition
                                .capture
                                .then(|| captures(plan, condition, value, work)),
                        });
                    }
                }
            }
        }
    }
}

/// True if every clause of the check is met.
fn meets(check: &Check, met: &[u64]) -> bool {
    check.clauses.iter().skip(1).all(|clause| {
        met.get((clause >> 6) as usize)
            .is_some_and(|word| word & (1 << (clause & 63)) != 0)
    })
}

fn ask(plan: &Plan, check: &Check, bytes: &[u8], present: &ByteSet, work: &mut Work) -> bool {
    let Some(op) = plan.rule_set().ops().get(check.op) else {
        return false;
    };
    match op {
        Op::Sqli if injection::cannot_be_sqli(present) => false,
        Op::Xss if injection::cannot_be_xss(present) => false,
        Op::ByteRange(allowed) => present.leaves(allowed),
        Op::Utf8Encoding if !present.meets(&ByteSet::range(0x80, 0xff)) => false,
        Op::UrlEncoding if !present.contains(b'%') => false,
        op => work.spend(op.kind(), bytes.len()) && op.matches(bytes, None),
    }
}

fn captures(plan: &Plan, condition: &Condition, value: &[u8], work: &mut Work) -> Captures {
    let mut captures = Captures::default();
    if let crate::plan::compiled::Operator::Fixed(at) = condition.operator
        && let Some(op) = plan.rule_set().ops().get(at)
    {
        let kind = match op.kind() {
            Kind::Regex => Kind::Groups,
            kind => kind,
        };
        work.spend(kind, value.len());
        op.matches(value, Some(&mut captures));
    }
    captures
}
