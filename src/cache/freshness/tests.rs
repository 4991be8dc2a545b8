use super::*;
use crate::cache::cases;
use crate::cache::policy::Ttl;
use crate::cache::storable::directives;

/// 2026-01-01 00:00:00; the cases write times around it.
const WALL_S: u64 = 1_767_225_600;

/// Replaces `{+10}`, `{-10}` and `{0}` by dates that far from [`WALL_S`].
fn with_dates(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (offset, after) = after.split_once('}').expect("a closing brace");
        let offset: i64 = offset.parse().expect("seconds");
        let date = std::time::UNIX_EPOCH
            + std::time::Duration::from_secs(WALL_S.saturating_add_signed(offset));
        out.push_str(before);
        out.push_str(&httpdate::fmt_http_date(date));
        rest = after;
    }
    out + rest
}

fn policy(words: &str) -> Policy {
    let mut policy = Policy::default();
    for word in words.split(' ').filter(|word| *word != "-") {
        let (name, value) = word.split_once('=').expect("name=value");
        let number: u32 = value.parse().expect("a number");
        match name {
            "heuristic" => policy.heuristic_millionths = Some(number * 10_000),
            "default" => policy.ttl.default_s = number,
            "floor" => policy.ttl.floor_s = number,
            "most" => policy.ttl.most_s = number,
            status => policy
                .ttl
                .status
                .push((status.parse().expect("a status"), number)),
        }
    }
    policy
}

fn of(status: StatusCode, fields: &HeaderMap, policy: &Policy, delay_ms: u64) -> Freshness {
    let (found, targeted) = directives(fields, policy);
    let received = Received {
        request_ms: 1_000_000,
        response_ms: 1_000_000 + delay_ms,
        wall_s: WALL_S,
    };
    Freshness::of_response(status, fields, &found, targeted, &received, policy)
}

#[test]
fn every_case() {
    for case in cases::rows(include_str!("../cases/freshness.txt"), 5) {
        let [lifetime, age, status, words, text] = case.columns.as_slice() else {
            panic!("line {}: five columns", case.line);
        };
        let status = status.trim().parse().expect("a status");
        let fields = cases::fields(&with_dates(text));
        let got = of(status, &fields, &policy(words.trim()), 0);
        let source = format!("{:?}", got.source).to_lowercase();
        assert_eq!(
            format!("{} {source}", got.lifetime_s),
            *lifetime,
            "line {}: lifetime of {text:?}",
            case.line
        );
        assert_eq!(
            (got.initial_age_ms / 1000).to_string(),
            age.trim(),
            "line {}: age of {text:?}",
            case.line
        );
    }
}

#[test]
fn the_time_an_answer_took_is_part_of_its_age() {
    let policy = Policy::default();
    let age = |text: &str, delay_ms| {
        of(
            StatusCode::OK,
            &cases::fields(&with_dates(text)),
            &policy,
            delay_ms,
        )
        .initial_age_ms
    };
    assert_eq!(age("Age: 10", 2_500), 12_500);
    assert_eq!(age("Date: {0}", 2_500), 2_500);
    // Whichever is larger; not both.
    assert_eq!(age("Date: {-5}", 2_500), 5_000);
    assert_eq!(age("Date: {-5}\nAge: 4", 2_500), 6_500);
}

proptest::proptest! {
    /// More lifetime written is never less lifetime found; an older response is never fresher.
    #[test]
    fn freshness_is_monotone(a in 0_u32..1 << 31, b in 0_u32..1 << 31, age in 0_u32..1 << 31, older in 0_u32..1000) {
        let policy = Policy { ttl: Ttl { most_s: u32::MAX, ..Ttl::default() }, ..Policy::default() };
        let get = |lifetime: u32, age: u32| {
            let fields = cases::fields(&format!("Cache-Control: max-age={lifetime}\nAge: {age}"));
            of(StatusCode::OK, &fields, &policy, 0)
        };
        let (short, long) = (a.min(b), a.max(b));
        proptest::prop_assert!(get(short, age).lifetime_s <= get(long, age).lifetime_s);
        proptest::prop_assert!(get(a, age).initial_age_ms <= get(a, age.saturating_add(older)).initial_age_ms);
    }

    #[test]
    fn no_bytes_are_too_odd(lines in proptest::collection::vec(("[A-Z]", "[ -~\u{80}-\u{ff}]{0,40}"), 0..6), wall_s: u64, request_ms: u64, response_ms: u64) {
        let mut fields = HeaderMap::new();
        for (name, value) in &lines {
            let name = match name.as_bytes().first().map_or(0, |byte| byte % 5) {
                0 => http::header::CACHE_CONTROL,
                1 => AGE,
                2 => DATE,
                3 => EXPIRES,
                _ => LAST_MODIFIED,
            };
            if let Ok(value) = value.parse() {
                fields.append(name, value);
            }
        }
        let policy = Policy { heuristic_millionths: Some(u32::MAX), ..Policy::default() };
        let (found, targeted) = directives(&fields, &policy);
        let received = Received { request_ms, response_ms, wall_s };
        let _ = Freshness::of_response(StatusCode::OK, &fields, &found, targeted, &received, &policy);
    }
}
