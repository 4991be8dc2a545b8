//! Removals and updates: what later directives do to rules before them.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

use super::problem::{Notes, shown};
use super::read::actions::{Action, actions};
use super::read::targets::{TARGETS, looked_at};
use super::read::{id_range, number, regex};
use super::resolve::{Builder, of_starter};
use super::rule::{Item, Rule};
use super::target::Target;
use super::text::{Piece, Text};
use super::words::Word;

/// Rules times what is done to them, over all directives: what bounds the time of loading.
const VISITS: u64 = 2_000_000;

/// Which rules a directive means.
enum Choice {
    /// Ids from the first to the last, and the link of the chain.
    Ids(u64, u64, usize),
    Tag(Regex),
    Message(Regex),
}

impl Builder {
    /// `SecRuleRemoveById 1 5-9`, `ByTag`, `ByMsg`.
    pub(super) fn remove(
        &mut self,
        word: Word,
        name: &str,
        arguments: &[Vec<u8>],
        notes: &mut Notes<'_>,
    ) {
        if arguments.is_empty() {
            notes.error(
                format!("`{name}` says not which"),
                "write ids and ranges (`941100 942000-942999`), or a regex for tags or messages",
            );
        }
        for argument in arguments {
            let parts: Vec<&[u8]> = match word {
                Word::RemoveById => argument
                    .split(|byte| byte.is_ascii_whitespace() || *byte == b',')
                    .filter(|part| !part.is_empty())
                    .collect(),
                _ => vec![argument],
            };
            for part in parts {
                let Some(choice) = choice(word, name, part, notes) else {
                    continue;
                };
                let found = self.chosen(&choice, 0, notes);
                if found.is_empty() {
                    no_rule(name, part, notes);
                }
                for (id, at) in found {
                    self.ids.remove(&id);
                    if let Some(slot) = self.items.get_mut(at) {
                        *slot = None;
                    }
                }
            }
        }
    }

    /// `SecRuleUpdateTargetById 1 "!ARGS:x"`, `1:2 "ARGS" "REQUEST_BODY"`, `ByTag`, `ByMsg`.
    pub(super) fn update_targets(
        &mut self,
        word: Word,
        name: &str,
        arguments: &[Vec<u8>],
        notes: &mut Notes<'_>,
    ) {
        let (which, list, replaced) = match arguments {
            [which, list] => (which, list, None),
            [which, list, replaced] => (which, list, Some(replaced)),
            _ => {
                notes.error(
                    format!("`{name}` has {} arguments instead of 2", arguments.len()),
                    format!("write `{name} WHICH \"!ARGS:name\"`"),
                );
                return;
            }
        };
        let choice = choice(word, name, which, notes);
        let added = looked_at(list, notes);
        let replaced = match replaced {
            Some(replaced) => looked_at(replaced, notes).map(Some),
            None => Some(None),
        };
        let (Some(choice), Some(added), Some(replaced)) = (choice, added, replaced) else {
            return;
        };
        let found = self.chosen(&choice, list.len(), notes);
        if found.is_empty() {
            no_rule(name, which, notes);
        }
        let link = match choice {
            Choice::Ids(_, _, link) => link,
            Choice::Tag(_) | Choice::Message(_) => 0,
        };
        for (_, at) in found {
            let Some(Some(Item::Rule(rule))) = self.items.get_mut(at) else {
                continue;
            };
            let Some(condition) = rule.conditions.get_mut(link) else {
                no_link(rule.id, link, notes);
                continue;
            };
            if condition.targets.is_empty() {
                notes.warn(
                    format!("`{name}` changes nothing: {} is a `SecAction`", rule.id),
                    "",
                );
                continue;
            }
            let missing = replace(&mut condition.targets, &added, replaced.as_deref());
            if missing {
                notes.warn(
                    format!("rule {} does not look at what is to be replaced", rule.id),
                    "",
                );
            }
            if condition.targets.len() >= TARGETS {
                notes.error(
                    format!("rule {} has more than {TARGETS} targets", rule.id),
                    "use a regex: `!ARGS:/^(?:a|b)$/`",
                );
            }
        }
    }

    /// `SecRuleUpdateActionById 1 "deny,status:404"`.
    pub(super) fn update_actions(
        &mut self,
        name: &str,
        arguments: &[Vec<u8>],
        notes: &mut Notes<'_>,
    ) {
        let [which, list] = arguments else {
            notes.error(
                format!("`{name}` has {} arguments instead of 2", arguments.len()),
                format!("write `{name} 12345 \"pass\"`"),
            );
            return;
        };
        let choice = choice(Word::UpdateActionById, name, which, notes);
        let actions = actions(list, notes);
        let Some(choice) = choice else { return };
        let Choice::Ids(_, _, link) = choice else {
            return;
        };
        for action in &actions {
            let word = match action {
                Action::Id(_) => "id",
                Action::Phase(_) => "phase",
                Action::Chain => "chain",
                _ => continue,
            };
            notes.error(
                format!("`{name}` cannot change `{word}`"),
                "remove the rule with `SecRuleRemoveById` and write it anew",
            );
            return;
        }
        let found = self.chosen(&choice, list.len(), notes);
        if found.is_empty() {
            no_rule(name, which, notes);
        }
        for (_, at) in found {
            let Some(Some(Item::Rule(rule))) = self.items.get(at) else {
                continue;
            };
            if link >= rule.conditions.len() {
                no_link(rule.id, link, notes);
                continue;
            }
            let starter = actions.iter().find_map(of_starter);
            if let Some(word) = starter.filter(|_| link > 0) {
                notes.error(
                    format!("`{word}` stands in a link of a chain"),
                    format!("write `{name} {} \"{word}\"`", rule.id),
                );
                return;
            }
            let defaults = self.defaults_of(rule.phase);
            if let Some(Some(Item::Rule(rule))) = self.items.get_mut(at) {
                for action in &actions {
                    rule.apply(link, action.clone(), &defaults);
                }
            }
        }
    }

