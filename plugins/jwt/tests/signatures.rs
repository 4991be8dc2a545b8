//! Which signatures are believed: known answers, every algorithm, and every confusion of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::jwt::algorithm::Algorithm;
use crate::jwt::jwks::KeySet;
use mint::{ISSUER, NOW, encode, usual};

const PUBLIC: [&str; 11] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
];

/// RFC 7515 appendices A.2 to A.4 and RFC 8037 appendix A.4.
#[test]
fn the_examples_of_the_rfcs_verify() {
    for case in include_str!("rfc.txt").split("\n\n") {
        let mut lines = case.lines().filter(|line| !line.starts_with('#'));
        let (algorithm, key, token) = (
            lines.next().unwrap(),
            lines.next().unwrap(),
            lines.next().unwrap(),
        );
        let keys = KeySet::parse(format!("{{\"keys\":[{key}]}}").as_bytes()).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let algorithm = Algorithm::of(algorithm).unwrap();
        let verifies = |message: &str| {
            let key = &keys.0[0];
            assert!(key.fits(algorithm));
            key.public
                .verifies(algorithm, message.as_bytes(), &signature)
        };
        assert!(verifies(message), "{algorithm}");
        assert!(!verifies(&message.replacen('e', "f", 1)), "{algorithm}");
    }
}

