//! Compression, CORS, careful headers and error pages, through the whole proxy and against the real counterparts:
//! curl, Python, and the tools gzip, brotli and zstd.

mod cached;
mod heads;
mod http2;
mod pages;
mod streams;
mod tools;
mod uploads;

use std::io::Read;

/// A page of 300 KB that is neither all the same nor noise.
pub(super) fn page() -> String {
    let mut noise = 1_u32;
    let mut text = String::with_capacity(300_000);
    while text.len() < 300_000 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("<li>{} farm {}</li>\n", noise >> 12, noise >> 22));
    }
    text
}

/// What a client reads of a body that ended.
pub(super) fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .and_then(|mut decoder| decoder.read_to_end(&mut out)),
        other => panic!("{other}"),
    };
    read.unwrap_or_else(|error| panic!("{coding}: {error}"));
    out
}
