//! The compiled condition: a tree of tests, and its evaluation.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use farmgate_plugin_api::Facts;
use farmgate_plugin_api::units::Cidr;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::field::Field;
use super::literal::Quoted;

/// A text: a value of the request, or one written down.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Field(Field),
    Literal(Box<str>),
}

impl Text {
    /// The value; a missing one reads as empty.
    fn read<'a>(&'a self, facts: &'a dyn Facts) -> Cow<'a, [u8]> {
        match self {
            Self::Field(field) => field.read(facts).unwrap_or_default(),
            Self::Literal(text) => Cow::Borrowed(text.as_bytes()),
        }
    }
}

/// What is asked of one text.
#[derive(Clone, Debug)]
pub(super) enum Test {
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<Finder<'static>>),
    /// Found anywhere; `^` and `$` hold it to the ends.
    Matches(Regex),
    OneOf(Box<[Box<str>]>),
}

/// Something that is true or false of a request.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    Constant(bool),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    /// The two are the same (true) or differ (false).
    Equal(Text, Text, bool),
    Test(Text, Test),
    /// The client's address is (true) or is not (false) this one.
    Address(IpAddr, bool),
    Networks(Box<[Cidr]>),
    /// The consumer has this tag.
    Tag(Text),
    Has(Field),
}

impl Expression {
    pub(super) fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::Not(inner) => !inner.holds(facts),
            Self::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Equal(left, right, equal) => (left.read(facts) == right.read(facts)) == *equal,
            Self::Test(text, test) => test.holds(&text.read(facts)),
            Self::Address(address, equal) => {
                (facts.client_ip().to_canonical() == *address) == *equal
            }
            Self::Networks(networks) => {
                let client = facts.client_ip();
                networks.iter().any(|network| network.contains(client))
            }
            Self::Tag(text) => facts.consumer().is_some_and(|consumer| {
                let wanted = text.read(facts);
                consumer.tags.iter().any(|tag| tag.as_bytes() == &*wanted)
            }),
            Self::Has(field) => field.read(facts).is_some(),
        }
    }

    /// How tightly its outermost sign binds, as in CEL: `||`, then `&&`, then the rest.
    fn strength(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            Self::Equal(..) | Self::Address(..) | Self::Networks(_) | Self::Tag(_) => 2,
            Self::Test(_, Test::OneOf(_)) => 2,
            Self::Constant(_) | Self::Not(_) | Self::Test(..) | Self::Has(_) => 3,
        }
    }
}

impl Test {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::StartsWith(text) => value.starts_with(text.as_bytes()),
            Self::EndsWith(text) => value.ends_with(text.as_bytes()),
            Self::Contains(finder) => finder.find(value).is_some(),
            Self::Matches(regex) => regex.is_match(value),
            Self::OneOf(texts) => texts.iter().any(|text| text.as_bytes() == value),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(field) => field.fmt(f),
            Self::Literal(text) => Quoted(text).fmt(f),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = |equal: bool| if equal { "==" } else { "!=" };
        match self {
            Self::Constant(value) => value.fmt(f),
            Self::Not(inner) => {
                f.write_str("!")?;
                within(f, inner, 3)
            }
            Self::All(parts) => joined(f, parts, " && ", 2),
            Self::Any(parts) => joined(f, parts, " || ", 1),
            Self::Equal(left, right, equal) => write!(f, "{left} {} {right}", sign(*equal)),
            Self::Test(text, test) => match test {
                Test::StartsWith(with) => write!(f, "{text}.startsWith({})", Quoted(with)),
                Test::EndsWith(with) => write!(f, "{text}.endsWith({})", Quoted(with)),
                Test::Contains(finder) => {
                    let part = String::from_utf8_lossy(finder.needle());
                    write!(f, "{text}.contains({})", Quoted(&part))
                }
                Test::Matches(regex) => write!(f, "{text}.matches({})", Quoted(regex.as_str())),
                Test::OneOf(texts) => {
                    write!(f, "{text} in ")?;
                    listed(f, texts.iter().map(|text| Quoted(text)))
                }
            },
            Self::Address(address, equal) => {
                write!(f, "client.ip {} \"{address}\"", sign(*equal))
            }
            Self::Networks(networks) => {
                f.write_str("client.ip in ")?;
                listed(f, networks.iter().map(|network| format!("\"{network}\"")))
            }
            Self::Tag(text) => write!(f, "{text} in consumer.tags"),
            Self::Has(field) => write!(f, "has({field})"),
        }
    }
}

/// Writes a part, in parentheses if it binds less than `strength`.
fn within(f: &mut fmt::Formatter<'_>, part: &Expression, strength: u8) -> fmt::Result {
    if part.strength() < strength {
        write!(f, "({part})")
    } else {
        write!(f, "{part}")
    }
}

fn joined(
    f: &mut fmt::Formatter<'_>,
    parts: &[Expression],
    sign: &str,
    strength: u8,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(sign)?;
        }
        within(f, part, strength)?;
    }
    Ok(())
}

fn listed(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = impl fmt::Display>,
) -> fmt::Result {
    f.write_str("[")?;
    for (at, item) in items.enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        write!(f, "{comma}{item}")?;
    }
    f.write_str("]")
}
