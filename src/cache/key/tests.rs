use super::*;
use crate::cache::cases;
use std::collections::HashSet;

fn rules(ignore: &[&str], sort: bool) -> KeyRules {
    KeyRules {
        query: QueryRules {
            ignore: ignore.iter().map(|name| (*name).to_owned()).collect(),
            sort,
        },
        ..KeyRules::default()
    }
}

fn parts<'a>(path: &'a str, query: Option<&'a str>, fields: &'a HeaderMap) -> KeyParts<'a> {
    KeyParts {
        scheme: "https",
        host: "a.test",
        path,
        query,
        route: "r",
        side: "u",
        fields,
        consumer: None,
    }
}

#[test]
fn every_query() {
    let none = HeaderMap::new();
    for case in cases::rows(include_str!("../cases/queries.txt"), 4) {
        let [want, ignore, sort, query] = case.columns.as_slice() else {
            panic!("line {}: four columns", case.line);
        };
        let ignore: Vec<&str> = ignore.split(' ').filter(|name| *name != "-").collect();
        let rules = rules(&ignore, sort == "sort");
        let key = Key::build(&parts("/", Some(query), &none), &rules);
        let got = key.read().expect("a key").query.unwrap_or("(none)");
        assert_eq!(got, want, "line {}: {query}", case.line);
    }
}

#[test]
fn every_part_counts() {
    let none = HeaderMap::new();
    let one = parts("/p", Some("q=1"), &none);
    let rules = KeyRules::default();
    let keys: HashSet<KeyHash> = [
        one,
        KeyParts {
            scheme: "http",
            ..one
        },
        KeyParts {
            host: "b.test",
            ..one
        },
        KeyParts {
            host: "a.test:8443",
            ..one
        },
        KeyParts { path: "/P", ..one },
        KeyParts {
            query: Some("q=2"),
            ..one
        },
        KeyParts {
            query: Some(""),
            ..one
        },
        KeyParts { query: None, ..one },
        KeyParts { route: "s", ..one },
        KeyParts { side: "v", ..one },
        // Moving a letter over a border makes another key.
        KeyParts {
            scheme: "httpsa",
            host: ".test",
            ..one
        },
        KeyParts {
            route: "ru",
            side: "",
            ..one
        },
        KeyParts {
            path: "/p?q=1",
            query: None,
            ..one
        },
    ]
    .iter()
    .map(|parts| Key::build(parts, &rules).hash)
    .collect();
    assert_eq!(keys.len(), 13);
}

#[test]
fn fields_cookies_and_consumer_count_where_the_policy_says_so() {
    let rules = KeyRules {
        headers: vec![
            HeaderName::from_static("x-a"),
            HeaderName::from_static("x-b"),
        ],
        cookies: vec!["shop".to_owned()],
        consumer: true,
        ..KeyRules::default()
    };
    let texts = [
        "",
        "X-A: 1",
        "X-B: 1",
        "X-A: 1\nX-A: 1",
        "X-A:",
        "Cookie: shop=1",
        "Cookie: shop=",
        "Cookie: shop=2; shop=1",
    ];
    let mut keys = HashSet::new();
    for text in texts {
        let fields = cases::fields(text);
        for consumer in [None, Some(""), Some("ann")] {
            let parts = KeyParts {
                consumer,
                ..parts("/", None, &fields)
            };
            assert!(
                keys.insert(Key::build(&parts, &rules).hash),
                "{text} {consumer:?}"
            );
        }
    }
    let same = |a: &str, b: &str| {
        let (a, b) = (cases::fields(a), cases::fields(b));
        Key::build(&parts("/", None, &a), &rules) == Key::build(&parts("/", None, &b), &rules)
    };
    assert!(same("Cookie: a=b; shop=1", "Cookie: shop=1; c=d"));
    assert!(same("Cookie: a=b\nCookie: shop=1", "Cookie: shop=1"));
    assert!(same("Cookie: shopping=1", "Cookie: other=1"));
    assert!(same("X-A:  1 \nX-C: 1", "X-A: 1"));
    assert!(!same("Cookie: shop=1", "Cookie: shop=2"));
}

#[test]
fn a_key_reads_back() {
    let none = HeaderMap::new();
    let key = Key::build(&parts("/p/q", Some("a=1"), &none), &KeyRules::default());
    assert_eq!(
        key.read(),
        Some(KeyView {
            scheme: "https",
            host: "a.test",
            path: "/p/q",
            query: Some("a=1"),
            route: "r",
            side: "u",
        })
    );
    assert_eq!(Key::from_text(key.text.clone()), key);
    // The layout is a contract with what lies on disk.
    assert_eq!(key.hash.to_string(), "b6abe8c239bdfe88f35265e4d61bee3c");
}

#[test]
fn a_long_query_is_not_sorted_without_end() {
    let none = HeaderMap::new();
    let query: String = (0..1000).rev().map(|n| format!("p{n}&")).collect();
    let key = Key::build(&parts("/", Some(&query), &none), &rules(&[], true));
    assert_eq!(key.read().and_then(|view| view.query), Some(query.as_str()));
}

proptest::proptest! {
    #[test]
    fn texts_that_are_no_keys_are_refused_or_read(bytes: Vec<u8>) {
        let _ = KeyView::read(&bytes);
    }

    #[test]
    fn different_parts_are_different_keys(a in "[a-c/]{0,4}", b in "[a-c/]{0,4}", c in "[a-c/]{0,4}", d in "[a-c/]{0,4}") {
        let none = HeaderMap::new();
        let key = |host, path| {
            let parts = KeyParts { host, path, ..parts("", None, &none) };
            Key::build(&parts, &KeyRules::default())
        };
        proptest::prop_assert_eq!((&a, &b) == (&c, &d), key(&a, &b) == key(&c, &d));
    }

    /// Sorting twice is sorting once, and every order of different names is one key.
    #[test]
    fn sorting_settles(names in proptest::collection::hash_set("[a-z]{1,3}", 1..6)) {
        let none = HeaderMap::new();
        let rules = rules(&[], true);
        let names: Vec<String> = names.into_iter().collect();
        let forward = names.join("&");
        let backward = names.iter().rev().cloned().collect::<Vec<_>>().join("&");
        let key = |query: &str| Key::build(&parts("/", Some(query), &none), &rules);
        let first = key(&forward);
        proptest::prop_assert_eq!(&first, &key(&backward));
        let settled = first.read().and_then(|view| view.query).expect("a query").to_owned();
        proptest::prop_assert_eq!(first, key(&settled));
    }
}
