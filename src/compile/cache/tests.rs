//! Words in, plans and settings out. What is refused stands in tests/compile/cache.

use farmgate_plugin_api::decode::{Diagnostics, Table, decode};
use http::StatusCode;
use http::header::HeaderName;

use super::*;
use crate::cache::shared::compress::CompressRules;
use crate::cache::vary::Encodings;

fn words(text: &str) -> CachePolicyConfig {
    let table = Table::from_text(&format!("name = \"p\"\n{text}")).expect("TOML");
    let mut found = Diagnostics::new();
    let words: Option<CachePolicyConfig> = decode(&table, &mut found);
    words.expect("a policy")
}

fn compiled(text: &str) -> Policy {
    policy(&words(text))
}

#[test]
fn a_name_alone_is_the_default() {
    assert_eq!(compiled(""), Policy::default());
}

#[test]
fn every_word_arrives() {
    let got = compiled(
        r#"
        ttl = { default = "1500ms", floor = "5s", max = "1d", status = { "404" = "10s", "301" = "0s" } }
        heuristic = "10%"
        stale_while_revalidate = "30s"
        stale_if_error = "1d"
        key = { query = { ignore = ["utm_*"], sort = true }, headers = ["X-A"], cookies = ["c"], consumer = true }
        vary = { accept-encoding = "list", accept-language = ["EN"], cookie = "keyed", max_variants = 3 }
        tags = ["Cache-Tag"]
        set_cookie = "strip"
        max_object = "1MiB"
        match_content_type = false
        hit_for_miss = "61500ms"
        "#,
    );
    let want = Policy {
        ttl: Ttl {
            default_s: 2,
            floor_s: 5,
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
            vary_cookie: true,
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
        unstored_s: 62,
        ..Policy::default()
    };
    assert_eq!(got, want);
}

#[test]
fn compression_is_on_until_its_codings_are_taken_away() {
    let rules = |text: &str| plan("p".into(), &words(text)).compress;
    assert_eq!(rules(""), Some(CompressRules::default()));
    assert_eq!(rules("compress = { codings = [] }"), None);
    let some =
        rules("compress = { codings = [\"gzip\"], min = \"2KiB\", max = \"1MiB\", after = 1 }");
    let want = CompressRules {
        codings: Encodings {
            gzip: true,
            ..Encodings::default()
        },
        least_bytes: 2048,
        most_bytes: 1 << 20,
        after_hits: 1,
        kinds: None,
    };
    assert_eq!(some, Some(want));
    assert_eq!(compiled("hit_for_miss = \"0s\"").unstored_s, 0);
}

const SITE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:9001"]
[cache]
memory = "64MiB"
disk = [{ path = "one", size = "64MiB" }, { path = "/tmp", size = "1GiB" }]
durability = "none"
[[cache_policy]]
name = "p"
lock = { wait = "250ms" }
min_uses = { disk = 3 }
status_header = false
[[route]]
name = "a"
paths = ["/a"]
upstream = "app"
cache = "p"
purge = { from = ["10.0.0.0/8", "::1/128"] }
[[route]]
name = "b"
paths = ["/b"]
upstream = "app"
cache = "p"
[[route]]
name = "c"
upstream = "app"
"#;

#[test]
fn routes_share_a_plan_and_the_process_gets_its_settings() {
    let text = crate::config::load::Text {
        name: "site.toml".to_owned(),
        folder: "/etc/farmgate".into(),
        text: SITE.to_owned(),
    };
    let loaded = crate::config::load::load_texts(&[text], &|_| None).expect("loads");
    let world = crate::compile::world::DryWorld::new(&loaded.config);
    let mut found = Diagnostics::new();
    let compiled = crate::compile::compile(&loaded.config, &world, &mut found);
    let compiled = compiled.unwrap_or_else(|| panic!("{found}"));
    let want = CacheSettings {
        memory_bytes: 64 << 20,
        disks: vec![
            DiskSettings {
                path: "/etc/farmgate/one".into(),
                size_bytes: 64 << 20,
            },
            DiskSettings {
                path: "/tmp".into(),
                size_bytes: 1 << 30,
            },
        ],
        durability: Durability::None,
    };
    assert_eq!(compiled.settings.cache, Some(want));
    assert!(compiled.snapshot.cache.is_none(), "a look opens nothing");
    let [a, b, c] = &compiled.snapshot.routes[..] else {
        panic!("three routes");
    };
    let (Some(of_a), Some(of_b)) = (&a.cache, &b.cache) else {
        panic!("two of them keep answers");
    };
    assert!(Arc::ptr_eq(&of_a.plan, &of_b.plan));
    let plan = &of_a.plan;
    assert_eq!(&*plan.name, "p");
    assert_eq!(plan.wait, std::time::Duration::from_millis(250));
    assert_eq!((plan.min_uses_disk, plan.status_header), (3, false));
    assert!(c.cache.is_none() && c.purge.is_none() && b.purge.is_none());
    let rights = a.purge.as_ref().expect("who may purge");
    assert!(rights.url && !rights.prefix && !rights.host && !rights.tag && !rights.all);
    let from = &rights.from;
    let told: Vec<String> = from.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["10.0.0.0/8", "::1/128"]);
}
