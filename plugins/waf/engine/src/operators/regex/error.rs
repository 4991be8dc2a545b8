//! Why a pattern is refused.

use std::fmt;

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegexError {
    /// A construct that cannot be searched in linear time.
    NotLinear {
        /// Its name.
        what: &'static str,
        /// Where it begins in the pattern, in bytes from 0.
        at: usize,
    },
    /// A construct of PCRE that is not supported for another reason.
    Unsupported {
        /// Its name, and what to write instead.
        what: &'static str,
        /// Where it begins in the pattern, in bytes from 0.
        at: usize,
    },
    /// Something that PCRE refuses as well.
    Wrong {
        /// What is wrong.
        what: &'static str,
        /// Where, in bytes from 0.
        at: usize,
    },
    /// The pattern as a whole is no regular expression.
    Syntax(String),
    /// The automaton cannot be built, for instance because it would be too large.
    Compile(String),
    /// The pattern has more bytes than this.
    TooLong(usize),
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinear { what, at } => write!(
                f,
                "{what} at byte {at}: only regexes that are searched in linear time are supported, \
                 that is without lookaround, back-references, possessive quantifiers and atomic groups"
            ),
            Self::Unsupported { what, at } => {
                write!(f, "{what} at byte {at} of the regex: not supported")
            }
            Self::Wrong { what, at } => write!(f, "{what} at byte {at} of the regex"),
            Self::Syntax(error) => write!(f, "not a regex: {error}"),
            Self::Compile(error) => write!(f, "the regex cannot be compiled: {error}"),
            Self::TooLong(most) => write!(f, "the regex has more than {most} bytes"),
        }
    }
}

impl std::error::Error for RegexError {}

impl From<RegexError> for String {
    fn from(error: RegexError) -> Self {
        error.to_string()
    }
}
