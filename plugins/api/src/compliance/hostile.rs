//! Requests and responses as unkind as the parser lets them through.

use http::{Method, StatusCode};

use super::fake::{FakeRequest, FakeResponse};

/// Requests that no filter may fall over.
pub(super) fn requests() -> Vec<FakeRequest> {
    let long = "x".repeat(8000);
    let odd = Method::from_bytes(b"PROPFIND~1").unwrap_or(Method::TRACE);
    vec![
        FakeRequest::get("/"),
        FakeRequest::get("*").method(Method::OPTIONS).host(""),
        FakeRequest::get("/").host("").method(odd),
        FakeRequest::get(&format!("/{long}?{long}")),
        FakeRequest::get("/a//b/;p/%2e%2e/%2F/%00?&&==&%zz=%&%=%25&a=1&a=2"),
        FakeRequest::get("/?next=//evil.example&x=%0d%0aset-cookie:%20a=b&y=%ff%fe"),
        FakeRequest::get("/old//evil.example/")
            .capture("rest", "/evil.example/")
            .capture("id", ".."),
        FakeRequest::get("/")
            .capture("rest", "../../etc")
            .capture("id", "%2e%2e"),
        FakeRequest::get("/").client_ip([0_u16, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]),
        FakeRequest::get("/").client_ip([0x2001, 0xdb8, 0, 1, 0xffff, 0, 0, 2]),
        with_fields(b"\xff\xfe\x80"),
        with_fields(b""),
        with_fields(b"../..//evil.example"),
        with_fields(long.as_bytes()),
        FakeRequest::get("/")
            .header("cookie", "=;;a;=b;c==;  d = \"e\" ;")
            .header("cookie", b"\xff=\xff")
            .header("connection", "close, x-user")
            .header("transfer-encoding", "chunked")
            .header("content-length", "0"),
    ]
}

/// A value for every field that plugins are likely to read, twice.
fn with_fields(value: &[u8]) -> FakeRequest {
    const NAMES: [&str; 12] = [
        "accept-encoding",
        "authorization",
        "content-type",
        "cookie",
        "origin",
        "range",
        "referer",
        "user-agent",
        "x-api-key",
        "x-forwarded-for",
        "x-request-id",
        "x-user",
    ];
    NAMES.iter().fold(FakeRequest::get("/"), |request, name| {
        request.header(name, value).header(name, value)
    })
}

/// Responses that no filter may fall over.
pub(super) fn responses() -> Vec<FakeResponse> {
    let plain = |status| FakeResponse::new(FakeRequest::get("/"), status);
    vec![
        plain(StatusCode::OK),
        plain(StatusCode::NO_CONTENT),
        plain(StatusCode::NOT_MODIFIED),
        plain(StatusCode::SWITCHING_PROTOCOLS),
        plain(StatusCode::from_u16(599).unwrap_or(StatusCode::BAD_GATEWAY)),
        plain(StatusCode::OK)
            .header("server", b"\xff\xfe")
            .header("content-type", b"\xff/\x80")
            .header("content-length", "99999999999999999999")
            .header("set-cookie", "")
            .header("vary", "*,,")
            .header("x-long", "y".repeat(60_000)),
    ]
}
