use std::collections::HashMap;

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices, FakeUpstreamRequest};
use farmgate_plugin_api::filter::Phases;
use farmgate_plugin_api::{Built, Credential, Explained, Verdict};
use http::HeaderName;
use proptest::prelude::*;

use super::KIND;
use super::cohort::Cohorts;

const TWO: &str = "key = 'header:x-user'\nvariants = { old = 1, big = 1 }\nsalt = 's'";

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, table, services).unwrap()
}

/// The variant that the request got.
fn variant(built: &Built, request: &mut FakeRequest) -> Option<String> {
    let verdict = compliance::verdict(built.filter.request_head(request));
    assert!(matches!(verdict, Verdict::Continue));
    let value = request.headers.0.get("x-experiment")?;
    Some(value.to_str().unwrap().to_owned())
}

fn user(name: &str) -> FakeRequest {
    FakeRequest::get("/").header("x-user", name)
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn the_same_key_gets_the_same_variant_everywhere() {
    let (one, other) = (FakeServices::new(), FakeServices::new());
    let (here, there) = (build(TWO, &one), build(TWO, &other));
    let mut seen = HashMap::new();
    for n in 0..200 {
        let name = format!("user-{n}");
        let got = variant(&here, &mut user(&name)).unwrap();
        assert_eq!(variant(&there, &mut user(&name)).as_ref(), Some(&got));
        *seen.entry(got).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(one.metric_by("assigned", "old"), seen["old"]);
    assert_eq!(one.metric_by("assigned", "big"), seen["big"]);
}

/// Computed by a program that shares no code with this one: see `tests/cohorts.py`.
#[test]
fn the_shares_are_those_of_the_documented_formula() {
    let cohorts = Cohorts::new("button-2026-11", 200_000, [("big", 70), ("old", 30)]);
    let known = include_str!("tests/cohorts.txt");
    let mut lines = 0;
    for line in known.lines() {
        let (key, name) = line.split_once(' ').unwrap();
        let picked = cohorts.pick(key.as_bytes()).map(|at| ["big", "old"][at]);
        assert_eq!(picked.unwrap_or("-"), name, "{key}");
        lines += 1;
    }
    assert_eq!(lines, 300);
}

fn weights() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(1_u32..1000, 1..8)
}

fn cohorts(salt: &str, share: u32, weights: &[u32]) -> Cohorts {
    const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "new"];
    Cohorts::new(salt, share, NAMES.into_iter().zip(weights.iter().copied()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn each_variant_gets_its_part_within_one_percent(
        weights in weights(),
        salt in "[a-z]{1,8}",
        share in 100_000_u32..=1_000_000,
    ) {
        const KEYS: u32 = 40_000;
        let cohorts = cohorts(&salt, share, &weights);
        let mut counts = vec![0_u32; weights.len()];
        for n in 0..KEYS {
            if let Some(at) = cohorts.pick(format!("user-{n}").as_bytes()) {
                counts[at] += 1;
            }
        }
        let all: u32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let got = f64::from(*count) / f64::from(KEYS);
            let part = f64::from(*weight) / f64::from(all) * f64::from(share) / 1_000_000.0;
            prop_assert!((got - part).abs() < 0.01, "{} instead of {}", got, part);
        }
    }

    #[test]
    fn a_new_variant_moves_only_keys_to_itself(weights in weights(), new in 1_u32..1000) {
        const KEYS: u32 = 20_000;
        let before = cohorts("s", 1_000_000, &weights);
        let more: Vec<u32> = weights.iter().copied().chain([new]).collect();
        let after = cohorts("s", 1_000_000, &more);
        let mut moved = 0_u32;
        for n in 0..KEYS {
            let key = n.to_be_bytes();
            let (was, is) = (before.pick(&key), after.pick(&key));
            if was != is {
                prop_assert_eq!(is, Some(weights.len()));
                moved += 1;
            }
        }
        let part = f64::from(new) / f64::from(more.iter().sum::<u32>());
        prop_assert!((f64::from(moved) / f64::from(KEYS) - part).abs() < 0.015);
    }

    #[test]
    fn a_changed_weight_moves_keys_of_that_variant_only(
        weights in weights(), to in 0_u32..1000, larger in 500_000_u32..1_000_000,
    ) {
        let before = cohorts("s", 500_000, &weights);
        let mut changed = weights.clone();
        changed[0] = to;
        let after = cohorts("s", 500_000, &changed);
        let wider = cohorts("s", larger, &weights);
        for n in 0..5000_u32 {
            let key = n.to_be_bytes();
            let (was, is) = (before.pick(&key), after.pick(&key));
            let touched = weights.len() == 1 || was == Some(0) || is == Some(0);
            prop_assert!(was == is || touched);
            // Who took part before still does, and in the same variant.
            prop_assert!(was.is_none() || wider.pick(&key) == was);
        }
    }
}

#[test]
fn a_visitor_is_known_again_by_the_cookie() {
    let services = FakeServices::new();
    let table = "variants = { old = 1, big = 1 }\ncookie = { name = 'visitor', max_age = '1h' }";
    let built = build(table, &services);
    let mut seen = HashMap::new();
    for _ in 0..50 {
        let mut first = FakeRequest::get("/");
        let got = variant(&built, &mut first).unwrap();
        let cookie = first.response_header("set-cookie").unwrap().to_owned();
        let (pair, rest) = cookie.split_once("; ").unwrap();
        assert_eq!(rest, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        let mut again = FakeRequest::get("/").header("cookie", format!("a=b; {pair}"));
        assert_eq!(variant(&built, &mut again).as_ref(), Some(&got));
        assert_eq!(again.response_header("set-cookie"), None);
        *seen.entry(got).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(services.metric("visitors"), 50);
    let mut tls = FakeRequest::get("/").https();
    variant(&built, &mut tls);
    assert!(
        tls.response_header("set-cookie")
            .unwrap()
            .ends_with("; Secure")
    );
    // What is no number of ours is replaced.
    for forged in [
        "",
        "big",
        "0123456789ABCDEF0123456789ABCDEF",
        "0123456789abcdef",
    ] {
        let mut request = FakeRequest::get("/").header("cookie", format!("visitor={forged}"));
        variant(&built, &mut request);
        assert!(request.response_header("set-cookie").is_some(), "{forged}");
    }
}

#[test]
fn the_key_comes_before_the_cookie_and_without_both_nobody_takes_part() {
    let services = FakeServices::new();
    let built = build(&format!("{TWO}\ncookie = {{ name = 'v' }}"), &services);
    let mut request = user("ann");
    assert!(variant(&built, &mut request).is_some());
    assert_eq!(request.response_header("set-cookie"), None);
    let services = FakeServices::new();
    let built = build(TWO, &services);
    // A field that came from elsewhere does not stay either.
    let mut request = FakeRequest::get("/").header("x-experiment", "big");
    assert_eq!(variant(&built, &mut request), None);
    assert_eq!(variant(&built, &mut user("")), None);
    assert_eq!(
        (services.metric("no_key"), services.metric("outside")),
        (2, 2)
    );
    assert_eq!(
        built.filter.identity_headers(),
        [HeaderName::from_static("x-experiment")]
    );
}

const FORCED: &str = "key = 'header:x-user'\nvariants = { old = 1, big = 0 }\n\
    force = { header = 'x-force', cidrs = ['10.0.0.0/8'], secret = '0123456789abcdef' }";

#[test]
fn testers_choose_and_nobody_else_does() {
    let services = FakeServices::new();
    let built = build(FORCED, &services);
    let ask = |value: &str, ip: [u8; 4]| {
        let mut request = user("ann").client_ip(ip).header("x-force", value);
        variant(&built, &mut request).unwrap()
    };
    let (inside, outside) = ([10, 1, 2, 3], [192, 0, 2, 1]);
    assert_eq!(ask("big", inside), "big");
    assert_eq!(ask("big", outside), "old");
    assert_eq!(ask("big 0123456789abcdef", outside), "big");
    assert_eq!(ask("big 0123456789abcdeF", outside), "old");
    assert_eq!(ask("big 0123456789abcdeF", inside), "old");
    assert_eq!(ask("huge", inside), "old");
    assert_eq!(ask("", inside), "old");
    assert_eq!(ask("0123456789abcdef", outside), "old");
    assert_eq!(services.metric_by("forced", "big"), 2);
    assert_eq!(services.metric("not_forced"), 6);
    assert_eq!(services.metric_by("assigned", "big"), 0);
    let force = HeaderName::from_static("x-force");
    assert_eq!(
        built.filter.credentials(),
        [Credential::Header(force.clone())]
    );
    assert!(built.filter.phases().contains(Phases::UPSTREAM_REQUEST));
    let mut upstream = FakeUpstreamRequest::new(user("ann").header("x-force", "big"));
    compliance::verdict(built.filter.upstream_request(&mut upstream));
    assert!(!upstream.headers.0.contains_key(force));
}

#[test]
fn it_says_what_it_did_and_what_it_would_do() {
    let services = FakeServices::new();
    let built = build(FORCED, &services);
    let explain = |request: &FakeRequest| {
        let asked = Explained {
            facts: request,
            raw_target: b"/",
            route: "test",
            body: b"",
        };
        built.filter.explain(&asked).join("\n")
    };
    let mut request = user("ann");
    assert_eq!(explain(&request), "experiment test: old");
    variant(&built, &mut request);
    assert_eq!(request.notes, "experiment test: old");
    let mut forced = user("ann").header("x-force", "big 0123456789abcdef");
    assert_eq!(explain(&forced), "experiment test: big, as a tester asked");
    variant(&built, &mut forced);
    assert_eq!(forced.notes, "experiment test: big, as a tester asked");
    assert_eq!(
        explain(&FakeRequest::get("/")),
        "it has no key, and takes no part"
    );
    assert_eq!(services.metric("no_key"), 0);
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("key = 'host'", "missing key \"variants\""),
        (
            "key = 'host'\nvariants = {}",
            "test.toml:2:12: E-OPTION-003 there are 0 variants",
        ),
        (
            "key = 'host'\nvariants = { a = 0, b = 0 }",
            "no variant has a weight",
        ),
        (
            "key = 'host'\nvariants = { a = 1000001 }",
            "test.toml:2:18: E-OPTION-003 a weight is from 0",
        ),
        (
            "key = 'host'\nvariants = { 'a b' = 1 }",
            "cannot be the name of a variant",
        ),
        (
            "variants = { a = 1 }",
            "E-OPTION-001 nothing tells one client from another",
        ),
        ("key = 'hots'\nvariants = { a = 1 }", "test.toml:1:7: "),
        (
            "variants = { a = 1 }\ncookie = { name = 'a b' }",
            "cannot be the name of a cookie",
        ),
        (
            "variants = { a = 1 }\ncookie = { name = 'a', max_age = '401d' }",
            "from 1s to 400d",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nsalt = ''",
            "salt has 1 to 128 bytes",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nshare = '101%'",
            "test.toml:3:9: ",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nshare = '0%'",
            "does nothing",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nheader = 'te'",
            "belongs to one connection",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nforce = { header = 'x-f' }",
            "nobody may choose",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nforce = { header = 'x-experiment', cidrs = ['10.0.0.0/8'] }",
            "take another field",
        ),
        (
            "key = 'host'\nvariants = { a = 1 }\nforce = { header = 'x-f', secret = 'short' }",
            "shorter than 16 bytes",
        ),
    ] {
        let error = compliance::build(KIND, table, &FakeServices::new())
            .err()
            .unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
}
