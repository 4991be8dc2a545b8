//! Any bytes as the fields of a request and of a response: the caching rules never panic, what they store reads back,
//! and what forbids storing is never lost between other fields.
#![no_main]

use farmgate::cache::asked::{Asked, Identity, Request};
use farmgate::cache::conditional::{Validators, client_has_it};
use farmgate::cache::freshness::Received;
use farmgate::cache::key::{Key, KeyParts};
use farmgate::cache::meta::head::StoredHead;
use farmgate::cache::policy::Policy;
use farmgate::cache::purge::Purged;
use farmgate::cache::range::{Ranges, select};
use farmgate::cache::shared::compress::Wanted;
use farmgate::cache::storable::{Response, judge, plan};
use farmgate::cache::{Now, decide, fields, update};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;

/// Length of the stored body that ranges are taken from.
const LENGTH: u64 = 1000;

fuzz_target!(|data: &[u8]| {
    // The bytes as: status, minutes that pass, and with zero bytes between them the fields of a request, of its
    // response and of a 304.
    let Some((&[status, after], rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let mut parts = rest.split(|byte| *byte == 0).map(read_fields);
    let mut next = || parts.next().unwrap_or_default();
    let (request, response, not_modified) = (next(), next(), next());
    run(status, after, &request, &response, &not_modified);
});

fn run(status: u8, after: u8, request: &HeaderMap, response: &HeaderMap, new: &HeaderMap) {
    let policy = Policy {
        heuristic_millionths: Some(100_000),
        stale_while_revalidate_s: 60,
        stale_if_error_s: 60,
        tags: vec![HeaderName::from_static("cache-tag")],
        ..Policy::default()
    };
    let asker = Request {
        method: &Method::GET,
        fields: request,
        target_bytes: 10,
        has_body: false,
        identity: Identity::None,
    };
    let asked = Asked::read(&asker, policy.key.consumer);
    let key = Key::build(
        &KeyParts {
            scheme: "https",
            host: "a.test",
            path: "/a.css",
            query: Some("b=2&a=1"),
            route: "r",
            side: "u",
            fields: request,
            consumer: None,
        },
        &policy.key,
    );
    let view = key.read().expect("it was just written");
    let received = Received {
        request_ms: 1_767_225_600_000,
        response_ms: 1_767_225_600_100,
        wall_s: 1_767_225_600,
    };
    let status = StatusCode::from_u16(200 + u16::from(status)).expect("a status");
    let now = Now::at_ms(received.response_ms + u64::from(after) * 60_000);
    let answer = Response {
        status,
        fields: response,
        received,
    };
    let Ok(stored) = judge(&asked, asker.is_odd(), &answer, &view, &policy) else {
        return;
    };
    let mut kept = response.clone();
    fields::strip(&mut kept, &stored.left_out);
    let _ = decide(&asked, &stored.meta, Purged::No, now);
    let _ = client_has_it(request, &kept, &stored.meta, now.wall_s);
    let _ = Validators::of_stored(&kept, &stored.meta).is_empty();
    let _ = stored.meta.vary.variance(request, &policy.vary);
    match select(request, &kept, &stored.meta, LENGTH, now.wall_s) {
        Ranges::One(range) => assert!(range.first <= range.last && range.last < LENGTH),
        Ranges::Many(ranges) => {
            let bytes: u64 = ranges.iter().map(|range| range.bytes()).sum();
            assert!(ranges.len() > 1 && bytes <= LENGTH);
        }
        Ranges::Whole | Ranges::Unsatisfiable => {}
    }
    // A 304, twice: the second time it changes nothing.
    let once = update::merge(&kept, new.clone());
    assert_eq!(update::merge(&once, new.clone()), once);
    let _ = plan(
        asked.authenticated,
        &Response {
            status,
            fields: &once,
            received,
        },
        &view,
        &policy,
    );
    let head = StoredHead {
        meta: stored.meta,
        status,
        fields: kept,
        key,
        variants: None,
        wanted: Wanted::default(),
    };
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    assert_eq!(StoredHead::decode(&bytes), Ok(head));
}

fn read_fields(text: &[u8]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n').take(64) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(at);
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name),
            HeaderValue::from_bytes(&value[1..]),
        ) {
            fields.append(name, value);
        }
    }
    fields
}
