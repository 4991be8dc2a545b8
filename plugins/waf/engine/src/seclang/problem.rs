//! What is wrong with rules: place, reason, remedy.

use std::fmt;

use super::rule::Place;

/// Problems that are listed, errors and warnings each; what follows is only counted.
const LISTED: usize = 1_000;

/// Something wrong, or something that does less than its author may think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; none when no file is concerned.
    pub place: Option<Place>,
    /// What was found.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// A list of problems with a bound.
#[derive(Default)]
struct List {
    listed: Vec<Problem>,
    more: usize,
}

impl List {
    fn push(&mut self, problem: Problem) {
        // The same said twice at one place, as for two actions of one kind, is said once.
        if self.listed.last() == Some(&problem) {
            return;
        }
        if self.listed.len() < LISTED {
            self.listed.push(problem);
        } else {
            self.more += 1;
        }
    }

    fn close(mut self) -> Vec<Problem> {
        if self.more > 0 {
            self.listed.push(Problem {
                place: None,
                message: format!("{} more of the kind are not listed", self.more),
                help: None,
            });
        }
        self.listed
    }
}

/// Collects the problems of all files.
#[derive(Default)]
pub(super) struct Report {
    errors: List,
    warnings: List,
}

impl Report {
    /// For problems of one directive.
    pub(super) fn at<'a>(&'a mut self, place: &'a Place) -> Notes<'a> {
        Notes {
            report: self,
            place: Some(place),
        }
    }

    /// For problems outside of files.
    pub(super) fn nowhere(&mut self) -> Notes<'_> {
        Notes {
            report: self,
            place: None,
        }
    }

    /// Errors and warnings.
    pub(super) fn close(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.errors.close(), self.warnings.close())
    }
}

/// Takes the problems of one directive.
pub(super) struct Notes<'a> {
    report: &'a mut Report,
    place: Option<&'a Place>,
}

impl Notes<'_> {
    fn problem(&self, message: String, help: &str) -> Problem {
        Problem {
            place: self.place.cloned(),
            message,
            help: (!help.is_empty()).then(|| help.to_owned()),
        }
    }

    /// The rules cannot be used. An empty `help` is none.
    pub(super) fn error(&mut self, message: impl Into<String>, help: impl AsRef<str>) {
        let problem = self.problem(message.into(), help.as_ref());
        self.report.errors.push(problem);
    }

    /// The rules can be used, and something has no effect.
    pub(super) fn warn(&mut self, message: impl Into<String>, help: impl AsRef<str>) {
        let problem = self.problem(message.into(), help.as_ref());
        self.report.warnings.push(problem);
    }

    /// An unknown word, with the nearest known one.
    pub(super) fn unknown<'w>(
        &mut self,
        what: &str,
        found: &[u8],
        known: impl Iterator<Item = &'w str>,
    ) {
        // The search for the nearest word is the dear part: not for problems that nobody sees.
        if self.report.errors.listed.len() >= LISTED {
            self.report.errors.more += 1;
            return;
        }
        let help = match nearest(found, known) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("docs/operate/waf-rules.md lists every {what}"),
        };
        self.error(format!("unknown {what} `{}`", shown(found)), help);
    }
}

/// Bytes for people: cut when long, other than UTF-8 replaced, control characters escaped.
pub(super) fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let cut = bytes.get(..MOST).unwrap_or(bytes);
    let mut text = String::new();
    for c in String::from_utf8_lossy(cut).chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

/// The known word that is nearest to what was found, if it is near at all.
fn nearest<'w>(found: &[u8], known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // The distance costs the product of the lengths; no word of the language is longer.
    if found.len() > 48 {
        return None;
    }
    let found = String::from_utf8_lossy(found).to_ascii_lowercase();
    let near = (found.chars().count() / 3).max(2);
    known
        .map(|word| {
            let distance = strsim::damerau_levenshtein(&found, &word.to_ascii_lowercase());
            (distance, word)
        })
        .filter(|(distance, _)| *distance <= near)
        .min()
        .map(|(_, word)| word)
}
