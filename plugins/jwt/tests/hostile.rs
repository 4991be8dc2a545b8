//! Any bytes as a token and as a document of keys: what the fuzz target does, over its seeds.
//!
//! The target includes this file, so it uses the public face of the plugin only.

use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::{Kind, Verdict};

/// The key of the one provider, and the only token that it ever signed.
pub(crate) const KEY: &str =
    r#"{"kty":"OKP","crv":"Ed25519","kid":"a","x":"XRa3fydUoOzZ9a6dF4-zEjR3TfW7mVoqCEvKbUw1yO8"}"#;
pub(crate) const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.eyJpc3MiOiJpIiwiYXVkIjoiYXBpIiwic3ViIjoiYW5uIiwiZXhwIjo0MTAyNDQ0ODAwfQ.eAxGleydNp4YC8FFIakfbQ9iTiICznURbAq67al2zzRdcQ-0ReWKMKoO-BRx7iUYnTsXMbCIXcxiOhDOd1nzAg";

const TABLE: &str = "from = ['header:authorization', 'cookie:t', 'query:t']\nmax_token = '64KiB'\n\
    claims_to_headers = { 'a.b' = 'x-a' }\nconsumer = { plan = 'p', tags = 'g' }\n\
    [[providers]]\nissuer = 'i'\naudiences = ['api']\njwks = { file = 'keys.json' }";

/// The input's first byte chooses: a token, or a document of keys.
pub(crate) fn any(kind: &dyn Kind, data: &[u8]) {
    match data.split_first() {
        Some((b'k', document)) => keys(kind, document),
        Some((_, token)) => tokens(kind, token),
        None => {}
    }
}

fn services(document: &[u8]) -> Option<FakeServices> {
    let services = FakeServices::new();
    let known = format!("{{\"keys\":[{KEY}]}}");
    let document = if document.is_empty() {
        known.as_bytes()
    } else {
        document
    };
    services.write_file("keys.json", document).ok()?;
    Some(services)
}

/// No token passes but the one that was signed, wherever it stands; and no token is left where one was let in.
fn tokens(kind: &dyn Kind, token: &[u8]) {
    let services = services(b"").expect("a host");
    let built = compliance::build(kind, TABLE, &services).expect("a filter");
    let text = String::from_utf8_lossy(token);
    let places = [
        FakeRequest::get("/").header("authorization", [b"Bearer ", token].concat()),
        FakeRequest::get("/").header("cookie", [b"a=b; t=", token, b"; c=d"].concat()),
        FakeRequest::get(&format!("/?a=b&t={text}")),
    ];
    for mut request in places {
        // Twice: the second time the verdict is remembered.
        for _ in 0..2 {
            let verdict = compliance::verdict(built.filter.request_head(&mut request));
            if matches!(verdict, Verdict::Continue) {
                assert!(
                    text.contains(TOKEN) || text.contains('%'),
                    "a forged token passes"
                );
                let left = format!("{:?} {}", request.headers.0, request.target);
                assert!(!left.contains(TOKEN), "the token goes on to the origin");
            }
        }
    }
}

/// No document lets anybody panic, and the token of a key that is not in it does not pass.
fn keys(kind: &dyn Kind, document: &[u8]) {
    let Some(services) = services(document) else {
        return;
    };
    let Ok(built) = compliance::build(kind, TABLE, &services) else {
        return;
    };
    let mut request = FakeRequest::get("/").header("authorization", format!("Bearer {TOKEN}"));
    let verdict = compliance::verdict(built.filter.request_head(&mut request));
    if matches!(verdict, Verdict::Continue) {
        let x = KEY.rsplit('"').nth(1).expect("the key");
        let text = String::from_utf8_lossy(document);
        assert!(
            text.contains(x) || text.contains('\\'),
            "a key that nobody published"
        );
    }
}
