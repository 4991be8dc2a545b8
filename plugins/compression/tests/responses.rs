use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugin_api::{Phases, Request};
use http::{HeaderValue, Method, StatusCode};

use super::{KIND, body, build, coding, decoded, head, page, taking};

#[test]
fn each_coding_is_read_again() {
    let built = build("").unwrap();
    assert_eq!(
        built.filter.phases(),
        Phases::RESPONSE_HEAD.and(Phases::RESPONSE_BODY)
    );
    let text = "<p>farm and gate</p>\n".repeat(20_000);
    for name in ["zstd", "br", "gzip"] {
        let mut response = head(
            &built,
            page(taking(name)).header("content-length", "420000"),
        );
        assert_eq!(coding(&response), name);
        assert!(response.resized);
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(60_000).collect();
        let out = body(&built, &mut response, &pieces).concat();
        assert!(out.len() < text.len() / 50, "{name}: {}", out.len());
        assert!(decoded(name, &out) == text.as_bytes(), "{name}");
    }
}

#[test]
fn the_head_says_what_follows() {
    let built = build("").unwrap();
    let response = page(taking("br"))
        .header("etag", "\"abc\"")
        .header("accept-ranges", "bytes")
        .header("content-md5", "x")
        .header("repr-digest", "sha-256=:x:")
        .header("vary", "Origin");
    let fields = head(&built, response).headers.0;
    assert_eq!(fields["etag"], "W/\"abc\"");
    let vary: Vec<_> = fields.get_all("vary").iter().collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
    for name in ["accept-ranges", "content-md5", "repr-digest"] {
        assert!(!fields.contains_key(name), "{name}");
    }
    // The plain one says that there is another, and keeps what describes it.
    for vary in ["*", "accept-encoding, Origin"] {
        let plain = page(FakeRequest::get("/"))
            .header("vary", vary)
            .header("etag", "\"abc\"")
            .header("accept-ranges", "bytes");
        let plain = head(&built, plain);
        assert_eq!(plain.headers.0.get_all("vary").iter().count(), 1);
        assert_eq!(plain.headers.0["etag"], "\"abc\"");
        assert!(plain.headers.0.contains_key("accept-ranges") && !plain.resized);
    }
    let weak = head(&built, page(taking("br")).header("etag", "W/\"abc\""));
    assert_eq!(weak.headers.0["etag"], "W/\"abc\"");
}

#[test]
fn what_is_no_plain_whole_text_stays_as_it_is() {
    let built = build("").unwrap();
    let status = |code: u16| {
        let status = StatusCode::from_u16(code).unwrap();
        FakeResponse::new(taking("gzip"), status).header("content-type", "text/html")
    };
    let mut cases = vec![
        page(taking("gzip")).header("content-encoding", "br"),
        page(taking("gzip")).header("content-encoding", "identity"),
        page(taking("gzip")).header("content-range", "bytes 0-1/2"),
        page(taking("gzip")).header("trailer", "digest"),
        page(taking("gzip")).header("cache-control", "max-age=5, No-Transform"),
        page(taking("gzip").header("cache-control", "no-transform")),
        page(taking("gzip").method(Method::CONNECT)),
        FakeResponse::new(taking("gzip"), StatusCode::OK),
        FakeResponse::new(taking("gzip"), StatusCode::OK).header("content-type", "image/png"),
        FakeResponse::new(taking("gzip"), StatusCode::OK)
            .header("content-type", "application/grpc+proto"),
        FakeResponse::problem(taking("gzip"), StatusCode::BAD_GATEWAY, "upstream_connect"),
        page(taking("gzip")).header("content-length", "1023"),
        page(taking("gzip, identity;q=0")).header("content-length", "0"),
    ];
    cases.extend([101, 204, 205, 206, 304].map(status));
    let mut stored = page(taking("gzip"));
    stored.stored = true;
    cases.push(stored);
    for case in cases {
        let what = format!("{case:?}");
        let mut case = head(&built, case);
        assert!(
            !case.resized && !case.headers.0.contains_key("vary"),
            "{what}"
        );
        assert_eq!(
            body(&built, &mut case, &[b"abc"]).concat(),
            b"abc",
            "{what}"
        );
    }
    // Errors of origins are pages as others are.
    assert_eq!(coding(&head(&built, status(404))), "gzip");
    // What would be compressed for another client says so.
    let old = head(&built, page(taking("gzip").method(Method::HEAD)));
    assert!(!old.resized && old.headers.0.contains_key("vary"));
}

#[test]
fn small_bodies_are_compressed_where_plain_ones_are_refused() {
    let built = build("min_size = '2KiB'").unwrap();
    let of = |accepts: &str, length: &str| {
        let response = page(taking(accepts)).header("content-length", length);
        coding(&head(&built, response)).to_owned()
    };
    assert_eq!(of("gzip", "2047"), "");
    assert_eq!(of("gzip", "2048"), "gzip");
    assert_eq!(of("gzip, identity;q=0", "10"), "gzip");
    assert_eq!(of("*;q=0", "4096"), "");
}

