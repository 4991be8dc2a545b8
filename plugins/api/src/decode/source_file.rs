//! A file of the configuration as it was read, and how a byte of it is found again by a person.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::Place;

/// One file: its name as the operator wrote it, its text, and the folder relative paths start at.
#[derive(Debug)]
pub struct SourceFile {
    file: Arc<str>,
    text: Arc<str>,
    folder: PathBuf,
    /// Byte offset at which each line starts; the first is 0.
    lines: Vec<usize>,
}

impl SourceFile {
    /// Indexes the lines of `text`.
    pub fn new(
        file: impl Into<Arc<str>>,
        text: impl Into<Arc<str>>,
        folder: impl Into<PathBuf>,
    ) -> Arc<Self> {
        let text: Arc<str> = text.into();
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1));
        Arc::new(Self {
            file: file.into(),
            lines: lines.collect(),
            text,
            folder: folder.into(),
        })
    }

    /// The name that diagnostics print.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder relative paths of this file start at.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Line and column of a byte offset, both from 1, columns in characters. An offset past the end
    /// or inside a character counts as the character before it. A byte order mark has no width.
    pub fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= offset).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..).unwrap_or_default();
        let column = before
            .char_indices()
            .take_while(|(at, c)| start + at + c.len_utf8() <= offset)
            .filter(|(at, c)| start + at > 0 || *c != '\u{feff}')
            .count();
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: Arc::clone(&self.file),
            line: number(line),
            column: number(column + 1),
        }
    }
}
