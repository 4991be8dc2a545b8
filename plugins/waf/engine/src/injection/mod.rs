//! Detection of SQL injection and cross-site scripting: a port of libinjection.
//!
//! [`sqli`] and [`xss`] give the verdicts, and the fingerprints, of the libinjection 3.9.2 that Debian's
//! libmodsecurity3 3.0.9 contains, its odd cases too, since rules and their exclusions are written
//! against it. The tables are its data (see `data/NOTICE`); the code is not.
//!
//! Read for SQL `bytes`, `token`, `tables`, `lex`, `fold`, `sqli`; for HTML `html`, `xss`. Differences
//! that cannot be seen in a verdict:
//! - libinjection measures a word before it looks for a keyword in front of a dot, so that
//!   `LIKE.LIKE.LIKE...` costs it time quadratic in the length; here a word ends where it is split.
//! - its HTML reader calls itself for each `/` in a tag; here nothing calls itself.
//! - it looks up words by binary search, up to 28 comparisons each; here by their ends, their length
//!   and a hash.
//!
//! Its other loops that look back or ahead (backslashes before a quote, zero bytes in a comment, marks
//! of `$name$`) stop where the one before them started, so they are linear, and so are they here.

mod bytes;
mod fold;
mod html;
mod lex;
mod sqli;
mod tables;
mod token;
mod xss;

#[cfg(test)]
mod tests;

pub use sqli::{Fingerprint, sqli};
pub use xss::xss;

use crate::transform::ByteSet;

/// True proves that [`sqli`] finds nothing in any value whose bytes all lie in `present`.
///
/// - ASCII letters, digits, `_`, and bytes from 0x80 but 0xa0 (white space in Latin-1): all but digits
///   start words, and a word goes on to the end, so tokens in front of it are numbers. There are at
///   most two (`0b1` ends at a 2), and the second may lack its exponent (`2e`), which makes it a bare
///   word. With W for any word of the table that is left: W, 1, n, 1W, nW, 11, 1n, 11W, 1nW. No
///   phrase of the table begins with a digit, so nothing merges. Of all these only `1U` is a
///   fingerprint of an attack, and it counts only when there were more than two tokens.
/// - Digits, white space, and what makes operators, dots, commas, colons and semicolons of them, without
///   the `-`, `*`, `&`, `|` and brackets that comments, logic and lists are made of. `[` begins a bare
///   word. Left are the kinds `1 n o . , : ; ?`, and folding makes no others of them. No fingerprint
///   of an attack is made of these alone.
///
/// Both facts about the table are checked by tests.
pub fn cannot_be_sqli(present: &ByteSet) -> bool {
    const WORDS: ByteSet = ByteSet::range(b'a', b'z')
        .union(&ByteSet::range(b'A', b'Z'))
        .union(&ByteSet::range(b'0', b'9'))
        .union(&ByteSet::from_bytes(b"_"))
        .union(&ByteSet::range(0x80, 0x9f))
        .union(&ByteSet::range(0xa1, 0xff));
    const NUMBERS: ByteSet = ByteSet::range(0, b' ')
        .union(&ByteSet::range(b'0', b'9'))
        .union(&ByteSet::from_bytes(b"!%+,./:;<=>?[]^~\x7f\xa0"));
    const NOT_WORDS: ByteSet = others(&WORDS);
    const NOT_NUMBERS: ByteSet = others(&NUMBERS);
    !present.meets(&NOT_WORDS) || !present.meets(&NOT_NUMBERS)
}

/// True proves that [`xss`] is false for any value whose bytes all lie in `present`.
///
/// - Without `<` there is no tag, comment or declaration, and without `=` no value behind an attribute.
/// - All names of tags, attributes, declarations and comments that count have ASCII letters; else only a
///   tick in a comment counts.
pub fn cannot_be_xss(present: &ByteSet) -> bool {
    const MARKS: ByteSet = ByteSet::from_bytes(b"<=");
    const NAMES: ByteSet = ByteSet::range(b'a', b'z')
        .union(&ByteSet::range(b'A', b'Z'))
        .union(&ByteSet::from_bytes(b"`"));
    !present.meets(&MARKS) || !present.meets(&NAMES)
}

/// All bytes that are not in the set.
const fn others(set: &ByteSet) -> ByteSet {
    let mut others = ByteSet::EMPTY;
    let mut byte = 0;
    while byte < 256 {
        if !set.contains(byte as u8) {
            others = others.union(&ByteSet::range(byte as u8, byte as u8));
        }
        byte += 1;
    }
    others
}
