//! The facts about the table that the pre-checks rest on, and the pre-checks against the verdicts.

use proptest::prelude::*;

use crate::injection::tables::{fingerprints, words};
use crate::injection::token::Kind;
use crate::injection::{cannot_be_sqli, cannot_be_xss, sqli, xss};
use crate::transform::ByteSet;

/// Values of these bytes alone are words.
const WORDS: &str = "[0-9A-Za-z_\u{a1}-\u{ff}]{0,40}";

/// Values of these bytes alone are numbers and operators.
const NUMBERS: &str = "[\0-\x20!%+,./0-9:;<=>?\\[\\]^~\x7f]{0,40}";

fn is_fingerprint(letters: &[u8]) -> bool {
    let upper = letters.to_ascii_uppercase();
    fingerprints().any(|known| known == upper)
}

/// One word with up to two numbers in front makes no fingerprint but that of "1 union".
#[test]
fn words_make_no_fingerprint() {
    let mut fronts: Vec<&[u8]> = vec![b"", b"1", b"n", b"11", b"1n"];
    let mut found = Vec::new();
    let kinds = words().iter().map(|word| word.kind.letter());
    for last in kinds.chain([0]) {
        for front in &mut fronts {
            let mut letters = front.to_vec();
            letters.extend((last != 0).then_some(last));
            if is_fingerprint(&letters) && !found.contains(&letters) {
                found.push(letters);
            }
        }
    }
    assert_eq!(found, [b"1U"]);
    // No phrase begins with a number, so a number in front of a word never merges with it.
    let digit = |word: &&crate::injection::tables::Word| word.text[0].is_ascii_digit();
    assert!(!words().iter().any(|word| digit(&word)));
    // And all of these as values, with the numbers that fit in front of a word.
    for word in words().iter().filter(|word| !word.text.contains(&b' ')) {
        for front in [
            "", "1", "0x", "0x1", "0b1", "0b12", "0b12e", "1e", "1e1", "1f", "12d",
        ] {
            let value = [front.as_bytes(), word.text].concat();
            if cannot_be_sqli(&ByteSet::of(&value)) {
                assert_eq!(sqli(&value), None, "{value:?}");
            }
        }
    }
}

/// The kinds that digits and operators have make no fingerprint, in whatever order.
#[test]
fn numbers_make_no_fingerprint() {
    let kinds = b"1NO.,:;?";
    let found = fingerprints().find(|letters| letters.iter().all(|letter| kinds.contains(letter)));
    assert_eq!(found, None);
    // Two of these bytes are an operator or nothing.
    let bytes = b"!%+,./:;<=>?[]^~";
    for word in words().iter().filter(|word| word.text.len() < 4) {
        if word.text.iter().all(|byte| bytes.contains(byte)) {
            assert_eq!(word.kind, Kind::Operator, "{:?}", word.text);
        }
    }
}

#[test]
fn pre_checks_let_through_what_they_should_and_nothing_else() {
    let cannot = |value: &[u8]| {
        let present = ByteSet::of(value);
        (cannot_be_sqli(&present), cannot_be_xss(&present))
    };
    assert_eq!(cannot(b""), (true, true));
    assert_eq!(cannot(b"hello_World9"), (true, true));
    assert_eq!(cannot("d\u{e9}j\u{e8}".as_bytes()), (true, true));
    assert_eq!(cannot(b"12.5, 10:30 + 4 = 7; [1,2]"), (true, true));
    assert_eq!(cannot(b"hello world"), (false, true));
    assert_eq!(cannot(b"1--"), (false, true));
    assert_eq!(cannot(b"a=b"), (false, false));
    assert_eq!(cannot(b"<b>"), (false, false));
    assert_eq!(cannot(b"\xa0"), (true, true));
    assert_eq!(cannot(b"a\xa0"), (false, true));
    // Any one byte more than the first set.
    for byte in 0..=255u8 {
        let word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 && byte != 0xa0;
        assert_eq!(cannot(&[b'a', byte]).0, word, "{byte}");
    }
}

/// All strings of up to five of the bytes that matter to the first argument.
#[test]
fn short_words_are_no_attack() {
    let bytes = b"012bxefduor_\xff";
    let mut value = Vec::new();
    for length in 1..=5u32 {
        for number in 0..bytes.len().pow(length) {
            value.clear();
            let mut rest = number;
            for _ in 0..length {
                value.push(bytes[rest % bytes.len()]);
                rest /= bytes.len();
            }
            assert_eq!(sqli(&value), None, "{value:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn words_are_no_attack(value in WORDS) {
        // One byte a character.
        let value: Vec<u8> = value.chars().map(|c| c as u8).collect();
        prop_assert!(cannot_be_sqli(&ByteSet::of(&value)));
        prop_assert_eq!(sqli(&value), None);
        prop_assert!(cannot_be_xss(&ByteSet::of(&value)));
        prop_assert!(!xss(&value));
    }

    #[test]
    fn numbers_are_no_attack(value in NUMBERS) {
        prop_assert!(cannot_be_sqli(&ByteSet::of(value.as_bytes())));
        prop_assert_eq!(sqli(value.as_bytes()), None);
    }

    #[test]
    fn without_marks_or_names_there_is_no_script(
        plain in "[a-zA-Z0-9 '\"`>/!&#;:-]{0,60}",
        nameless in "[<>=!'\"/%?&#;:0-9 \\[\\]\0-]{0,60}",
    ) {
        for value in [plain, nameless] {
            prop_assert!(cannot_be_xss(&ByteSet::of(value.as_bytes())));
            prop_assert!(!xss(value.as_bytes()), "{}", value);
        }
    }
}
