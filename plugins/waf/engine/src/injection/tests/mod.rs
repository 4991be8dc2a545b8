//! The port against what it is a port of, and by itself.

mod answer;
mod corpus;
mod kept;
mod proofs;

use proptest::prelude::*;

use super::tables::{fingerprints, tables, words};
use super::{sqli, xss};
use answer::Answer;

fn fingerprint(value: &str) -> String {
    sqli(value.as_bytes()).unwrap_or_default().to_string()
}

#[test]
fn every_word_is_found_in_any_case() {
    assert_eq!(words().len(), 985);
    for word in words() {
        let lower = word.text.to_ascii_lowercase();
        let space = word.text.iter().position(|byte| *byte == b' ');
        for text in [word.text, &lower] {
            match space {
                None => assert_eq!(tables().word(text), Some(word.kind)),
                Some(space) => {
                    let phrase = tables().phrase(&text[..space], &text[space + 1..]);
                    assert_eq!(phrase.map(|phrase| phrase.kind), Some(word.kind));
                }
            }
        }
    }
    for text in [&b""[..], b"SELEC", b"SELECTS", b"0UE", b"\0", &[b'A'; 40]] {
        assert_eq!(tables().word(text), None, "{text:?}");
    }
    assert!(tables().phrase(b"UNION", b"ALLE").is_none());
    assert!(tables().phrase(&[b'A'; 31], &[b'A'; 31]).is_none());
}

#[test]
fn every_fingerprint_is_found() {
    let all: Vec<&[u8]> = fingerprints().collect();
    assert_eq!(all.len(), 8367);
    for letters in &all {
        assert!(tables().is_fingerprint(letters));
        // None of them continues with a letter that none has.
        let mut other = letters.to_vec();
        other.truncate(4);
        other.push(b'.');
        assert!(!tables().is_fingerprint(&other));
    }
    assert!(!tables().is_fingerprint(b""));
    let pairs = (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| [a, b]));
    for pair in pairs {
        let expected = all.contains(&&pair.to_ascii_uppercase()[..]);
        assert_eq!(tables().is_fingerprint(&pair), expected, "{pair:?}");
    }
}

#[test]
fn fingerprints_are_those_of_the_documentation() {
    assert_eq!(fingerprint("1' or '1'='1"), "s&sos");
    assert_eq!(fingerprint("1 union select 1,2 from users--"), "1UE1k");
    assert_eq!(fingerprint("admin'--"), "sc");
    assert_eq!(fingerprint("/*! or 1=1*/"), "X");
    for prose in [
        "",
        "between 5 and 10",
        "size 5 or larger",
        "O'Reilly",
        "1 union",
        "rock 'n' roll",
    ] {
        assert_eq!(sqli(prose.as_bytes()), None, "{prose}");
    }
    let found = sqli(b"1 or 1=1").expect("an attack");
    assert_eq!(found.as_bytes(), b"1&1");
    assert_eq!(format!("{found} {found:?}"), "1&1 \"1&1\"");
}

#[test]
fn scripts_are_found_in_every_place() {
    for attack in [
        "<script>",
        "x onerror=alert(1)",
        "' onerror=alert(1)",
        "\" onerror=alert(1)",
        "` onerror=alert(1)",
        "<a href=\"jav&#x61;script:x\">",
        "<!--`-->",
        "<!doctype html>",
    ] {
        assert!(xss(attack.as_bytes()), "{attack}");
    }
    for harmless in ["", "a < b", "a=1&b=2", "<b>bold</b>", "<a href=/data>"] {
        assert!(!xss(harmless.as_bytes()), "{harmless}");
    }
    // As libinjection: 0xff ends the reading of a tag.
    assert!(!xss(b"<a \xffonclick=x>"));
}

/// What makes one search for another within it, over and over: were any of them quadratic, these would
/// take many minutes in place of seconds.
#[test]
fn long_values_take_linear_time() {
    let pieces: [&[u8]; 40] = [
        b"like.", b"a.", b"select`", b"`", b"'", b"\"", b"\\", b"\\'", b"''", b"$", b"$a", b"$a$",
        b"$a\0", b"b'0", b"b'", b"x'f", b"q'a", b"nq'", b"/*", b"*/", b"/", b"--", b"#", b"-",
        b"(", b"1,-", b"1+", b"@", b"[", b"{``", b"1e", b"0x", b"<", b"<a ", b"<!--", b"-\0",
        b"<%", b"&#0", b"a=&#0;", b"\0",
    ];
    for piece in pieces {
        for front in [&b""[..], b"1 or ", b"<a href=", b"<!--", b"'"] {
            let mut value = front.to_vec();
            value.extend(piece.iter().cycle().take(1 << 18));
            let (_, _) = (sqli(&value), xss(&value));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_have_a_verdict(value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let answer = Answer::ours(&value);
        prop_assert_eq!(answer, Answer::ours(&value));
        prop_assert!(answer.sqli().len() <= 5);
    }

    #[test]
    fn so_have_any_marks(value in "['\"`\\\\ <>=!&#x;0-9a-fEnqQu$@/*\\[\\](){}.,:|^%+~?\n\0-]{0,80}") {
        let answer = Answer::ours(value.as_bytes());
        prop_assert!(answer.sqli().len() <= 5);
    }
}