#[test]
fn every_algorithm_verifies_what_it_signed_and_nothing_else() {
    for alg in PUBLIC {
        let services = FakeServices::new();
        let (minter, other) = (Minter::new(alg, "a"), Minter::new(alg, "a"));
        let only = format!("algorithms = ['{alg}']");
        for jwk in [minter.jwk(), minter.bare_jwk()] {
            let built = build(&table("", &only, &[jwk]), &services);
            let token = minter.token(&json!({}));
            assert_eq!(ask(&built, &mut with_token(&token)), "pass", "{alg}");
            let forged = other.token(&json!({}));
            assert_eq!(ask(&built, &mut with_token(&forged)), "401 token_invalid");
        }
        assert_eq!(services.metric_by("refused", "signature"), 2, "{alg}");
    }
    for alg in ["HS256", "HS384", "HS512"] {
        let services = FakeServices::new();
        let table = format!(
            "[[providers]]\nissuer = '{ISSUER}'\naudiences = ['api']\nalgorithms = ['{alg}']\nsecret = '{}'",
            "k".repeat(64)
        );
        let built = build(&table, &services);
        let token = Minter::new(alg, "a").token(&json!({}));
        assert_eq!(ask(&built, &mut with_token(&token)), "pass", "{alg}");
        let other = Minter::new(alg, "a").token(&json!({ "sub": "bob" }));
        let (message, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = token.rsplit_once('.').unwrap();
        let mixed = format!("{message}.{signature}");
        assert_eq!(ask(&built, &mut with_token(&mixed)), "401 token_invalid");
        assert_eq!(services.metric_by("refused", "signature"), 1);
    }
}

#[test]
fn no_algorithm_stands_in_for_another() {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let rsa = Minter::new("RS256", "a");
    let all = format!(
        "algorithms = [{}]",
        PUBLIC.map(|one| format!("'{one}'")).join(", ")
    );
    let built = build(&table("", &all, &[rsa.bare_jwk()]), &services);
    let claims = usual(&json!({})).to_string();
    let mut refused = |token: &str, reason: &str| {
        assert_eq!(ask(&built, &mut with_token(token)), "401 token_invalid");
        assert_eq!(reasons.last(), reason, "{token}");
    };
    // Without a signature, in any spelling.
    for alg in [
        "none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "HS256K", "RSA1_5",
    ] {
        let head = format!("{{\"alg\":{alg:?},\"kid\":\"a\"}}");
        let unsigned = format!("{}.{}.", encode(&head), encode(&claims));
        refused(&unsigned, "algorithm");
        refused(&rsa.token_with(&head, &claims), "algorithm");
    }
    // Signed with the public key as a secret: its modulus, its document.
    let jwk = rsa.bare_jwk();
    for secret in [
        jwk["n"].as_str().unwrap(),
        &jwk.to_string(),
        &document(std::slice::from_ref(&jwk)),
    ] {
        for alg in ["HS256", "HS384", "HS512"] {
            let message = format!(
                "{}.{}",
                encode(format!("{{\"alg\":\"{alg}\",\"kid\":\"a\"}}")),
                encode(&claims)
            );
            let mut hmac =
                boring::hmac::Hmac::init(secret.as_bytes(), &boring::hash::MessageDigest::sha256())
                    .unwrap();
            hmac.update(message.as_bytes()).unwrap();
            refused(
                &format!("{message}.{}", encode(hmac.finalize().unwrap())),
                "algorithm",
            );
        }
    }
    // Signed well with RS256, and said to be another one that is on the list.
    for alg in PUBLIC.iter().filter(|alg| **alg != "RS256") {
        let token = rsa.token_with(&format!("{{\"alg\":\"{alg}\",\"kid\":\"a\"}}"), &claims);
        refused(&token, "signature");
    }
    // An empty signature of a real algorithm.
    let empty = format!(
        "{}.{}.",
        encode("{\"alg\":\"RS256\",\"kid\":\"a\"}"),
        encode(&claims)
    );
    refused(&empty, "signature");
    // One that is not on the list is not looked at, however right it is.
    let narrow = build(
        &table("", "algorithms = ['ES256']", &[rsa.jwk()]),
        &services,
    );
    assert_eq!(
        ask(&narrow, &mut with_token(&rsa.token(&json!({})))),
        "401 token_invalid"
    );
}

#[test]
fn keys_for_other_uses_do_not_verify() {
    let minter = Minter::new("ES256", "a");
    let good = Minter::new("ES256", "other");
    for (member, value, passes) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("use", json!("tls"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["sign", "encrypt"]), false),
        ("key_ops", json!([]), false),
        ("alg", json!("ES256"), true),
        ("alg", json!("ES384"), false),
        ("alg", json!("RS256"), false),
        ("alg", json!("HS256"), false),
        ("alg", json!("ECDH-ES"), false),
        ("kid", json!(7), false),
        ("crv", json!("P-384"), false),
        ("crv", json!("secp256k1"), false),
        ("kty", json!("RSA"), false),
        ("kty", json!("oct"), false),
        ("x", json!("AA"), false),
        ("y", json!(encode([7; 32])), false),
        ("y", json!(encode([0; 33])), false),
        ("x5c", json!(["!"]), true),
    ] {
        let services = FakeServices::new();
        let mut jwk = minter.bare_jwk();
        jwk[member] = value.clone();
        let built = build(&table("", "", &[jwk, good.jwk()]), &services);
        let said = ask(&built, &mut with_token(&minter.token(&json!({}))));
        let expected = if passes { "pass" } else { "401 token_invalid" };
        assert_eq!(said, expected, "{member} = {value}");
    }
}

#[test]
fn weak_and_monstrous_rsa_keys_are_skipped() {
    let strong = Minter::new("RS256", "a").bare_jwk();
    let one = |n: Vec<u8>, e: &[u8]| {
        let mut jwk = strong.clone();
        jwk["n"] = encode(n).into();
        jwk["e"] = encode(e).into();
        KeySet::parse(document(&[jwk]).as_bytes()).is_ok()
    };
    let modulus = |bytes: usize| [vec![0xc1; bytes - 1], vec![1]].concat();
    assert!(one(modulus(256), &[1, 0, 1]) && one(modulus(1024), &[3]));
    assert!(one([vec![0], modulus(256)].concat(), &[1, 0, 1]));
    assert!(!one(modulus(128), &[1, 0, 1]) && !one(modulus(255), &[1, 0, 1]));
    assert!(!one(modulus(1025), &[1, 0, 1]) && !one(modulus(60_000), &[3]));
    for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0], &[1; 6]] {
        assert!(!one(modulus(256), exponent), "{exponent:?}");
    }
}

