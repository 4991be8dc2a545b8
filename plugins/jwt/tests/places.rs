//! Where tokens are found, and that they go no further.

use super::*;
use farmgate_plugin_api::Credential;

const FROM: &str =
    "from = ['header:authorization', 'header:x-token', 'cookie:session', 'query:access_token']";

struct World {
    services: FakeServices,
    minter: Minter,
    built: Built,
}

fn world(top: &str) -> World {
    let services = FakeServices::new();
    let minter = Minter::new("ES256", "a");
    let built = build(&table(top, "", &[minter.jwk()]), &services);
    World {
        services,
        minter,
        built,
    }
}

#[test]
fn tokens_are_found_and_taken_out() {
    let World { minter, built, .. } = world(FROM);
    let token = minter.token(&json!({}));
    let fields = |request: &FakeRequest, name: &str| -> Vec<String> {
        let all = request.headers.0.get_all(name).iter();
        all.map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    for (scheme, by) in [("Bearer ", true), ("bearer  ", true), ("BEARER ", true)] {
        let mut request = FakeRequest::get("/").header("authorization", format!("{scheme}{token}"));
        assert_eq!(ask(&built, &mut request), "pass");
        assert!(fields(&request, "authorization").is_empty());
        assert_eq!(who(&request).unwrap().by_authorization, by);
    }
    for value in [token.clone(), format!("Bearer {token}")] {
        let mut request = FakeRequest::get("/").header("x-token", value);
        assert_eq!(ask(&built, &mut request), "pass");
        assert!(fields(&request, "x-token").is_empty());
        assert!(!who(&request).unwrap().by_authorization);
    }
    let mut request = FakeRequest::get("/")
        .header("cookie", format!("a=1; session={token};b=2"))
        .header("cookie", "c=3")
        .header("cookie", "session=");
    assert_eq!(ask(&built, &mut request), "pass");
    assert_eq!(fields(&request, "cookie"), ["a=1; b=2", "c=3"]);
    let mut request = FakeRequest::get("/").header("cookie", format!("session={token}"));
    assert_eq!(ask(&built, &mut request), "pass");
    assert!(fields(&request, "cookie").is_empty());
    for (query, left) in [
        (format!("?access_token={token}"), "/p"),
        (format!("?a=1&access_token={token}&b=%20"), "/p?a=1&b=%20"),
        (format!("?acc%65ss_token={token}&&a"), "/p?&a"),
        (format!("?access_token={}", token.replace('.', "%2e")), "/p"),
    ] {
        let mut request = FakeRequest::get(&format!("/p{query}"));
        assert_eq!(ask(&built, &mut request), "pass", "{query}");
        assert_eq!(request.target, left);
    }
}

#[test]
fn the_first_place_counts_and_all_are_emptied() {
    let World { minter, built, .. } = world(FROM);
    let token = minter.token(&json!({}));
    let mut request = FakeRequest::get("/?access_token=junk&x=1")
        .header("authorization", format!("Bearer {token}"))
        .header("x-token", "junk")
        .header("cookie", "session=junk; k=v");
    assert_eq!(ask(&built, &mut request), "pass");
    assert_eq!(request.target, "/?x=1");
    assert_eq!(request.headers.0["cookie"], "k=v");
    assert!(!request.headers.0.contains_key("x-token"));
    // A wrong token in the first place is not made good by a right one in the second.
    let mut request = FakeRequest::get("/")
        .header("authorization", "Bearer junk")
        .header("cookie", format!("session={token}"));
    assert_eq!(ask(&built, &mut request), "401 token_invalid");
    // Another scheme is no token, and is left alone.
    let mut request = FakeRequest::get("/")
        .header("authorization", "Basic YTpi")
        .header("cookie", format!("session={token}"));
    assert_eq!(ask(&built, &mut request), "pass");
    assert_eq!(request.headers.0["authorization"], "Basic YTpi");
}

#[test]
fn what_is_no_token_or_two_is_refused() {
    let World {
        services,
        minter,
        built,
    } = world(FROM);
    let mut reasons = Reasons::of(&services);
    let token = minter.token(&json!({}));
    let two = |name: &str, value: &str| {
        FakeRequest::get("/")
            .header(name, value)
            .header(name, value)
    };
    for (mut request, reason) in [
        (FakeRequest::get("/"), "missing"),
        (
            FakeRequest::get("/").header("authorization", "Bearer"),
            "missing",
        ),
        (
            FakeRequest::get("/").header("authorization", "Bearer "),
            "missing",
        ),
        (
            FakeRequest::get("/").header("authorization", format!("Bearer{token}")),
            "missing",
        ),
        (
            FakeRequest::get("/").header("authorization", &token),
            "missing",
        ),
        (FakeRequest::get("/").header("cookie", "session"), "missing"),
        (
            FakeRequest::get("/").header("cookie", format!("Session={token}")),
            "missing",
        ),
        (FakeRequest::get("/?access_token"), "missing"),
        (
            two("authorization", &format!("Bearer {token}")),
            "ambiguous",
        ),
        (two("x-token", &token), "ambiguous"),
        (two("cookie", &format!("session={token}")), "ambiguous"),
        (
            FakeRequest::get("/").header("cookie", format!("session=x; session={token}")),
            "ambiguous",
        ),
        (
            FakeRequest::get(&format!("/?access_token=x&access%5ftoken={token}")),
            "ambiguous",
        ),
        (
            FakeRequest::get("/").header("authorization", b"Bearer \xff\xfe"),
            "malformed",
        ),
        (
            FakeRequest::get("/").header("authorization", format!("Bearer {token} {token}")),
            "malformed",
        ),
    ] {
        let said = ask(&built, &mut request);
        let expected = if reason == "missing" {
            "401 token_missing"
        } else {
            "401 token_invalid"
        };
        assert_eq!(
            (said.as_str(), reasons.last()),
            (expected, reason),
            "{request:?}"
        );
    }
}

#[test]
fn tokens_have_a_length() {
    for (top, limit) in [("", 8 << 10), ("max_token = '64KiB'", 64 << 10)] {
        let World {
            services,
            minter,
            built,
        } = world(top);
        let mut reasons = Reasons::of(&services);
        let padded = |pad: usize| minter.token(&json!({ "pad": "p".repeat(pad) }));
        // Four characters carry three bytes.
        let room = limit - padded(0).len();
        let fits = padded(room / 4 * 3);
        assert!(limit - fits.len() < 4 && fits.len() <= limit);
        assert_eq!(ask(&built, &mut with_token(&fits)), "pass", "{top}");
        let over = padded(room / 4 * 3 + 4);
        assert!(over.len() > limit);
        assert_eq!(ask(&built, &mut with_token(&over)), "401 token_invalid");
        assert_eq!(reasons.last(), "too_large");
        // Whatever it holds, it is not read.
        let mut dots = with_token(&".".repeat(limit + 1));
        assert_eq!(ask(&built, &mut dots), "401 token_invalid");
        assert_eq!(reasons.last(), "too_large");
    }
}

#[test]
fn a_token_can_be_left_in_the_request() {
    let World { minter, built, .. } = world("keep_credential = true");
    let mut request = with_token(&minter.token(&json!({})));
    assert_eq!(ask(&built, &mut request), "pass");
    assert!(request.headers.0.contains_key("authorization"));
}

#[test]
fn no_log_shows_where_tokens_stand() {
    let World { built, .. } = world(FROM);
    let name = |name: &'static str| Credential::Header(http::HeaderName::from_static(name));
    assert_eq!(
        built.filter.credentials(),
        [
            name("authorization"),
            name("x-token"),
            Credential::Cookie("session".into()),
            Credential::Query("access_token".into())
        ]
    );
}

#[test]
fn the_realm_is_quoted() {
    let World { built, .. } = world("realm = 'a \"b\" \\'");
    let verdict = compliance::verdict(built.filter.request_head(&mut FakeRequest::get("/")));
    let Verdict::Reply(reply) = verdict else {
        panic!()
    };
    assert_eq!(reply.headers[0].1, r#"Bearer realm="a \"b\" \\""#);
}
