//! What claims must say, to the second and to the letter.

use super::*;
use mint::NOW;

/// The reason of the refusal, or nothing.
fn reasons(top: &str, provider: &str, cases: &[(Value, &str)]) {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let minter = Minter::new("ES256", "a");
    let built = build(&table(top, provider, &[minter.jwk()]), &services);
    for (claims, reason) in cases {
        let said = ask(&built, &mut with_token(&minter.token(claims)));
        let expected = match *reason {
            "" => "pass",
            "expired" => "401 token_expired",
            "scope" => "403 scope_missing",
            "claims" | "consumer" | "header_value" => "403 claims_refused",
            _ => "401 token_invalid",
        };
        assert_eq!(said, expected, "{claims}");
        assert_eq!(reasons.last(), *reason, "{claims}");
    }
}

#[test]
fn issuer_and_audience_are_compared_to_the_byte() {
    let cases = [
        (json!({}), ""),
        (json!({ "iss": "https://idp.example.test/" }), "issuer"),
        (json!({ "iss": "https://IDP.example.test" }), "issuer"),
        (json!({ "iss": null }), "issuer"),
        (json!({ "iss": ["https://idp.example.test"] }), "issuer"),
        (json!({ "aud": "API" }), "audience"),
        (json!({ "aud": "api2" }), "audience"),
        (json!({ "aud": null }), "audience"),
        (json!({ "aud": [] }), "audience"),
        (json!({ "aud": ["x", "api"] }), ""),
        (json!({ "aud": ["api", 1] }), "malformed"),
        (json!({ "aud": { "api": 1 } }), "malformed"),
    ];
    reasons("", "", &cases);
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let any = table("", "", &[minter.jwk()]).replace("['api']", "['*']");
    let built = build(&any, &services);
    let token = minter.token(&json!({ "aud": null }));
    assert_eq!(ask(&built, &mut with_token(&token)), "pass");
}

