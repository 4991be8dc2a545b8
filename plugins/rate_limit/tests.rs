use std::net::Ipv4Addr;
use std::time::Duration;

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Built, Explained, Verdict};

use super::KIND;

mod delay;
mod in_flight;
mod million;
mod oracle;
mod plans;
mod saved;
mod top;

const TWO: &str = "limits = [\
    { key = 'header:x-user', rate = 2, per = '1s' },\
    { key = 'client_ip', rate = 3, per = '1s' }]";

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, table, services).unwrap()
}

/// The status and `Retry-After`; status 0 for a request that passes.
fn ask(built: &Built, request: &mut FakeRequest) -> (u16, String) {
    match compliance::verdict(built.filter.request_head(request)) {
        Verdict::Continue => (0, String::new()),
        Verdict::Reply(reply) => {
            assert!(reply.problem);
            let mut after = String::new();
            for (name, value) in &reply.headers {
                assert_eq!(name, "retry-after");
                value.to_str().unwrap().clone_into(&mut after);
            }
            (reply.status.as_u16(), after)
        }
        other => panic!("{other:?}"),
    }
}

fn explained(request: &FakeRequest) -> Explained<'_> {
    Explained {
        facts: request,
        raw_target: b"/",
        route: "test",
        body: b"",
    }
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
fn all_or_nothing() {
    let services = FakeServices::new();
    let built = build(TWO, &services);
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
    // Refused by the user's limit, so the address keeps its last request.
    for _ in 0..5 {
        assert_eq!(ask(&built, &mut user("ann")), (429, "1".to_owned()));
    }
    assert_eq!(ask(&built, &mut user("bob")).0, 0);
    assert_eq!(ask(&built, &mut user("bob")).0, 429);
    // Refused by the address's limit, so bob has one left elsewhere.
    let mut elsewhere = user("bob").client_ip([198, 51, 100, 1]);
    assert_eq!(ask(&built, &mut elsewhere).0, 0);
    assert_eq!(services.metric("allowed"), 4);
    assert_eq!(services.metric("denied"), 6);
}

#[test]
fn time_gives_requests_back_one_by_one() {
    let services = FakeServices::new();
    let built = build(
        "limits = [{ key = 'global', rate = 3, per = '1s' }]",
        &services,
    );
    let go = || ask(&built, &mut FakeRequest::get("/")).0;
    assert_eq!([go(), go(), go(), go()], [0, 0, 0, 429]);
    services.clock.advance(Duration::from_nanos(333_333_333));
    assert_eq!(go(), 429);
    // A third of a second is 333,333,333 and a third nanoseconds: one more is enough.
    services.clock.advance(Duration::from_nanos(1));
    assert_eq!([go(), go()], [0, 429]);
    services.clock.advance(Duration::from_secs(3600));
    assert_eq!([go(), go(), go(), go()], [0, 0, 0, 429]);
}

#[test]
fn a_missing_key_does_not_count() {
    let services = FakeServices::new();
    let built = build(
        "limits = [{ key = 'header:x-user', rate = 1, per = '1h' }]",
        &services,
    );
    for _ in 0..5 {
        let mut request = FakeRequest::get("/");
        assert_eq!(ask(&built, &mut request).0, 0);
        assert_eq!(request.response_header("ratelimit"), None);
    }
    assert_eq!(ask(&built, &mut user("")).0, 0);
    assert_eq!(ask(&built, &mut user("")), (429, "3600".to_owned()));
}

#[test]
fn ipv6_counts_by_64_bits() {
    let services = FakeServices::new();
    let built = build(
        "limits = [{ key = 'client_ip', rate = 1, per = '1m' }]",
        &services,
    );
    let go = |host: u16, net: u16| {
        let ip = [0x2001, 0xdb8, 0, net, 0, 0, 0, host];
        ask(&built, &mut FakeRequest::get("/").client_ip(ip)).0
    };
    assert_eq!([go(1, 1), go(2, 1), go(1, 2)], [0, 429, 0]);
}

#[test]
fn responses_say_where_the_client_stands() {
    let services = FakeServices::new();
    let built = build(
        "limits = [{ key = 'header:x-user', rate = 10, per = '1m', burst = 2 },\
         { key = 'client_ip', rate = 5, per = '500ms' }]",
        &services,
    );
    let mut request = user("ann");
    ask(&built, &mut request);
    assert_eq!(
        request.response_header("ratelimit-policy"),
        Some("\"header:x-user\";q=10;w=60, \"client_ip\";q=5")
    );
    assert_eq!(
        request.response_header("ratelimit"),
        Some("\"header:x-user\";r=1;t=6, \"client_ip\";r=4;t=1")
    );
    ask(&built, &mut user("ann"));
    let mut refused = user("ann");
    assert_eq!(ask(&built, &mut refused), (429, "6".to_owned()));
    assert_eq!(
        refused.response_header("ratelimit"),
        Some("\"header:x-user\";r=0;t=12, \"client_ip\";r=2;t=1")
    );
    let quiet = build(
        "headers = false\nlimits = [{ key = 'host', rate = 1, per = '1s' }]",
        &services,
    );
    let mut request = FakeRequest::get("/");
    ask(&quiet, &mut request);
    assert!(request.response_headers.is_empty());
}

#[test]
fn a_dry_run_refuses_nobody_and_says_nothing() {
    let services = FakeServices::new();
    let built = build(
        "dry_run = true\nlimits = [{ key = 'client_ip', rate = 1, per = '1m' }]",
        &services,
    );
    for _ in 0..3 {
        let mut request = FakeRequest::get("/");
        assert_eq!(ask(&built, &mut request).0, 0);
        assert!(request.response_headers.is_empty());
    }
    assert_eq!(services.metric("allowed"), 1);
    assert_eq!(services.metric("dry_denied"), 2);
    assert_eq!(services.metric("denied"), 0);
}

