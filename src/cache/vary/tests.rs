use super::*;
use crate::cache::cases;

fn vary(text: &str) -> Result<Vary, VaryRefusal> {
    Vary::of_response(&cases::fields(text), &KeyRules::default())
}

#[test]
fn every_list() {
    for case in cases::rows(include_str!("../cases/vary.txt"), 2) {
        let [want, lines] = case.columns.as_slice() else {
            panic!("line {}: two columns", case.line);
        };
        let got = match vary(lines) {
            Ok(vary) if vary.is_empty() => "nothing".to_owned(),
            Ok(vary) => {
                let names: Vec<&str> = vary.names().iter().map(HeaderName::as_str).collect();
                names.join(" ")
            }
            Err(refusal) => format!("{refusal:?}").to_lowercase(),
        };
        assert_eq!(&got, want, "line {}: {lines:?}", case.line);
    }
}

/// Rows of two requests: whether they share a response with the Vary of the first column.
#[test]
fn every_pair() {
    for case in cases::rows(include_str!("../cases/variants.txt"), 4) {
        let [want, names, first, second] = case.columns.as_slice() else {
            panic!("line {}: four columns", case.line);
        };
        let (names, rules) = match names.strip_suffix(" of en,de") {
            None => (names.as_str(), VaryRules::default()),
            Some(names) => (
                names,
                VaryRules {
                    languages: vec!["en".to_owned(), "de".to_owned()],
                    ..VaryRules::default()
                },
            ),
        };
        let vary = vary(&format!("Vary: {names}")).expect("a list");
        let of = |text: &str| vary.variance(&cases::fields(text), &rules);
        let got = if of(first) == of(second) {
            "same"
        } else {
            "differ"
        };
        assert_eq!(got, want, "line {}: {first:?} {second:?}", case.line);
    }
}

#[test]
fn what_is_in_the_key_does_not_vary() {
    let key = KeyRules {
        headers: vec![USER_AGENT],
        cookies: vec!["shop".to_owned()],
        ..KeyRules::default()
    };
    let fields = cases::fields("Vary: User-Agent, Cookie, Foo");
    // Another cookie than those of the key may be what it was made for.
    assert_eq!(Vary::of_response(&fields, &key), Err(VaryRefusal::Client));
    let key = KeyRules {
        vary_cookie: true,
        ..key
    };
    let vary = Vary::of_response(&fields, &key).expect("all is keyed");
    assert_eq!(vary.names(), [HeaderName::from_static("foo")]);
}

#[test]
fn names_are_bounded() {
    let list = |count: usize| {
        (0..count)
            .map(|n| format!("a{n}"))
            .collect::<Vec<_>>()
            .join(",")
    };
    assert!(vary(&format!("Vary: {}", list(MOST_NAMES))).is_ok());
    assert_eq!(
        vary(&format!("Vary: {}", list(MOST_NAMES + 1))),
        Err(VaryRefusal::Many)
    );
}

#[test]
fn variants_are_bounded() {
    let rules = VaryRules::default();
    assert!(rules.admits(0) && rules.admits(15));
    assert!(!rules.admits(16) && !rules.admits(usize::MAX));
}

#[test]
fn encodings_as_a_set() {
    for (text, want) in [
        ("gzip, deflate, br, zstd", "zstd, br, gzip"),
        ("zstd, br, gzip, deflate", "zstd, br, gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip;q=0.001, br;q=0", "gzip"),
        ("gzip; q=0", ""),
        ("gzip;q=0.000", ""),
        ("gzip;q=foo", ""),
        ("gzip, gzip;q=0", ""),
        ("*", "zstd, br, gzip"),
        ("*;q=0", ""),
        ("br;q=0, *", "zstd, gzip"),
        ("identity", ""),
        ("", ""),
        ("gzip;level=9", "gzip"),
        ("compress, deflate", ""),
        (", ,gzip,", "gzip"),
    ] {
        let fields = cases::fields(&format!("Accept-Encoding: {text}"));
        assert_eq!(Encodings::of_request(&fields).canonical(), want, "{text}");
        // What goes to the origin means the same set.
        let again = cases::fields(&format!("Accept-Encoding: {want}"));
        assert_eq!(Encodings::of_request(&again).canonical(), want);
    }
    assert_eq!(Encodings::of_request(&HeaderMap::new()).canonical(), "");
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_too_odd(name in "[a-z-]{1,10}", lines in proptest::collection::vec("[ -~\t\u{80}-\u{ff}]{0,40}", 0..3)) {
        let mut request = HeaderMap::new();
        let mut response = HeaderMap::new();
        for line in &lines {
            if let Ok(value) = line.parse::<HeaderValue>() {
                response.append(VARY, value.clone());
                request.append(ACCEPT_ENCODING, value.clone());
                request.append(ACCEPT_LANGUAGE, value.clone());
                request.append(ACCEPT, value);
            }
        }
        let _ = Vary::of_response(&response, &KeyRules::default());
        let vary = Vary::from_names(vec![
            ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE,
            HeaderName::from_bytes(name.as_bytes()).expect("a name"),
        ]);
        for rules in [VaryRules::default(), VaryRules { languages: vec!["en".to_owned()], normalise_encoding: false, ..VaryRules::default() }] {
            proptest::prop_assert_eq!(vary.variance(&request, &rules), vary.variance(&request, &rules));
        }
    }

    /// Space around commas never makes a variant.
    #[test]
    fn space_makes_no_variant(members in proptest::collection::vec("[a-z0-9]{1,5}", 1..5)) {
        let vary = Vary::from_names(vec![HeaderName::from_static("foo")]);
        let of = |text: String| {
            vary.variance(&cases::fields(&format!("Foo: {text}")), &VaryRules::default())
        };
        proptest::prop_assert_eq!(of(members.join(",")), of(members.join(" ,\t ") + "  "));
    }
}
