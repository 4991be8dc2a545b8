//! Keys from a provider: fetched, kept, refused, and on disk.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::jwt::disk::{Shelf, name};
use mint::ISSUER;

/// A table with keys from a URL, and these words in `jwks`.
fn remote(words: &str) -> String {
    format!(
        "[[providers]]\nissuer = '{ISSUER}'\naudiences = ['api']\njwks = {{ url = 'https://idp.example.test/jwks' {words} }}"
    )
}

fn answer(services: &FakeServices, status: u16, body: impl Into<Bytes>) {
    let answer = http::Response::builder().status(status).body(body.into());
    services.answer(Ok(answer.unwrap()));
}

fn publish(services: &FakeServices, minters: &[&Minter]) {
    let keys: Vec<Value> = minters.iter().map(|minter| minter.jwk()).collect();
    answer(services, 200, document(&keys));
}

/// What came of a request with a token of this key; the token is a new one each time.
fn said(built: &Built, minter: &Minter) -> String {
    ask(built, &mut with_token(&minter.token(&json!({}))))
}

#[test]
fn keys_are_fetched_before_anybody_asks_and_again_in_time() {
    let services = FakeServices::new();
    let (old, new) = (Minter::new("ES256", "old"), Minter::new("ES256", "new"));
    let built = build(&remote(""), &services);
    publish(&services, &[&old]);
    services.run_periodic();
    assert_eq!(said(&built, &old), "pass");
    assert_eq!(
        (services.metric("keys"), services.metric("keys_age_seconds")),
        (1, 0)
    );
    // A look a second passes the time; nothing is asked before it is time.
    for _ in 0..299 {
        services.run_periodic();
    }
    assert_eq!(services.metric("fetches"), 1);
    assert!(services.metric("keys_age_seconds") >= 299);
    publish(&services, &[&old, &new]);
    services.run_periodic();
    services.run_periodic();
    assert_eq!(services.metric_by("fetches", "ok"), 2);
    assert_eq!(said(&built, &new), "pass");
    assert_eq!(services.metric("keys"), 2);
}

#[test]
fn without_keys_the_plugin_cannot_do_its_work() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&remote(""), &services);
    assert_eq!(said(&built, &minter), "error");
    services.run_periodic();
    assert_eq!(services.metric_by("fetches", "transport"), 1);
    assert_eq!(said(&built, &minter), "error");
    assert_eq!(
        (
            services.metric("unavailable"),
            services.metric("providers_down")
        ),
        (2, 1)
    );
    // It is no error of the provider's when there is no token, or none of his.
    assert_eq!(ask(&built, &mut FakeRequest::get("/")), "401 token_missing");
    let other = minter.token(&json!({ "iss": "other" }));
    assert_eq!(ask(&built, &mut with_token(&other)), "401 token_invalid");
}

#[test]
fn stale_keys_stay_for_a_while_and_the_gauges_say_so() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&remote(", refresh = '1m', stale = '1h'"), &services);
    publish(&services, &[&minter]);
    services.run_periodic();
    let token = minter.token(&json!({ "exp": mint::NOW + 100_000 }));
    let cached = || ask(&built, &mut with_token(&token));
    services.clock.advance(Duration::from_secs(60));
    services.run_periodic();
    assert_eq!(services.metric("providers_down"), 1);
    assert_eq!(
        (said(&built, &minter).as_str(), cached().as_str()),
        ("pass", "pass")
    );
    services.clock.advance(Duration::from_secs(3540));
    services.run_periodic();
    assert_eq!(cached(), "pass");
    assert!(services.metric("keys_age_seconds") >= 3600);
    services.clock.advance(Duration::from_secs(1));
    // The remembered verdict ends with the keys, too.
    assert_eq!(cached(), "error");
    publish(&services, &[&minter]);
    services.clock.advance(Duration::from_secs(30));
    services.run_periodic();
    assert_eq!(cached(), "pass");
    assert_eq!(
        (
            services.metric("providers_down"),
            services.metric("keys_age_seconds")
        ),
        (0, 0)
    );
}

#[test]
fn a_failing_provider_is_asked_less_and_less() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let _built = build(&remote(""), &services);
    publish(&services, &[&minter]);
    services.run_periodic();
    services.clock.advance(Duration::from_secs(300));
    let begin = services.metric("fetches");
    // Turns of a second each: failures after 0, 1, 2, 4, 8, 16, 30, 30 ... seconds.
    for _ in 0..150 {
        services.run_periodic();
    }
    let failed = services.metric("fetches") - begin;
    assert!((7..=10).contains(&failed), "{failed}");
}

