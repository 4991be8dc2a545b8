//! Requests that wait for keys. The wait ends when a fetch does; the fake clock never lets it last.

use std::sync::Arc;
use std::time::Duration;

use farmgate_plugin_api::Answer;
use farmgate_plugin_api::services::Services;

use super::*;
use crate::jwt::store::{MAX_WAITERS, Store};

fn remote(top: &str) -> String {
    format!(
        "{top}\n[[providers]]\nissuer = '{}'\naudiences = ['api']\njwks = {{ url = 'https://idp.example.test/jwks' }}",
        mint::ISSUER
    )
}

fn publish(services: &FakeServices, keys: &[Value]) {
    services.answer(Ok(http::Response::new(document(keys).into())));
}

/// Asks, lets `meanwhile` happen, and says what came of it; none if the request did not wait.
fn ask_and(built: &Built, minter: &Minter, meanwhile: impl FnOnce()) -> Option<&'static str> {
    let mut request = with_token(&minter.token(&json!({})));
    let Answer::Wait(future) = built.filter.request_head(&mut request) else {
        return None;
    };
    meanwhile();
    Some(match compliance::verdict(Answer::Wait(future)) {
        Verdict::Continue => "pass",
        Verdict::Reply(reply) => reply.detail,
        Verdict::Error(_) => "error",
        Verdict::Reset => "reset",
    })
}

#[test]
fn the_first_keys_are_waited_for() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&remote(""), &services);
    let arrive = || {
        publish(&services, &[minter.jwk()]);
        services.run_periodic();
    };
    assert_eq!(ask_and(&built, &minter, arrive), Some("pass"));
    // Nothing is waited for any more.
    assert_eq!(ask_and(&built, &minter, || ()), None);
    let services = FakeServices::new();
    let built = build(&remote(""), &services);
    assert_eq!(
        ask_and(&built, &minter, || services.run_periodic()),
        Some("error")
    );
    // The provider is known to be down: no request waits for its next try.
    assert_eq!(ask_and(&built, &minter, || ()), None);
    assert_eq!(services.metric("unavailable"), 2);
    let services = FakeServices::new();
    let built = build(&remote("wait = '0s'"), &services);
    assert_eq!(ask_and(&built, &minter, || ()), None);
}

#[test]
fn a_rotation_refuses_nobody() {
    let services = FakeServices::new();
    let (old, new) = (Minter::new("ES256", "old"), Minter::new("ES256", "new"));
    let built = build(&remote(""), &services);
    publish(&services, &[old.jwk()]);
    services.run_periodic();
    let rotate = || {
        publish(&services, &[old.jwk(), new.jwk()]);
        services.run_periodic();
    };
    assert_eq!(ask_and(&built, &new, rotate), Some("pass"));
    // A key that does not come: one fetch tells, and then nobody waits for a while.
    let other = Minter::new("ES256", "other");
    services.clock.advance(Duration::from_secs(11));
    let same = || {
        publish(&services, &[old.jwk(), new.jwk()]);
        services.run_periodic();
    };
    assert_eq!(ask_and(&built, &other, same), Some("token_invalid"));
    assert_eq!(ask_and(&built, &other, || ()), None);
    assert_eq!(services.metric("refetch_limited"), 1);
    // Who shall not wait has the key fetched for the next one.
    let services = FakeServices::new();
    let built = build(&remote("wait = '0s'"), &services);
    publish(&services, &[old.jwk()]);
    services.run_periodic();
    assert_eq!(ask_and(&built, &new, || ()), None);
    publish(&services, &[old.jwk(), new.jwk()]);
    services.run_periodic();
    assert_eq!(ask(&built, &mut with_token(&new.token(&json!({})))), "pass");
}

#[test]
fn requests_that_come_during_a_fetch_share_it() {
    let services = FakeServices::new();
    let (old, new) = (Minter::new("ES256", "old"), Minter::new("ES256", "new"));
    let built = build(&remote(""), &services);
    publish(&services, &[old.jwk()]);
    services.run_periodic();
    let mut requests: Vec<_> = (0..50)
        .map(|_| with_token(&new.token(&json!({}))))
        .collect();
    let waiting: Vec<_> = requests
        .iter_mut()
        .map(|request| built.filter.request_head(request))
        .collect();
    publish(&services, &[new.jwk()]);
    services.run_periodic();
    assert!(waiting.into_iter().all(|answer| {
        matches!(answer, Answer::Wait(_))
            && matches!(compliance::verdict(answer), Verdict::Continue)
    }));
    assert_eq!(services.metric("fetches"), 2);
}

#[test]
fn places_to_wait_are_bounded_and_given_back() {
    let store = Store::new(FakeServices::new().clock());
    let places: Vec<_> = (0..MAX_WAITERS).map(|_| store.waiter().unwrap()).collect();
    assert!(store.waiter().is_none() && store.waiter().is_none());
    drop(places);
    assert!(store.waiter().is_some());
}

#[test]
fn two_generations_of_a_configuration_fetch_once() {
    let services = FakeServices::new();
    let store = Arc::new(Store::new(services.clock()));
    let flight = store.begin().unwrap();
    assert!(store.begin().is_none() && store.is_expecting());
    // Given up half-way: the provider is not blamed, and the next one may begin at once.
    drop(flight);
    assert!(!store.is_down());
    assert_eq!(store.pause(Duration::from_secs(300), false), Duration::ZERO);
    store.begin().unwrap().ends(false);
    assert!(store.is_down());
    assert_eq!(
        store.pause(Duration::from_secs(300), false),
        Duration::from_secs(1)
    );
}
