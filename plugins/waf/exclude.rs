//! Exclusions: rules, or what they look at, left out on some paths and routes.

use std::fmt;

use farmgate_plugin_api::decode::{Diagnostic, Diagnostics, Place};
use farmgate_plugin_api::kind::codes;
use farmgate_plugin_api::list::OneOrMany;
use farmgate_waf::plan::{Exclusion, RuleChoice};
use farmgate_waf::seclang::{Item, MapFiles, Source, Target, TargetRemoval, load};
use serde::Deserialize;

/// Longest path pattern, target or tag.
const MAX_WORD_BYTES: usize = 1024;
const FORMS: &str =
    "one of rule = 942100, rule_range = \"942000-942999\" and tag = \"attack-sqli\"";

/// An entry of `exclude`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExcludeConfig {
    rule: Option<u64>,
    rule_range: Option<String>,
    tag: Option<String>,
    target: Option<String>,
    #[serde(default)]
    paths: OneOrMany<String>,
    #[serde(default)]
    routes: OneOrMany<String>,
}

/// An exclusion and where it holds.
#[derive(Clone, Debug)]
pub(super) struct Excluded {
    pub(super) exclusion: Exclusion,
    pub(super) scope: Scope,
    pub(super) place: Place,
}

/// Where an exclusion holds: on these paths and on these routes; empty means any.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    paths: Vec<PathPattern>,
    routes: Vec<String>,
}

impl Scope {
    /// True on this path of this route.
    pub(super) fn holds(&self, path: &str, route: &str) -> bool {
        (self.routes.is_empty() || self.routes.iter().any(|one| one == route))
            && (self.paths.is_empty() || self.paths.iter().any(|one| one.fits(path)))
    }
}

/// A path as routes write it: `{name}` for one segment, a closing `/*` for the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PathPattern {
    /// None stands for any.
    segments: Vec<Option<String>>,
    rest: bool,
}

impl PathPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("a path begins with /");
        };
        if text.len() > MAX_WORD_BYTES {
            return Err("the path is too long");
        }
        let (path, rest) = match path.strip_suffix('*') {
            Some(path) if path.is_empty() || path.ends_with('/') => (path, true),
            Some(_) => return Err("* stands alone, behind the last /"),
            None => (path, false),
        };
        let mut segments = Vec::new();
        let path = if rest {
            path.strip_suffix('/').unwrap_or(path)
        } else {
            path
        };
        if !(rest && path.is_empty()) {
            for segment in path.split('/') {
                let inner = segment
                    .strip_prefix('{')
                    .and_then(|one| one.strip_suffix('}'));
                segments.push(match inner {
                    Some(_) => None,
                    None if segment.contains(['*', '{', '}']) => {
                        return Err("a segment is a text or a {name}; * stands at the end");
                    }
                    None => Some(segment.to_owned()),
                });
            }
        }
        Ok(Self { segments, rest })
    }

    fn fits(&self, path: &str) -> bool {
        let mut have = path.strip_prefix('/').unwrap_or(path).split('/');
        for wanted in &self.segments {
            match (wanted, have.next()) {
                (Some(text), Some(segment)) if text == segment => {}
                (None, Some(segment)) if !segment.is_empty() => {}
                _ => return false,
            }
        }
        // `/a/*` is what lies below /a, not /a itself.
        self.rest == have.next().is_some()
    }
}

