//! Conditions on listeners, methods, fields and sources, one by one.

use super::*;

/// Names, plans and tags of a consumer; each list is an OR, together they are an AND.
#[test]
fn consumers_are_matched() {
    use farmgate_plugin_api::Request;
    use farmgate_plugin_api::compliance::FakeRequest;

    use crate::snapshot::router::ConsumerMatch;
    let boxed = |words: &[&str]| words.iter().map(|word| Box::from(*word)).collect();
    let of = |names: &[&str], plans: &[&str], tags: &[&str]| RouteMatch {
        consumers: ConsumerMatch {
            names: boxed(names),
            plans: boxed(plans),
            tags: boxed(tags),
        },
        ..RouteMatch::default()
    };
    let ann = |plan: Option<&str>, tags: &[&str]| {
        let mut request = FakeRequest::get("/");
        request.set_consumer(Consumer {
            name: "ann".into(),
            plan: plan.map(Into::into),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
            ..Consumer::default()
        });
        request
    };
    let nobody = FakeRequest::get("/");
    for (route, plan, tags, fits) in [
        (of(&["ann"], &[], &[]), None, &[][..], true),
        (of(&["ben", "ann"], &[], &[]), None, &[], true),
        (of(&["ben"], &[], &[]), None, &[], false),
        (of(&[], &["gold"], &[]), None, &[], false),
        (of(&[], &["gold"], &[]), Some("gold"), &[], true),
        (of(&[], &[], &["a", "b"]), None, &["c", "b"], true),
        (of(&[], &[], &["a"]), None, &["b"], false),
        (of(&["ann"], &["gold"], &["a"]), Some("gold"), &["a"], true),
        (of(&["ann"], &["gold"], &["a"]), Some("gold"), &[], false),
    ] {
        assert_eq!(route.miss(&ann(plan, tags)).is_none(), fits, "{route:?}");
        assert!(route.miss(&nobody).is_some(), "{route:?}");
        let conditions = &route.consumers;
        let lists = [&conditions.names, &conditions.plans, &conditions.tags];
        let written = lists.iter().filter(|list| !list.is_empty()).count();
        assert_eq!(route.conditions(), written);
    }
    assert!(of(&["ann", "ben"], &[], &[]).covers(&of(&["ann"], &["gold"], &[])));
    assert!(!of(&["ann"], &[], &[]).covers(&of(&[], &[], &[])));
    assert!(of(&["ann"], &[], &[]).excludes(&of(&["ben"], &[], &[])));
    assert!(
        !of(&[], &[], &["a"]).excludes(&of(&[], &[], &["b"])),
        "one may have both"
    );
}
use crate::snapshot::router::MAX_VALUES;

fn takes(matches: RouteMatch, asked: &Asked) -> bool {
    find(&router(vec![matches]), asked).0.is_some()
}

#[test]
fn headers_match_if_any_line_does() {
    let route = on(&[], &[]).with_header("x-tenant", is("a"));
    let asked = get("h.test", "/");
    assert!(!takes(route.clone(), &asked));
    assert!(!takes(
        route.clone(),
        &asked.clone().header("x-tenant", "A")
    ));
    let both = asked
        .clone()
        .header("x-tenant", "b")
        .header("x-tenant", "a");
    assert!(takes(route.clone(), &both));
    assert!(!takes(route, &asked.clone().header("x-tenant", "a, b")));
    let present = on(&[], &[]).with_header("x-tenant", Condition::Present);
    assert!(takes(
        present.clone(),
        &asked.clone().header("x-tenant", "")
    ));
    assert!(!takes(present, &asked));
}

#[test]
fn a_regex_takes_the_whole_value() {
    let route = |text: &str| on(&[], &[]).with_header("x", Condition::regex(text).unwrap());
    for (text, value, fits) in [
        ("a|ab", "ab", true),
        ("a", "ab", false),
        ("a", "ba", false),
        ("(?i)ab", "AB", true),
        ("a$", "a", true),
        ("", "", true),
        ("(?s-u).*", "\u{e9}", true),
    ] {
        let asked = get("h.test", "/").header("x", value);
        assert_eq!(takes(route(text), &asked), fits, "{text} {value}");
    }
    for bad in ["(", "a)(b", "(?x)a#", r"\w{1000}{1000}"] {
        assert!(Condition::regex(bad).is_err(), "{bad}");
    }
}

