//! What holds for all tokens, documents and requests.

use std::sync::LazyLock;

use farmgate_plugin_api::Credential;
use farmgate_plugin_api::services::{Kept, Services};
use proptest::prelude::*;

use super::*;
use crate::jwt::jwks::KeySet;
use crate::jwt::place::{Found, Place};
use crate::jwt::store::Store;
use crate::jwt::token::Token;

/// Good tokens of three families, and a filter that believes them.
struct World {
    tokens: Vec<String>,
    built: Built,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let minters = [
        Minter::new("ES256", "e"),
        Minter::new("EdDSA", "d"),
        Minter::new("RS256", "r"),
        Minter::new("PS256", "p"),
    ];
    let keys: Vec<Value> = minters.iter().map(Minter::jwk).collect();
    World {
        tokens: minters
            .iter()
            .map(|minter| minter.token(&json!({})))
            .collect(),
        built: build(&table("", "", &keys), &FakeServices::new()),
    }
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_token_with_a_bit_flipped_does_not_pass(which in 0..4_usize, at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let good = &WORLD.tokens[which];
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut request = FakeRequest::get("/").header("authorization", [b"Bearer ", &bytes[..]].concat());
        prop_assert_ne!(ask(&WORLD.built, &mut request), "pass");
        // The good one was not spoiled by it.
        prop_assert_eq!(ask(&WORLD.built, &mut with_token(good)), "pass");
    }

    #[test]
    fn parts_of_different_tokens_do_not_pass(parts in prop::array::uniform3(0..4_usize)) {
        let part = |at: usize| WORLD.tokens[parts[at]].split('.').nth(at).unwrap();
        let token = [part(0), part(1), part(2)].join(".");
        let is_good = WORLD.tokens.contains(&token);
        prop_assert_eq!(ask(&WORLD.built, &mut with_token(&token)) == "pass", is_good);
    }

    #[test]
    fn bytes_are_no_token(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Token::parse(&bytes).is_err());
        let mut request = FakeRequest::get("/").header("authorization", [b"Bearer ", &bytes[..]].concat());
        prop_assert_ne!(ask(&WORLD.built, &mut request), "pass");
    }

    #[test]
    fn documents_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), json in "[\\[\\]{}\":,a-z0-9]{0,200}") {
        for document in [&bytes[..], json.as_bytes(), format!("{{\"keys\":[{json}]}}").as_bytes()] {
            if let Ok(set) = KeySet::parse(document) {
                prop_assert!(set.len() > 0);
            }
        }
        let store = Store::new(FakeServices::new().clock());
        prop_assert!(store.restore(&bytes, std::time::Duration::ZERO) != Ok(1));
    }

    #[test]
    fn a_cookie_is_taken_out_and_the_others_stay(
        pairs in prop::collection::vec(("[abt]", "[a-z=\" ]{0,5}"), 0..8),
        split in prop::collection::vec(any::<bool>(), 8),
    ) {
        let mut request = FakeRequest::get("/");
        let mut line = String::new();
        for (pair, ends) in pairs.iter().zip(split) {
            line += &format!("{}={};", pair.0, pair.1);
            if ends {
                request = request.header("cookie", std::mem::take(&mut line));
            }
        }
        request = request.header("cookie", line);
        let place = Place::At(Credential::Cookie("t".into()));
        prop_assert!(place.empty(&mut request));
        prop_assert!(matches!(place.find(&request), Found::Nothing));
        let left: Vec<(String, String)> = request
            .headers
            .0
            .get_all("cookie")
            .iter()
            .flat_map(|field| field.to_str().unwrap().split(';').map(str::trim).collect::<Vec<_>>())
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        let expected: Vec<_> = pairs
            .iter()
            .filter(|(key, _)| key != "t")
            .map(|(key, value)| (key.clone(), value.trim().to_owned()))
            .collect();
        prop_assert_eq!(left, expected);
    }

    #[test]
    fn a_parameter_is_taken_out_and_the_others_stay(query in "[at&=%74b1]{0,40}") {
        let mut request = FakeRequest::get(&format!("/p?{query}"));
        let place = Place::At(Credential::Query("t".into()));
        prop_assert!(place.empty(&mut request));
        let left = request.target.split_once('?').map_or("", |(_, query)| query);
        let is_ours = |pair: &&str| {
            let key = pair.split('=').next().unwrap();
            matches!(key, "t" | "%74")
        };
        let expected: Vec<&str> = query.split('&').filter(|pair| !is_ours(pair)).collect();
        prop_assert_eq!(left, expected.join("&"));
    }
}
