//! Files to a program: includes are followed, every problem of every file is reported at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::problem::{Problem, Report, shown};
use super::read::lex::Lexer;
use super::resolve::Builder;
use super::rule::{Place, Program};
use super::words::{self, Word};

/// Files inside of files, at most.
const DEPTH: usize = 16;
/// Files in all, at most, one read several times counted as often.
const READ: usize = 4_096;

/// Where rules come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or pattern, relative to the configuration's folder.
    Pattern(String),
    /// Rules given in place.
    Text {
        /// What problems call it.
        name: String,
        /// The rules.
        text: String,
    },
}

/// What was loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rules.
    pub program: Program,
    /// What has less effect than it seems.
    pub warnings: Vec<Problem>,
    /// Every file that was read, in order, each once.
    pub files: Vec<PathBuf>,
}

/// Loads rules. The error lists all problems of all files.
pub fn load(sources: &[Source], files: &dyn Files) -> Result<Loaded, Vec<Problem>> {
    let mut loader = Loader {
        files,
        report: Report::default(),
        builder: Builder::default(),
        read: Vec::new(),
        known: std::collections::HashSet::new(),
        count: 0,
    };
    for source in sources {
        match source {
            Source::Pattern(pattern) => loader.pattern(pattern),
            Source::Text { name, text } => loader.run(Open {
                name: name.as_str().into(),
                path: PathBuf::from(name),
                lexer: Lexer::new(text.clone().into_bytes()),
            }),
        }
    }
    let program = loader.builder.finish(&mut loader.report);
    let (errors, warnings) = loader.report.close();
    if errors.is_empty() {
        Ok(Loaded {
            program,
            warnings,
            files: loader.read,
        })
    } else {
        Err(errors)
    }
}

/// A file that is being read.
struct Open {
    name: Arc<str>,
    path: PathBuf,
    lexer: Lexer,
}

struct Loader<'a> {
    files: &'a dyn Files,
    report: Report,
    builder: Builder,
    read: Vec<PathBuf>,
    known: std::collections::HashSet<PathBuf>,
    count: usize,
}

impl Loader<'_> {
    /// Runs every file that a pattern of the configuration finds.
    fn pattern(&mut self, pattern: &str) {
        match self.files.expand(pattern, None) {
            Ok(found) if found.is_empty() => self.report.nowhere().error(
                format!("`{pattern}` finds no file"),
                "a relative path begins in the configuration's folder",
            ),
            Ok(found) => {
                for path in found {
                    if let Some(open) = self.open(&path, None) {
                        self.run(open);
                    }
                }
            }
            Err(e) => self
                .report
                .nowhere()
                .error(format!("`{pattern}` cannot be searched: {e}"), ""),
        }
    }

    fn open(&mut self, path: &Path, place: Option<&Place>) -> Option<Open> {
        self.count += 1;
        let mut notes = match place {
            Some(place) => self.report.at(place),
            None => self.report.nowhere(),
        };
        if self.count > READ {
            if self.count == READ + 1 {
                notes.error(
                    format!("more than {READ} files are read"),
                    "look for an `Include` whose pattern finds too much",
                );
            }
            return None;
        }
        match self.files.read(path) {
            Ok(text) => {
                if self.known.insert(path.to_owned()) {
                    self.read.push(path.to_owned());
                }
                Some(Open {
                    name: path.to_string_lossy().into(),
                    path: path.to_owned(),
                    lexer: Lexer::new(text),
                })
            }
            Err(e) => {
                notes.error(format!("{} cannot be read: {e}", path.display()), "");
                None
            }
        }
    }

    /// Reads a file and those it includes.
    fn run(&mut self, first: Open) {
        // Files to read, the last one of each level first; a level's files are included by the one before.
        let mut stack = vec![vec![first]];
        while let Some(level) = stack.last_mut() {
            let Some(open) = level.last_mut() else {
                stack.pop();
                continue;
            };
            let Some(next) = open.lexer.next() else {
                level.pop();
                self.builder.file_ends(&mut self.report);
                continue;
            };
            let place = |line| Place {
                file: open.name.clone(),
                line,
            };
            match next {
                Err(unreadable) => {
                    let place = place(unreadable.line);
                    let mut notes = self.report.at(&place);
                    notes.error(unreadable.message, unreadable.help);
                    self.builder.line_is_lost();
                }
                Ok(directive) => {
                    let place = place(directive.line);
                    let Some((word, name)) = words::find(&directive.name) else {
                        let known = words::WORDS.iter().map(|(_, word)| *word);
                        let mut notes = self.report.at(&place);
                        notes.unknown("directive", &directive.name, known);
                        self.builder.line_is_lost();
                        continue;
                    };
                    if let Word::Include | Word::IncludeOptional = word {
                        let optional = word == Word::IncludeOptional;
                        let beside = open.path.parent().map(Path::to_owned);
                        let around = stack
                            .iter()
                            .filter_map(|level| level.last())
                            .map(|open| open.path.clone())
                            .collect::<Vec<_>>();
                        // An `Include` between two links is no link.
                        self.builder.file_ends(&mut self.report);
                        let found =
                            self.include(&directive.arguments, optional, &place, beside, &around);
                        stack.push(found);
                    } else {
                        let arguments = &directive.arguments;
                        self.builder
                            .directive(word, name, arguments, place, &mut self.report);
                    }
                }
            }
        }
    }

    /// The files that an `Include` stands for.
    fn include(
        &mut self,
        arguments: &[Vec<u8>],
        optional: bool,
        place: &Place,
        beside: Option<PathBuf>,
        around: &[PathBuf],
    ) -> Vec<Open> {
        let mut notes = self.report.at(place);
        let [pattern] = arguments else {
            notes.error(
                "`Include` needs one file or pattern",
                "write `Include rules/*.conf`",
            );
            return Vec::new();
        };
        let Ok(pattern) = std::str::from_utf8(pattern) else {
            notes.error(
                format!("`{}` is not UTF-8", shown(pattern)),
                "rename the file",
            );
            return Vec::new();
        };
        if around.len() >= DEPTH {
            notes.error(
                format!("files include each other {DEPTH} deep"),
                "include them from one file",
            );
            return Vec::new();
        }
        let found = match self.files.expand(pattern, beside.as_deref()) {
            Ok(found) => found,
            Err(e) => {
                notes.error(format!("`{pattern}` cannot be searched: {e}"), "");
                return Vec::new();
            }
        };
        if found.is_empty() && !optional {
            notes.error(
                format!("`{pattern}` finds no file"),
                "a relative path begins beside the including file; `IncludeOptional` may find none",
            );
        }
        let mut opened = Vec::new();
        for path in found {
            if around.contains(&path) {
                self.report.at(place).error(
                    format!("{} includes itself", path.display()),
                    "remove one of the `Include`s",
                );
            } else {
                opened.extend(self.open(&path, Some(place)));
            }
        }
        // The last one is read first.
        opened.reverse();
        opened
    }
}
