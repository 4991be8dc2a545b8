//! What a regex needs: literals without which it cannot match, letter case aside.
//!
//! The idea is that of RE2's FilteredRE2: from the syntax tree follows a formula over literals that every
//! match makes true. Here it is kept as a few clauses that must all be met, each by any of its literals.
//! Every rule of derivation only ever weakens the formula, so a string that fails it cannot match.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Literals in lower case, one of which must occur.
pub(crate) type Clause = Vec<Box<[u8]>>;

/// Most strings that a set of exact matches may have while it still grows by concatenation.
const CROSSED: usize = 96;
/// Most strings of a set of alternatives.
const ALTERNATIVES: usize = 6000;
/// Longest literal in bytes; what is longer is cut, which costs little rarity and saves most states of
/// the automaton.
pub(crate) const LONGEST: usize = 8;
/// Most bytes of a class that counts as alternatives.
const CLASS: usize = 10;
/// Most clauses of one regex.
const CLAUSES: usize = 3;

/// The clauses of a regex, best first; empty when nothing is known.
pub(crate) fn needs(hir: &Hir) -> Vec<Clause> {
    let info = Info::of(hir);
    let mut clauses = info.clauses;
    clauses.extend(info.exact.and_then(clause));
    for clause in &mut clauses {
        minimise(clause);
    }
    clauses.sort_by_key(|clause| std::cmp::Reverse(quality(clause)));
    clauses.dedup();
    clauses.truncate(CLAUSES);
    // Single letters and digits are met by nearly every text: they cost more than they save.
    if clauses.len() > 1 {
        let mut first = true;
        clauses.retain(|clause| std::mem::take(&mut first) || !is_common(clause));
    }
    clauses
}

fn is_common(clause: &Clause) -> bool {
    clause
        .iter()
        .any(|literal| literal.len() == 1 && literal.iter().all(u8::is_ascii_alphanumeric))
}

/// What is known of the strings that a part of a regex matches.
#[derive(Debug)]
struct Info {
    /// All of them (in lower case, and cut when long), where they are few.
    exact: Option<Vec<Vec<u8>>>,
    clauses: Vec<Clause>,
}

impl Info {
    const NOTHING: Self = Self {
        exact: None,
        clauses: Vec::new(),
    };

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::exactly(vec![Vec::new()]),
            HirKind::Literal(literal) => Self::exactly(vec![literal.0.to_ascii_lowercase()]),
            HirKind::Class(class) => Self::of_class(class),
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Repetition(repetition) => {
                let sub = Self::of(&repetition.sub);
                match (repetition.min, repetition.max) {
                    (0, Some(1)) => match sub.exact {
                        Some(mut exact) if exact.len() < CROSSED => {
                            exact.push(Vec::new());
                            Self::exactly(exact)
                        }
                        _ => Self::NOTHING,
                    },
                    (0, _) => Self::NOTHING,
                    (1, Some(1)) => sub,
                    (min, _) => Self::repeated(sub, min),
                }
            }
            HirKind::Concat(parts) => Self::of_concat(parts),
            HirKind::Alternation(parts) => Self::of_alternation(parts),
        }
    }

    fn exactly(exact: Vec<Vec<u8>>) -> Self {
        Self {
            exact: Some(exact),
            clauses: Vec::new(),
        }
    }

    fn of_class(class: &Class) -> Self {
        let mut bytes = Vec::new();
        match class {
            Class::Bytes(class) => {
                for range in class.ranges() {
                    bytes.extend(
                        (range.start()..=range.end()).map(|byte| byte.to_ascii_lowercase()),
                    );
                }
            }
            Class::Unicode(class) => {
                for range in class.ranges() {
                    if !range.end().is_ascii() {
                        return Self::NOTHING;
                    }
                    let bounds = (range.start() as u32, range.end() as u32);
                    bytes.extend(
                        (bounds.0..=bounds.1)
                            .filter_map(|c| u8::try_from(c).ok())
                            .map(|b| b.to_ascii_lowercase()),
                    );
                }
            }
        }
        bytes.sort_unstable();
        bytes.dedup();
        match bytes.len() {
            1..=CLASS => Self::exactly(bytes.into_iter().map(|byte| vec![byte]).collect()),
            _ => Self::NOTHING,
        }
    }

    /// At least `min` times, and not known how often.
    fn repeated(sub: Self, min: u32) -> Self {
        let mut clauses = sub.clauses;
        if let Some(exact) = sub.exact {
            let mut run = vec![Vec::new()];
            for _ in 0..min.min(8) {
                match cross(&run, &exact) {
                    Some(longer) => run = longer,
                    None => break,
                }
            }
            clauses.extend(clause(run));
        }
        Self {
            exact: None,
            clauses,
        }
    }

    fn of_concat(parts: &[Hir]) -> Self {
        let mut clauses = Vec::new();
        let mut run: Vec<Vec<u8>> = vec![Vec::new()];
        let mut whole = true;
        for part in parts {
            let info = Self::of(part);
            match info.exact {
                Some(exact) => match cross(&run, &exact) {
                    Some(longer) => run = longer,
                    None => {
                        whole = false;
                        clauses.extend(clause(std::mem::replace(&mut run, exact)));
                    }
                },
                None => {
                    whole = false;
                    clauses.extend(clause(std::mem::replace(&mut run, vec![Vec::new()])));
                    clauses.extend(info.clauses);
                }
            }
        }
        if whole {
            return Self::exactly(run);
        }
        clauses.extend(clause(run));
        Self {
            exact: None,
            clauses,
        }
    }

    fn of_alternation(parts: &[Hir]) -> Self {
        let infos: Vec<Self> = parts.iter().map(Self::of).collect();
        if infos.iter().all(|info| info.exact.is_some()) {
            let mut all: Vec<Vec<u8>> = infos
                .into_iter()
                .filter_map(|info| info.exact)
                .flatten()
                .collect();
            all.sort_unstable();
            all.dedup();
            return if all.len() <= ALTERNATIVES {
                Self::exactly(all)
            } else {
                Self::NOTHING
            };
        }
        let mut any = Vec::new();
        for info in infos {
            let best = match info.exact {
                Some(exact) => clause(exact),
                None => info.clauses.into_iter().max_by_key(quality),
            };
            match best {
                Some(best) => any.extend(best),
                None => return Self::NOTHING,
            }
        }
        if any.len() > ALTERNATIVES {
            return Self::NOTHING;
        }
        Self {
            exact: None,
            clauses: vec![any],
        }
    }
}

