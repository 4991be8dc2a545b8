use super::*;
use crate::cache::cases;

fn marks(path: &str, query: Option<&str>, route: &str) -> Marks {
    Marks::of(
        &cases::key(path, query, route).read().expect("a key"),
        vec![],
    )
}

fn covers(scope: Scope, marks: &Marks) -> bool {
    matches!(scope, Scope::Url(url) if url == marks.url)
}

#[test]
fn a_url_is_purged_on_every_route() {
    let plain = QueryRules::default();
    let whole = url("https", "a.test", "/p", Some("q=1"), &plain);
    assert!(covers(whole, &marks("/p", Some("q=1"), "r")));
    assert!(covers(whole, &marks("/p", Some("q=1"), "another")));
    assert!(!covers(whole, &marks("/p", Some("q=2"), "r")));
    assert!(!covers(whole, &marks("/p", None, "r")));
    assert!(!covers(whole, &marks("/p/", Some("q=1"), "r")));
    let bare = url("https", "a.test", "/p", None, &plain);
    assert!(covers(bare, &marks("/p", None, "r")));
    assert!(!covers(bare, &marks("/p", Some(""), "r")));
}

#[test]
fn a_url_is_purged_as_its_policy_counts_it() {
    let rules = QueryRules {
        ignore: vec!["utm_*".to_owned()],
        sort: true,
    };
    let whole = url("https", "a.test", "/p", Some("b=2&utm_x=1&a=1"), &rules);
    assert!(covers(whole, &marks("/p", Some("a=1&b=2"), "r")));
    let bare = url("https", "a.test", "/p", Some("utm_x=1"), &rules);
    assert!(covers(bare, &marks("/p", None, "r")));
}

#[test]
fn prefixes_end_with_a_segment() {
    assert_eq!(prefix("a.test", "/a"), prefix("a.test", "/a/"));
    assert_ne!(prefix("a.test", "/a"), prefix("a.test", "/ab"));
    assert_ne!(prefix("a.test", "/a"), prefix("b.test", "/a"));
    let Scope::Host(marked) = host("a.test") else {
        panic!("a host");
    };
    assert_eq!(marked, marks("/", None, "r").host);
    assert_eq!(prefix("a.test", ""), Scope::prefix(marked, b"/"));
}

#[test]
fn tags_by_field() {
    let names = [
        HeaderName::from_static("cache-tag"),
        HeaderName::from_static("surrogate-key"),
    ];
    let of = |text: &str| tags(&cases::fields(text), &names);
    let hash = |tag: &str| match super::tag(tag.as_bytes()) {
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
