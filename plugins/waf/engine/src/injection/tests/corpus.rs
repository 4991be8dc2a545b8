//! The strings that verdicts are compared on: seeds, mutations of them, and strings put together from
//! pieces. The same ones in every run.

use crate::injection::tables::words;

/// Mutations of each seed.
pub(super) const MUTATIONS: u64 = 256;

/// Strings of a block of pieces.
pub(super) const BLOCK: u64 = 1024;

/// A small generator of numbers (SplitMix64): its sequence is part of the kept verdicts.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below the bound, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// What attacks and other values are made of, besides the words of the table.
const PIECES: [&str; 158] = [
    "'",
    "\"",
    "`",
    "''",
    "\"\"",
    "\\'",
    "\\",
    "\\\\",
    "\\N",
    "\0",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\x0b",
    "\u{7f}",
    "\x01",
    "+",
    "-",
    "--",
    "-- ",
    "--x",
    "---",
    "#",
    "# ",
    "/*",
    "*/",
    "/**/",
    "/*!",
    "/*x*/",
    "/*/*",
    "(",
    ")",
    "((",
    "))",
    "()",
    "{",
    "}",
    "[",
    "]",
    "[a b]",
    ",",
    ".",
    ";",
    ";;",
    ":",
    "::",
    ":=",
    "=",
    "==",
    "<>",
    "<=>",
    "<=",
    "!",
    "!!",
    "!=",
    "~",
    "%",
    "^",
    "&",
    "&&",
    "|",
    "||",
    "*",
    "/",
    "?",
    "@",
    "@@",
    "@a",
    "@@version",
    "@`a`",
    "@'a'",
    "$",
    "$$",
    "$1,000.00",
    "$a$b$a$",
    "$.",
    "$ab",
    "0",
    "1",
    "2",
    "42",
    "1.5",
    ".5",
    "5.",
    "1e5",
    "1e",
    "1.e",
    "1e+",
    "1f",
    "1d",
    "1fu",
    "0x",
    "0x1F",
    "0b",
    "0b01",
    "0b12",
    "b'01'",
    "x'1f'",
    "x'",
    "n'a'",
    "e'a'",
    "q'(a)'",
    "nq'!a!'",
    "u&'a'",
    "q'",
    "1=1",
    "a",
    "abc",
    "foo.bar",
    "_",
    "_latin1",
    "utf8_bin",
    "sp_password",
    "INTO OUTFILE",
    "a.b.c",
    "select`a`",
    "like.like",
    "<",
    ">",
    "/>",
    "</",
    "<a ",
    "<b>",
    "<script>",
    "</script>",
    "<svg",
    "<img src=",
    "<!--",
    "-->",
    "-!>",
    "<!",
    "<!DOCTYPE",
    "<![CDATA[",
    "]]>",
    "<?",
    "<?import",
    "<%",
    "%>",
    "href=",
    "onclick=",
    "style=",
    "src =",
    "xmlns:",
    "attributename=",
    "javascript:",
    "data:",
    "&#106;",
    "&#x6A",
    "&#",
    "&#x",
    "&amp;",
    "hello",
    "world",
    "order by name",
    "\u{e9}",
    "\u{20ac}",
];

/// Bytes that mutations put in.
const MARKS: &[u8] = b"'\"`\\ \t\n\0()[]{}<>=!#-+*/&|^%,;:.@$~?_\x01\x7f\xa0\xff019aeEnNxXqQuUbBdf";

/// A string made of a few pieces.
pub(super) fn compose(numbers: &mut Numbers, into: &mut Vec<u8>) {
    into.clear();
    for _ in 0..=numbers.below(9) {
        piece(numbers, into);
    }
}

fn piece(numbers: &mut Numbers, into: &mut Vec<u8>) {
    match numbers.below(16) {
        0..=6 => {
            let from = into.len();
            let words = words();
            into.extend_from_slice(words[numbers.below(words.len())].text);
            match numbers.below(3) {
                0 => {}
                1 => into[from..].make_ascii_lowercase(),
                _ => into[from..]
                    .iter_mut()
                    .step_by(2)
                    .for_each(u8::make_ascii_lowercase),
            }
            match numbers.below(16) {
                0 | 1 => {
                    into.insert(from, b'`');
                    into.push(b'`');
                }
                2 => {}
                _ => into.push(b' '),
            }
        }
        7..=13 => into.extend_from_slice(numbers.pick(&PIECES).as_bytes()),
        14 => into.push(MARKS[numbers.below(MARKS.len())]),
        _ => into.push(numbers.below(256) as u8),
    }
}

/// A string like the seed, but changed in one to five places.
pub(super) fn mutate(numbers: &mut Numbers, seed: &[u8], other: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(seed);
    for _ in 0..=numbers.below(5) {
        let at = numbers.below(into.len() + 1);
        let byte = into.get(at).copied();
        match (numbers.below(10), byte) {
            (0, Some(_)) => {
                into.remove(at);
            }
            (1, Some(_)) => into[at] = MARKS[numbers.below(MARKS.len())],
            (2, Some(byte)) => into[at] = byte ^ (1 << numbers.below(8)),
            (3, _) => into.truncate(at),
            (4, _) => {
                into.drain(..at);
            }
            (5, _) => {
                let part = other.get(numbers.below(other.len() + 1)..).unwrap_or(&[]);
                into.extend_from_slice(part);
            }
            (6, _) => {
                let end = at + numbers.below(into.len() - at + 1).min(24);
                into.extend_from_within(at..end);
            }
            (7, _) => {
                let tail = into.split_off(at);
                piece(numbers, into);
                into.extend_from_slice(&tail);
            }
            _ => into.insert(at, MARKS[numbers.below(MARKS.len())]),
        }
    }
}

/// A string as the data file writes it: printable, without tabs.
pub(super) fn escape(value: &[u8]) -> String {
    let mut text = String::new();
    for &byte in value {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// The string that was written so.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut value = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, rest) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16).expect("a hex digit") as u8;
                value.push(digit(high) << 4 | digit(low));
                rest = after;
            }
            (b'\\', [_, after @ ..]) => {
                value.push(b'\\');
                rest = after;
            }
            _ => value.push(*byte),
        }
    }
    value
}
