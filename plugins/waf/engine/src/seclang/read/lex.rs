//! Files to directives: continued lines, comments, words, quotes.
//!
//! A backslash at a line's end continues it, inside quotes and outside. A comment goes on in the
//! next line only when it is a directive commented out (`#SecRule ... \`): then its other lines
//! belong to it, as in ModSecurity v3.

/// A directive as written.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Directive {
    /// The line it begins in, from 1.
    pub(in super::super) line: u32,
    /// Its first word.
    pub(in super::super) name: Vec<u8>,
    /// The words after it, without their quotes.
    pub(in super::super) arguments: Vec<Vec<u8>>,
}

/// Why a line is no directive.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Unreadable {
    /// The line it begins in.
    pub(in super::super) line: u32,
    /// What is wrong.
    pub(in super::super) message: &'static str,
    /// What to write.
    pub(in super::super) help: &'static str,
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Plain,
    /// With a backslash.
    Continued,
    /// With a backslash and spaces, which looks the same.
    Doubtful,
}

/// The directives of a file, one after another.
pub(in super::super) struct Lexer {
    text: Vec<u8>,
    at: usize,
    line: u32,
    /// The directive's text, its lines joined; reused.
    joined: Vec<u8>,
}

impl Lexer {
    /// Begins at the first line. A byte order mark is no part of it.
    pub(in super::super) fn new(text: Vec<u8>) -> Self {
        let at = if text.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self {
            text,
            at,
            line: 1,
            joined: Vec::new(),
        }
    }

    /// The next line without its end, and how it ends; none at the file's end.
    fn take_line(&mut self) -> Option<(&[u8], End)> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += end + 1;
        self.line = self.line.saturating_add(1);
        let line = rest.get(..end).unwrap_or(rest);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(line) = line.strip_suffix(b"\\") {
            return Some((line, End::Continued));
        }
        let end = match line.trim_ascii_end().strip_suffix(b"\\") {
            Some(_) => End::Doubtful,
            None => End::Plain,
        };
        Some((line, end))
    }
}

impl Iterator for Lexer {
    type Item = Result<Directive, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let begins = self.line;
            let mut joined = std::mem::take(&mut self.joined);
            joined.clear();
            let (line, mut end) = self.take_line()?;
            let comment = line.trim_ascii_start().strip_prefix(b"#");
            if let Some(comment) = comment {
                let directive = comment
                    .trim_ascii_start()
                    .get(..3)
                    .is_some_and(|start| start.eq_ignore_ascii_case(b"sec"));
                if !directive || end == End::Doubtful {
                    end = End::Plain;
                }
            } else {
                joined.extend_from_slice(line);
            }
            let comment = comment.is_some();
            let mut doubtful = false;
            while end != End::Plain {
                doubtful |= end == End::Doubtful;
                let Some((line, next)) = self.take_line() else {
                    break;
                };
                if !comment {
                    joined.extend_from_slice(line);
                }
                end = next;
            }
            let words = if doubtful && !comment {
                Err((
                    "spaces follow the backslash at a line's end",
                    "remove them: only a backslash at the very end continues a line",
                ))
            } else {
                words(&joined)
            };
            self.joined = joined;
            match words {
                Err((message, help)) => {
                    return Some(Err(Unreadable {
                        line: begins,
                        message,
                        help,
                    }));
                }
                Ok(words) => {
                    let mut words = words.into_iter();
                    let Some(name) = words.next() else { continue };
                    return Some(Ok(Directive {
                        line: begins,
                        name,
                        arguments: words.collect(),
                    }));
                }
            }
        }
    }
}

/// Splits at white space outside of quotes. In quotes `\` keeps its quote from closing them (and is
/// dropped); before anything else it stays, for regular expressions.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, (&'static str, &'static str)> {
    let mut words = Vec::new();
    let mut bytes = line.iter().copied().peekable();
    loop {
        while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
        let Some(first) = bytes.next() else {
            return Ok(words);
        };
        let mut word = Vec::new();
        if first == b'"' || first == b'\'' {
            loop {
                match bytes.next() {
                    None => {
                        return Err((
                            "a quote is not closed",
                            "close it on its line, or end the line with a backslash (nothing after it)",
                        ));
                    }
                    Some(byte) if byte == first => break,
                    Some(b'\\') => {
                        // Two backslashes stay two, and the second escapes nothing.
                        match bytes.next_if(|next| *next == first || *next == b'\\') {
                            Some(b'\\') => word.extend_from_slice(b"\\\\"),
                            Some(quote) => word.push(quote),
                            None => word.push(b'\\'),
                        }
                    }
                    Some(byte) => word.push(byte),
                }
            }
            if bytes.peek().is_some_and(|next| !next.is_ascii_whitespace()) {
                return Err((
                    "text follows a closing quote without a space",
                    "write `\\` before a quote that belongs to the text",
                ));
            }
        } else {
            word.push(first);
            while let Some(byte) = bytes.next_if(|byte| !byte.is_ascii_whitespace()) {
                word.push(byte);
            }
        }
        words.push(word);
    }
}