#[test]
fn state_stays_and_new_settings_hold_at_once() {
    let services = FakeServices::new();
    let limit = |rate: u32, per: &str, extra: &str| {
        format!("limits = [{extra}{{ key = 'client_ip', rate = {rate}, per = '{per}' }}]")
    };
    let go = |built: &Built| ask(built, &mut FakeRequest::get("/")).0;
    let first = build(&limit(2, "1m", ""), &services);
    assert_eq!([go(&first), go(&first), go(&first)], [0, 0, 429]);
    let same = build(
        &limit(2, "1m", "{ key = 'host', rate = 9, per = '1s' }, "),
        &services,
    );
    assert_eq!(go(&same), 429);
    // A quicker limit never waits for longer than its own burst takes.
    let quick = build(&limit(1, "1s", ""), &services);
    assert_eq!(go(&quick), 429);
    services.clock.advance(Duration::from_secs(1));
    assert_eq!([go(&quick), go(&quick)], [0, 429]);
    // A second limit on the same key counts apart.
    let twice = build(
        &limit(5, "1s", "{ key = 'client_ip', rate = 1, per = '1s' }, "),
        &services,
    );
    services.clock.advance(Duration::from_secs(1));
    let mut request = FakeRequest::get("/");
    ask(&twice, &mut request);
    assert_eq!(
        request.response_header("ratelimit"),
        Some("\"client_ip\";r=0;t=1, \"client_ip#2\";r=4;t=1")
    );
}

#[test]
fn memory_is_bounded_and_losses_are_counted() {
    let services = FakeServices::new();
    let built = build(
        "max_keys = 100\nlimits = [{ key = 'client_ip', rate = 1, per = '1m' }]",
        &services,
    );
    let from = |n: u32| FakeRequest::get("/").client_ip(Ipv4Addr::from_bits(n));
    for n in 0..100 {
        assert_eq!(ask(&built, &mut from(n)).0, 0);
    }
    assert_eq!(services.metric("evicted"), 0);
    for n in 100..1000 {
        assert_eq!(ask(&built, &mut from(n)).0, 0);
    }
    assert_eq!(services.metric("evicted"), 900);
    // Keys that are full again make room without a loss.
    let lost = services.metric("evicted");
    services.clock.advance(Duration::from_secs(61));
    for n in 1000..1050 {
        assert_eq!(ask(&built, &mut from(n)).0, 0);
    }
    assert_eq!(services.metric("evicted"), lost);
}

#[test]
fn a_sharded_table_is_bounded_too() {
    let services = FakeServices::new();
    let table = "max_keys = 2000\nlimits = [{ key = 'client_ip', rate = 1, per = '1m' }]";
    let built = build(table, &services);
    for n in 0..10_000 {
        let mut request = FakeRequest::get("/").client_ip(Ipv4Addr::from_bits(n));
        assert_eq!(ask(&built, &mut request).0, 0);
    }
    // A shard that is still empty when the table is full takes one key more.
    assert!((7984..=8000).contains(&services.metric("evicted")));
}

#[test]
fn threads_never_share_what_is_left_for_one() {
    let services = FakeServices::new();
    let build = |order: bool| {
        let (a, b) = (
            "{ key = 'client_ip', rate = 500, per = '1h' }",
            "{ key = 'header:x-user', rate = 700, per = '1h' }",
        );
        let (one, two) = if order { (a, b) } else { (b, a) };
        build(&format!("limits = [{one}, {two}]"), &services)
    };
    // Two generations that name the limits in another order must not wait for each other for ever.
    let (old, new) = (build(true), build(false));
    let passed = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (built, passed) = (if n % 2 == 0 { &old } else { &new }, &passed);
            scope.spawn(move || {
                for _ in 0..500 {
                    let free = ask(built, &mut user("ann")).0 == 0;
                    passed.fetch_add(u32::from(free), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 500);
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        (
            "limits = []",
            "test.toml:1:10: E-OPTION-003 this plugin limits nothing",
        ),
        (
            "limits = [{ key = 'client_ip', rate = 0, per = '1s' }]",
            "test.toml:1:11: E-OPTION-003",
        ),
        (
            "limits = [{ key = 'client_ip', rate = 1, per = '0s' }]",
            "impossible",
        ),
        (
            "limits = [{ key = 'client_ip', rate = 1, per = '365d', burst = 9 }]",
            "400 days",
        ),
        (
            "limits = [{ key = 'client', rate = 1, per = '1s' }]",
            "test.toml:1:19: ",
        ),
        (
            "limits = [{ key = 'header:', rate = 1, per = 1 }]",
            "test.toml:1:46: ",
        ),
        (
            "limits = [{ key = 'host', rate = 1, per = '1s', brust = 2 }]",
            "\"burst\"",
        ),
        ("", "limits nothing"),
    ] {
        let error = compliance::build(KIND, table, &FakeServices::new())
            .err()
            .unwrap();
        assert!(error.contains(text), "{table}: {error}");
    }
    let error = compliance::build(
        KIND,
        "limits = []\nmax_keys = 0\nstatus = 200",
        &FakeServices::new(),
    );
    let error = error.err().unwrap();
    assert_eq!(
        error
            .lines()
            .filter(|line| line.contains("E-OPTION-003"))
            .count(),
        3,
        "{error}"
    );
}
