//! What is wrong, where, and what to write instead.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// Most diagnostics that are kept; more are only counted.
const MAX_KEPT: usize = 1000;

/// Where something stands in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the operator named it; empty for what no file says.
    pub file: Arc<str>,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 for the file as a whole.
    pub column: u32,
}

impl Place {
    /// A file as a whole.
    pub fn file(file: impl Into<Arc<str>>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            column: 0,
        }
    }

    /// Nowhere: for defaults, and values that do not come from a file.
    pub fn none() -> Self {
        static NOWHERE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
        Self::file(Arc::clone(&NOWHERE))
    }

    /// False for defaults and values that do not come from a file.
    pub fn is_known(&self) -> bool {
        !self.file.is_empty()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.is_known(), self.line) {
            (false, _) => f.write_str("(default)"),
            (true, 0) => f.write_str(&self.file),
            (true, line) => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// Whether the configuration can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One mistake. Prints as `file:line:column: E-CONF-001 message`, a warning as
/// `file:line:column: warning E-ROUTE-002 message`, and the help on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The code, as `E-CONF-001`; stable, so that it can be looked up.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place: place.clone(),
            message: message.into(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, place, message)
        }
    }

    /// Says what to do about it. An empty text is no help.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|text| !text.is_empty());
        self
    }
}

/// One flat object: code, severity, file, line, column, message, help.
impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Diagnostic", 7)?;
        object.serialize_field("code", self.code)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("file", self.place.file.as_ref())?;
        object.serialize_field("line", &self.place.line)?;
        object.serialize_field("column", &self.place.column)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning ",
        };
        write!(f, "{}: {word}{} {}", self.place, self.code, self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {}", help.replace('\n', "\n  ")),
            None => Ok(()),
        }
    }
}

/// Everything that was found, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    errors: usize,
    dropped: usize,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.kept.len() < MAX_KEPT {
            self.kept.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Adds an error.
    pub fn error(&mut self, code: &'static str, place: &Place, message: impl Into<String>) {
        self.push(Diagnostic::error(code, place, message));
    }

    /// Adds a warning.
    pub fn warning(&mut self, code: &'static str, place: &Place, message: impl Into<String>) {
        self.push(Diagnostic::warning(code, place, message));
    }

    /// Replaces a text wherever it stands in messages and helps.
    pub fn replace(&mut self, text: &str, by: &str) {
        for diagnostic in &mut self.kept {
            if diagnostic.message.contains(text) {
                diagnostic.message = diagnostic.message.replace(text, by);
            }
            if let Some(help) = &mut diagnostic.help
                && help.contains(text)
            {
                *help = help.replace(text, by);
            }
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        self.dropped += other.dropped;
        for diagnostic in other.kept {
            self.push(diagnostic);
        }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// How many errors were found, kept or not.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many were over the most that are kept, and so are not shown.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Those that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.kept.iter()
    }

    /// Orders them as a reader of `files` meets them: by file, line and column. Those of other
    /// files, and of none, come first.
    pub fn sort_by_files(&mut self, files: &[Arc<str>]) {
        let rank = |file: &Arc<str>| files.iter().position(|f| f == file);
        self.kept.sort_by_cached_key(|d| {
            let place = &d.place;
            (rank(&place.file), place.line, place.column)
        });
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.kept.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.kept.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in &self.kept {
            writeln!(f, "{diagnostic}")?;
        }
        match self.dropped {
            0 => Ok(()),
            more => writeln!(f, "... and {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}
