//! Rust text without its comments and strings, with the lines that are test code marked.

/// The code of one file: as long as the text, with comments, strings and characters blanked out.
#[derive(Default)]
pub(crate) struct Code {
    /// The lines; line 1 is at index 0.
    lines: Vec<String>,
    /// For each line: does it belong to a `#[cfg(test)]` item?
    is_test: Vec<bool>,
    /// Names of the modules that stand in files of their own behind `#[cfg(test)]`.
    pub(crate) test_modules: Vec<String>,
}

impl Code {
    pub(crate) fn of(text: &str) -> Self {
        let blanked = blank(text);
        let lines: Vec<String> = blanked.lines().map(str::to_owned).collect();
        let mut code = Self {
            is_test: vec![false; lines.len()],
            lines,
            test_modules: Vec::new(),
        };
        code.mark_tests(&blanked);
        if blanked.contains("#![cfg(test)]") {
            code.all_is_test();
        }
        code
    }

    /// Marks every line as test code.
    pub(crate) fn all_is_test(&mut self) {
        self.is_test.fill(true);
    }

    /// All lines with their number from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines
            .iter()
            .enumerate()
            .map(|(at, line)| (at + 1, line.as_str()))
    }

    /// The lines that ship.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(line, _)| !self.is_test_line(*line))
    }

    /// The lines of tests.
    pub(crate) fn tested(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(line, _)| self.is_test_line(*line))
    }

    fn is_test_line(&self, line: usize) -> bool {
        self.is_test.get(line - 1).copied().unwrap_or(false)
    }

    /// The shipped code as one text; test lines are empty, so that line numbers hold.
    pub(crate) fn shipped_text(&self) -> String {
        let mut text = String::new();
        for (line, code) in self.lines() {
            if !self.is_test_line(line) {
                text.push_str(code);
            }
            text.push('\n');
        }
        text
    }

    fn mark_tests(&mut self, blanked: &str) {
        for (at, _) in blanked.match_indices("#[cfg(test)]") {
            let end = item_end(blanked, at);
            let item = &blanked[at..end];
            let first = line_of(blanked, at);
            let last = line_of(blanked, end);
            for line in first..=last {
                if let Some(mark) = self.is_test.get_mut(line - 1) {
                    *mark = true;
                }
            }
            if let Some(head) = item.strip_suffix(';')
                && let Some(name) = word_after(head, "mod ")
            {
                self.test_modules.push(name);
            }
        }
    }
}

/// The line (from 1) that holds the byte at `at`.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
        + 1
}

/// Where the item that starts at `at` ends: behind its `;` or its closing brace.
fn item_end(text: &str, at: usize) -> usize {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (offset, byte) in text.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b'{' => braces += 1,
            b'}' => {
                braces -= 1;
                if braces <= 0 {
                    return offset + 1;
                }
            }
            b';' if brackets == 0 && braces == 0 => return offset + 1,
            _ => {}
        }
    }
    text.len()
}

fn word_after(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(key)?;
    let word: String = rest
        .trim_start()
        .chars()
        .take_while(|c| is_word(*c))
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Letters, digits and `_`: what a name is made of.
pub(crate) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Byte offsets at which `word` stands alone, not inside a longer name.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| {
            let before = text[..*at].chars().next_back();
            let after = text[at + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
}

/// Replaces comments, strings and character literals by spaces; keeps every line end.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = if rest.starts_with(b"//") {
            until(rest, b"\n").unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(bytes, at) {
            length
        } else if rest[0] == b'"' {
            quoted(rest)
        } else if rest[0] == b'\'' {
            character(rest)
        } else {
            0
        };
        if length == 0 {
            out.push(rest[0]);
            at += 1;
        } else {
            out.extend(
                rest[..length]
                    .iter()
                    .map(|b| if *b == b'\n' { b'\n' } else { b' ' }),
            );
            at += length;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn until(bytes: &[u8], end: &[u8]) -> Option<usize> {
    bytes.windows(end.len()).position(|window| window == end)
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of a raw string (`r"..."`, `br#"..."#`) that starts at `at`.
fn raw_string(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && is_word(char::from(bytes[at - 1])) {
        return None;
    }
    let rest = &bytes[at..];
    let prefix = [b"r".as_slice(), b"br", b"cr"]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?
        .len();
    let hashes = rest[prefix..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    let open = prefix + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(hashes + 1, b'#');
    let body = &rest[open + 1..];
    Some(until(body, &end).map_or(rest.len(), |length| open + 1 + length + end.len()))
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a character literal, or 0 for a lifetime.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return until(&bytes[3.min(bytes.len())..], b"'").map_or(0, |length| length + 4);
    }
    // A character is up to four bytes of UTF-8; a lifetime has no quote that near, or a name.
    let wide = match bytes.get(1) {
        Some(byte) if *byte < 0x80 => 1,
        Some(byte) if *byte < 0xe0 => 2,
        Some(byte) if *byte < 0xf0 => 3,
        Some(_) => 4,
        None => return 0,
    };
    if bytes.get(1 + wide) == Some(&b'\'') {
        wide + 2
    } else {
        0
    }
}
