use std::time::Duration;

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Answer, Built, Explained, Phases, Request, Verdict};
use proptest::prelude::*;

use super::KIND;

const UNTIL: &str = "until = 2026-06-01T00:00:00Z\n";

fn build(table: &str, services: &FakeServices) -> Built {
    compliance::build(KIND, &format!("{UNTIL}{table}"), services).unwrap()
}

fn verdict(built: &Built) -> Verdict {
    compliance::verdict(built.filter.request_head(&mut FakeRequest::get("/")))
}

/// The status of the reply; 0 for a request that goes on.
fn status(built: &Built, mut request: FakeRequest) -> u16 {
    match compliance::verdict(built.filter.request_head(&mut request)) {
        Verdict::Continue => 0,
        Verdict::Reply(reply) => {
            assert!(reply.problem && reply.detail == "fault_injected");
            reply.status.as_u16()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn a_delay_waits_and_goes_on() {
    let services = FakeServices::new();
    let built = build("delay = { share = '100%', time = '200ms' }", &services);
    let before = farmgate_plugin_api::services::Clock::now(&*services.clock);
    let mut request = FakeRequest::get("/");
    let answer = built.filter.request_head(&mut request);
    assert!(matches!(answer, Answer::Wait(_)));
    assert_eq!(services.metric("held"), 1);
    assert!(matches!(compliance::verdict(answer), Verdict::Continue));
    let after = farmgate_plugin_api::services::Clock::now(&*services.clock);
    assert_eq!(after - before, Duration::from_millis(200));
    assert_eq!(services.metric_by("injected", "delay"), 1);
    assert_eq!(services.metric("held"), 0);
    assert_eq!(request.notes, "fault: delayed by 200 ms");
}

#[test]
fn an_abort_answers_or_resets_after_the_delay() {
    let services = FakeServices::new();
    let built = build("abort = { share = '100%', status = 503 }", &services);
    assert_eq!(status(&built, FakeRequest::get("/")), 503);
    let reset = build(
        "abort = { share = '100%', reset = true }\ndelay = { share = '100%', time = '1s' }",
        &services,
    );
    let mut request = FakeRequest::get("/");
    let answer = reset.filter.request_head(&mut request);
    assert!(matches!(answer, Answer::Wait(_)));
    assert!(matches!(compliance::verdict(answer), Verdict::Reset));
    for (fault, count) in [("abort", 1), ("reset", 1), ("delay", 1), ("throttle", 0)] {
        assert_eq!(services.metric_by("injected", fault), count, "{fault}");
    }
}

#[test]
fn each_fault_takes_its_share() {
    let services = FakeServices::new();
    let built = build(
        "delay = { share = '10%', time = '1ms' }\nabort = { share = '1%', status = 503 }",
        &services,
    );
    let aborted = (0..20_000).filter(|_| status(&built, FakeRequest::get("/")) == 503);
    let aborted = aborted.count();
    assert!((140..=260).contains(&aborted), "{aborted}");
    let delayed = services.metric_by("injected", "delay");
    assert!((1_800..=2_200).contains(&delayed), "{delayed}");
    assert_eq!(services.metric_by("injected", "abort"), aborted as u64);
}

#[test]
fn only_requests_that_are_meant_meet_it() {
    let built = build(
        "abort = { share = '100%', status = 500 }\nonly = { headers = { x-chaos = '1', x-team = 'a' } }",
        &FakeServices::new(),
    );
    let request = || FakeRequest::get("/").header("x-team", "a");
    assert_eq!(status(&built, request()), 0);
    assert_eq!(status(&built, request().header("x-chaos", "10")), 0);
    assert_eq!(status(&built, request().header("x-chaos", "1")), 500);
    let twice = request().header("x-chaos", "0").header("x-chaos", "1");
    assert_eq!(status(&built, twice), 500);
    assert_eq!(
        status(&built, FakeRequest::get("/").header("x-chaos", "1")),
        0
    );
}

#[test]
fn once_past_it_does_nothing_and_a_check_warns() {
    let services = FakeServices::new();
    // The fake clock begins at 2026-01-01T00:00:00Z.
    let table = "abort = { share = '100%', status = 503 }\nuntil = 2026-01-01T00:01:00Z";
    let built = compliance::build(KIND, table, &services).unwrap();
    assert_eq!(status(&built, FakeRequest::get("/")), 503);
    services.run_periodic();
    assert_eq!(services.metric("active"), 1);
    services.clock.advance(Duration::from_secs(59));
    assert_eq!(status(&built, FakeRequest::get("/")), 503);
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(status(&built, FakeRequest::get("/")), 0);
    services.run_periodic();
    assert_eq!(services.metric("active"), 0);
    let warnings = services.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0]
            .contains("FAULTS ARE INJECTED until 2026-01-01T00:01:00Z: 100% answered with 503")
    );
    assert!(warnings[1].contains("has passed"));
    let error = compliance::build(KIND, table, &services).err().unwrap();
    assert!(
        error.contains("test.toml:2:9: warning E-OPTION-004"),
        "{error}"
    );
    assert!(
        error.contains("has passed: this plugin does nothing"),
        "{error}"
    );
}

#[test]
fn the_switch_is_told_and_an_old_instance_does_not_overwrite_a_new_one() {
    let services = FakeServices::new();
    let table = "abort = { share = '100%', status = 503 }";
    let old = build(table, &services);
    services.run_periodic();
    services.turn(false);
    services.run_periodic();
    assert_eq!(services.metric("active"), 0);
    services.turn(true);
    services.run_periodic();
    services.run_periodic();
    assert_eq!(services.metric("active"), 1);
    let told = services.warnings();
    let told: Vec<bool> = told
        .iter()
        .map(|text| text.contains("switched off"))
        .collect();
    assert_eq!(told, [false, true, false]);
    let new = build(table, &services);
    services.run_periodic();
    drop(old);
    assert_eq!(services.metric("active"), 1);
    drop(new);
    assert_eq!(services.metric("active"), 0);
}

#[test]
fn so_many_are_held_and_no_more() {
    let services = FakeServices::new();
    let built = build(
        "delay = { share = '100%', time = '1s' }\nthrottle = { share = '0%', bytes_per_second = '4KiB' }\nmax_active = 2",
        &services,
    );
    let mut requests: Vec<_> = (0..3).map(|_| FakeRequest::get("/")).collect();
    let mut answers: Vec<_> = requests
        .iter_mut()
        .map(|request| built.filter.request_head(request))
        .collect();
    let waits = answers.iter().filter(|a| matches!(a, Answer::Wait(_)));
    assert_eq!(waits.count(), 2);
    assert_eq!(
        (services.metric("held"), services.metric("skipped")),
        (2, 1)
    );
    // A client that leaves gives its place back.
    drop(answers.remove(0));
    assert_eq!(services.metric("held"), 1);
    assert!(matches!(verdict(&built), Verdict::Continue));
    assert_eq!(services.metric("skipped"), 1);
}

#[test]
fn a_throttled_body_takes_its_bytes_by_the_rate() {
    let services = FakeServices::new();
    let built = build(
        "throttle = { share = '100%', bytes_per_second = '4KiB' }",
        &services,
    );
    assert!(built.filter.phases().contains(Phases::RESPONSE_BODY));
    let mut request = FakeRequest::get("/");
    assert!(matches!(
        compliance::verdict(built.filter.request_head(&mut request)),
        Verdict::Continue
    ));
    assert_eq!(services.metric("held"), 1);
    let piece = |request: &mut FakeRequest, bytes: usize| {
        request.body_delay = Duration::ZERO;
        let mut chunk = Some(Bytes::from(vec![b'x'; bytes]));
        let passed = built.filter.response_body(request, &mut chunk, false);
        assert!(passed.is_ok() && chunk.is_some_and(|chunk| chunk.len() == bytes));
        request.body_delay
    };
    assert_eq!(piece(&mut request, 4096), Duration::from_secs(1));
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(piece(&mut request, 2048), Duration::from_millis(500));
    // The origin itself was slow: nothing to add.
    services.clock.advance(Duration::from_secs(10));
    assert_eq!(piece(&mut request, 4096), Duration::ZERO);
    assert_eq!(piece(&mut request, 0), Duration::ZERO);
    // A response that was not drawn is not touched.
    assert_eq!(piece(&mut FakeRequest::get("/"), 4096), Duration::ZERO);
    drop(request);
    assert_eq!(services.metric("held"), 0);
}

#[test]
fn explain_says_what_may_happen() {
    let services = FakeServices::new();
    let table = "abort = { share = '1%', reset = true }\nonly = { headers = { x-chaos = '1' } }";
    let built = build(table, &services);
    let explain = |request: &FakeRequest| {
        let asked = Explained {
            facts: request,
            raw_target: request.raw_target(),
            route: "r",
            body: b"",
        };
        built.filter.explain(&asked).join("\n")
    };
    assert!(explain(&FakeRequest::get("/")).contains("lacks"));
    let meant = FakeRequest::get("/").header("x-chaos", "1");
    let text = explain(&meant);
    assert!(
        text.contains("faults until 2026-06-01T00:00:00Z: 1% reset"),
        "{text}"
    );
    services.turn(false);
    assert!(explain(&meant).contains("switched off"));
    services.clock.advance(Duration::from_secs(400 * 86_400));
    assert!(explain(&meant).contains("has passed"));
    assert_eq!(services.metric("injected"), 0);
}

#[test]
fn mistakes_are_placed() {
    let services = FakeServices::new();
    for (table, text) in [
        ("", "missing key \"until\""),
        ("until = '2027-01-01T00:00:00Z'", "test.toml:1:9: "),
        ("until = 2027-01-01", "test.toml:1:9: "),
        ("until = 2027-01-01T00:00:00", "2027-01-01T00:00:00Z"),
        ("until = 2027-01-01T00:00:00Z", "injects no fault"),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '0%', status = 503 }",
            "injects no fault",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%' }",
            "test.toml:2:9: E-OPTION-001",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 503, reset = true }",
            "exclude",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 200 }",
            "test.toml:2:34: E-OPTION-003",
        ),
        (
            "until = 2027-01-01T00:00:00Z\ndelay = { share = '1%', time = '0s' }",
            "test.toml:2:32: E-OPTION-003",
        ),
        (
            "until = 2027-01-01T00:00:00Z\ndelay = { share = '1%', time = '11m' }",
            "at most 10m",
        ),
        (
            "until = 2027-01-01T00:00:00Z\ndelay = { time = '1s' }",
            "missing key \"share\"",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nthrottle = { share = '1%', bytes_per_second = '1KiB' }",
            "at least 4KiB",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 503 }\nmax_active = 0",
            "test.toml:3:14: E-OPTION-003",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 503 }\nonly = { headers = { 'x y' = '1' } }",
            "test.toml:3:",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 503 }\nonly = { headers = { x = \"a\\nb\" } }",
            "test.toml:3:26: E-OPTION-003",
        ),
        (
            "until = 2027-01-01T00:00:00Z\nabort = { share = '1%', status = 503 }\nonly = { headers = { a='', b='', c='', d='', e='', f='', g='', h='', i='' } }",
            "at most 8",
        ),
    ] {
        let error = compliance::build(KIND, table, &services)
            .err()
            .unwrap_or_default();
        assert!(error.contains(text), "{table}: {error}");
    }
}

