//! Which keys are limited most, and what is shown of them.

use std::collections::HashMap;
use std::time::Duration;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::compliance::{FakeRequest, FakeServices};
use proptest::prelude::*;

use super::super::store::Store;
use super::super::top::Top;
use super::{ask, build, explained, user};

const LIMITS: &str = "limits = [{ key = 'header:x-user', rate = 1, per = '1h' },\
    { key = 'client_ip', rate = 1000, per = '1h' }]";

#[test]
fn explain_shows_who_is_limited_and_no_secret() {
    let services = FakeServices::new();
    let built = build(LIMITS, &services);
    for _ in 0..4 {
        ask(&built, &mut user("secret-of-ann"));
    }
    ask(&built, &mut user("bob"));
    ask(&built, &mut user("bob"));
    let asked = user("secret-of-ann");
    let lines = built.filter.explain(&explained(&asked));
    assert!(lines.iter().all(|line| !line.contains("ann")), "{lines:?}");
    assert!(
        lines[0].starts_with("header:x-user: would refuse #"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("client_ip: passes as 192.0.2.1, then 997 left"),
        "{lines:?}"
    );
    // The tag in the list is the one of the request that was asked about, and of what it left for `explain`.
    let mut words = lines[0].split(' ');
    let tag = words.find(|word| word.starts_with('#')).unwrap();
    let tag = tag.trim_end_matches(',');
    let listed = built.filter.report();
    assert_eq!(
        listed[0],
        format!("limited of late: header:x-user {tag}, 3 times")
    );
    assert!(
        listed[1].starts_with("limited of late: header:x-user #") && listed[1].ends_with("1 times")
    );
    let mut refused = user("secret-of-ann");
    ask(&built, &mut refused);
    assert_eq!(refused.notes, format!("limited by header:x-user {tag}"));
    assert_eq!(services.metric("allowed"), 2);
    let open = build(
        &LIMITS.replace("'1h' },{", "'1h', reveal = true },{"),
        &services,
    );
    let lines = open.filter.explain(&explained(&user("x")));
    assert!(
        lines[0].starts_with("header:x-user: passes as x,"),
        "{lines:?}"
    );
}

#[test]
fn addresses_are_shown_as_they_are_counted() {
    let services = FakeServices::new();
    let built = build(
        "limits = [{ key = 'client_ip', rate = 1, per = '1h' }]",
        &services,
    );
    let from = || FakeRequest::get("/").client_ip([0x2001, 0xdb8, 0, 7, 0, 0, 0, 9]);
    ask(&built, &mut from());
    ask(&built, &mut from());
    assert_eq!(
        built.filter.report(),
        ["limited of late: client_ip 2001:db8:0:7::/64, 1 times"]
    );
}

#[test]
fn the_list_may_be_switched_off_and_forgets() {
    let services = FakeServices::new();
    let table = "limits = [{ key = 'client_ip', rate = 1, per = '1h' }]";
    let off = build(&format!("top = 0\n{table}"), &services);
    for _ in 0..3 {
        ask(&off, &mut FakeRequest::get("/"));
    }
    assert!(off.filter.report().is_empty());
    let on = build(table, &services);
    for _ in 0..8 {
        ask(&on, &mut FakeRequest::get("/"));
    }
    let count = || on.filter.report().first().cloned();
    assert_eq!(
        count().as_deref(),
        Some("limited of late: client_ip 192.0.2.1, 8 times")
    );
    services.clock.advance(Duration::from_secs(1200));
    assert_eq!(
        count().as_deref(),
        Some("limited of late: client_ip 192.0.2.1, 2 times")
    );
    services.clock.advance(Duration::from_secs(86_400));
    assert_eq!(count(), None);
}

proptest! {
    /// What the sketch promises: no count is too low, none is too high by more than its error, and whoever has
    /// more than one part in its size is in it.
    #[test]
    fn the_sketch_keeps_its_promises(
        keys in prop::collection::vec(prop_oneof![0..4_u32, 0..200_u32], 1..600),
        most in 1..20_usize,
    ) {
        let services = FakeServices::new();
        let store = Store::new(services.clock(), 1000);
        let now = services.clock().now();
        let top = Top::new(now);
        let limit = "limit".into();
        let mut exact: HashMap<String, u64> = HashMap::new();
        for key in &keys {
            let text = key.to_string();
            *exact.entry(text.clone()).or_default() += 1;
            top.add(&limit, store.key(text.as_bytes()), most, now, text.clone().into());
        }
        let list = top.list(most, now);
        prop_assert!(list.len() <= most);
        for one in &list {
            let truth = exact.get(&*one.shown).copied().unwrap_or(0);
            prop_assert!(one.count >= truth && one.count - one.error <= truth);
        }
        for (key, count) in exact {
            if count > keys.len() as u64 / most as u64 {
                prop_assert!(list.iter().any(|one| *one.shown == *key), "{} is missing", key);
            }
        }
    }
}
