//! Plans, and who is exempt from all limits.

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices, FakeUpstreamRequest};
use farmgate_plugin_api::filter::Phases;
use farmgate_plugin_api::{Consumer, Credential, Request};
use http::HeaderName;

use super::super::KIND;
use super::{ask, build};

const PLANS: &str = "default_plan = 'free'\n\
    limits = [{ key = 'client_ip', rate = 5, per = '1h' }]\n\
    [plans.free]\nlimits = [{ key = 'consumer', rate = 1, per = '1h' }]\n\
    [plans.gold]\nlimits = [{ key = 'consumer', rate = 3, per = '1h' }]\n\
    [plans.staff]";

fn of(name: &str, plan: Option<&str>, ip: u8) -> FakeRequest {
    let mut request = FakeRequest::get("/").client_ip([10, 0, 0, ip]);
    request.set_consumer(Consumer {
        name: name.into(),
        plan: plan.map(Into::into),
        ..Consumer::default()
    });
    request
}

fn passes(built: &farmgate_plugin_api::Built, mut request: impl FnMut() -> FakeRequest) -> usize {
    (0..10)
        .filter(|_| ask(built, &mut request()).0 == 0)
        .count()
}

#[test]
fn each_plan_has_its_own_limits_beside_the_common_ones() {
    let services = FakeServices::new();
    let built = build(PLANS, &services);
    assert_eq!(passes(&built, || of("ann", Some("gold"), 1)), 3);
    assert_eq!(passes(&built, || of("bob", Some("free"), 2)), 1);
    assert_eq!(passes(&built, || of("cid", None, 3)), 1);
    assert_eq!(passes(&built, || of("dan", Some("staff"), 4)), 5);
    assert_eq!(services.metric("unknown_plan"), 0);
    assert_eq!(passes(&built, || of("eve", Some("other"), 5)), 1);
    assert_eq!(services.metric("unknown_plan"), 10);
    // Without a consumer the default plan's limit has no key, and what holds for everybody holds.
    assert_eq!(
        passes(&built, || FakeRequest::get("/").client_ip([10, 0, 0, 6])),
        5
    );
    let mut request = of("fay", Some("gold"), 7);
    ask(&built, &mut request);
    assert_eq!(
        request.response_header("ratelimit-policy"),
        Some("\"client_ip\";q=5;w=3600, \"gold/consumer\";q=3;w=3600")
    );
    assert_eq!(services.metric_by("denied_by", "gold/consumer"), 7);
    assert_eq!(services.metric_by("denied_by", "client_ip"), 10);
}

#[test]
fn a_plan_is_counted_apart_from_another() {
    let services = FakeServices::new();
    let table = "[plans.free]\nlimits = [{ key = 'client_ip', rate = 1, per = '1h' }]\n\
                 [plans.gold]\nlimits = [{ key = 'client_ip', rate = 9, per = '1h' }]";
    let built = build(table, &services);
    assert_eq!(passes(&built, || of("ann", Some("gold"), 1)), 9);
    assert_eq!(passes(&built, || of("bob", Some("free"), 1)), 1);
    // Nobody's limits without a plan.
    assert_eq!(passes(&built, || of("cid", None, 1)), 10);
}

const EXEMPT: &str = "limits = [{ key = 'global', rate = 1, per = '1h' }]\n\
    [exempt]\ncidrs = ['10.0.0.0/8', '2001:db8::/32']\nconsumers = ['monitor']\n\
    header = 'x-internal'\nsecret = '0123456789abcdef'";

