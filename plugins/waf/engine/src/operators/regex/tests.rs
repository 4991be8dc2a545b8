use super::*;
use crate::operators::tests::unescape;

/// `pattern<TAB>value<TAB>groups`: groups as `0=..,2=..`, `-` for no match; bytes escaped as in the
/// operators' table, and `\u005c`-free: a backslash is written twice.
#[test]
fn patterns_match_as_the_table_says() {
    let mut rows = 0;
    for (line, row) in (1..).zip(include_str!("vectors.tsv").lines()) {
        if row.starts_with("# ") || row.is_empty() {
            continue;
        }
        let [pattern, value, expected] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("line {line} has not three columns");
        };
        let regex =
            compile(&unescape(pattern)).unwrap_or_else(|error| panic!("line {line}: {error}"));
        let value = unescape(value);
        let mut captures = Captures::default();
        let matched = regex.captures(&value, &mut captures);
        assert_eq!(matched, regex.is_match(&value), "line {line}");
        let groups: Vec<String> = captures
            .iter()
            .map(|(index, group)| format!("{index}={}", group.escape_ascii()))
            .collect();
        let got = if matched {
            groups.join(",")
        } else {
            "-".to_owned()
        };
        assert_eq!(got, expected, "line {line}: {row}");
        rows += 1;
    }
    assert!(rows > 60, "{rows}");
}