    /// The rules before the directive that it means: id and place. `bytes` is the length of what each
    /// of them is given.
    fn chosen(
        &mut self,
        choice: &Choice,
        bytes: usize,
        notes: &mut Notes<'_>,
    ) -> Vec<(u64, usize)> {
        let effort = 1 + bytes as u64 / 64;
        let mut found = Vec::new();
        let mut visited = 0;
        match choice {
            Choice::Ids(first, last, _) => {
                found.extend(self.ids.range(first..=last).map(|(id, at)| (*id, *at)));
                visited = found.len() as u64;
            }
            Choice::Tag(_) | Choice::Message(_) if self.visits > VISITS => {}
            Choice::Tag(_) | Choice::Message(_) => {
                for (id, at) in &self.ids {
                    visited += 1;
                    if let Some(Some(Item::Rule(rule))) = self.items.get(*at)
                        && choice.takes(rule)
                    {
                        found.push((*id, *at));
                    }
                }
            }
        }
        let before = self.visits;
        self.visits = before.saturating_add(visited.saturating_mul(effort));
        if self.visits > VISITS {
            if before <= VISITS {
                notes.error(
                    "removals and updates touch rules more than 2 million times",
                    "write fewer of them, with ranges of ids",
                );
            }
            found.clear();
        }
        found
    }
}

impl Choice {
    fn takes(&self, rule: &Rule) -> bool {
        match self {
            Self::Ids(first, last, _) => (first..=last).contains(&&rule.id),
            Self::Tag(regex) => rule.tags.iter().any(|tag| regex.is_match(&*written(tag))),
            Self::Message(regex) => rule
                .message
                .as_ref()
                .is_some_and(|message| regex.is_match(&*written(message))),
        }
    }
}

/// A text as it was written, macros in their place: tags and messages are chosen by it.
fn written(text: &Text) -> std::borrow::Cow<'_, [u8]> {
    if let Some(literal) = text.literal() {
        return literal.into();
    }
    let mut out = Vec::new();
    for piece in &text.0 {
        match piece {
            Piece::Literal(literal) => out.extend_from_slice(literal),
            Piece::Macro(variable, key) => {
                out.extend_from_slice(b"%{");
                out.extend_from_slice(variable.word().as_bytes());
                if let Some(key) = key {
                    out.push(b'.');
                    out.extend_from_slice(key);
                }
                out.push(b'}');
            }
        }
    }
    out.into()
}

/// Reads which rules are meant.
fn choice(word: Word, name: &str, which: &[u8], notes: &mut Notes<'_>) -> Option<Choice> {
    match word {
        Word::RemoveByTag | Word::UpdateTargetByTag => compiled(which, notes).map(Choice::Tag),
        Word::RemoveByMsg | Word::UpdateTargetByMsg => compiled(which, notes).map(Choice::Message),
        _ => {
            let (ids, link) = match memchr::memchr(b':', which) {
                Some(at) if word != Word::RemoveById => (
                    which.get(..at)?,
                    number(which.get(at + 1..)?.trim_ascii()).and_then(|n| usize::try_from(n).ok()),
                ),
                _ => (which, Some(0)),
            };
            match (id_range(ids.trim_ascii()), link) {
                (Some((first, last)), Some(link)) => Some(Choice::Ids(first, last, link)),
                _ => {
                    notes.error(
                        format!("`{name}`: `{}` is no id", shown(which)),
                        "write an id, or the first and the last one: `941100-941999`",
                    );
                    None
                }
            }
        }
    }
}

/// A regex over bytes that looks at tags or messages.
fn compiled(pattern: &[u8], notes: &mut Notes<'_>) -> Option<Regex> {
    let pattern = regex(pattern, notes)?;
    let built = Regex::builder()
        .syntax(syntax::Config::new().utf8(false))
        .configure(
            Regex::config()
                .utf8_empty(false)
                .nfa_size_limit(Some(1 << 20)),
        )
        .build(&pattern);
    match built {
        Ok(regex) => Some(regex),
        Err(e) => {
            notes.error(
                format!("`{}` cannot be used: {e}", shown(pattern.as_bytes())),
                "write a shorter one",
            );
            None
        }
    }
}

fn no_link(id: u64, link: usize, notes: &mut Notes<'_>) {
    notes.error(
        format!("rule {id} has no link {link}"),
        "`id` or `id:0` is the chain's first rule, `id:1` the next one",
    );
}

fn no_rule(name: &str, which: &[u8], notes: &mut Notes<'_>) {
    notes.warn(
        format!("`{name} {}` finds no rule before it", shown(which)),
        "rules are removed and updated behind the place where they are written: move it after them",
    );
}

/// Adds targets, in the place of others if those are given. True if none of those is there.
fn replace(targets: &mut Vec<Target>, added: &[Target], replaced: Option<&[Target]>) -> bool {
    if let Some(replaced) = replaced {
        let before = targets.len();
        targets.retain(|target| !replaced.contains(target));
        if targets.len() == before {
            return true;
        }
    }
    for target in added {
        if targets.len() < TARGETS && !targets.contains(target) {
            targets.push(target.clone());
        }
    }
    false
}