#[test]
fn names_of_keys_may_come_twice_or_not_at_all() {
    let services = FakeServices::new();
    let first = Minter::new("ES256", "same");
    let second = Minter::new("ES256", "same");
    let rsa = Minter::new("RS256", "same");
    let keys = [rsa.jwk(), first.jwk(), second.jwk()];
    let built = build(&table("", "", &keys), &services);
    for minter in [&first, &second, &rsa] {
        assert_eq!(
            ask(&built, &mut with_token(&minter.token(&json!({})))),
            "pass"
        );
    }
    // A token without a name tries the keys that fit, but not without end.
    let many: Vec<Minter> = (0..12).map(|_| Minter::new("ES256", "x")).collect();
    let mut keys: Vec<Value> = many.iter().map(Minter::jwk).collect();
    for key in &mut keys {
        key.as_object_mut().unwrap().remove("kid");
    }
    let built = build(&table("", "", &keys), &services);
    let nameless =
        |minter: &Minter| minter.token_with("{\"alg\":\"ES256\"}", &usual(&json!({})).to_string());
    assert_eq!(ask(&built, &mut with_token(&nameless(&many[7]))), "pass");
    assert_eq!(
        ask(&built, &mut with_token(&nameless(&many[8]))),
        "401 token_invalid"
    );
    // Keys without a name are tried for tokens with one.
    assert_eq!(
        ask(&built, &mut with_token(&many[3].token(&json!({})))),
        "pass"
    );
}

#[test]
fn tokens_cannot_bring_their_own_keys_or_demands() {
    let services = FakeServices::new();
    let mut reasons = Reasons::of(&services);
    let (minter, thief) = (Minter::new("ES256", "a"), Minter::new("ES256", "a"));
    let built = build(&table("", "", &[minter.jwk()]), &services);
    let claims = usual(&json!({})).to_string();
    let jwk = thief.bare_jwk();
    for (header, by, reason) in [
        (json!({ "alg": "ES256", "jwk": jwk }), &thief, "unknown_key"),
        (
            json!({ "alg": "ES256", "kid": "a", "jwk": jwk, "jku": "http://evil.test" }),
            &thief,
            "signature",
        ),
        (
            json!({ "alg": "ES256", "kid": "a", "crit": ["exp"] }),
            &minter,
            "critical",
        ),
        (
            json!({ "alg": "ES256", "kid": "a", "crit": null }),
            &minter,
            "critical",
        ),
        (json!({ "alg": "ES256", "kid": 1 }), &minter, "malformed"),
        (
            json!({ "alg": ["ES256"], "kid": "a" }),
            &minter,
            "malformed",
        ),
        (json!({ "kid": "a" }), &minter, "malformed"),
        (json!([]), &minter, "malformed"),
    ] {
        let token = by.token_with(&header.to_string(), &claims);
        assert_eq!(ask(&built, &mut with_token(&token)), "401 token_invalid");
        assert_eq!(reasons.last(), reason, "{header}");
    }
    // A member that comes twice could be read in two ways.
    let twice = minter.token_with(
        "{\"alg\":\"ES256\",\"alg\":\"none\",\"kid\":\"a\"}",
        &claims,
    );
    assert_eq!(ask(&built, &mut with_token(&twice)), "401 token_invalid");
    assert_eq!(reasons.last(), "malformed");
    // An encrypted token, one dot, many dots, padding, other alphabets, white space.
    let token = minter.token(&json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    for wrong in [
        format!("{token}.a.b"),
        message.to_owned(),
        token.replace('.', ""),
        format!("{token}="),
        format!("{message}.{signature}=="),
        format!("{message}. {signature}"),
        "..".to_owned(),
        ".".to_owned(),
        "é.é.é".to_owned(),
    ] {
        assert_eq!(
            ask(&built, &mut with_token(&wrong)),
            "401 token_invalid",
            "{wrong}"
        );
    }
    assert_eq!(ask(&built, &mut with_token(&token)), "pass");
    assert_eq!(NOW, 1_767_225_600);
}
