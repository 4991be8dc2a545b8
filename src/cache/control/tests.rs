use super::*;
use crate::cache::cases;

/// What of the directives was found, in a fixed order.
fn told(found: &Directives) -> String {
    let mut words: Vec<String> = Vec::new();
    for (word, set) in [
        ("broken", found.broken),
        ("no-store", found.no_store),
        ("public", found.public),
        ("must-revalidate", found.must_revalidate),
        ("proxy-revalidate", found.proxy_revalidate),
        ("must-understand", found.must_understand),
        ("immutable", found.immutable),
        ("no-transform", found.no_transform),
    ] {
        if set {
            words.push(word.to_owned());
        }
    }
    for (word, reach) in [("no-cache", found.no_cache), ("private", found.private)] {
        match reach {
            Reach::Absent => {}
            Reach::Fields => words.push(format!("{word}=fields")),
            Reach::Whole => words.push(word.to_owned()),
        }
    }
    for (word, seconds) in [
        ("max-age", found.max_age),
        ("s-maxage", found.s_maxage),
        ("swr", found.stale_while_revalidate),
        ("sie", found.stale_if_error),
    ] {
        match seconds {
            Seconds::Absent => {}
            Seconds::Value(value) => words.push(format!("{word}={value}")),
            Seconds::Invalid => words.push(format!("{word}=invalid")),
        }
    }
    if !found.fields.is_empty() {
        let names: Vec<&str> = found.fields.iter().map(HeaderName::as_str).collect();
        words.push(format!("[{}]", names.join(" ")));
    }
    if words.is_empty() {
        words.push(if found.present { "unknown" } else { "nothing" }.to_owned());
    }
    words.join(" ")
}

#[test]
fn every_case() {
    for case in cases::rows(include_str!("../cases/control.txt"), 2) {
        let [want, lines] = case.columns.as_slice() else {
            panic!("line {}: two columns", case.line);
        };
        let mut fields = HeaderMap::new();
        for line in lines.split('\n') {
            fields.append(CACHE_CONTROL, line.parse().expect("a field value"));
        }
        let got = told(&Directives::of_response(&fields));
        assert_eq!(&got, want, "line {}: {lines:?}", case.line);
    }
}

#[test]
fn no_header_is_no_directive() {
    let found = Directives::of_response(&HeaderMap::new());
    assert_eq!(found, Directives::default());
    assert!(!found.decides());
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_odd(lines in proptest::collection::vec("[ -~\t\u{80}-\u{ff}]{0,60}", 0..4)) {
        let mut fields = HeaderMap::new();
        for line in &lines {
            if let Ok(value) = line.parse() {
                fields.append(CACHE_CONTROL, value);
            }
        }
        let _ = Directives::of_response(&fields);
    }

    /// Whatever stands around it as elements of their own, `no-store` is found.
    #[test]
    fn no_store_is_never_lost(before in "[a-z=\", 0-9]{0,30}", after in "[a-z=\", 0-9]{0,30}") {
        let mut fields = HeaderMap::new();
        // In a line of its own nothing before it can reach it.
        fields.append(CACHE_CONTROL, before.parse().expect("ASCII"));
        fields.append(CACHE_CONTROL, format!("no-store,{after}").parse().expect("ASCII"));
        proptest::prop_assert!(Directives::of_response(&fields).no_store);
    }

    /// A line with a stray quote never permits anything.
    #[test]
    fn a_stray_quote_never_makes_fresh(text in "[a-z=, 0-9]{0,20}", age in 0_u32..100_000) {
        let mut fields = HeaderMap::new();
        fields.append(CACHE_CONTROL, format!("{text}\", max-age={age}, public").parse().expect("ASCII"));
        let found = Directives::of_response(&fields);
        proptest::prop_assert!(!found.public);
        proptest::prop_assert_eq!(found.max_age.or_stale(), Some(0));
    }

    #[test]
    fn digits_are_digits(value: u64) {
        let want = u32::try_from(value).unwrap_or(MOST_SECONDS).min(MOST_SECONDS);
        proptest::prop_assert_eq!(digits(value.to_string().as_bytes()), Some(want));
    }
}
