//! Remembered verdicts: how long, how many, under what name.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::jwt::cache::{Cache, Stored, Verdict as Remembered};
use crate::jwt::claims::Validity;
use mint::NOW;

#[test]
fn a_verdict_is_remembered_until_the_token_ends() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let top = "claims_to_headers = { sub = 'x-user' }";
    let built = build(&table(top, "leeway = '10s'", &[minter.jwk()]), &services);
    let token = minter.token(&json!({ "exp": NOW + 30 }));
    for _ in 0..3 {
        let mut request = with_token(&token);
        assert_eq!(ask(&built, &mut request), "pass");
        assert_eq!(request.headers.0["x-user"], "ann");
        assert_eq!(&*who(&request).unwrap().name, "ann");
    }
    let counts = || (services.metric("verified"), services.metric("cache_hits"));
    assert_eq!(counts(), (1, 2));
    services.clock.advance(Duration::from_secs(39));
    assert_eq!(ask(&built, &mut with_token(&token)), "pass");
    services.clock.advance(Duration::from_secs(1));
    assert_eq!(ask(&built, &mut with_token(&token)), "401 token_expired");
    assert_eq!(counts(), (1, 3));
    // One that never ends soon is verified every hour.
    let token = minter.token(&json!({ "exp": NOW + 1_000_000 }));
    for _ in 0..3 {
        assert_eq!(ask(&built, &mut with_token(&token)), "pass");
        services.clock.advance(Duration::from_secs(1800));
    }
    assert_eq!(counts(), (3, 4));
}

#[test]
fn refusals_are_not_remembered() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&table("", "", &[minter.jwk()]), &services);
    let token = minter.token(&json!({ "nbf": NOW + 100 }));
    assert_eq!(ask(&built, &mut with_token(&token)), "401 token_invalid");
    services.clock.advance(Duration::from_secs(40));
    assert_eq!(ask(&built, &mut with_token(&token)), "pass");
}

#[test]
fn verdicts_end_with_the_keys() {
    let services = FakeServices::new();
    let (old, new) = (Minter::new("ES256", "old"), Minter::new("ES256", "new"));
    services
        .write_file("keys.json", document(&[old.jwk()]))
        .unwrap();
    let table = format!(
        "[[providers]]\nissuer = '{}'\naudiences = ['api']\njwks = {{ file = 'keys.json' }}",
        mint::ISSUER
    );
    let built = build(&table, &services);
    let token = old.token(&json!({}));
    let said = |token: &str| ask(&built, &mut with_token(token));
    assert_eq!([said(&token), said(&token)], ["pass", "pass"]);
    // The same keys again change nothing.
    services
        .write_file("keys.json", document(&[old.jwk()]))
        .unwrap();
    assert_eq!(said(&token), "pass");
    assert_eq!(services.metric("verified"), 1);
    // More keys: verified once more. Other keys: over.
    services
        .write_file("keys.json", document(&[old.jwk(), new.jwk()]))
        .unwrap();
    assert_eq!(said(&token), "pass");
    assert_eq!(services.metric("verified"), 2);
    services
        .write_file("keys.json", document(&[new.jwk()]))
        .unwrap();
    assert_eq!(said(&token), "401 token_invalid");
    assert_eq!(said(&new.token(&json!({}))), "pass");
    // A broken file leaves the last good one.
    assert!(services.write_file("keys.json", "{\"keys\":[]}").is_err());
    assert_eq!(said(&new.token(&json!({}))), "pass");
    services.run_periodic();
    assert_eq!(services.metric("keys"), 1);
}

fn verdict(ends: i64) -> Arc<Remembered> {
    Arc::new(Remembered {
        validity: Validity { begins: 0, ends },
        provider: 0,
        generation: 0,
        fields: Box::default(),
        consumer: None,
    })
}

#[test]
fn the_table_never_grows_and_counts_what_it_forgets() {
    for entries in [0, 1, 2, 3, 4, 5, 100, 1000] {
        let cache = Cache::new(entries, [7; 16]);
        let mut evicted = 0;
        for n in 0..5000_u32 {
            let name = cache.name(&n.to_be_bytes());
            let stored = cache.put(name, &verdict(100), 50);
            evicted += usize::from(stored == Stored::Evicted);
            assert_eq!(cache.get(name).is_some(), entries > 0);
        }
        assert!(
            cache.len() <= entries && cache.len() + 3 >= entries,
            "{entries}"
        );
        let kept = if entries == 0 { 0 } else { 5000 - cache.len() };
        assert_eq!(evicted, kept, "{entries}");
        // What has ended makes room without a loss.
        let cache = Cache::new(entries, [7; 16]);
        for n in 0..5000_u32 {
            let stored = cache.put(cache.name(&n.to_be_bytes()), &verdict(100), 100);
            assert_eq!(stored, Stored::Clean);
        }
    }
}

#[test]
fn the_one_that_ends_first_makes_room() {
    let cache = Cache::new(4, [1; 16]);
    let names: Vec<_> = (0..5_u8).map(|n| cache.name(&[n])).collect();
    for (name, ends) in names.iter().zip([50, 20, 40, 30]) {
        cache.put(*name, &verdict(ends), 10);
    }
    assert_eq!(cache.put(names[4], &verdict(99), 10), Stored::Evicted);
    let there: Vec<bool> = names
        .iter()
        .map(|name| cache.get(*name).is_some())
        .collect();
    assert_eq!(there, [true, false, true, true, true]);
    // The same token stands once.
    cache.put(names[4], &verdict(98), 10);
    assert_eq!(cache.len(), 4);
    assert_eq!(cache.get(names[4]).unwrap().validity.ends, 98);
}

#[test]
fn names_depend_on_the_secret_and_every_byte() {
    let (one, two) = (Cache::new(4, [1; 16]), Cache::new(4, [2; 16]));
    assert_ne!(one.name(b"token"), two.name(b"token"));
    assert_ne!(one.name(b"token"), one.name(b"tokem"));
    assert_eq!(one.name(b"token"), one.name(b"token"));
}

#[test]
fn a_cache_of_nothing_verifies_every_time() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&table("cache = 0", "", &[minter.jwk()]), &services);
    let token = minter.token(&json!({}));
    for _ in 0..3 {
        assert_eq!(ask(&built, &mut with_token(&token)), "pass");
    }
    assert_eq!(
        (services.metric("verified"), services.metric("cache_hits")),
        (3, 0)
    );
}