#[test]
fn query_values_are_compared_decoded() {
    let route = |value| on(&[], &[]).with_query("k e", value);
    for (query, value, fits) in [
        ("/?k%20e=a%20b", is("a b"), true),
        ("/?k%20e=a+b", is("a b"), false),
        ("/?k%20e=a+b", is("a+b"), true),
        ("/?k+e=a", is("a"), false),
        ("/?x=1&&k%20e=1&k%20e=2", is("2"), true),
        ("/?k%20e", is(""), true),
        ("/?k%20e=", Condition::Present, true),
        ("/?k%20e2=1", Condition::Present, false),
        ("/", Condition::Present, false),
        ("/?k%20e=%6", is("%6"), true),
        ("/?k%20e=a%3Db=c", is("a=b=c"), true),
        ("/?k%20e=%61%62", Condition::regex("[ab]+").unwrap(), true),
        ("/?k%20e=ab", Condition::regex("[ab]+").unwrap(), true),
        ("/?k%20e=%63", Condition::regex("[ab]+").unwrap(), false),
    ] {
        assert_eq!(takes(route(value), &get("h.test", query)), fits, "{query}");
    }
    let long = format!("/?k%20e={}", "%61".repeat(2000));
    assert!(takes(
        route(Condition::regex("a{2000}").unwrap()),
        &get("h.test", &long)
    ));
    assert!(!takes(
        on(&[], &[]).with_query("", Condition::Present),
        &get("h.test", "/?&&")
    ));
}

#[test]
fn cookies_are_found_in_every_line() {
    let route = |value| on(&[], &[]).with_cookie("b", value);
    let asked = get("h.test", "/")
        .header("cookie", "a=1; b=2=3;b=4 ; c")
        .header("cookie", " b = 5");
    for (value, fits) in [
        (is("2=3"), true),
        (is("4"), true),
        (is("5"), true),
        (is("1"), false),
        (Condition::Present, true),
        (Condition::regex("[0-9]").unwrap(), true),
    ] {
        assert_eq!(takes(route(value.clone()), &asked), fits, "{value:?}");
    }
    let nameless = get("h.test", "/").header("cookie", "b; =b");
    assert!(!takes(route(Condition::Present), &nameless));
}

#[test]
fn a_repeated_field_is_looked_at_a_bounded_number_of_times() {
    let route = on(&[], &[]).with_query("a", is("x"));
    let many = "a=1&".repeat(MAX_VALUES - 1);
    assert!(takes(
        route.clone(),
        &get("h.test", &format!("/?{many}a=x"))
    ));
    assert!(!takes(route, &get("h.test", &format!("/?{many}a=1&a=x"))));
}

#[test]
fn sources_listeners_and_methods_are_lists() {
    let from = |cidr: &str| {
        on(&[], &[])
            .with_source("198.51.100.0/24")
            .with_source(cidr)
    };
    let mut asked = get("h.test", "/");
    for (cidr, client, fits) in [
        ("192.0.2.0/24", "192.0.2.255", true),
        ("192.0.2.0/24", "192.0.3.0", false),
        ("192.0.2.77/24", "192.0.2.1", true),
        ("0.0.0.0/0", "203.0.113.1", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "192.0.2.1", false),
        ("192.0.2.0/24", "::ffff:192.0.2.1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
        ("2001:db8::1/128", "2001:db8::1", true),
        ("192.0.2.1/32", "192.0.2.1", true),
        ("192.0.2.1/99", "192.0.2.1", true),
        ("192.0.2.1/99", "192.0.2.2", false),
    ] {
        asked.client = client.parse().unwrap();
        assert_eq!(takes(from(cidr), &asked), fits, "{cidr} {client}");
    }
    asked.listener = 2;
    assert!(takes(on(&[], &[]).with_listeners(&[1, 2]), &asked));
    assert!(!takes(on(&[], &[]).with_listeners(&[1]), &asked));
    assert!(!takes(on(&[], &[]).with_listeners(&[]), &asked));
    assert!(takes(
        on(&[], &[]).with_methods(&[Method::PUT, Method::GET]),
        &asked
    ));
    assert!(!takes(on(&[], &[]).with_methods(&[Method::PUT]), &asked));
}
