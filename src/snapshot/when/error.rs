//! Why a text is no condition, and why a condition has no answer for a request.

use std::fmt;

/// A mistake in a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhenError {
    /// Where it is, in characters from the start of the text, from 0.
    pub offset: usize,
    /// What is wrong.
    pub message: String,
    /// How to put it right, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for WhenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})", self.message, self.offset + 1)
    }
}

impl std::error::Error for WhenError {}

/// Why a condition is neither true nor false of a request. Holds no value of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `int(...)` of a text that is no whole number.
    NoNumber,
    /// A number left 64 bits.
    Overflow,
    /// A division by zero, or its remainder.
    ByZero,
}

impl Fault {
    /// What happened, in words.
    pub fn message(self) -> &'static str {
        match self {
            Self::NoNumber => "int(...) was given a text that is no whole number",
            Self::Overflow => "a number does not fit in 64 bits",
            Self::ByZero => "a number is divided by zero",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Fault {}

/// A mistake with its place in bytes, as the tree counts.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl Mistake {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Counts the place in characters of `text`.
    pub(super) fn in_text(self, text: &str) -> WhenError {
        let before = text.char_indices().take_while(|(at, _)| *at < self.at);
        WhenError {
            offset: before.count(),
            message: self.message,
            help: self.help.filter(|help| !help.is_empty()),
        }
    }
}
