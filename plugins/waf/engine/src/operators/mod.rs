//! Operators: what is asked of a value.
//!
//! Behaviour is that of ModSecurity v3 (its reference manual, "Operators"), on bytes. Everything an
//! operator needs is read and compiled when the rules are loaded; a match costs no allocation but
//! what the regex engine's caches take.

mod addresses;
mod captures;
mod compare;
mod files;
mod geo;
mod phrases;
pub mod regex;
mod validate;
mod verify;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use memchr::memmem;

pub use addresses::Networks;
pub use captures::{CAPTURES, Captures};
pub use compare::number;
pub use geo::Geo;
pub use phrases::Phrases;
pub use regex::Regex;
pub use verify::{Number, Verify};

use crate::injection;
use crate::seclang::{Files, OperatorName};
use crate::transform::ByteSet;
use crate::work::Kind;

/// Operators of ModSecurity that are not offered, with the reason.
pub const REFUSED: &[(&str, &str)] = &[
    ("rbl", "it would ask a DNS server for every request"),
    (
        "gsbLookup",
        "it needs a database that is no longer published",
    ),
    ("inspectFile", "it would run a program for every file"),
    (
        "validateDTD",
        "it needs libxml2; documents are never validated here",
    ),
    (
        "validateSchema",
        "it needs libxml2; documents are never validated here",
    ),
    (
        "validateHash",
        "ModSecurity v3 does not implement it either",
    ),
    ("rsub", "ModSecurity v3 does not implement it either"),
];

/// An operator, compiled.
#[derive(Clone)]
pub enum Op {
    /// Matches everything: `unconditionalMatch`, and a regex without any text.
    Always,
    /// Matches nothing: `noMatch`.
    Never,
    /// `streq`, `within`, `containsWord`, `beginsWith`, `endsWith`.
    Text(OperatorName, Box<[u8]>),
    /// `contains`, `strmatch`.
    Contains(Box<memmem::Finder<'static>>),
    /// `eq`.
    Equal(i64),
    /// `ge`, `gt`, `le`, `lt`.
    Order(OperatorName, Box<[u8]>),
    /// `rx`.
    Rx(Regex),
    /// `rxGlobal`.
    RxGlobal(Regex),
    /// `pm`, `pmFromFile`.
    Phrases(Box<Phrases>),
    /// `ipMatch`, `ipMatchFromFile`.
    Networks(Box<Networks>),
    /// `validateByteRange`: the bytes that are allowed.
    ByteRange(ByteSet),
    /// `validateUrlEncoding`.
    UrlEncoding,
    /// `validateUtf8Encoding`.
    Utf8Encoding,
    /// `verifyCC`, `verifyCPF`, `verifySSN`, `verifySVNR`.
    Verify(Box<Verify>),
    /// `geoLookup`: true if the address is known. What is known goes to GEO by [`Op::geo`].
    Geo(Arc<Geo>),
    /// `detectSQLi`.
    Sqli,
    /// `detectXSS`.
    Xss,
}

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Always => "Always",
            Self::Never => "Never",
            Self::Text(..) => "Text",
            Self::Contains(_) => "Contains",
            Self::Equal(_) => "Equal",
            Self::Order(..) => "Order",
            Self::Rx(_) => "Rx",
            Self::RxGlobal(_) => "RxGlobal",
            Self::Phrases(_) => "Phrases",
            Self::Networks(_) => "Networks",
            Self::ByteRange(_) => "ByteRange",
            Self::UrlEncoding => "UrlEncoding",
            Self::Utf8Encoding => "Utf8Encoding",
            Self::Verify(_) => "Verify",
            Self::Geo(_) => "Geo",
            Self::Sqli => "Sqli",
            Self::Xss => "Xss",
        };
        f.write_str(name)
    }
}

impl Op {
    /// Compiles an operator. The argument holds no macro any more; files that it names are read
    /// through `files`, relative to `beside`.
    pub fn compile(
        name: OperatorName,
        argument: &[u8],
        beside: &Path,
        files: &dyn Files,
    ) -> Result<Self, String> {
        use OperatorName as N;
        let named = |error: regex::RegexError| format!("@{}: {error}", word(name));
        Ok(match name {
            N::UnconditionalMatch => Self::Always,
            N::NoMatch => Self::Never,
            N::StrEq | N::Within | N::ContainsWord | N::BeginsWith | N::EndsWith => {
                Self::Text(name, argument.into())
            }
            N::Contains | N::StrMatch => {
                Self::Contains(Box::new(memmem::Finder::new(argument).into_owned()))
            }
            N::Eq => Self::Equal(compare::equal_number(argument)),
            N::Ge | N::Gt | N::Le | N::Lt => Self::Order(name, argument.into()),
            // Without a text ModSecurity matches everything and captures nothing.
            N::Rx | N::RxGlobal if argument.is_empty() => Self::Always,
            N::Rx => Self::Rx(regex::compile(argument).map_err(named)?),
            N::RxGlobal => Self::RxGlobal(regex::compile(argument).map_err(named)?),
            N::Pm => Self::Phrases(Box::new(Phrases::compile(argument)?)),
            N::PmFromFile => {
                Self::Phrases(Box::new(Phrases::compile_files(argument, beside, files)?))
            }
            N::IpMatch => Self::Networks(Box::new(Networks::compile(argument)?)),
            N::IpMatchFromFile => {
                Self::Networks(Box::new(Networks::compile_file(argument, beside, files)?))
            }
            N::ValidateByteRange => Self::ByteRange(validate::compile_byte_range(argument)?),
            N::ValidateUrlEncoding => Self::UrlEncoding,
            N::ValidateUtf8Encoding => Self::Utf8Encoding,
            N::VerifyCc => Self::verify(name, Number::Card, argument)?,
            N::VerifyCpf => Self::verify(name, Number::Cpf, argument)?,
            N::VerifySsn => Self::verify(name, Number::Ssn, argument)?,
            N::VerifySvnr => Self::verify(name, Number::Svnr, argument)?,
            N::FuzzyHash => {
                return Err(
                    "@fuzzyHash: ssdeep hashes are not offered, because every library for them is \
                     under the GPL: remove the rule"
                        .to_owned(),
                );
            }
            N::GeoLookup => Self::Geo(Arc::new(Geo::compile(argument, beside, files)?)),
            N::DetectSqli => Self::Sqli,
            N::DetectXss => Self::Xss,
        })
    }