#[test]
fn who_is_exempt_is_never_counted() {
    let services = FakeServices::new();
    let built = build(EXEMPT, &services);
    assert_eq!(
        passes(&built, || FakeRequest::get("/").client_ip([10, 9, 9, 9])),
        10
    );
    let v6 = [0x2001_u16, 0xdb8, 0, 0, 0, 0, 0, 1];
    assert_eq!(passes(&built, || FakeRequest::get("/").client_ip(v6)), 10);
    assert_eq!(
        passes(&built, || FakeRequest::get("/").consumer("monitor")),
        10
    );
    let secret = || FakeRequest::get("/").header("x-internal", "0123456789abcdef");
    assert_eq!(passes(&built, secret), 10);
    assert_eq!(services.metric("exempt"), 40);
    let mut request = secret();
    ask(&built, &mut request);
    assert!(request.response_headers.is_empty());
    // A wrong secret is nothing special: one request is left for all others.
    let wrong = || FakeRequest::get("/").header("x-internal", "0123456789abcdeF");
    assert_eq!(passes(&built, wrong), 1);
    assert_eq!(
        passes(&built, || FakeRequest::get("/").header("x-internal", "")),
        0
    );
}

#[test]
fn the_secret_is_a_credential_and_goes_no_further() {
    let services = FakeServices::new();
    let built = build(EXEMPT, &services);
    let name = HeaderName::from_static("x-internal");
    assert_eq!(
        built.filter.credentials(),
        [Credential::Header(name.clone())]
    );
    assert!(built.filter.phases().contains(Phases::UPSTREAM_REQUEST));
    let request = FakeRequest::get("/").header("x-internal", "0123456789abcdef");
    let mut upstream = FakeUpstreamRequest::new(request);
    compliance::verdict(built.filter.upstream_request(&mut upstream));
    assert!(!upstream.headers.0.contains_key(name));
}

#[test]
fn mistakes_in_plans_and_exemptions_are_placed() {
    for (table, text) in [
        (
            "default_plan = 'gold'\n[plans.free]",
            "test.toml:1:16: E-OPTION-003 there is no plan `gold`",
        ),
        ("default_plan = 'gold'\nlimits = []", "write it into plans"),
        ("[plans.'a/b']", "cannot be the name of a plan"),
        ("[plans.a]\nlimit = []", "\"limits\""),
        (
            "concurrency = [{ key = 'global', most = 0 }]",
            "test.toml:1:41: E-OPTION-003 most is from 1",
        ),
        (
            "max_delay = '2m'\nlimits = [{ key = 'global', rate = 1, per = '1s' }]",
            "from 1ms to 60s",
        ),
        (
            "max_waiting = 5\nlimits = [{ key = 'global', rate = 1, per = '1s' }]",
            "nothing waits without max_delay",
        ),
        (
            "max_waiting = 0\nmax_delay = '1s'\nlimits = [{ key = 'global', rate = 1, per = '1s' }]",
            "max_waiting is from 1",
        ),
        (
            "top = 1001\nlimits = [{ key = 'global', rate = 1, per = '1s' }]",
            "top is from 0 to 1000",
        ),
        ("[exempt]\nheader = 'x-a'", "go together"),
        ("[exempt]\nsecret = '0123456789abcdef'", "go together"),
        (
            "[exempt]\nheader = 'x-a'\nsecret = 'short'",
            "test.toml:3:10: E-OPTION-003 this secret is shorter",
        ),
        ("[exempt]\ncidrs = ['10.0.0.1/8']", "test.toml:2:10"),
        (
            "limits = [{ key = 'header:cookie', rate = 1, per = '1s', reveal = true }]",
            "is a credential",
        ),
    ] {
        let error = compliance::build(KIND, table, &FakeServices::new())
            .err()
            .unwrap();
        assert!(error.contains(text), "{table}: {error}");
        assert!(!error.contains("0123456789abcdef"), "{error}");
    }
    let nine = "{ key = 'global', rate = 1, per = '1s' },".repeat(5);
    let table = format!("limits = [{nine}]\n[plans.free]\nlimits = [{nine}]");
    let error = compliance::build(KIND, &table, &FakeServices::new())
        .err()
        .unwrap();
    assert!(
        error.contains("a request meets 10 limits here; 1 to 8 are possible"),
        "{error}"
    );
}
