use super::*;
use crate::cache::asked::{Identity, Request};
use crate::cache::cases;
use http::{HeaderMap, Method};
use proptest::prelude::*;

/// Every row's response was received at this moment.
const RECEIVED_MS: u64 = 1_000_000_000;

fn asked(text: &str) -> Asked {
    let fields = cases::fields(text);
    Asked::read(
        &Request {
            method: &Method::GET,
            fields: &fields,
            target_bytes: 1,
            has_body: false,
            identity: Identity::None,
        },
        false,
    )
}

fn meta(words: &str) -> Meta {
    let mut meta = Meta {
        received_ms: RECEIVED_MS,
        ..Meta::default()
    };
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        let flag = match word.split_once('=') {
            Some(("life", number)) => {
                meta.lifetime_s = number.parse().expect("seconds");
                continue;
            }
            Some(("age", number)) => {
                meta.initial_age_ms = number.parse::<u64>().expect("seconds") * 1000;
                continue;
            }
            Some(("swr", number)) => {
                meta.stale_while_revalidate_s = number.parse().expect("seconds");
                continue;
            }
            Some(("sie", number)) => {
                meta.stale_if_error_s = number.parse().expect("seconds");
                continue;
            }
            _ => match word {
                "no-cache" => Flags::NO_CACHE,
                "must" => Flags::MUST_REVALIDATE,
                "shared" => Flags::SHARED_LIFETIME,
                "immutable" => Flags::IMMUTABLE,
                "future" => {
                    meta.received_ms += 100_000_000;
                    continue;
                }
                other => panic!("what is {other}?"),
            },
        };
        meta.flags = meta.flags.with(flag);
    }
    meta
}

fn told(serve: Serve) -> String {
    match serve {
        Serve::Hit(Hit::Fresh) => "hit".to_owned(),
        Serve::Hit(Hit::StaleWhileRevalidate) => "hit-swr".to_owned(),
        Serve::Hit(Hit::MaxStale) => "hit-max-stale".to_owned(),
        Serve::Revalidate(ask) => {
            let stale = if ask.stale_if_error { "+sie" } else { "" };
            format!("ask-{}{stale}", ask.why.as_str())
        }
        Serve::Fetch(why) => format!("fetch-{}", why.as_str()),
        Serve::OnlyIfCached => "504".to_owned(),
    }
}

#[test]
fn every_case() {
    for case in cases::rows(include_str!("../cases/serve.txt"), 5) {
        let [want, after, purged, stored, request] = case.columns.as_slice() else {
            panic!("line {}: five columns", case.line);
        };
        let after: u64 = after.trim().parse().expect("seconds");
        let now = Now::at_ms(RECEIVED_MS + after * 1000);
        let purged = match purged.trim() {
            "-" => Purged::No,
            soft => Purged::Stale {
                since_ms: RECEIVED_MS
                    + soft
                        .strip_prefix("soft@")
                        .and_then(|at| at.parse::<u64>().ok())
                        .expect("soft@seconds")
                        * 1000,
            },
        };
        let got = told(decide(&asked(request), &meta(stored), purged, now));
        assert_eq!(&got, want, "line {}: {stored} | {request}", case.line);
    }
}

#[test]
fn without_anything_stored() {
    assert_eq!(
        without(&asked(""), Forward::UriMiss),
        Serve::Fetch(Forward::UriMiss)
    );
    assert_eq!(
        without(&asked("Cache-Control: only-if-cached"), Forward::VaryMiss),
        Serve::OnlyIfCached
    );
}

#[test]
fn waiters_share_what_would_be_a_hit() {
    let now = Now::at_ms(RECEIVED_MS);
    assert!(may_share(&asked(""), &meta("life=1"), now));
    assert!(!may_share(&asked(""), &meta("life=0"), now));
    assert!(!may_share(&asked(""), &meta("life=1 no-cache"), now));
    assert!(!may_share(
        &asked("Cache-Control: no-cache"),
        &meta("life=1"),
        now
    ));
    assert!(may_share(&asked(""), &meta("life=0 swr=5"), now));
}

#[test]
fn errors_of_an_origin() {
    for (status, want) in [
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (501, false),
        (404, false),
        (200, false),
    ] {
        let status = http::StatusCode::from_u16(status).expect("a status");
        assert_eq!(is_error(status), want, "{status}");
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let word = prop_oneof![
        Just(String::new()),
        Just("no-cache".to_owned()),
        Just("only-if-cached".to_owned()),
        Just("max-stale".to_owned()),
        (0_u32..200).prop_map(|s| format!("max-stale={s}")),
        (0_u32..200).prop_map(|s| format!("max-age={s}")),
        (0_u32..200).prop_map(|s| format!("min-fresh={s}")),
    ];
    prop::collection::vec(word, 0..3).prop_map(|words| {
        let mut fields = HeaderMap::new();
        if let Ok(value) = words.join(",").parse() {
            fields.insert(http::header::CACHE_CONTROL, value);
        }
        Asked::read(
            &Request {
                method: &Method::GET,
                fields: &fields,
                target_bytes: 1,
                has_body: false,
                identity: Identity::None,
            },
            false,
        )
    })
}

fn any_stored() -> impl Strategy<Value = Meta> {
    (
        0_u32..100,
        0_u32..100,
        0_u32..100,
        0_u64..100,
        prop::sample::subsequence(vec!["no-cache", "must", "shared", "immutable"], 0..=4),
    )
        .prop_map(|(life, swr, sie, age, flags)| {
            meta(&format!(
                "life={life} swr={swr} sie={sie} age={age} {}",
                flags.join(" ")
            ))
        })
}

proptest! {
    /// What the RFC forbids never happens, whoever asks for it.
    #[test]
    fn never_stale_against_the_origins_will(asked in any_asked(), meta in any_stored(), after in 0_u64..400_000, soft in any::<bool>()) {
        let now = Now::at_ms(RECEIVED_MS + after);
        let purged = if soft { Purged::Stale { since_ms: RECEIVED_MS } } else { Purged::No };
        let serve = decide(&asked, &meta, purged, now);
        let fresh = meta.is_fresh(now) && !soft;
        if let Serve::Hit(hit) = serve {
            prop_assert_eq!(hit == Hit::Fresh, fresh);
            prop_assert!(!asked.no_cache && !meta.flags.has(Flags::NO_CACHE));
            if hit != Hit::Fresh {
                prop_assert!(!meta.flags.has(Flags::MUST_REVALIDATE));
            }
        }
        if let Serve::Revalidate(ask) = serve {
            prop_assert!(!asked.only_if_cached);
            prop_assert!(!(ask.stale_if_error && (asked.no_cache || meta.flags.has(Flags::NO_CACHE))));
            if meta.flags.has(Flags::MUST_REVALIDATE) && !fresh {
                prop_assert!(!ask.stale_if_error);
            }
        }
        prop_assert!(!matches!(serve, Serve::Fetch(_)));
    }

    /// Without words of the request, time leads from hit over stale hit to asking, and never back.
    #[test]
    fn time_goes_one_way(meta in any_stored(), first in 0_u64..400_000, later in 0_u64..400_000) {
        let rank = |at: u64| match decide(&asked(""), &meta, Purged::No, Now::at_ms(RECEIVED_MS + at)) {
            Serve::Hit(Hit::Fresh) => 0,
            Serve::Hit(_) => 1,
            Serve::Revalidate(ask) if ask.stale_if_error => 2,
            _ => 3,
        };
        prop_assert!(rank(first) <= rank(first + later));
    }
}
