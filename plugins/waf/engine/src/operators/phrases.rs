//! Lists of phrases, all looked for in one pass.

use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Captures, files};
use crate::seclang::Files;

/// Phrases that are looked for whatever the case of ASCII letters.
#[derive(Clone, Debug)]
pub struct Phrases {
    list: Vec<Vec<u8>>,
    automaton: AhoCorasick,
}

impl Phrases {
    /// Reads the argument of `pm`: phrases with blanks between them; `|41 42|` stands for bytes in
    /// hexadecimal, `\:`, `\;`, `\\`, `\"` and `\|` for the character itself.
    pub(super) fn compile(argument: &[u8]) -> Result<Self, String> {
        let list = parse(argument).map_err(|error| format!("@pm: {error}"))?;
        if list.is_empty() {
            return Err("@pm has no phrase".to_owned());
        }
        Self::build("@pm", list)
    }

    /// Reads the files of `pmFromFile`: a phrase a line, `#` at its beginning makes it a comment.
    pub(super) fn compile_files(
        argument: &[u8],
        beside: &Path,
        from: &dyn Files,
    ) -> Result<Self, String> {
        let mut list = Vec::new();
        for (_, bytes) in files::read_all("@pmFromFile", argument, beside, from)? {
            for line in bytes.split(|byte| *byte == b'\n') {
                // Blanks at the end are never meant: an editor's or a carriage return. Those at the
                // beginning are part of the phrase.
                let line = line.trim_ascii_end();
                let comment = line.trim_ascii_start().first() == Some(&b'#');
                if !line.is_empty() && !comment {
                    list.push(line.to_vec());
                }
            }
        }
        Self::build("@pmFromFile", list)
    }

    fn build(operator: &str, list: Vec<Vec<u8>>) -> Result<Self, String> {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            // The smaller automaton: the shared prefilter has looked for these phrases already, so
            // this one runs seldom.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(&list)
            .map_err(|error| format!("{operator}: {error}"))?;
        Ok(Self { list, automaton })
    }

    /// Bytes of memory that the automaton takes.
    pub(super) fn memory_usage(&self) -> usize {
        self.automaton.memory_usage()
    }

    /// The phrases as written.
    pub fn list(&self) -> &[Vec<u8>] {
        &self.list
    }

    /// Looks for the first of them to end; TX:0 is the phrase as written.
    pub fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> bool {
        let Some(captures) = captures else {
            return self.automaton.is_match(value);
        };
        let Some(found) = self.automaton.find(value) else {
            return false;
        };
        if let Some(phrase) = self.list.get(found.pattern().as_usize()) {
            captures.set(0, phrase);
        }
        true
    }
}

fn parse(argument: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let argument = match argument.trim_ascii_start() {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    };
    let mut list = Vec::new();
    let mut phrase = Vec::new();
    let mut bytes = argument.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            // A bar alone stands for itself.
            b'|' if bytes.as_slice().contains(&b'|') => {
                let digits: Vec<u8> = bytes
                    .by_ref()
                    .take_while(|byte| **byte != b'|')
                    .filter(|byte| !byte.is_ascii_whitespace())
                    .copied()
                    .collect();
                let (pairs, odd) = digits.as_chunks::<2>();
                let decoded: Option<Vec<u8>> = pairs
                    .iter()
                    .map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?))
                    .collect();
                match decoded {
                    Some(decoded) if odd.is_empty() => phrase.extend(decoded),
                    _ => {
                        return Err(format!(
                            "`|{}|` is not hexadecimal: write pairs of digits like `|0d 0a|`, or `\\|` \
                             for the character itself",
                            digits.escape_ascii()
                        ));
                    }
                }
            }
            b'\\' => match bytes.next() {
                Some(byte @ (b':' | b';' | b'\\' | b'"' | b'|')) => phrase.push(*byte),
                // ModSecurity takes the whole argument as written when it knows an escape not.
                Some(byte) if byte.is_ascii_whitespace() => {
                    phrase.push(b'\\');
                    list.push(std::mem::take(&mut phrase));
                }
                Some(byte) => phrase.extend([b'\\', *byte]),
                None => phrase.push(b'\\'),
            },
            byte if byte.is_ascii_whitespace() => list.push(std::mem::take(&mut phrase)),
            byte => phrase.push(*byte),
        }
    }
    list.push(phrase);
    list.retain(|phrase| !phrase.is_empty());
    Ok(list)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::seclang::MapFiles;

    fn found(phrases: &Phrases, value: &[u8]) -> Option<Vec<u8>> {
        let mut captures = Captures::default();
        let matched = phrases.matches(value, Some(&mut captures));
        assert_eq!(matched, phrases.matches(value, None));
        matched.then(|| captures.get(0).unwrap_or_default().to_vec())
    }

    #[test]
    fn phrases_are_found_whatever_their_case() {
        let phrases = Phrases::compile(b"WebZIP  passwd\tx|00 fF|y").unwrap();
        assert_eq!(phrases.list().len(), 3);
        assert_eq!(found(&phrases, b"a wEBzip"), Some(b"WebZIP".to_vec()));
        assert_eq!(
            found(&phrases, b"/etc/PASSWD webzip"),
            Some(b"passwd".to_vec())
        );
        assert_eq!(found(&phrases, b"X\0\xffY"), Some(b"x\0\xffy".to_vec()));
        assert_eq!(found(&phrases, b"X\0\xdfY"), None);
        assert_eq!(found(&phrases, b""), None);
        // The one that ends first; of those that end there, the longest.
        let phrases = Phrases::compile(b"she he hers").unwrap();
        assert_eq!(found(&phrases, b"ushers"), Some(b"she".to_vec()));
    }

    #[test]
    fn arguments_have_escapes() {
        let list = |text: &str| parse(text.as_bytes()).unwrap();
        assert_eq!(list(r#" "a b" "#.trim_end()), [b"a", b"b"]);
        assert_eq!(list(r"a\;b \\ \|"), [&b"a;b"[..], b"\\", b"|"]);
        assert_eq!(list(r"c:\dir x\ y"), [&b"c:\\dir"[..], b"x\\", b"y"]);
        assert_eq!(list("a|b c"), [&b"a|b"[..], b"c"]);
        assert!(Phrases::compile(b"a|0g|").unwrap_err().contains("0g"));
        assert!(Phrases::compile(b"a|0|").is_err());
        assert!(Phrases::compile(b" \t").is_err());
    }

    #[test]
    fn files_have_comments_and_blank_lines() {
        let files = MapFiles(BTreeMap::from([
            (
                "rules/a.data".into(),
                b"# comment\r\n\r\n  # too\n/etc/passwd \t\r\n two words\n".to_vec(),
            ),
            ("rules/b.data".into(), b"c#\nlast".to_vec()),
            ("rules/none.data".into(), b"# nothing\n".to_vec()),
        ]));
        let read =
            |names: &str| Phrases::compile_files(names.as_bytes(), Path::new("rules"), &files);
        let phrases = read("a.data b.data").unwrap();
        assert_eq!(
            phrases.list(),
            [&b"/etc/passwd"[..], b" two words", b"c#", b"last"]
        );
        assert_eq!(
            found(&phrases, b"/ETC/passwd"),
            Some(b"/etc/passwd".to_vec())
        );
        assert_eq!(found(&read("none.data").unwrap(), b"x"), None);
        assert!(read("absent.data").unwrap_err().contains("absent.data"));
        assert!(read("").is_err());
        assert!(
            read("https://example.com/list")
                .unwrap_err()
                .contains("network")
        );
    }
}