#[test]
fn types_have_wildcards() {
    let built = build("types = ['text/*', 'application/*+json', 'image/svg+xml']").unwrap();
    let of = |kind: &str| {
        let response = FakeResponse::new(taking("gzip"), StatusCode::OK);
        head(&built, response.header("content-type", kind)).resized
    };
    for kind in [
        "text/html",
        "TEXT/Plain; charset=utf-8",
        "application/problem+json",
        "application/ld+JSON ;x=y",
        "image/svg+xml",
        "text/event-stream",
    ] {
        assert!(of(kind), "{kind}");
    }
    for kind in [
        "application/json",
        "image/png",
        "textual/x",
        "text",
        "",
        "/",
        "image/+json",
    ] {
        assert!(!of(kind), "{kind}");
    }
    let all = build("types = ['*/*']").unwrap();
    let zip = FakeResponse::new(taking("gzip"), StatusCode::OK).header("content-type", "a/zip");
    assert!(head(&all, zip).resized);
}

#[test]
fn streams_are_not_held_back() {
    let built = build("").unwrap();
    for name in ["zstd", "br", "gzip"] {
        let mut response = head(&built, page(taking(name)));
        let out = body(
            &built,
            &mut response,
            &[b"data: 1\n\n", b"", b"data: 2\n\n"],
        );
        // Each piece can be read when it went out.
        let so_far = readable(name, &out[0]);
        assert_eq!(so_far, b"data: 1\n\n", "{name}");
        assert!(out[1].is_empty());
        let so_far = readable(name, &out[..3].concat());
        assert_eq!(so_far, b"data: 1\n\ndata: 2\n\n", "{name}");
        assert_eq!(decoded(name, &out.concat()), b"data: 1\n\ndata: 2\n\n");
    }
}

/// What can be read of a body that has not ended.
fn readable(coding: &str, bytes: &[u8]) -> Vec<u8> {
    use farmgate_waf::body::inflate::{Decoder, InflateLimits};
    let mut out = Vec::new();
    let decoder = Decoder::new(coding.as_bytes(), InflateLimits::default());
    let mut decoder = decoder.unwrap().unwrap();
    decoder.push(bytes, &mut out).unwrap();
    out
}

#[test]
fn the_number_at_once_is_bounded_over_reloads() {
    let services = FakeServices::new();
    let table = "max_concurrent = 2";
    let built = compliance::build(KIND, table, &services).unwrap();
    let again = compliance::build(KIND, table, &services).unwrap();
    let first = head(&built, page(taking("gzip")));
    let mut second = head(&again, page(taking("gzip")));
    assert!(first.resized && second.resized);
    let third = head(&built, page(taking("gzip")));
    assert!(!third.resized && third.headers.0.contains_key("vary"));
    assert_eq!(services.metric("over_limit"), 1);
    assert_eq!(services.metric("active"), 2);
    // The end of a body gives its place back, and so does a client that left.
    body(&again, &mut second, &[b"abc"]);
    assert_eq!(services.metric("active"), 1);
    drop(first);
    assert_eq!(services.metric("active"), 0);
    assert!(head(&built, page(taking("gzip"))).resized);
    assert_eq!(services.metric("gzip_responses"), 3);
    assert_eq!(services.metric("plain_bytes"), 3);
}

#[test]
fn a_broken_codec_ends_the_response() {
    let built = build("").unwrap();
    let mut response = head(&built, page(taking("gzip")));
    // What a panic leaves behind: the state without its codec.
    let state = response.request.state().unwrap();
    let state = state.downcast_mut::<super::super::filter::Squeezing>();
    state.unwrap().break_for_tests();
    let mut chunk = Some(bytes::Bytes::from_static(b"plain"));
    let result = built
        .filter
        .response_body(&mut response.request, &mut chunk, false);
    assert!(result.is_err() && chunk.is_none());
    assert!(response.request.refusal.is_some());
}

#[test]
fn caches_learn_what_is_to_be_kept() {
    let built = build("encodings = ['br', 'gzip']\nmin_size = '2KiB'\ntypes = ['text/*']").unwrap();
    let words = built.filter.compression().unwrap();
    assert_eq!((words.zstd, words.br, words.gzip), (false, true, true));
    assert_eq!(words.min_bytes, 2048);
    assert!((words.suits)(&HeaderValue::from_static("text/css; x=y")));
    assert!(!(words.suits)(&HeaderValue::from_static(
        "application/json"
    )));
    let built = build("encodings = []\nrequests = {}").unwrap();
    assert!(built.filter.compression().is_none());
}