/// Every string of the first set followed by every one of the second, unless that is too many. Strings
/// that are long enough are not made longer: what they begin with must occur all the same.
fn cross(first: &[Vec<u8>], second: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if first.len() == 1 && first.first().is_some_and(Vec::is_empty) {
        return Some(second.to_vec());
    }
    if first.len().saturating_mul(second.len()) > CROSSED
        || first.iter().any(|string| string.len() >= LONGEST)
    {
        return None;
    }
    let mut all: Vec<Vec<u8>> = first
        .iter()
        .flat_map(|a| {
            second
                .iter()
                .map(move |b| [a.as_slice(), b.as_slice()].concat())
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// A set of exact matches as a clause; none when one of them is empty.
fn clause(exact: Vec<Vec<u8>>) -> Option<Clause> {
    if exact.iter().any(Vec::is_empty) {
        return None;
    }
    Some(
        exact
            .into_iter()
            .map(|mut literal| {
                literal.truncate(LONGEST);
                literal.into_boxed_slice()
            })
            .collect(),
    )
}

/// How rarely a clause is met: by the shortest literal, then by how few they are.
fn quality(clause: &Clause) -> (usize, std::cmp::Reverse<usize>) {
    let shortest = clause
        .iter()
        .map(|literal| literal.len())
        .min()
        .unwrap_or(0);
    (shortest.min(4), std::cmp::Reverse(clause.len()))
}

/// Takes out literals that contain another one: where they occur, that one does.
fn minimise(clause: &mut Clause) {
    clause.sort_unstable_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    clause.dedup();
    if clause.len() > 600 {
        return;
    }
    let mut kept: Clause = Vec::new();
    for literal in clause.drain(..) {
        if !kept
            .iter()
            .any(|short| memchr::memmem::find(&literal, short).is_some())
        {
            kept.push(literal);
        }
    }
    *clause = kept;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::needs;
    use crate::operators::regex;

    fn shown(pattern: &str) -> Vec<Vec<String>> {
        needs(&regex::hir(pattern.as_bytes()).unwrap())
            .iter()
            .map(|clause| {
                clause
                    .iter()
                    .map(|l| String::from_utf8_lossy(l).into_owned())
                    .collect()
            })
            .collect()
    }

    #[test]
    fn literals_are_found_where_every_match_has_them() {
        for (pattern, expected) in [
            ("(?i)select.+from", &[&["from"][..], &["select"]][..]),
            ("(?:foo|ba[rz])qux", &[&["barqux", "bazqux", "fooqux"]]),
            ("a*", &[]),
            ("x+y?", &[&["x"]]),
            ("^(?:get|post)$", &[&["get", "post"]]),
            ("(?:cat|dog.*food)s", &[&["cat", "food"]]),
            ("(?:cat|dog.*food)<", &[&["cat", "food"], &["<"]]),
            ("[^a]b", &[&["b"]]),
            (r"\bon[a-z]+\s*=", &[&["on"], &["="]]),
            (r"(?:\.\./){2}", &[&["../../"]]),
        ] {
            let mut found = shown(pattern);
            let mut expected: Vec<Vec<String>> = expected
                .iter()
                .map(|c| c.iter().map(|l| (*l).to_owned()).collect())
                .collect();
            for list in [&mut found, &mut expected] {
                list.iter_mut().for_each(|clause| clause.sort());
                list.sort();
            }
            assert_eq!(found, expected, "{pattern}");
        }
    }

    /// Patterns made of pieces that matter to the derivation.
    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("ab"),
            Just("c"),
            Just("[xy]"),
            Just("[^z]"),
            Just("."),
            Just("A"),
            Just("\\b"),
            Just(""),
        ]
        .prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (
                    inner.clone(),
                    prop::sample::select(vec!["*", "+", "?", "{2}", "{1,3}"])
                )
                    .prop_map(|(inner, times)| format!("(?:{inner}){times}")),
                inner.prop_map(|inner| format!("(?i:{inner})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn whatever_matches_meets_every_clause(pattern in pattern(), value in "[abcxyzABC -]{0,12}") {
            let Ok(compiled) = regex::compile(pattern.as_bytes()) else { return Ok(()) };
            if compiled.is_match(value.as_bytes()) {
                let lower = value.to_ascii_lowercase();
                for clause in needs(&regex::hir(pattern.as_bytes()).unwrap()) {
                    prop_assert!(
                        clause.iter().any(|literal| memchr::memmem::find(lower.as_bytes(), literal).is_some()),
                        "{pattern} matches {value:?} without {clause:?}"
                    );
                }
            }
        }
    }
}
