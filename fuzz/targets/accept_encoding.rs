//! Any bytes as Accept-Encoding, and as a body in pieces: the coding is one the client takes by a plain reading of its
//! wishes, and what it decodes is what the origin sent.
#![no_main]

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeResponse, FakeServices};
use farmgate_plugins::compression::KIND;
use farmgate_plugins::compression::accept::{Coding, Wishes};
use http::StatusCode;
use libfuzzer_sys::fuzz_target;

/// The weight of a coding by a plain reading: the last resort is `*`, and 0 wins over all.
fn weight(line: &str, names: &[&str]) -> f64 {
    let mut own: Option<f64> = None;
    let mut any: Option<f64> = None;
    for member in line.split(',') {
        let mut parts = member
            .split(';')
            .map(|part| part.trim_matches([' ', '\t', '\n', '\r', '\x0c']));
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut q: f64 = 1.0;
        for part in parts {
            if let Some(text) = part.strip_prefix("q=").or(part.strip_prefix("Q=")) {
                let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let whole = text.split('.').next().unwrap_or_default();
                let short = text.len() <= 5 && whole.len() == 1;
                let read = text
                    .parse::<f64>()
                    .ok()
                    .filter(|q| digits && short && *q <= 1.0);
                q = q.min(read.unwrap_or(0.0));
            }
        }
        let slot = if names.contains(&name.as_str()) {
            &mut own
        } else if name == "*" {
            &mut any
        } else {
            continue;
        };
        *slot = Some(match *slot {
            Some(known) if known == 0.0 || q == 0.0 => 0.0,
            Some(known) => known.max(q),
            None => q,
        });
    }
    own.or(any).unwrap_or(0.0)
}

fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut decoder = farmgate_waf::body::inflate::Decoder::new(
        coding.as_bytes(),
        farmgate_waf::body::inflate::InflateLimits {
            max_bytes: u64::MAX,
            ratio: u32::MAX,
        },
    )
    .expect("a known coding")
    .expect("a coding");
    decoder.push(bytes, &mut out).expect("sound bytes");
    decoder.finish(&mut out).expect("a whole body");
    out
}

fuzz_target!(|data: &[u8]| {
    let (line, mut rest) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &data[..0]),
    };
    let wishes = Wishes::read([line].into_iter());
    let text = String::from_utf8_lossy(line);
    let names: [&[&str]; 3] = [&["zstd"], &["br"], &["gzip", "x-gzip"]];
    let all = Coding::ALL
        .iter()
        .zip(names)
        .map(|(coding, names)| (*coding, weight(&text, names)));
    let best = wishes.best(&Coding::ALL);
    for (coding, weight) in all {
        assert_eq!(wishes.weight(coding) > 0, weight > 0.0, "{coding:?} {text}");
        if best == Some(coding) {
            assert!(weight > 0.0, "{coding:?} {text}");
        }
    }
    let Ok(built) = compliance::build(KIND, "min_size = '0B'", &FakeServices::new()) else {
        panic!("the configuration is sound");
    };
    let request = FakeRequest::get("/").header("accept-encoding", line);
    let mut response =
        FakeResponse::new(request, StatusCode::OK).header("content-type", "text/html");
    compliance::verdict(built.filter.response_head(&mut response));
    let coding = response.headers.0.get("content-encoding");
    let coding = coding.map(|coding| coding.to_str().expect("a token").to_owned());
    let whole = rest.to_vec();
    let mut out = Vec::new();
    loop {
        let size = rest.first().map_or(0, |byte| usize::from(*byte) + 1);
        let piece = &rest[..size.min(rest.len())];
        rest = &rest[piece.len()..];
        let end = rest.is_empty();
        let mut chunk = Some(Bytes::copy_from_slice(piece));
        let done = built
            .filter
            .response_body(&mut response.request, &mut chunk, end);
        assert!(done.is_ok());
        out.extend_from_slice(&chunk.unwrap_or_default());
        if end {
            break;
        }
    }
    match coding {
        Some(coding) => assert_eq!(decoded(&coding, &out), whole),
        None => assert_eq!(out, whole),
    }
});