#[test]
fn documents_that_lie_change_nothing() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&remote(", refresh = '1s'"), &services);
    publish(&services, &[&minter]);
    services.run_periodic();
    let jwk = minter.jwk().to_string();
    let large = format!("{{\"keys\":[{jwk}],\"pad\":\"{}\"}}", "x".repeat(1 << 20));
    let many = document(&vec![minter.jwk(); 257]);
    let wrong: Vec<(u16, String, &str)> = vec![
        (500, document(&[minter.jwk()]), "status"),
        (204, document(&[minter.jwk()]), "status"),
        (301, document(&[minter.jwk()]), "status"),
        (200, String::new(), "document"),
        (200, "<html>".to_owned(), "document"),
        (200, "[]".to_owned(), "document"),
        (200, "{}".to_owned(), "document"),
        (200, "{\"keys\":{}}".to_owned(), "document"),
        (200, "{\"keys\":[]}".to_owned(), "document"),
        (200, "{\"keys\":[1,null,[],{}]}".to_owned(), "document"),
        (200, format!("{{\"keys\":[{jwk}]"), "document"),
        (200, format!("{{\"keys\":[{jwk}]}}x"), "document"),
        (200, "[".repeat(100_000), "document"),
        (200, "\u{0}".repeat(1000), "document"),
        (200, large, "document"),
        (200, many, "document"),
        (
            200,
            document(&[Minter::new("HS256", "a").jwk()]),
            "document",
        ),
    ];
    for (status, body, result) in wrong {
        let before = services.metric_by("fetches", result);
        services.clock.advance(Duration::from_secs(31));
        answer(&services, status, body.clone());
        services.run_periodic();
        assert_eq!(
            services.metric_by("fetches", result),
            before + 1,
            "{body:.40}"
        );
        assert_eq!(said(&built, &minter), "pass");
        assert_eq!(services.metric("providers_down"), 1);
    }
    // One good key among many that are none is enough.
    answer(
        &services,
        200,
        format!("{{\"keys\":[1,{{}},{jwk},{{\"kty\":\"RSA\",\"n\":7}}]}}"),
    );
    services.clock.advance(Duration::from_secs(31));
    services.run_periodic();
    assert_eq!(
        (said(&built, &minter).as_str(), services.metric("keys")),
        ("pass", 1)
    );
}

#[test]
fn discovery_finds_the_keys_of_its_own_issuer_only() {
    let found = |issuer: &str, url: &str| json!({ "issuer": issuer, "jwks_uri": url }).to_string();
    let good = "https://keys.example.test/jwks";
    for (document, result) in [
        (found(ISSUER, good), "ok"),
        (found("https://evil.example.test", good), "issuer"),
        (found(ISSUER, "http://keys.example.test/jwks"), "document"),
        (found(ISSUER, "https://u:p@keys.example.test/"), "document"),
        (found(ISSUER, "file:///etc/passwd"), "document"),
        (json!({ "issuer": ISSUER }).to_string(), "document"),
        ("no".to_owned(), "document"),
    ] {
        let services = FakeServices::new();
        let minter = Minter::new("ES256", "a");
        let table = format!(
            "[[providers]]\nissuer = '{ISSUER}'\naudiences = ['api']\njwks = {{ discovery = true }}"
        );
        let built = build(&table, &services);
        answer(&services, 200, document.clone());
        publish(&services, &[&minter]);
        services.run_periodic();
        assert_eq!(services.metric_by("fetches", result), 1, "{document}");
        let expected = if result == "ok" { "pass" } else { "error" };
        assert_eq!(said(&built, &minter), expected);
    }
}

#[test]
fn unknown_keys_cause_few_fetches_however_many_come() {
    let services = FakeServices::new();
    let (old, new) = (Minter::new("ES256", "old"), Minter::new("ES256", "new"));
    let built = build(&remote(", refetch = '10s'"), &services);
    publish(&services, &[&old]);
    services.run_periodic();
    // A flood: the first one asks, and all others are refused without a question.
    let forged = Minter::new("ES256", "x");
    assert_eq!(said(&built, &forged), "401 token_invalid");
    publish(&services, &[&old]);
    services.run_periodic();
    assert_eq!(services.metric("fetches"), 2);
    for _ in 0..1000 {
        assert_eq!(said(&built, &forged), "401 token_invalid");
    }
    services.run_periodic();
    assert_eq!(services.metric("fetches"), 2);
    assert_eq!(services.metric("refetch_limited"), 1000);
    assert_eq!(services.metric_by("refused", "unknown_key"), 1001);
    // A rotation: the first token with the new key brings it.
    services.clock.advance(Duration::from_secs(11));
    assert_eq!(said(&built, &new), "401 token_invalid");
    publish(&services, &[&old, &new]);
    services.run_periodic();
    assert_eq!(said(&built, &new), "pass");
    // Beyond the rate nothing is asked.
    let fetches = services.metric("fetches");
    let limited = services.metric("refetch_limited");
    for _ in 0..10 {
        assert_eq!(
            said(&built, &Minter::new("ES256", "z")),
            "401 token_invalid"
        );
    }
    services.run_periodic();
    assert_eq!(services.metric("refetch_limited"), limited + 10);
    assert_eq!(services.metric("fetches"), fetches);
}