#[test]
fn what_is_not_linear_is_named() {
    for (pattern, name) in [
        ("a(?=b)", "lookahead at byte 2"),
        ("a(?!b)", "lookahead"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        ("(?>a)", "atomic"),
        ("a++", "possessive"),
        ("a*+", "possessive"),
        ("a?+", "possessive"),
        ("a{2}+", "possessive"),
        (r"(a)\1", "back-reference at byte 3"),
        (r"(?<n>a)\k<n>", "back-reference"),
        (r"(?P<n>a)(?P=n)", "back-reference"),
        (r"(a)\g1", "back-reference"),
        ("(a)(?1)", "recursive"),
        ("a(?R)?", "recursive"),
        ("(?P>n)", "recursive"),
        ("(?(1)a|b)", "condition"),
    ] {
        let error = compile(pattern.as_bytes()).unwrap_err();
        assert!(
            matches!(error, RegexError::NotLinear { .. }),
            "{pattern}: {error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(name) && text.contains("linear"),
            "{pattern}: {text}"
        );
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (pattern, name) in [
        ("(", "without its `)`"),
        ("a)", "without its `(`"),
        ("[a", "without its `]`"),
        ("[]", "without its `]`"),
        ("[b-a]", "range"),
        ("[[:foo:]]", "unknown class"),
        ("a\\", "ends the regex"),
        (r"\x{100}", "above FF"),
        (r"\x{}", "braces"),
        (r"\x{4", "braces"),
        (r"\o1", "braces"),
        (r"\p{L}", "Unicode"),
        (r"\y", "no meaning"),
        (r"\c", "ASCII"),
        (r"a\Kb", "\\K"),
        (r"\Ga", "\\G"),
        (r"\X", "\\X"),
        (r"\777", "377"),
        ("(*UTF8)a", "verb"),
        ("(?|a)", "resets"),
        ("(?C)", "callout"),
        ("(?Z)", "unknown kind"),
        ("(?<a", "name"),
        ("(?#a", "comment"),
        ("*a", "repetition"),
        ("(?:a{1000}){1000}{1000}", "compiled"),
        ("[[:<:]]a", "\\b"),
    ] {
        let error = compile(pattern.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(name), "{pattern}: {error}");
    }
    let deep = "(".repeat(300) + &")".repeat(300);
    assert!(compile(deep.as_bytes()).is_err());
    assert!(matches!(
        compile(&vec![b'a'; PATTERN_BYTES + 1]),
        Err(RegexError::TooLong(_))
    ));
}

#[test]
fn a_flag_before_the_pattern_holds_for_all_of_it() {
    let regex = compile(b"(?i)^id[[:upper:]]").unwrap();
    assert!(regex.is_match(b"IDx") && !regex.is_match(b"id1"));
    assert!(!compile(b"^id").unwrap().is_match(b"ID"));
}

/// Groups of a long match of a large pattern are found by the slowest engine, which has room only for
/// the groups there are.
#[test]
fn groups_of_long_matches_are_found() {
    let regex = compile(b"(?:[a-z]+x|[a-z]+y){1,60}(z)?").unwrap();
    let mut value = b"-".to_vec();
    value.resize(20_000, b'a');
    value.extend(b"yz-");
    let mut captures = Captures::default();
    assert!(regex.captures(&value, &mut captures));
    assert_eq!(captures.get(0), value.get(1..value.len() - 1));
    assert_eq!(captures.get(1), Some(&b"z"[..]));
    assert_eq!(captures.get(2), None);
    captures.clear();
    assert!(regex.captures_all(&value, &mut captures));
    assert_eq!(captures.get(1), Some(&b"z"[..]));
}

/// Every `@rx` of the Core Rule Set, when it is there.
#[test]
fn the_core_rule_set_compiles() {
    let Some(folder) = std::env::var_os("FARMGATE_CRS_DIR") else {
        println!("CRS regexes: not run (FARMGATE_CRS_DIR is not set)");
        return;
    };
    let mut patterns = 0;
    for entry in std::fs::read_dir(std::path::Path::new(&folder).join("rules")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "conf") {
            continue;
        }
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let Some((before, pattern)) = line.split_once("@rx ") else {
                continue;
            };
            if before.trim_start().starts_with('#') {
                continue;
            }
            let pattern = pattern.trim_end().trim_end_matches(" \\");
            let end = pattern.rfind('"').unwrap_or(pattern.len());
            // The action list may stand in the same line.
            let pattern = pattern[..end].split("\" \"").next().unwrap();
            let pattern = pattern.replace("\\\"", "\"");
            let regex = compile(pattern.as_bytes())
                .unwrap_or_else(|error| panic!("{}: {pattern}: {error}", path.display()));
            regex.is_match(b"/index.php?a=%27%20or%201=1--");
            hir(pattern.as_bytes()).unwrap();
            patterns += 1;
        }
    }
    assert!(patterns >= 318, "{patterns}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of which patterns are made, so that many of them are valid.
    fn pattern() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            prop::sample::select(vec![
                "a",
                "b",
                "(",
                ")",
                "(?:",
                "(?i)",
                "(?x: ",
                "(?<n>",
                "[",
                "]",
                "[^",
                "-",
                "[:alpha:]",
                "*",
                "+",
                "?",
                "{2}",
                "{1,3}",
                "{",
                "}",
                "|",
                ".",
                "^",
                "$",
                "\\b",
                "\\d",
                "\\h",
                "\\R",
                "\\x{e9}",
                "\\xe9",
                "\\Q",
                "\\E",
                "\\N",
                "\\cA",
                "\\012",
                "\\",
                "#",
                " ",
                "\n",
                "&&",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_pattern_gives_a_regex_or_an_error(
            pattern in pattern(),
            value in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            match compile(&pattern) {
                Ok(regex) => {
                    let mut captures = Captures::default();
                    let matched = regex.is_match(&value);
                    prop_assert_eq!(matched, regex.captures(&value, &mut captures));
                    prop_assert_eq!(matched, captures.get(0).is_some());
                    prop_assert_eq!(matched, regex.captures_all(&value, &mut captures));
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }

        /// Every text, escaped byte by byte as PCRE allows, matches itself and nothing else.
        #[test]
        fn escaped_texts_match_themselves(
            text in prop::collection::vec(any::<u8>(), 1..24),
            way in 0usize..5,
        ) {
            let mut pattern = b"^(?:".to_vec();
            for byte in &text {
                match way {
                    0 => pattern.extend(format!("\\x{{{byte:x}}}").bytes()),
                    1 => pattern.extend(format!("\\x{byte:02X}").bytes()),
                    2 => pattern.extend(format!("\\o{{{byte:o}}}").bytes()),
                    3 => pattern.extend(format!("[\\{byte:03o}]").bytes()),
                    _ if byte.is_ascii_alphanumeric() => pattern.push(*byte),
                    _ => pattern.extend([b'\\', *byte]),
                }
            }
            pattern.extend(b")$");
            let regex = compile(&pattern).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(regex.is_match(&text));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 0x21;
                prop_assert!(!regex.is_match(&other));
            }
        }

        /// A class matches exactly the bytes it lists, however it is written.
        #[test]
        fn classes_hold_their_bytes(
            ranges in prop::collection::vec((any::<u8>(), any::<u8>()), 1..6),
            negated: bool,
            raw: bool,
        ) {
            let mut pattern = if negated { b"^[^".to_vec() } else { b"^[".to_vec() };
            for (low, high) in &ranges {
                let (low, high) = (low.min(high), low.max(high));
                let plain = |byte: &u8| raw && !b"\\]^-[".contains(byte);
                for (index, byte) in [low, high].into_iter().enumerate() {
                    if index == 1 {
                        pattern.push(b'-');
                    }
                    if plain(byte) {
                        pattern.push(*byte);
                    } else {
                        pattern.extend(format!("\\x{byte:02x}").bytes());
                    }
                }
            }
            pattern.extend(b"]$");
            let regex = compile(&pattern).map_err(|error| TestCaseError::fail(error.to_string()))?;
            for byte in 0..=255u8 {
                let listed = ranges.iter().any(|(a, b)| (*a.min(b)..=*a.max(b)).contains(&byte));
                prop_assert_eq!(regex.is_match(&[byte]), listed != negated, "{}", byte);
            }
        }
    }
}
