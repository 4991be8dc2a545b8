mod accepts;
mod properties;
mod requests;
mod responses;

use std::io::Read;

use bytes::Bytes;
use farmgate_plugin_api::Built;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use http::StatusCode;

use super::KIND;

fn build(table: &str) -> Result<Built, String> {
    compliance::build(KIND, table, &FakeServices::new())
}

/// A request that takes these codings.
fn taking(accepts: &str) -> FakeRequest {
    FakeRequest::get("/page").header("accept-encoding", accepts)
}

/// A page of an origin, whose length is not known.
fn page(request: FakeRequest) -> FakeResponse {
    FakeResponse::new(request, StatusCode::OK).header("content-type", "text/html; charset=utf-8")
}

/// The response after the filter's look at its head.
fn head(built: &Built, mut response: FakeResponse) -> FakeResponse {
    compliance::verdict(built.filter.response_head(&mut response));
    response
}

/// What it is encoded with; empty for nothing.
fn coding(response: &FakeResponse) -> &str {
    let value = response.headers.0.get("content-encoding");
    value.map_or("", |value| value.to_str().unwrap())
}

/// The pieces that go out for these.
fn body(built: &Built, response: &mut FakeResponse, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = pieces.len();
    let mut out = Vec::new();
    for (at, piece) in pieces.iter().copied().chain([&b""[..]]).enumerate() {
        let mut chunk = Some(Bytes::copy_from_slice(piece));
        let done = built
            .filter
            .response_body(&mut response.request, &mut chunk, at == last);
        done.unwrap();
        out.push(chunk.unwrap_or_default().to_vec());
    }
    out
}

/// What a client reads of a whole body.
fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).and_then(|mut decoder| {
            // What browsers take: RFC 9659.
            decoder.window_log_max(23)?;
            decoder.read_to_end(&mut out)
        }),
        _ => {
            out.extend_from_slice(bytes);
            Ok(0)
        }
    };
    read.unwrap();
    out
}

#[test]
fn complies() {
    assert_eq!(
        compliance::failures(KIND, &FakeServices::new),
        Vec::<String>::new()
    );
}

#[test]
fn mistakes_are_placed() {
    for (table, text) in [
        ("encodings = ['gzip', 'deflate']", "test.toml:1:22: "),
        ("encodings = ['br', 'br']", "test.toml:1:20: E-OPTION-003"),
        (
            "encodings = []",
            "E-OPTION-004 this plugin compresses nothing",
        ),
        ("types = []", "test.toml:1:9: E-OPTION-003"),
        ("types = ['text']", "test.toml:1:10: E-OPTION-003"),
        ("types = ['text/']", "a part of it is none"),
        (
            "types = ['text/html; charset=utf-8']",
            "a part of it is none",
        ),
        ("types = ['*/html']", "needs one behind it"),
        ("types = ['text/*x']", "only a suffix"),
        ("types = ['application/*+']", "a part of it is none"),
        ("min_size = 1024", "test.toml:1:12: "),
        ("min_size = '65MiB'", "0B to 64MiB"),
        (
            "level.zstd = 10",
            "test.toml:1:14: E-OPTION-003 zstd is from 1 to 9",
        ),
        ("level.br = 7", "0 to 6"),
        ("level.gzip = 0", "1 to 9"),
        ("level = 3", "test.toml:1:9: "),
        ("max_concurrent = 0", "1 to 65536"),
        ("requests = true", "test.toml:1:12: "),
        (
            "requests = { encodings = [] }",
            "test.toml:1:26: E-OPTION-003",
        ),
        (
            "requests = { encodings = ['gzip', 'gzip'] }",
            "listed twice",
        ),
        ("requests = { max_size = '100B' }", "1KiB to 1GiB"),
        ("requests = { ratio = 5 }", "10 to 10000"),
        ("requests = { size = '1KiB' }", "max_size"),
        ("encoding = ['gzip']", "\"encodings\""),
    ] {
        let error = build(table).err().unwrap_or_else(|| panic!("{table}"));
        assert!(error.contains(text), "{table}: {error}");
    }
}
