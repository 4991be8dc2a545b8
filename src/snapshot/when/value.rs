//! Texts, numbers and lists of a condition, and their evaluation.

use std::borrow::Cow;

use farmgate_plugin_api::Facts;

use super::error::Fault;
use super::expression::Truth;
use super::field::Field;

/// What an evaluation looks at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) facts: &'a dyn Facts,
    /// The item that `exists` or `all` looks at.
    item: &'a [u8],
}

impl<'a> Scope<'a> {
    pub(super) fn of(facts: &'a dyn Facts) -> Self {
        Self { facts, item: b"" }
    }

    /// The same for one item of a list.
    pub(super) fn with<'b>(&self, item: &'b [u8]) -> Scope<'b>
    where
        'a: 'b,
    {
        Scope {
            facts: self.facts,
            item,
        }
    }
}

/// A text.
#[derive(Clone, Debug)]
pub(super) enum Text {
    /// A value of the request.
    Field(Field),
    Literal(Box<str>),
    /// The variable of `exists` and the like, with its name.
    Item(Box<str>),
    Joined(Box<[Text; 2]>),
    Chosen(Box<(Truth, Text, Text)>),
    /// ASCII letters as small ones.
    Lower(Box<Text>),
    /// A number's digits.
    Digits(Box<Number>),
}

/// What a text costs nothing to read.
type Bytes<'a> = Cow<'a, [u8]>;

impl Text {
    /// The value; a missing one reads as empty.
    pub(super) fn read<'a>(&'a self, scope: &Scope<'a>) -> Result<Bytes<'a>, Fault> {
        Ok(match self {
            Self::Field(field) => field.read(scope.facts).unwrap_or_default(),
            Self::Literal(text) => Cow::Borrowed(text.as_bytes()),
            Self::Item(_) => Cow::Borrowed(scope.item),
            Self::Joined(parts) => {
                let [first, second] = &**parts;
                let mut text = first.read(scope)?.into_owned();
                text.extend_from_slice(&second.read(scope)?);
                Cow::Owned(text)
            }
            Self::Chosen(parts) => {
                let (truth, yes, no) = &**parts;
                return if truth.holds(scope)? { yes } else { no }.read(scope);
            }
            Self::Lower(text) => {
                let text = text.read(scope)?;
                match text.iter().any(u8::is_ascii_uppercase) {
                    true => Cow::Owned(text.to_ascii_lowercase()),
                    false => text,
                }
            }
            Self::Digits(number) => Cow::Owned(number.read(scope)?.to_string().into_bytes()),
        })
    }
}

/// Signs between numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sum {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remain,
}

impl Sum {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remain => "%",
        }
    }

    /// As CEL has it: 64 bits, and an error instead of a wrong result.
    fn of(self, left: i64, right: i64) -> Result<i64, Fault> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Remain if right == 0 => return Err(Fault::ByZero),
            Self::Divide => left.checked_div(right),
            Self::Remain => left.checked_rem(right),
        }
        .ok_or(Fault::Overflow)
    }
}

/// A whole number.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Literal(i64),
    /// The characters of a text; a byte that is no UTF-8 counts as one.
    Size(Box<Text>),
    /// The items of a list.
    Count(List),
    /// A text read as a decimal number.
    Parsed(Box<Text>),
    Negated(Box<Number>),
    Sum(Box<Number>, Sum, Box<Number>),
    Chosen(Box<(Truth, Number, Number)>),
}

impl Number {
    pub(super) fn read(&self, scope: &Scope<'_>) -> Result<i64, Fault> {
        let counted = |count: usize| i64::try_from(count).map_err(|_| Fault::Overflow);
        match self {
            Self::Literal(number) => Ok(*number),
            Self::Size(text) => {
                let text = text.read(scope)?;
                let chunks = text.utf8_chunks();
                counted(
                    chunks
                        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
                        .sum(),
                )
            }
            Self::Count(list) => counted(list.len(scope)),
            Self::Parsed(text) => std::str::from_utf8(&text.read(scope)?)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(Fault::NoNumber),
            Self::Negated(number) => number.read(scope)?.checked_neg().ok_or(Fault::Overflow),
            Self::Sum(left, sum, right) => sum.of(left.read(scope)?, right.read(scope)?),
            Self::Chosen(parts) => {
                let (truth, yes, no) = &**parts;
                if truth.holds(scope)? { yes } else { no }.read(scope)
            }
        }
    }

    /// The number, if no request changes it.
    pub(super) fn literal(&self) -> Option<i64> {
        match self {
            Self::Literal(number) => Some(*number),
            _ => None,
        }
    }

    /// Computes what no request changes.
    pub(super) fn folded(left: Self, sum: Sum, right: Self) -> Result<Self, Fault> {
        match (left.literal(), right.literal()) {
            (Some(left), Some(right)) => sum.of(left, right).map(Self::Literal),
            _ if right.literal() == Some(0) && matches!(sum, Sum::Divide | Sum::Remain) => {
                Err(Fault::ByZero)
            }
            _ => Ok(Self::Sum(Box::new(left), sum, Box::new(right))),
        }
    }
}

/// Several texts.
#[derive(Clone, Debug)]
pub(super) enum List {
    /// The consumer's tags.
    Tags,
    /// The names of the client's certificate.
    Sans,
    /// As written.
    Written(Box<[Text]>),
}

impl List {
    fn len(&self, scope: &Scope<'_>) -> usize {
        match self {
            Self::Tags => scope.facts.consumer().map_or(0, |found| found.tags.len()),
            Self::Sans => scope.facts.client_sans().len(),
            Self::Written(texts) => texts.len(),
        }
    }

    /// Hands each item to `look` until it says true; whether it did.
    pub(super) fn any(
        &self,
        scope: &Scope<'_>,
        mut look: impl FnMut(&[u8]) -> bool,
    ) -> Result<bool, Fault> {
        Ok(match self {
            Self::Tags => scope
                .facts
                .consumer()
                .is_some_and(|found| found.tags.iter().any(|tag| look(tag.as_bytes()))),
            Self::Sans => scope
                .facts
                .client_sans()
                .iter()
                .any(|name| look(name.as_bytes())),
            Self::Written(texts) => {
                for text in texts {
                    if look(&text.read(scope)?) {
                        return Ok(true);
                    }
                }
                false
            }
        })
    }
}
