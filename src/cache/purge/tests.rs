use super::*;
use crate::cache::cases;
use crate::cache::key::{Key, KeyParts, KeyRules};

fn marks(path: &str, query: Option<&str>, route: &str) -> Marks {
    let fields = HeaderMap::new();
    let key = Key::build(
        &KeyParts {
            scheme: "https",
            host: "a.test",
            path,
            query,
            route,
            side: "u",
            fields: &fields,
            consumer: None,
        },
        &KeyRules::default(),
    );
    Marks::of(&key.read().expect("a key"), vec![])
}

fn covers(scope: Scope, marks: &Marks) -> bool {
    marks.scopes().any(|of| of == scope)
}

#[test]
fn a_url_is_purged_on_every_route() {
    let plain = QueryRules::default();
    let url = Scope::url("https", "a.test", "/p", Some("q=1"), &plain);
    assert!(covers(url, &marks("/p", Some("q=1"), "r")));
    assert!(covers(url, &marks("/p", Some("q=1"), "another")));
    assert!(!covers(url, &marks("/p", Some("q=2"), "r")));
    assert!(!covers(url, &marks("/p", None, "r")));
    assert!(!covers(url, &marks("/p/", Some("q=1"), "r")));
    let bare = Scope::url("https", "a.test", "/p", None, &plain);
    assert!(covers(bare, &marks("/p", None, "r")));
    assert!(!covers(bare, &marks("/p", Some(""), "r")));
}

#[test]
fn a_url_is_purged_as_its_policy_counts_it() {
    let rules = QueryRules {
        ignore: vec!["utm_*".to_owned()],
        sort: true,
    };
    let url = Scope::url("https", "a.test", "/p", Some("b=2&utm_x=1&a=1"), &rules);
    assert!(covers(url, &marks("/p", Some("a=1&b=2"), "r")));
    let bare = Scope::url("https", "a.test", "/p", Some("utm_x=1"), &rules);
    assert!(covers(bare, &marks("/p", None, "r")));
}

#[test]
fn prefixes_end_with_a_segment() {
    let at = |path: &str| Scope::prefix("a.test", path);
    let object = marks("/a/b/c", None, "r");
    for prefix in ["/", "/a/", "/a/b/", "/a", "/a/b"] {
        assert!(covers(at(prefix), &object), "{prefix}");
    }
    for prefix in ["/a/b/c", "/a/b/c/", "/a/bc", "/b/", "/aa"] {
        assert!(!covers(at(prefix), &object), "{prefix}");
    }
    assert!(!covers(Scope::prefix("b.test", "/"), &object));
    assert!(covers(at("/a/b/c/"), &marks("/a/b/c/", None, "r")));
    assert!(!covers(at("/a/b/"), &marks("/a/b", None, "r")));
}

#[test]
fn a_deep_prefix_takes_too_much_rather_than_too_little() {
    let deep: String = (0..40).map(|n| format!("/{n}")).collect();
    let object = marks(&format!("{deep}/x"), None, "r");
    assert_eq!(object.prefixes.len(), MOST_PREFIXES);
    assert!(covers(Scope::prefix("a.test", &deep), &object));
    assert!(covers(
        Scope::prefix("a.test", &format!("{deep}/")),
        &object
    ));
}

#[test]
fn tags_by_field() {
    let names = [
        HeaderName::from_static("cache-tag"),
        HeaderName::from_static("surrogate-key"),
    ];
    let of = |text: &str| tags(&cases::fields(text), &names);
    let hash = |tag: &str| match Scope::tag(tag.as_bytes()) {
        Scope::Tag(hash) => hash,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        of("Cache-Tag: a, b c,,a"),
        Some(vec![hash("a"), hash("b c")])
    );
    assert_eq!(
        of("Surrogate-Key: a b\nSurrogate-Key: c"),
        Some(vec![hash("a"), hash("b"), hash("c")])
    );
    assert_eq!(of("Other: a"), Some(vec![]));
    let many = |count: usize| {
        let list: Vec<String> = (0..count).map(|n| n.to_string()).collect();
        of(&format!("Cache-Tag: {}", list.join(",")))
    };
    assert_eq!(many(MOST_TAGS).map(|tags| tags.len()), Some(MOST_TAGS));
    assert_eq!(many(MOST_TAGS + 1), None);
    assert_eq!(
        of(&format!("Cache-Tag: {}", "a".repeat(LONGEST_TAG + 1))),
        None
    );
}

#[test]
fn a_purge_covers_what_was_asked_for_until_then() {
    let stamps = Stamps::default().purged(PurgeKind::Hard, 100);
    assert_eq!(stamps.verdict(99), Purged::Gone);
    // The same millisecond: which came first is not known.
    assert_eq!(stamps.verdict(100), Purged::Gone);
    assert_eq!(stamps.verdict(101), Purged::No);
    let both = stamps.purged(PurgeKind::Soft, 200);
    assert_eq!(both.verdict(99), Purged::Gone);
    assert_eq!(both.verdict(150), Purged::Stale { since_ms: 200 });
    assert_eq!(both.verdict(201), Purged::No);
    assert_eq!(Stamps::default().verdict(0), Purged::No);
    assert_eq!(stamp_ms(Now::at_ms(0)), 1);
}

#[test]
fn every_scope_is_asked() {
    let meta = Meta {
        fill_start_ms: 50,
        marks: Marks {
            url: 1,
            host: 2,
            prefixes: vec![3, 4],
            tags: vec![5, 6],
        },
        ..Meta::default()
    };
    let scopes = [
        Scope::All,
        Scope::Host(2),
        Scope::Url(1),
        Scope::Prefix(3),
        Scope::Prefix(4),
        Scope::Tag(5),
        Scope::Tag(6),
    ];
    for purged in scopes {
        let got = judge(&meta, &mut |scope| {
            (scope == purged).then(|| Stamps::default().purged(PurgeKind::Hard, 60))
        });
        assert_eq!(got, Purged::Gone, "{purged:?}");
    }
    assert_eq!(judge(&meta, &mut |_| None), Purged::No);
}

proptest::proptest! {
    /// Nodes that saw the same purges in any order and number agree.
    #[test]
    fn joining_has_no_order(list in proptest::collection::vec((proptest::bool::ANY, 1_u64..50), 0..8), start in 0_u64..60) {
        let kind = |hard| if hard { PurgeKind::Hard } else { PurgeKind::Soft };
        let forward = list.iter().fold(Stamps::default(), |stamps, (hard, at)| stamps.purged(kind(*hard), *at));
        let twice = list.iter().rev().chain(&list).fold(Stamps::default(), |stamps, (hard, at)| stamps.purged(kind(*hard), *at));
        proptest::prop_assert_eq!(forward, twice);
        // And each single purge that covers the object is in the verdict.
        let gone = list.iter().any(|(hard, at)| *hard && *at >= start);
        proptest::prop_assert_eq!(gone, forward.verdict(start) == Purged::Gone);
    }
}