proptest! {
    /// Whatever the pieces and whatever else takes time: the body as a whole takes its bytes by the rate, and no longer.
    #[test]
    fn throttling_is_exact_as_a_whole(
        pieces in prop::collection::vec((1_usize..100_000, 0_u64..300), 1..30),
        rate_kib in 4_u64..1000,
    ) {
        let services = FakeServices::new();
        let rate = rate_kib << 10;
        let built = build(
            &format!("throttle = {{ share = '100%', bytes_per_second = '{rate_kib}KiB' }}"),
            &services,
        );
        let mut request = FakeRequest::get("/");
        let _ = compliance::verdict(built.filter.request_head(&mut request));
        let (mut now, mut sum, mut late) = (Duration::ZERO, 0_u64, Duration::ZERO);
        for (number, (bytes, pause_ms)) in pieces.into_iter().enumerate() {
            if number > 0 {
                let pause = Duration::from_millis(pause_ms);
                services.clock.advance(pause);
                now += pause;
            }
            request.body_delay = Duration::ZERO;
            let mut chunk = Some(Bytes::from(vec![0; bytes]));
            built.filter.response_body(&mut request, &mut chunk, false).unwrap();
            services.clock.advance(request.body_delay);
            now += request.body_delay;
            sum += bytes as u64;
            let due = Duration::from_nanos((u128::from(sum) * 1_000_000_000 / u128::from(rate)) as u64);
            prop_assert!(now >= due);
            late = late.max(now - due);
            // Late only by what somebody else took.
            prop_assert!(request.body_delay.is_zero() || now == due);
        }
    }
}
