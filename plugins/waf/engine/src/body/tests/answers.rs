//! The cases and the answers kept of libmodsecurity 3.0.9.

use std::collections::BTreeMap;

/// `NAME KIND CONTENT-TYPE BODY`: kinds as in modsecurity.cc; blanks and other bytes as `\xHH`.
pub(super) const CASES: &str = include_str!("cases.txt");

/// What libmodsecurity 3.0.9 answers; written by the test beside it (`FARMGATE_GOLDEN=write`).
pub(super) const ANSWERS: &str = include_str!("answers.txt");

/// `NAME REASON` of cases that we read in another way on purpose.
pub(super) const DEVIATIONS: &str = include_str!("deviations.txt");

pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) kind: u8,
    pub(super) content_type: Vec<u8>,
    pub(super) body: Vec<u8>,
}

pub(super) fn cases() -> Vec<Case> {
    let lines = CASES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("four words: {line}"));
            Case {
                name: word(),
                kind: word().as_bytes()[0],
                content_type: unescape(word()),
                body: unescape(word()),
            }
        })
        .collect()
}

/// Blocks of lines below `== NAME`.
pub(super) fn answers() -> BTreeMap<&'static str, Vec<&'static str>> {
    let blocks = ANSWERS.split("== ").skip(1);
    blocks
        .map(|block| {
            let mut lines = block.lines();
            (lines.next().unwrap_or_default(), lines.collect())
        })
        .collect()
}

pub(super) fn deviations() -> BTreeMap<&'static str, &'static str> {
    let lines = DEVIATIONS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(' ').expect("a name and a reason"))
        .collect()
}

/// `\r`, `\n`, `\t`, `\xHH`, `\*COUNT:BYTE;` for a byte many times; `-` alone is nothing.
fn unescape(word: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = if word == "-" { "" } else { word };
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let (letter, behind) = escape.split_at(1);
        rest = behind;
        match letter {
            "r" => out.push(b'\r'),
            "n" => out.push(b'\n'),
            "t" => out.push(b'\t'),
            "x" => {
                out.push(u8::from_str_radix(&behind[..2], 16).expect("two digits"));
                rest = &behind[2..];
            }
            "*" => {
                let (run, behind) = behind.split_once(';').expect("a run ends with ;");
                let (count, byte) = run.split_once(':').expect("a count and a byte");
                let count = count.parse().expect("a count");
                out.extend(std::iter::repeat_n(byte.as_bytes()[0], count));
                rest = behind;
            }
            other => panic!("not an escape: {other}"),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

#[test]
fn escapes_are_read() {
    assert_eq!(unescape(r"a\r\n\x20\*3:z;b"), b"a\r\n zzzb");
    assert_eq!(unescape("-"), b"");
}
