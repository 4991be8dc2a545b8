use std::io::Write;

use bytes::Bytes;
use farmgate_plugin_api::compliance::{self, FakeRequest, FakeServices};
use farmgate_plugin_api::exchange::BufferedBody;
use farmgate_plugin_api::{BodyMode, Built, Verdict};
use http::Method;

use super::KIND;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn br(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4096, 5, 20)
        .write_all(bytes)
        .unwrap();
    out
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn request(encoding: &str) -> FakeRequest {
    FakeRequest::get("/upload")
        .method(Method::POST)
        .header("content-encoding", encoding)
}

fn buffered(pieces: &[&[u8]]) -> BufferedBody {
    let mut body = BufferedBody::default();
    for piece in pieces {
        body.push(Bytes::copy_from_slice(piece));
    }
    body
}

/// The status of the refusal, or 0; and the body after the filter.
fn sent(built: &Built, request: &mut FakeRequest, pieces: &[&[u8]]) -> (u16, Bytes) {
    let mut body = buffered(pieces);
    for step in 0..2 {
        let answer = match step {
            0 => compliance::verdict(built.filter.request_head(request)),
            _ => compliance::verdict(built.filter.request_body(request, &mut body)),
        };
        match answer {
            Verdict::Continue => {}
            Verdict::Reply(reply) => return (reply.status.as_u16(), Bytes::new()),
            other => panic!("{other:?}"),
        }
    }
    (0, body.into_bytes())
}

#[test]
fn bodies_reach_the_origin_plain() {
    let services = FakeServices::new();
    let built = compliance::build(KIND, "requests = {}", &services).unwrap();
    let lines = (0..9000_u32).map(|n| format!("{{\"farm\": {}}}\n", n.wrapping_mul(2_654_435_761)));
    let text = lines.collect::<String>().into_bytes();
    let zstd = zstd::encode_all(&text[..], 3).unwrap();
    for (name, bytes) in [
        ("gzip", gzip(&text)),
        ("X-GZIP", gzip(&text)),
        ("br", br(&text)),
        ("deflate", deflate(&text)),
        ("zstd", zstd),
    ] {
        for size in [1, 7, bytes.len()] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            let mut request = request(name).header("content-digest", "sha-256=:x:");
            let (status, body) = sent(&built, &mut request, &pieces);
            assert_eq!(status, 0, "{name}");
            assert!(body == text, "{name}");
            assert!(!request.headers.0.contains_key("content-encoding"));
            assert!(!request.headers.0.contains_key("content-digest"));
        }
    }
    // A few bytes are decoded at once.
    let small = gzip(b"abc");
    let (status, body) = sent(&built, &mut request("gzip"), &[&small]);
    assert_eq!((status, &body[..]), (0, &b"abc"[..]));
    assert_eq!(services.metric("decoded_requests"), 16);
    assert!(text.len() > 150_000);
}

#[test]
fn plain_bodies_are_not_read() {
    let built = compliance::build(KIND, "requests = {}", &FakeServices::new()).unwrap();
    assert!(matches!(
        built.filter.body_mode(),
        BodyMode::Buffered {
            limit: 8_388_608,
            ..
        }
    ));
    for mut plain in [FakeRequest::get("/"), request("identity"), request("")] {
        assert_eq!(sent(&built, &mut plain, &[b"abc"]), (0, Bytes::from("abc")));
        assert_eq!(plain.wanted_body, Some(BodyMode::None));
    }
    // Nothing is decoded to nothing.
    let mut empty = request("gzip");
    assert_eq!(sent(&built, &mut empty, &[]).0, 0);
    assert!(!empty.headers.0.contains_key("content-encoding"));
    // Without the table nothing is looked at.
    let off = compliance::build(KIND, "", &FakeServices::new()).unwrap();
    assert_eq!(off.filter.body_mode(), BodyMode::None);
}

#[test]
fn what_is_not_taken_is_refused_with_what_is() {
    let services = FakeServices::new();
    let table = "requests = { encodings = ['zstd', 'gzip'] }";
    let built = compliance::build(KIND, table, &services).unwrap();
    for name in ["br", "compress", "gzip, gzip", "gzip, zstd", "\u{ff}"] {
        let mut refused = request(name);
        let verdict = compliance::verdict(built.filter.request_head(&mut refused));
        let Verdict::Reply(reply) = verdict else {
            panic!("{name}: {verdict:?}")
        };
        assert_eq!(reply.status, 415);
        assert_eq!(reply.headers[0].0, "accept-encoding");
        assert_eq!(reply.headers[0].1, "zstd, gzip");
    }
    assert_eq!(
        services.metric_by("refused_requests", "unknown_encoding"),
        5
    );
}

#[test]
fn bombs_and_broken_bodies_end_early() {
    let services = FakeServices::new();
    let table = "requests = { max_size = '1MiB', ratio = 100 }";
    let built = compliance::build(KIND, table, &services).unwrap();
    let zeros = vec![0; 64 << 20];
    let bomb = gzip(&zeros);
    assert!(bomb.len() < 100_000);
    assert_eq!(sent(&built, &mut request("gzip"), &[&bomb]).0, 413);
    // The same cut so that all of it would be below the size, and the ratio alone tells.
    let short = gzip(&zeros[..1 << 20]);
    assert_eq!(sent(&built, &mut request("gzip"), &[&short]).0, 413);
    // Text that is simply long.
    let mut noise = 1_u32;
    let long: Vec<u8> = (0..1_100_000)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + (noise >> 28) as u8
        })
        .collect();
    assert_eq!(sent(&built, &mut request("br"), &[&br(&long)]).0, 413);
    let fine = gzip(b"abc");
    for broken in [
        &fine[..fine.len() - 1],
        b"no gzip",
        &[&fine[..], b"behind"].concat(),
    ] {
        assert_eq!(sent(&built, &mut request("gzip"), &[broken]).0, 400);
    }
    assert_eq!(services.metric_by("refused_requests", "broken"), 3);
    let over = services.metric_by("refused_requests", "too_large");
    let bombs = services.metric_by("refused_requests", "bomb");
    assert_eq!((over, bombs), (2, 1));
}

#[test]
fn a_part_of_a_body_is_not_decoded() {
    let built = compliance::build(KIND, "requests = {}", &FakeServices::new()).unwrap();
    let mut body = buffered(&[b"abc"]);
    body.partial = true;
    let mut request = request("gzip");
    let verdict = compliance::verdict(built.filter.request_body(&mut request, &mut body));
    assert!(matches!(verdict, Verdict::Error(_)));
}
