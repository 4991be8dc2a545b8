//! The compiled condition: a tree of tests, and its evaluation.

use std::cmp::Ordering;
use std::net::IpAddr;

use farmgate_plugin_api::units::Cidr;
use memchr::memmem::Finder;
use regex::bytes::Regex;

use super::error::Fault;
use super::field::Field;
use super::value::{List, Number, Scope, Text};

/// What is asked of one text.
#[derive(Clone, Debug)]
pub(super) enum Test {
    StartsWith(Text),
    EndsWith(Text),
    Contains(Text),
    /// The same for a part that is written down.
    Finds(Box<Finder<'static>>),
    /// Found anywhere; `^` and `$` hold it to the ends.
    Matches(Regex),
    OneOf(Box<[Box<str>]>),
}

/// Comparing signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    Differ,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Sign {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Differ => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Differ => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::More => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// Questions about the items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Each {
    /// Of one at least it is true.
    Exists,
    /// It is true of all.
    All,
    /// Of exactly one.
    ExistsOne,
}

/// Something that is true or false of a request.
#[derive(Clone, Debug)]
pub(super) enum Truth {
    Constant(bool),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Chosen(Box<[Self; 3]>),
    /// Both are true or both are false (true), or not (false).
    Same(Box<[Self; 2]>, bool),
    Texts(Text, Sign, Text),
    Numbers(Number, Sign, Number),
    Test(Text, Test),
    /// The client's address is (true) or is not (false) this one.
    Address(IpAddr, bool),
    Networks(Box<[Cidr]>),
    /// The text is an item of the list.
    Within(Text, List),
    /// The number is one of these.
    Among(Number, Box<[Number]>),
    Has(Field),
    /// Asked of the items of a list, under the variable's name.
    Each(Each, Box<str>, List, Box<Self>),
}

impl Truth {
    pub(super) fn holds(&self, scope: &Scope<'_>) -> Result<bool, Fault> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Not(inner) => Ok(!inner.holds(scope)?),
            Self::All(parts) => until(parts, scope, false),
            Self::Any(parts) => until(parts, scope, true),
            Self::Chosen(parts) => {
                let [truth, yes, no] = &**parts;
                if truth.holds(scope)? { yes } else { no }.holds(scope)
            }
            Self::Same(parts, same) => {
                let [left, right] = &**parts;
                Ok((left.holds(scope)? == right.holds(scope)?) == *same)
            }
            Self::Texts(left, sign, right) => {
                let (left, right) = (left.read(scope)?, right.read(scope)?);
                Ok(match sign {
                    Sign::Equal => left == right,
                    Sign::Differ => left != right,
                    _ => sign.admits(left.cmp(&right)),
                })
            }
            Self::Numbers(left, sign, right) => {
                Ok(sign.admits(left.read(scope)?.cmp(&right.read(scope)?)))
            }
            Self::Test(text, test) => test.holds(&text.read(scope)?, scope),
            Self::Address(address, equal) => {
                Ok((scope.facts.client_ip().to_canonical() == *address) == *equal)
            }
            Self::Networks(networks) => {
                let client = scope.facts.client_ip();
                Ok(networks.iter().any(|network| network.contains(client)))
            }
            Self::Within(text, list) => {
                let wanted = text.read(scope)?;
                list.any(scope, |item| *item == *wanted)
            }
            Self::Among(number, numbers) => {
                let wanted = number.read(scope)?;
                for number in numbers {
                    if number.read(scope)? == wanted {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Has(field) => Ok(field.read(scope.facts).is_some()),
            Self::Each(each, _, list, of) => each.holds(list, of, scope),
        }
    }
}

/// True if one part answers `wanted`, else the other answer. A part without an answer does not
/// matter if another one decides.
fn until(parts: &[Truth], scope: &Scope<'_>, wanted: bool) -> Result<bool, Fault> {
    let mut fault = None;
    for part in parts {
        match part.holds(scope) {
            Ok(answer) if answer == wanted => return Ok(wanted),
            Ok(_) => {}
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    fault.map_or(Ok(!wanted), Err)
}

impl Each {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::All => "all",
            Self::ExistsOne => "exists_one",
        }
    }

    fn holds(self, list: &List, of: &Truth, scope: &Scope<'_>) -> Result<bool, Fault> {
        let mut fault = None;
        let mut count = 0_usize;
        let decided = list.any(scope, |item| {
            match of.holds(&scope.with(item)) {
                Ok(true) => count += 1,
                Ok(false) => return self == Self::All,
                Err(found) => fault = fault.or(Some(found)),
            }
            self == Self::Exists && count > 0
        })?;
        match (self, decided, fault) {
            (Self::Exists, true, _) => Ok(true),
            (Self::All, true, _) => Ok(false),
            (_, _, Some(fault)) => Err(fault),
            (Self::Exists, false, None) => Ok(false),
            (Self::All, false, None) => Ok(true),
            (Self::ExistsOne, _, None) => Ok(count == 1),
        }
    }
}

impl Test {
    fn holds(&self, value: &[u8], scope: &Scope<'_>) -> Result<bool, Fault> {
        Ok(match self {
            Self::StartsWith(text) => value.starts_with(&text.read(scope)?),
            Self::EndsWith(text) => value.ends_with(&text.read(scope)?),
            Self::Contains(text) => memchr::memmem::find(value, &text.read(scope)?).is_some(),
            Self::Finds(finder) => finder.find(value).is_some(),
            Self::Matches(regex) => regex.is_match(value),
            Self::OneOf(texts) => texts.iter().any(|text| text.as_bytes() == value),
        })
    }
}