impl ExcludeConfig {
    /// Checks the words.
    pub(super) fn compile(&self, place: &Place, diagnostics: &mut Diagnostics) -> Option<Excluded> {
        let before = diagnostics.error_count();
        let mut wrong = |text: String, help: &str| {
            diagnostics.push(Diagnostic::error(codes::VALUE, place, text).with_help(help));
        };
        let rules = match (self.rule, &self.rule_range, &self.tag) {
            (Some(id), None, None) => Some(RuleChoice::Id(id, id)),
            (None, Some(range), None) => match range_of(range) {
                Some((first, last)) => Some(RuleChoice::Id(first, last)),
                None => {
                    wrong(
                        format!("{range:?} is no range of rules"),
                        "write \"942000-942999\"",
                    );
                    None
                }
            },
            (None, None, Some(tag)) if !tag.is_empty() => Some(RuleChoice::Tag(tag.clone())),
            _ => {
                wrong("an exclusion names its rules in one way".to_owned(), FORMS);
                None
            }
        };
        let target = self
            .target
            .as_deref()
            .and_then(|text| match target_of(text) {
                Ok(target) => Some(target),
                Err(why) => {
                    wrong(
                        format!("{text:?} is no target: {why}"),
                        "write \"ARGS:q\", \"REQUEST_COOKIES:/^_ga/\" or \"ARGS\"",
                    );
                    None
                }
            });
        let mut paths = Vec::new();
        for text in &self.paths.0 {
            match PathPattern::parse(text) {
                Ok(path) => paths.push(path),
                Err(why) => wrong(
                    format!("{text:?} is no path: {why}"),
                    "write \"/search\", \"/items/{id}/edit\" or \"/edit/*\"",
                ),
            }
        }
        if diagnostics.error_count() > before {
            return None;
        }
        Some(Excluded {
            exclusion: Exclusion {
                rules: rules?,
                target,
            },
            scope: Scope {
                paths,
                routes: self.routes.0.clone(),
            },
            place: place.clone(),
        })
    }
}

/// `first-last`.
fn range_of(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-')?;
    let first: u64 = first.trim().parse().ok()?;
    let last: u64 = last.trim().parse().ok()?;
    (first <= last).then_some((first, last))
}

/// A target as rules write it. It is read by the rules' own reader, as the one target of a rule.
fn target_of(text: &str) -> Result<TargetRemoval, String> {
    if text.len() > MAX_WORD_BYTES || text.contains(['"', '\n', '\r', '\0', ' ']) {
        return Err("it is one variable of rules, without blanks and quotes".to_owned());
    }
    let rule = Source::Text {
        name: "target".to_owned(),
        text: format!("SecRule {text} \"@unconditionalMatch\" \"id:1,phase:1,pass,nolog\"\n"),
    };
    let loaded = load(&[rule], &MapFiles::default()).map_err(|problems| {
        let first = problems.into_iter().next();
        first.map(|problem| problem.message).unwrap_or_default()
    })?;
    let rule = loaded
        .program
        .items
        .into_iter()
        .find_map(|item| match item {
            Item::Rule(rule) => Some(rule),
            Item::Marker(_) => None,
        });
    let condition = rule.and_then(|rule| rule.conditions.into_iter().next());
    let targets = condition
        .map(|condition| condition.targets)
        .unwrap_or_default();
    match <[Target; 1]>::try_from(targets) {
        Ok([target]) if !target.count && !target.excluded => Ok(TargetRemoval {
            variable: target.variable,
            selector: target.selector,
        }),
        _ => Err("it is one variable, without & and !".to_owned()),
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exclusion.rules {
            RuleChoice::Id(first, last) if first == last => write!(f, "rule {first}"),
            RuleChoice::Id(first, last) => write!(f, "rules {first}-{last}"),
            RuleChoice::Tag(tag) => write!(f, "tag {tag:?}"),
            RuleChoice::Message(text) => write!(f, "message {text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_as_those_of_routes() {
        for (pattern, path, fits) in [
            ("/search", "/search", true),
            ("/search", "/search/", false),
            ("/search", "/searching", false),
            ("/", "/", true),
            ("/", "/a", false),
            ("/*", "/", true),
            ("/*", "/a/b", true),
            ("/edit/*", "/edit/", true),
            ("/edit/*", "/edit/a/b", true),
            ("/edit/*", "/edit", false),
            ("/items/{id}/edit", "/items/7/edit", true),
            ("/items/{id}/edit", "/items//edit", false),
            ("/items/{id}/edit", "/items/7/8/edit", false),
            ("/items/{id}/*", "/items/7/8/9", true),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            assert_eq!(parsed.fits(path), fits, "{pattern} {path}");
        }
        for wrong in ["", "search", "/a*", "/*/b", "/{a", "/a{b}"] {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_are_those_of_rules() {
        for good in [
            "ARGS",
            "ARGS:q",
            "REQUEST_COOKIES:/^_ga/",
            "REQUEST_HEADERS:User-Agent",
        ] {
            assert!(target_of(good).is_ok(), "{good}: {:?}", target_of(good));
        }
        for wrong in [
            "",
            "ARG",
            "&ARGS",
            "!ARGS",
            "ARGS|TX:a",
            "A\nB",
            "ARGS \"@x",
        ] {
            assert!(target_of(wrong).is_err(), "{wrong}");
        }
    }
}
