//! Limits of requests in flight.

use std::sync::atomic::{AtomicI64, Ordering};

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices};
use farmgate_plugin_api::filter::{Outcome, Phases};
use farmgate_plugin_api::{Built, Request};

use super::super::in_flight::InFlight;
use super::{ask, build, user};

const TWO_EACH: &str = "concurrency = [{ key = 'header:x-user', most = 2 }]";

pub(super) fn end(built: &Built, mut request: FakeRequest) {
    let outcome = Outcome {
        status: None,
        reason: "client_gone",
        bytes_in: 0,
        bytes_out: 0,
        total_us: 0,
    };
    built.filter.log(&mut request, &outcome);
}

fn enter(built: &Built, name: &str) -> (u16, FakeRequest) {
    let mut request = user(name);
    (ask(built, &mut request).0, request)
}

#[test]
fn places_are_given_back_however_a_request_ends() {
    let services = FakeServices::new();
    let built = build(TWO_EACH, &services);
    assert!(built.filter.phases().contains(Phases::LOG));
    let (one, two) = (enter(&built, "ann"), enter(&built, "ann"));
    assert_eq!((one.0, two.0), (0, 0));
    assert_eq!(ask(&built, &mut user("ann")), (429, "1".to_owned()));
    assert_eq!(enter(&built, "bob").0, 0);
    end(&built, one.1);
    let three = enter(&built, "ann");
    assert_eq!(three.0, 0);
    assert_eq!(enter(&built, "ann").0, 429);
    // Without the phase `log`: the request's state is dropped with the request.
    drop(three.1);
    assert_eq!(enter(&built, "ann").0, 0);
    // And a place is given back once, not twice.
    let mut last = enter(&built, "ann").1;
    for _ in 0..3 {
        let outcome = Outcome {
            status: None,
            reason: "ok",
            bytes_in: 0,
            bytes_out: 0,
            total_us: 0,
        };
        built.filter.log(&mut last, &outcome);
    }
    drop(two);
    assert_eq!(
        services.metric_by("denied_by", "in_flight:header:x-user"),
        2
    );
    assert_eq!(services.metric("denied"), 2);
}

#[test]
fn rates_and_places_are_taken_together_or_not_at_all() {
    let services = FakeServices::new();
    let table = "limits = [{ key = 'header:x-user', rate = 2, per = '1h' }]\n\
                 concurrency = [{ key = 'global', most = 1 }]";
    let built = build(table, &services);
    let first = enter(&built, "ann");
    assert_eq!(first.0, 0);
    // The gate refuses, so the rate is not charged.
    for _ in 0..5 {
        assert_eq!(enter(&built, "ann").0, 429);
    }
    end(&built, first.1);
    let second = enter(&built, "ann");
    assert_eq!(second.0, 0);
    end(&built, second.1);
    // The rate refuses, so no place is taken.
    let refused = enter(&built, "ann");
    assert_eq!(refused.0, 429);
    assert_eq!(enter(&built, "bob").0, 0);
    drop(refused);
}

#[test]
fn a_plugin_that_stands_twice_takes_one_place() {
    let services = FakeServices::new();
    let built = build("concurrency = [{ key = 'global', most = 1 }]", &services);
    let mut request = FakeRequest::get("/");
    assert_eq!(ask(&built, &mut request).0, 0);
    assert_eq!(ask(&built, &mut request).0, 0);
    assert_eq!(ask(&built, &mut FakeRequest::get("/")).0, 429);
    end(&built, request);
    assert_eq!(ask(&built, &mut FakeRequest::get("/")).0, 0);
}

#[test]
fn the_table_is_bounded_and_a_reload_keeps_it() {
    let services = FakeServices::new();
    let table = "max_keys = 3\nconcurrency = [{ key = 'header:x-user', most = 5 }]";
    let built = build(table, &services);
    let held: Vec<_> = (0..3).map(|n| enter(&built, &n.to_string())).collect();
    let again = build(&table.replace("= 5", "= 1"), &services);
    assert_eq!(enter(&again, "0").0, 429);
    assert_eq!(enter(&again, "new").0, 429);
    assert_eq!(services.metric("in_flight_full"), 1);
    drop(held);
    assert_eq!(enter(&again, "new").0, 0);
}

#[test]
fn a_dry_run_counts_places_as_if_it_refused() {
    let services = FakeServices::new();
    let built = build(&format!("dry_run = true\n{TWO_EACH}"), &services);
    let held: Vec<_> = (0..5).map(|_| enter(&built, "ann")).collect();
    assert!(held.iter().all(|(status, _)| *status == 0));
    assert_eq!(services.metric("dry_denied"), 3);
    drop(held);
    assert_eq!(enter(&built, "ann").0, 0);
    assert_eq!(services.metric("allowed"), 3);
}

#[test]
fn an_empty_table_holds_no_key() {
    let table = InFlight::new(10_000);
    let keys: Vec<_> = (0..5000_u32)
        .map(|n| table.key(format!("a key of some length {n}").as_bytes()))
        .collect();
    for key in &keys {
        table.enter(&mut table.lock(*key).unwrap(), *key);
    }
    assert_eq!(table.len(), 5000);
    let mut held = super::super::in_flight::Held::default();
    let table = std::sync::Arc::new(table);
    for key in &keys {
        held.add(0, &table, *key);
        held.release();
    }
    assert_eq!(table.len(), 0);
    assert!(keys.iter().all(|key| table.count(*key) == 0));
}

#[test]
fn threads_never_pass_a_gate_together() {
    let services = FakeServices::new();
    let table = "concurrency = [{ key = 'global', most = 3 }, { key = 'client_ip', most = 2 }]";
    let built = build(table, &services);
    let (inside, most, passed) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (built, inside, most, passed) = (&built, &inside, &most, &passed);
            scope.spawn(move || {
                for n in 0..2000_u32 {
                    let mut request = FakeRequest::get("/").client_ip([10, 0, 0, thread % 2]);
                    if ask(built, &mut request).0 != 0 {
                        continue;
                    }
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    passed.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if n % 2 == 0 {
                        end(built, request);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert!(passed.into_inner() > 0);
    let mut request = FakeRequest::get("/");
    assert_eq!(ask(&built, &mut request).0, 0);
    assert!(request.state().is_some());
}
