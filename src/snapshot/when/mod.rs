//! Conditions on plugins: `{ plugin = "jwt", when = 'request.method != "OPTIONS"' }`.
//!
//! A small typed subset of CEL (Common Expression Language, cel.dev) over what is known of a
//! request. There are no loops, no arithmetic and no calls that cost more than reading the value
//! once; a text is bounded in length, depth and number of tests. What can be decided (types, names,
//! addresses, regexes) is decided when the configuration is compiled.

mod error;
mod expression;
mod field;
mod lexer;
mod literal;
mod names;
mod operand;
mod parser;
#[cfg(test)]
mod tests;

use std::fmt;

use farmgate_plugin_api::Facts;

pub use error::WhenError;
use expression::Expression;

/// Longest text of a condition in bytes.
pub const MAX_BYTES: usize = 4_096;

/// Deepest nesting of parentheses and `!`.
pub const MAX_DEPTH: usize = 32;

/// Most tests (comparisons, calls, `true`, `false`) in a condition.
pub const MAX_TERMS: usize = 64;

/// A compiled condition. Shared by all threads.
#[derive(Clone, Debug)]
pub struct When(Expression);

impl When {
    /// Compiles a condition.
    ///
    /// # Errors
    /// The text is no condition: the error has the place, what is wrong, and how to put it right.
    pub fn parse(text: &str) -> Result<Self, WhenError> {
        parser::parse(text).map(Self)
    }

    /// Whether it is true of this request. Evaluated from left to right, and no further than
    /// needed. Allocates only for query values with percent escapes (and once per thread for
    /// regexes).
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        self.0.holds(facts)
    }
}

/// Writes the condition back, in one way: what it means is the same, spaces and quotes may differ.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
