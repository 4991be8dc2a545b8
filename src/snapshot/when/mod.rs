//! Conditions on plugins: `{ plugin = "jwt", when = 'request.method != "OPTIONS"' }`.
//!
//! CEL (Common Expression Language, cel.dev) over what is known of a request. The crate `cel` reads the text; its tree is
//! checked and compiled here into a typed tree of our own (docs/decisions/0013 says why it is not interpreted by the
//! crate). What can be decided is decided when the configuration is compiled: names, types, argument counts, addresses,
//! regexes, keys. An evaluation reads values where they lie, and takes time linear in what it reads: there is one level
//! of `exists` and `all`, over lists that are bounded.

mod calls;
mod compare;
mod error;
mod expression;
mod field;
mod literal;
mod names;
mod syntax;
#[cfg(test)]
mod tests;
mod trial;
mod typing;
mod value;
mod written;

use std::fmt;

use farmgate_plugin_api::Facts;

use error::Mistake;
pub use error::{Fault, WhenError};
use expression::Truth;
use value::Scope;

/// Longest text of a condition in bytes.
pub const MAX_BYTES: usize = 4_096;

/// Deepest nesting of parentheses, lists and arguments.
pub const MAX_DEPTH: u16 = 32;

/// Most tests in a condition: operators other than `&&`, `||` and `!`, calls, `true` and `false`.
pub const MAX_TERMS: usize = 64;

/// A compiled condition. Shared by all threads.
#[derive(Clone, Debug)]
pub struct When(Truth);

impl When {
    /// Compiles a condition.
    ///
    /// # Errors
    /// The text is no condition: the error has the place, what is wrong, and how to put it right.
    pub fn parse(text: &str) -> Result<Self, WhenError> {
        let compiled = match text.len() {
            0..=MAX_BYTES => syntax::with_tree(text, typing::compile),
            length => Err(Mistake::new(
                MAX_BYTES,
                format!("the condition has {length} bytes; {MAX_BYTES} are allowed"),
            )),
        };
        compiled.map(Self).map_err(|mistake| mistake.in_text(text))
    }

    /// Whether it is true of this request. Evaluated from left to right, and no further than
    /// needed. Allocates only for query values with percent escapes, for texts it puts together or
    /// changes, and once per thread for regexes.
    ///
    /// # Errors
    /// It has no answer for this request. As in CEL, a part without an answer does not matter where
    /// the other side of `&&` is false or of `||` true.
    pub fn holds(&self, facts: &dyn Facts) -> Result<bool, Fault> {
        self.0.holds(&Scope::of(facts))
    }

    /// Evaluates it once for a request that has nothing but a method, a host and a path.
    ///
    /// # Errors
    /// It has no answer for such a request, so that what it needs should be asked for by `has` first.
    pub fn trial(&self) -> Result<bool, Fault> {
        self.holds(&trial::Bare::default())
    }
}

/// Writes the condition back, in one way: what it means is the same, spaces and quotes may differ.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
