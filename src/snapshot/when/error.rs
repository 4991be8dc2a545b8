//! Why a text is no condition.

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

/// The same with its place in bytes, as the parser counts.
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
            help: self.help,
        }
    }
}
