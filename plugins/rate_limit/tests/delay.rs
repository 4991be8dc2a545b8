//! Waiting for room instead of being refused.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use farmgate_plugin_api::compliance::FakeServices;
use farmgate_plugin_api::{Answer, Verdict};

use super::super::store::Store;
use super::super::waiting::{Delay, NoPlace, Waiting};
use super::{ask, build, user};
use farmgate_plugin_api::Services;

const SLOW: &str =
    "max_delay = '2s'\nlimits = [{ key = 'header:x-user', rate = 2, per = '1s', burst = 1 }]";

#[test]
fn a_request_over_the_limit_waits_for_its_turn() {
    let services = FakeServices::new();
    let built = build(SLOW, &services);
    let began = services.clock().now();
    // The clock of tests moves on by what somebody waits.
    for n in 0..5_u32 {
        assert_eq!(ask(&built, &mut user("ann")).0, 0);
        let passed = services.clock().now() - began;
        assert_eq!(passed, Duration::from_millis(500) * n);
    }
    assert_eq!(services.metric("delayed"), 4);
    assert_eq!(services.metric("allowed"), 5);
    assert_eq!(services.metric("denied"), 0);
}

#[test]
fn what_would_wait_too_long_is_refused_and_told_when_to_come_back() {
    let services = FakeServices::new();
    let table =
        "max_delay = '2s'\nlimits = [{ key = 'header:x-user', rate = 1, per = '3s', burst = 1 }]";
    let built = build(table, &services);
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
    assert_eq!(ask(&built, &mut user("ann")), (429, "3".to_owned()));
    assert_eq!(services.metric("delayed"), 0);
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
}

#[test]
fn a_dry_run_delays_nobody_and_a_shut_gate_is_not_waited_for() {
    let services = FakeServices::new();
    let built = build(&format!("dry_run = true\n{SLOW}"), &services);
    for _ in 0..3 {
        assert_eq!(ask(&built, &mut user("ann")).0, 0);
    }
    assert_eq!(services.metric("delayed"), 0);
    let services = FakeServices::new();
    let built = build(
        &format!("concurrency = [{{ key = 'global', most = 1 }}]\n{SLOW}"),
        &services,
    );
    let mut first = user("ann");
    assert_eq!(ask(&built, &mut first).0, 0);
    assert_eq!(ask(&built, &mut user("ann")).0, 429);
    drop(first);
    // Now only the rate is in the way.
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
    assert_eq!(services.metric("delayed"), 1);
}

fn delay(most: usize) -> Delay {
    Delay {
        longest: Duration::from_nanos(100),
        most,
        waiting: Arc::new(Waiting::default()),
    }
}

#[test]
fn lines_are_kept_apart_and_bounded_and_leaving_makes_room() {
    let services = FakeServices::new();
    let store = Store::new(services.clock(), 10);
    let (ann, bob) = (
        (store.id(), store.key(b"ann")),
        (store.id(), store.key(b"bob")),
    );
    let delay = delay(4);
    let wait = |line| {
        delay
            .enter(line, 30, 20)
            .map(|(ticket, wait)| (ticket, wait.as_nanos()))
    };
    let (first, one) = wait(ann).ok().unwrap();
    let (second, two) = wait(ann).ok().unwrap();
    let (_third, three) = wait(ann).ok().unwrap();
    assert_eq!((one, two, three), (30, 50, 70));
    let (_other, alone) = wait(bob).ok().unwrap();
    assert_eq!(alone, 30);
    assert_eq!(wait(bob).err(), Some(NoPlace::Full));
    assert_eq!(delay.waiting.len(), 4);
    drop(first);
    drop(second);
    assert_eq!(wait(ann).ok().unwrap().1, 50);
    assert_eq!(delay.enter(bob, 90, 20).err(), Some(NoPlace::TooLong(110)));
    assert_eq!(delay.waiting.len(), 2);
}

#[test]
fn a_client_that_leaves_while_it_waits_gives_up_its_place_and_costs_nothing() {
    let services = FakeServices::new();
    let built = build(SLOW, &services);
    assert_eq!(ask(&built, &mut user("ann")).0, 0);
    let mut gone = user("ann");
    let Answer::Wait(future) = built.filter.request_head(&mut gone) else {
        panic!("it does not wait")
    };
    // Never polled, as when the connection closes first.
    drop(future);
    let mut next = user("ann");
    let Answer::Wait(mut future) = built.filter.request_head(&mut next) else {
        panic!("it does not wait")
    };
    let mut context = Context::from_waker(Waker::noop());
    let polled = Pin::as_mut(&mut future).poll(&mut context);
    assert!(matches!(polled, Poll::Ready(Verdict::Continue)));
    drop(future);
    assert_eq!(services.metric("allowed"), 2);
    assert_eq!(built.filter.report(), ["0 of 1000 requests wait"]);
}
