//! Cache policies: words become what the rules ask.
//!
//! Stands apart: routes cannot name a policy before there is a store (`config::later`).

use std::num::TryFromIntError;

use farmgate_plugin_api::decode::Located;
use farmgate_plugin_api::units::Duration;

use crate::cache::key::{KeyRules, QueryRules};
use crate::cache::policy::{Policy, SetCookie, Ttl};
use crate::cache::vary::VaryRules;
use crate::config::words::cache::{AcceptEncodingWord, CachePolicyConfig, SetCookieWord};

/// Longest lifetime without a word, seconds: 30 days.
const MOST_S: u32 = 30 * 86_400;

/// Compiles the words of one policy. Each was checked where it was decoded, so nothing can be wrong here.
pub fn policy(words: &CachePolicyConfig) -> Policy {
    let defaults = Policy::default();
    Policy {
        ttl: Ttl {
            default_s: words.ttl.default.as_ref().map_or(0, seconds),
            floor_s: 0,
            most_s: words.ttl.max.as_ref().map_or(MOST_S, seconds),
            status: words
                .ttl
                .status
                .iter()
                .map(|(status, time)| (status.0, seconds(time)))
                .collect(),
        },
        heuristic_millionths: words
            .heuristic
            .value
            .share()
            .map(|share| share.millionths())
            .filter(|share| *share > 0),
        stale_while_revalidate_s: words.stale_while_revalidate.as_ref().map_or(0, seconds),
        stale_if_error_s: words.stale_if_error.as_ref().map_or(0, seconds),
        key: KeyRules {
            query: QueryRules {
                ignore: texts(&words.key.query.ignore),
                sort: words.key.query.sort,
            },
            headers: words
                .key
                .headers
                .iter()
                .map(|name| name.value.0.clone())
                .collect(),
            cookies: texts(&words.key.cookies),
            consumer: words.key.consumer,
        },
        vary: VaryRules {
            normalise_encoding: match words.vary.accept_encoding {
                AcceptEncodingWord::Normalise => true,
                AcceptEncodingWord::List => false,
            },
            languages: texts(&words.vary.accept_language)
                .iter()
                .map(|language| language.to_ascii_lowercase())
                .collect(),
            most_variants: words.vary.max_variants.value,
        },
        tags: words.tags.iter().map(|name| name.value.0.clone()).collect(),
        set_cookie: match words.set_cookie {
            SetCookieWord::Bypass => SetCookie::Bypass,
            SetCookieWord::Strip => SetCookie::Strip,
            SetCookieWord::Keep => SetCookie::Keep,
        },
        max_object_bytes: words
            .max_object
            .as_ref()
            .map_or(defaults.max_object_bytes, |size| size.value.bytes()),
        match_content_type: words.match_content_type,
        ..defaults
    }
}

/// Whole seconds: a part of one counts as a whole, so that no lifetime becomes 0 by rounding.
fn seconds(time: &Located<Duration>) -> u32 {
    let seconds: Result<u32, TryFromIntError> = time.value.as_ms().div_ceil(1000).try_into();
    seconds.unwrap_or(u32::MAX)
}

fn texts(list: &[Located<String>]) -> Vec<String> {
    list.iter().map(|text| text.value.clone()).collect()
}

#[cfg(test)]
mod tests {
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
}
