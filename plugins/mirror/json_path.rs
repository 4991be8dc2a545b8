//! Paths into JSON: a small part of JSONPath (RFC 9535), walked along while a document is read.
//!
//! `$.card.number`, `$.items[*].token`, `$.list[0]`, `$['a name']`, `$..password`. Names are compared without regard to
//! the case of ASCII letters: readers of JSON that do so would find a secret that an exact comparison missed.

use farmgate_plugin_api::decode::Located;
use serde::de::{Deserialize, Deserializer, Error};

/// Most steps of all paths together: one bit each in [`At`].
pub(super) const MAX_STEPS: usize = 128;

const HELP: &str = "write names and items from the top on: $.a.b, $.list[*].c, $.list[0], $['a name'], $..name at any depth";

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// A member of this name.
    Name(Box<str>),
    /// An item, from 0.
    Item(u32),
    /// Every member or item.
    All,
    /// A member of this name here or anywhere below.
    Below(Box<str>),
}

/// One path, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonPath(Vec<Step>);

impl<'de> Deserialize<'de> for JsonPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format_args!("`{text}` is no path into JSON\n{HELP}")))
    }
}

impl JsonPath {
    /// The path of a text; none if it is not of the forms above, or names the whole document.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = if let Some(after) = rest.strip_prefix("..") {
                let (name, after) = plain_name(after)?;
                (Step::Below(name.into()), after)
            } else if let Some(after) = rest.strip_prefix(".*") {
                (Step::All, after)
            } else if let Some(after) = rest.strip_prefix('.') {
                let (name, after) = plain_name(after)?;
                (Step::Name(name.into()), after)
            } else {
                bracket(rest.strip_prefix('[')?)?
            };
            steps.push(step);
            rest = after;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }
}

/// A name without quotes, and what follows it.
fn plain_name(text: &str) -> Option<(&str, &str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || !c.is_ascii();
    let end = text.find(|c| !plain(c)).unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(name, _)| !name.is_empty())
}

/// What stands in brackets, and what follows them.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(after) = text.strip_prefix("*]") {
        return Some((Step::All, after));
    }
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"');
    let Some(quote) = quote else {
        let (digits, after) = text.split_once(']')?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| plain)?;
        return Some((Step::Item(number), after));
    };
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1);
    loop {
        match chars.next()? {
            (_, '\\') => match chars.next()? {
                (_, c @ ('\\' | '\'' | '"')) => name.push(c),
                _ => return None,
            },
            (at, c) if c == quote => {
                let after = text.get(at + 1..)?.strip_prefix(']')?;
                return Some((Step::Name(name.into()), after));
            }
            (_, c) => name.push(c),
        }
    }
}

/// All paths of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    /// The steps of one path after the other; true: the last one of its path.
    steps: Vec<(Step, bool)>,
}

/// Where a reader stands in all paths: bit n is set when step n is the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(u128);

/// What is next in the document.
#[derive(Clone, Copy)]
pub(super) enum Down<'a> {
    /// The member of this name.
    Member(&'a str),
    /// The item of this number.
    Item(usize),
}

impl Paths {
    /// The paths together.
    ///
    /// # Errors
    /// More than [`MAX_STEPS`] steps; gives the path that is one too many.
    pub(super) fn new(paths: Vec<Located<JsonPath>>) -> Result<Self, Located<JsonPath>> {
        let mut steps = Vec::new();
        for path in paths {
            let count = path.value.0.len();
            if steps.len() + count > MAX_STEPS {
                return Err(path);
            }
            let last = |at: usize| at + 1 == count;
            let numbered = path.value.0.into_iter().enumerate();
            steps.extend(numbered.map(|(at, step)| (step, last(at))));
        }
        Ok(Self { steps })
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// At the top of a document.
    pub(super) fn top(&self) -> At {
        let mut begins = true;
        let mut bits = 0;
        for (at, (_, last)) in self.steps.iter().enumerate() {
            bits |= u128::from(begins) << at;
            begins = *last;
        }
        At(bits)
    }

    /// One step down: where that is, and whether a path ends there.
    pub(super) fn down(&self, at: At, to: Down<'_>) -> (At, bool) {
        let (mut bits, mut ends) = (0, false);
        let mut left = at.0;
        while left != 0 {
            let number = left.trailing_zeros();
            left &= left - 1;
            let Some((step, last)) = usize::try_from(number).ok().and_then(|n| self.steps.get(n))
            else {
                continue;
            };
            let same =
                |name: &str| matches!(to, Down::Member(have) if have.eq_ignore_ascii_case(name));
            let taken = match step {
                Step::Name(name) => same(name),
                Step::Item(item) => {
                    matches!(to, Down::Item(have) if u32::try_from(have) == Ok(*item))
                }
                Step::All => true,
                Step::Below(name) => {
                    bits |= 1 << number;
                    same(name)
                }
            };
            if taken && *last {
                ends = true;
            } else if taken {
                bits |= 1 << (number + 1);
            }
        }
        (At(bits), ends)
    }
}

impl At {
    /// Nowhere: nothing below is looked for.
    pub(super) const NOWHERE: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let name = |text: &str| Step::Name(text.into());
        for (text, steps) in [
            ("$.card.number", vec![name("card"), name("number")]),
            ("$.a[*].b", vec![name("a"), Step::All, name("b")]),
            ("$.a.*[12]", vec![name("a"), Step::All, Step::Item(12)]),
            ("$[0]", vec![Step::Item(0)]),
            (r#"$['a.b]\'']["c\\"]"#, vec![name("a.b]'"), name("c\\")]),
            ("$..password", vec![Step::Below("password".into())]),
            ("$.kontó-nr", vec![name("kontó-nr")]),
        ] {
            assert_eq!(JsonPath::parse(text).unwrap().0, steps, "{text}");
        }
        for text in [
            "",
            "$",
            "card",
            "$card",
            "$.",
            "$..",
            "$...a",
            "$.a.",
            "$[",
            "$[]",
            "$[-1]",
            "$[+1]",
            "$[1:2]",
            "$[?(@.a)]",
            "$['a]",
            "$['a'",
            "$['\\n']",
            "$[4294967296]",
            "$.a b",
            "$..*",
            "$.a,b",
            "$[1,2]",
        ] {
            assert_eq!(JsonPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn so_many_steps_and_no_more() {
        let path = |steps: usize| {
            let text = format!("${}", ".a".repeat(steps));
            Located::here(JsonPath::parse(&text).unwrap())
        };
        let full = Paths::new(vec![path(100), path(28)]).unwrap();
        // Both begin at the top, and the last step of the last path is still a bit.
        assert_eq!(full.top(), At(1 | 1 << 100));
        let (at, ends) = full.down(At(1 << 127), Down::Member("A"));
        assert_eq!((at, ends), (At::NOWHERE, true));
        assert!(Paths::new(vec![path(100), path(29)]).is_err());
    }
}
