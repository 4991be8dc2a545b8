//! Words in, plans and settings out. What is refused stands in tests/compile/cache.

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use http::StatusCode;
use http::header::HeaderName;

use super::*;

fn compiled(text: &str) -> Policy {
    let table = Table::from_text(&format!("name = \"p\"\n{text}")).expect("TOML");
    let mut found = Diagnostics::new();
    let words: Option<CachePolicyConfig> = decode(&table, &mut found);
    policy(&words.expect("a policy"))
}

#[test]
fn a_name_alone_is_the_default() {
    assert_eq!(compiled(""), Policy::default());
}

#[test]
fn every_word_arrives() {
    let got = compiled(
        r#"
        ttl = { default = "1500ms", max = "1d", status = { "404" = "10s", "301" = "0s" } }
        heuristic = "10%"
        stale_while_revalidate = "30s"
        stale_if_error = "1d"
        key = { query = { ignore = ["utm_*"], sort = true }, headers = ["X-A"], cookies = ["c"], consumer = true }
        vary = { accept-encoding = "list", accept-language = ["EN"], max_variants = 3 }
        tags = ["Cache-Tag"]
        set_cookie = "strip"
        max_object = "1MiB"
        match_content_type = false
        "#,
    );
    let want = Policy {
        ttl: Ttl {
            default_s: 2,
            floor_s: 0,
            most_s: 86_400,
            status: vec![
                (StatusCode::MOVED_PERMANENTLY, 0),
                (StatusCode::NOT_FOUND, 10),
            ],
        },
        heuristic_millionths: Some(100_000),
        stale_while_revalidate_s: 30,
        stale_if_error_s: 86_400,
        key: KeyRules {
            query: QueryRules {
                ignore: vec!["utm_*".to_owned()],
                sort: true,
            },
            headers: vec![HeaderName::from_static("x-a")],
            cookies: vec!["c".to_owned()],
            consumer: true,
        },
        vary: VaryRules {
            normalise_encoding: false,
            languages: vec!["en".to_owned()],
            most_variants: 3,
        },
        tags: vec![HeaderName::from_static("cache-tag")],
        set_cookie: SetCookie::Strip,
        max_object_bytes: 1 << 20,
        match_content_type: false,
        ..Policy::default()
    };
    assert_eq!(got, want);
}