#[test]
fn times_have_a_leeway_and_an_end() {
    let cases = [
        (json!({ "exp": NOW - 59 }), ""),
        (json!({ "exp": NOW - 60 }), "expired"),
        (json!({ "exp": NOW as f64 - 59.5 }), "expired"),
        (json!({ "exp": NOW as f64 + 0.5 }), ""),
        (json!({ "exp": null }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": -1 }), "expired"),
        (json!({ "exp": i64::MIN }), "expired"),
        (json!({ "exp": i64::MAX }), ""),
        (json!({ "exp": u64::MAX }), ""),
        (json!({ "exp": 1e300 }), ""),
        (json!({ "exp": (NOW + 60).to_string() }), "malformed"),
        (json!({ "exp": [NOW + 60] }), "malformed"),
        (json!({ "nbf": NOW + 60 }), ""),
        (json!({ "nbf": NOW + 61 }), "not_yet"),
        (json!({ "nbf": NOW as f64 + 60.5 }), "not_yet"),
        (json!({ "nbf": 1e300 }), "not_yet"),
        (json!({ "nbf": true }), "malformed"),
        (json!({ "nbf": null, "iat": NOW + 9999 }), ""),
    ];
    reasons("", "", &cases);
    let strict = [
        (json!({ "exp": NOW + 1 }), ""),
        (json!({ "exp": NOW }), "expired"),
        (json!({ "nbf": NOW + 1 }), "not_yet"),
    ];
    reasons("", "leeway = '0s'", &strict);
    reasons(
        "",
        "require_exp = false",
        &[
            (json!({ "exp": null }), ""),
            (json!({ "exp": 1 }), "expired"),
        ],
    );
}

#[test]
fn types_are_compared_as_media_types() {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let minter = Minter::new("ES256", "a");
    let built = build(
        &table("", "types = ['application/AT+jwt']", &[minter.jwk()]),
        &services,
    );
    let claims = mint::usual(&json!({})).to_string();
    for (kind, reason) in [
        (json!("at+jwt"), ""),
        (json!("Application/at+JWT"), ""),
        (json!("JWT"), "type"),
        (json!("x/at+jwt"), "type"),
        (json!(null), "type"),
    ] {
        let header = json!({ "alg": "ES256", "kid": "a", "typ": kind }).to_string();
        let said = ask(
            &built,
            &mut with_token(&minter.token_with(&header, &claims)),
        );
        assert_eq!(said == "pass", reason.is_empty(), "{kind}");
        assert_eq!(reasons.last(), reason, "{kind}");
    }
}

#[test]
fn required_claims_and_scopes() {
    let top = "required_claims = ['tenant', 'a.b']\nscopes = ['read', 'write']";
    let with = |more: Value| {
        let mut all = json!({ "tenant": "x", "a": { "b": 0 }, "scope": "write read" });
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    let cases = [
        (with(json!({})), ""),
        (with(json!({ "tenant": null })), "claims"),
        (with(json!({ "a": { "c": 0 } })), "claims"),
        (with(json!({ "a": "b" })), "claims"),
        (with(json!({ "a": null, "a.b": "flat" })), ""),
        (with(json!({ "scope": "read" })), "scope"),
        (with(json!({ "scope": "read writer" })), "scope"),
        (with(json!({ "scope": null, "scp": ["read", "write"] })), ""),
        (with(json!({ "scope": "read", "scp": "write" })), ""),
        (with(json!({ "scope": { "read": 1, "write": 1 } })), "scope"),
    ];
    reasons(top, "", &cases);
    let top = "claims = { tenant = ['a', 'b'], email_verified = true, level = [2, 3], 'realm.roles' = 'admin' }";
    let with = |more: Value| {
        let mut all = json!({ "tenant": "a", "email_verified": true, "level": 3, "realm": { "roles": ["user", "admin"] } });
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    };
    let cases = [
        (with(json!({})), ""),
        (with(json!({ "tenant": "c" })), "claims"),
        (with(json!({ "tenant": ["c", "b"] })), ""),
        (with(json!({ "email_verified": "true" })), "claims"),
        (with(json!({ "email_verified": 1 })), "claims"),
        (with(json!({ "level": "3" })), "claims"),
        (with(json!({ "level": 3.0 })), "claims"),
        (with(json!({ "realm": { "roles": "admins" } })), "claims"),
        (with(json!({ "realm": { "roles": [["admin"]] } })), "claims"),
    ];
    reasons(top, "", &cases);
}

#[test]
fn claims_become_fields_or_the_request_is_refused() {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let minter = Minter::new("ES256", "a");
    let top = "claims_to_headers = { 'x.y' = 'x-claim' }";
    let built = build(&table(top, "", &[minter.jwk()]), &services);
    let long = "l".repeat(4096);
    for (value, field) in [
        (json!("plain text"), Some("plain text")),
        (json!("Jürgen"), Some("Jürgen")),
        (json!(long), Some(long.as_str())),
        (json!(42), Some("42")),
        (json!(-0.5), Some("-0.5")),
        (json!(false), Some("false")),
        (json!(["a", 1, true]), Some("a,1,true")),
        (json!("a,b"), Some("a,b")),
        (json!(null), Some("")),
        (json!(""), Some("")),
        (json!([]), Some("")),
        (json!("a\r\nx-admin: 1"), None),
        (json!("a\u{0}"), None),
        (json!("a\u{7f}"), None),
        (json!(" admin"), None),
        (json!("admin\t"), None),
        (json!(format!("{long}x")), None),
        (json!(["a,b"]), None),
        (json!(["a", ""]), None),
        (json!(["a", " b"]), None),
        (json!(["a", ["b"]]), None),
        (json!({ "a": 1 }), None),
    ] {
        let mut request = with_token(&minter.token(&json!({ "x": { "y": value } })));
        let said = ask(&built, &mut request);
        match field {
            Some(field) => {
                assert_eq!(said, "pass", "{value}");
                let sent = request.headers.0.get("x-claim").map(|sent| sent.as_bytes());
                assert_eq!(sent.unwrap_or_default(), field.as_bytes(), "{value}");
                assert_eq!(reasons.last(), "");
            }
            None => {
                assert_eq!(said, "403 claims_refused", "{value}");
                assert_eq!(reasons.last(), "header_value");
                assert!(!request.headers.0.contains_key("x-claim"));
            }
        }
    }
}

#[test]
fn consumers_are_named_by_claims() {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let minter = Minter::new("ES256", "a");
    let keys = [minter.jwk()];
    let top = "consumer = { plan = 'p', tags = 'groups' }";
    let built = build(&table(top, "consumer_prefix = 'idp:'", &keys), &services);
    let named = |claims: &Value| {
        let mut request = with_token(&minter.token(claims));
        let said = ask(&built, &mut request);
        let consumer = who(&request).map(|c| {
            let tags = c.tags.join(" ");
            format!("{} {} {tags}", c.name, c.plan.as_deref().unwrap_or("-"))
        });
        (said, consumer.unwrap_or_default())
    };
    let pass = |text: &str| ("pass".to_owned(), text.to_owned());
    assert_eq!(named(&json!({})), pass("idp:ann - "));
    assert_eq!(
        named(&json!({ "p": "gold", "groups": ["a", "b c"] })),
        pass("idp:ann gold a b c")
    );
    assert_eq!(
        named(&json!({ "sub": 7, "groups": " a  b " })),
        pass("idp:7 - a b")
    );
    assert_eq!(named(&json!({ "sub": null })), pass(""));
    let many: Vec<String> = (0..70).map(|n| n.to_string()).collect();
    let (said, consumer) = named(&json!({ "groups": many }));
    assert_eq!((said.as_str(), consumer.split(' ').count()), ("pass", 66));
    assert_eq!(services.metric("tags_cut"), 1);
    for wrong in [
        json!({ "sub": "" }),
        json!({ "sub": ["ann"] }),
        json!({ "sub": "a\nb" }),
        json!({ "sub": "x".repeat(260) }),
        json!({ "p": ["gold"] }),
        json!({ "p": "" }),
        json!({ "groups": [1] }),
        json!({ "groups": { "a": 1 } }),
        json!({ "groups": "x".repeat(300) }),
    ] {
        assert_eq!(
            named(&wrong),
            ("403 claims_refused".to_owned(), String::new()),
            "{wrong}"
        );
        assert_eq!(reasons.last(), "consumer");
    }
    // A name that is written is needed.
    let built = build(
        &table("consumer = { name = 'client_id' }", "", &keys),
        &services,
    );
    assert_eq!(
        ask(&built, &mut with_token(&minter.token(&json!({})))),
        "403 claims_refused"
    );
    let token = minter.token(&json!({ "client_id": "app" }));
    assert_eq!(ask(&built, &mut with_token(&token)), "pass");
}

#[test]
fn the_issuer_chooses_among_providers() {
    let services = FakeServices::new();
    let (one, two) = (Minter::new("ES256", "k"), Minter::new("ES256", "k"));
    let other = format!(
        "\n[[providers]]\nissuer = 'two'\naudiences = ['b']\nconsumer_prefix = 'two:'\njwks = {{ inline = '{}' }}",
        document(&[two.jwk()])
    );
    let built = build(&(table("", "", &[one.jwk()]) + &other), &services);
    let said =
        |minter: &Minter, claims: Value| ask(&built, &mut with_token(&minter.token(&claims)));
    assert_eq!(said(&one, json!({})), "pass");
    assert_eq!(said(&two, json!({ "iss": "two", "aud": "b" })), "pass");
    // Neither may speak for the other, nor with the other's audience.
    assert_eq!(said(&two, json!({})), "401 token_invalid");
    assert_eq!(
        said(&one, json!({ "iss": "two", "aud": "b" })),
        "401 token_invalid"
    );
    assert_eq!(said(&two, json!({ "iss": "two" })), "401 token_invalid");
    assert_eq!(services.metric_by("refused", "signature"), 2);
    assert_eq!(services.metric_by("refused", "audience"), 1);
}
