//! What can be wrong with a path pattern.

use std::fmt;

use super::{MAX_CAPTURES, MAX_SEGMENTS};

/// Why a text is not a path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It does not begin with `/`.
    NoSlash,
    /// A `*` that is not the whole closing segment.
    StarInside,
    /// A brace that does not surround a whole segment.
    BraceInside,
    /// A name that is empty, longer than 32 bytes, or not made of letters, digits, `_` and `-`
    /// after a first letter or `_`.
    Name(String),
    /// A name that means a source in templates.
    Reserved(String),
    /// The same name twice (`rest` is what `/*` captures).
    Twice(String),
    /// A `?` or `#`: only the path is compared.
    NotPath,
    /// A `%` without two hexadecimal digits, or `%00`.
    Escape,
    /// Requests are compared in their normalised form, which would be this one.
    NotNormal(String),
    /// More than [`MAX_CAPTURES`] captures or [`MAX_SEGMENTS`] segments.
    TooLong,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash => write!(f, "a path begins with `/`"),
            Self::StarInside => {
                write!(
                    f,
                    "`*` may only be the whole last segment, as in `/files/*`"
                )
            }
            Self::BraceInside => write!(
                f,
                "braces surround a whole segment, as in `/users/{{id}}`; a literal brace is written %7B or %7D"
            ),
            Self::Name(name) => write!(
                f,
                "`{name}` is not a capture name: letters, digits, `_` and `-`, at most 32"
            ),
            Self::Reserved(name) => {
                write!(
                    f,
                    "`{name}` is the name of a source; choose another capture name"
                )
            }
            Self::Twice(name) => write!(f, "the capture name `{name}` stands twice"),
            Self::NotPath => write!(
                f,
                "a path has no `?` and no `#`; match the query with `query`"
            ),
            Self::Escape => write!(
                f,
                "`%` is followed by two hexadecimal digits, and not by 00"
            ),
            Self::NotNormal(normal) => {
                write!(
                    f,
                    "the normalised form of this path is `{normal}`; write that"
                )
            }
            Self::TooLong => write!(
                f,
                "a path pattern has at most {MAX_SEGMENTS} segments and {MAX_CAPTURES} captures"
            ),
        }
    }
}

impl std::error::Error for PathError {}