#[test]
fn keys_outlive_a_reload_and_an_upgrade() {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let first = build(&remote(""), &services);
    publish(&services, &[&minter]);
    services.run_periodic();
    drop(first);
    let reloaded = build(&remote(", refresh = '2m'"), &services);
    assert_eq!(said(&reloaded, &minter), "pass");
    let saved = services.save(1 << 20);
    let heir = FakeServices::new();
    let built = build(&remote(""), &heir);
    assert_eq!(heir.restore(&saved, Duration::from_secs(5)), Ok(1));
    assert_eq!(said(&built, &minter), "pass");
    heir.run_periodic();
    assert_eq!(heir.metric("keys_age_seconds"), 5);
    // Too old ones are not used there either.
    let late = FakeServices::new();
    let built = build(&remote(""), &late);
    assert_eq!(late.restore(&saved, Duration::from_secs(86_401)), Ok(1));
    assert_eq!(said(&built, &minter), "error");
}

/// A host whose state stands in this folder.
fn host(folder: &Path) -> FakeServices {
    FakeServices::new().state_in(folder)
}

#[test]
fn keys_on_disk_serve_a_restart_while_the_provider_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let minter = Minter::new("ES256", "a");
    let before = host(folder.path());
    let _built = build(&remote(""), &before);
    publish(&before, &[&minter]);
    before.run_periodic();
    let restarted = |past: u64| {
        let services = host(folder.path());
        services.clock.advance(Duration::from_secs(past));
        let built = build(&remote(""), &services);
        services.run_periodic();
        (said(&built, &minter), services)
    };
    let (said_at_once, services) = restarted(60);
    assert_eq!(said_at_once, "pass");
    assert_eq!(
        (
            services.metric("keys_age_seconds"),
            services.metric("providers_down")
        ),
        (60, 1)
    );
    // A token of a minute later, so the clock of the first process is right here, too.
    assert_eq!(restarted(86_400).0, "401 token_expired");
    assert_eq!(restarted(86_401).0, "error");
    // Damage of any kind: not used, and counted.
    let identity = format!("{ISSUER}\nhttps://idp.example.test/jwks");
    let file = folder.path().join(name(&identity));
    let good = std::fs::read(&file).unwrap();
    assert!(
        Shelf::new(folder.path(), &identity)
            .read()
            .unwrap()
            .is_some()
    );
    let mut damaged: Vec<Vec<u8>> = vec![
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        vec![b'x'; 2 << 20],
    ];
    damaged.extend((0..good.len()).step_by(7).map(|at| {
        let mut copy = good.clone();
        copy[at] ^= 1;
        copy
    }));
    for bytes in damaged {
        std::fs::write(&file, &bytes).unwrap();
        let (said, services) = restarted(60);
        assert_eq!(
            (said.as_str(), services.metric("state_errors")),
            ("error", 1)
        );
    }
    // Nobody else may have been able to write it.
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(&file, &good).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(restarted(60).0, "error");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(restarted(60).0, "pass");
    // Keys of another URL are not those of this one.
    std::fs::write(folder.path().join(name("other")), &good).unwrap();
    assert!(Shelf::new(folder.path(), "other").read().is_err());
}

#[test]
fn a_write_that_was_cut_short_leaves_the_old_keys() {
    let folder = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(folder.path(), "i");
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(7);
    shelf.write(b"one", at).unwrap();
    let fresh = folder.path().join(name("i")).with_extension("new");
    std::fs::write(&fresh, "half").unwrap();
    // Somebody may be writing it now: left alone.
    assert!(shelf.write(b"two", at).is_err());
    let saved = shelf.read().unwrap().unwrap();
    assert_eq!((&saved.document[..], saved.confirmed), (&b"one"[..], at));
    // A minute later it was left behind.
    let past = std::time::SystemTime::now() - Duration::from_secs(61);
    std::fs::File::open(&fresh)
        .unwrap()
        .set_modified(past)
        .unwrap();
    shelf.write(b"two", at).unwrap();
    assert_eq!(shelf.read().unwrap().unwrap().document, b"two");
    assert!(!fresh.exists());
    let gone = Shelf::new(&folder.path().join("none"), "i");
    assert!(gone.write(b"x", at).is_err() && gone.read().unwrap().is_none());
}