    fn verify(name: OperatorName, number: Number, argument: &[u8]) -> Result<Self, String> {
        Verify::compile(&format!("@{}", word(name)), number, argument)
            .map(|verify| Self::Verify(Box::new(verify)))
    }

    /// Asks the operator, without the rule's negation. Captures are given only for a rule with
    /// `capture`; those that a match sets replace what was there, others stay.
    pub fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Text(name, argument) | Self::Order(name, argument) => {
                compare::matches(*name, argument, value)
            }
            Self::Contains(finder) => finder.find(value).is_some(),
            Self::Equal(number) => compare::equal_number(value) == *number,
            Self::Rx(regex) => match captures {
                Some(captures) => regex.captures(value, captures),
                None => regex.is_match(value),
            },
            Self::RxGlobal(regex) => match captures {
                Some(captures) => regex.captures_all(value, captures),
                None => regex.is_match(value),
            },
            Self::Phrases(phrases) => phrases.matches(value, captures),
            Self::Networks(networks) => networks.contain(value),
            Self::ByteRange(allowed) => validate::byte_outside(allowed, value),
            Self::UrlEncoding => validate::bad_url_encoding(value),
            Self::Utf8Encoding => validate::bad_utf8(value),
            Self::Verify(verify) => verify.matches(value, captures),
            Self::Geo(geo) => geo.knows(value),
            Self::Sqli => match (injection::sqli(value), captures) {
                (Some(fingerprint), Some(captures)) => {
                    captures.set(0, fingerprint.as_bytes());
                    true
                }
                (fingerprint, _) => fingerprint.is_some(),
            },
            Self::Xss => {
                let found = injection::xss(value);
                // There is no fingerprint: ModSecurity gives the whole value.
                if let Some(captures) = captures.filter(|_| found) {
                    captures.set(0, value);
                }
                found
            }
        }
    }

    /// Asks an operator whose argument is known only now, because it holds macros. Operators for
    /// which [`Op::takes_macros`] is false match nothing here.
    pub fn matches_argument(name: OperatorName, argument: &[u8], value: &[u8]) -> bool {
        compare::matches(name, argument, value)
    }

    /// True if macros in the argument are expanded for every request.
    pub fn takes_macros(name: OperatorName) -> bool {
        compare::takes_macros(name)
    }

    /// What kind of work it is to ask the operator.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Always
            | Self::Never
            | Self::Text(..)
            | Self::Contains(_)
            | Self::Equal(_)
            | Self::Order(..)
            | Self::Networks(_)
            | Self::Geo(_)
            | Self::ByteRange(_)
            | Self::UrlEncoding
            | Self::Utf8Encoding => Kind::Plain,
            Self::Rx(_) => Kind::Regex,
            Self::Phrases(_) => Kind::Phrases,
            // Several searches over the same bytes.
            Self::RxGlobal(_) | Self::Verify(_) => Kind::Groups,
            Self::Sqli => Kind::Sqli,
            Self::Xss => Kind::Xss,
        }
    }

    /// The database of `geoLookup`, which fills the collection GEO when the operator matches.
    pub fn geo(&self) -> Option<&Geo> {
        match self {
            Self::Geo(geo) => Some(geo),
            _ => None,
        }
    }

    /// Bytes of memory that the compiled automata take, caches aside.
    pub fn memory_usage(&self) -> usize {
        match self {
            Self::Rx(regex) | Self::RxGlobal(regex) => regex.memory_usage(),
            Self::Phrases(phrases) => phrases.memory_usage(),
            _ => 0,
        }
    }

    /// The phrases of `pm` and `pmFromFile`, for a filter shared by all rules.
    pub fn phrases(&self) -> Option<&[Vec<u8>]> {
        match self {
            Self::Phrases(phrases) => Some(phrases.list()),
            _ => None,
        }
    }
}

/// The operator's name in rules.
fn word(name: OperatorName) -> &'static str {
    OperatorName::ALL
        .iter()
        .find(|(other, _)| *other == name)
        .map_or("", |(_, word)| word)
}

#[cfg(test)]
pub(crate) mod tests;
