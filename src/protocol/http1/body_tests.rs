//! Where bodies end: edges, finality and properties.

use proptest::prelude::*;

use super::{BodyGuard, Framing, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, Reason};

fn feed(body: &mut BodyGuard, bytes: &[u8]) -> Result<usize, Reason> {
    body.feed(bytes).map_err(|reject| reject.reason)
}

fn chunked(bytes: &[u8]) -> Result<usize, Reason> {
    feed(&mut BodyGuard::new(Framing::Chunked, 1000), bytes)
}

#[test]
fn no_body_is_done_at_once() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut body = BodyGuard::new(framing, 0);
        assert!(body.is_done());
        assert_eq!(feed(&mut body, b"GET /"), Ok(0));
    }
}

#[test]
fn a_length_is_counted() {
    let mut body = BodyGuard::new(Framing::Length(5), 5);
    assert_eq!(feed(&mut body, b""), Ok(0));
    assert_eq!(feed(&mut body, b"abc"), Ok(3));
    assert!(!body.is_done());
    assert_eq!(feed(&mut body, b"defgh"), Ok(2));
    assert!(body.is_done());
    assert_eq!(body.payload_bytes(), 5);
    assert_eq!(feed(&mut body, b"x"), Ok(0));
}

#[test]
fn a_length_over_the_limit_is_refused_before_any_byte() {
    let mut body = BodyGuard::new(Framing::Length(6), 5);
    assert_eq!(feed(&mut body, b""), Err(Reason::BodyTooLarge));
    assert!(!body.is_done());
}

#[test]
fn chunks_are_counted_without_their_coding() {
    let mut body = BodyGuard::new(Framing::Chunked, 8);
    let bytes = b"5;x\r\nhello\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    assert_eq!(feed(&mut body, bytes), Ok(bytes.len() - 3));
    assert!(body.is_done());
    assert_eq!(body.payload_bytes(), 8);
}

#[test]
fn a_chunk_over_the_limit_is_refused_before_its_data() {
    let mut body = BodyGuard::new(Framing::Chunked, 8);
    assert_eq!(feed(&mut body, b"5\r\nhello\r\n4\r"), Ok(12));
    assert_eq!(feed(&mut body, b"\n"), Err(Reason::BodyTooLarge));
    assert_eq!(body.payload_bytes(), 5);
}

#[test]
fn a_refusal_is_final() {
    let mut body = BodyGuard::new(Framing::Chunked, 8);
    assert_eq!(feed(&mut body, b"x"), Err(Reason::BadChunk));
    assert_eq!(feed(&mut body, b"0\r\n\r\n"), Err(Reason::BadChunk));
    assert!(!body.is_done());
}

#[test]
fn names_the_reason() {
    for (bytes, reason) in [
        (&b"5\n"[..], Reason::BareLf),
        (b"5\rx", Reason::BareCr),
        (b"5 ", Reason::BadChunk),
        (b"1\r\nxx", Reason::BadChunk),
        (b"1\r\nx\n", Reason::BareLf),
        (b"1\r\nx\r\r", Reason::BareCr),
        (b"1;\0", Reason::BadChunkExtension),
        (b"0\r\n ", Reason::ObsFold),
        (b"0\r\n\n", Reason::BareLf),
        (b"0\r\n\rx", Reason::BareCr),
        (b"0\r\n:", Reason::BadTrailer),
        (b"0\r\nX: \n", Reason::BareLf),
        (b"0\r\nX: \rx", Reason::BareCr),
        (b"0\r\nX: \0", Reason::BadTrailer),
        (b"0\r\nHost:", Reason::ForbiddenTrailer),
    ] {
        assert_eq!(chunked(bytes), Err(reason), "{}", bytes.escape_ascii());
    }
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let mut body = BodyGuard::new(Framing::Chunked, u64::MAX);
    let chunk = [b"1;".as_slice(), &[b'x'; 1024], b"\r\ny\r\n"].concat();
    for _ in 0..MAX_EXTENSION_BYTES / 1024 {
        assert_eq!(feed(&mut body, &chunk), Ok(chunk.len()));
    }
    assert_eq!(feed(&mut body, b"1;x"), Err(Reason::BadChunkExtension));
}

#[test]
fn trailers_are_bounded() {
    let mut body = BodyGuard::new(Framing::Chunked, 0);
    assert!(feed(&mut body, b"0\r\nx:").is_ok());
    let value = vec![b'y'; MAX_TRAILER_BYTES as usize - 2];
    assert!(feed(&mut body, &value).is_ok());
    assert_eq!(feed(&mut body, b"y"), Err(Reason::TrailersTooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_encoded_is_followed_to_its_end(
        chunks in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..40), any::<bool>()), 0..6),
        trailers in proptest::collection::vec("x-[a-z]{1,40}: [ -~]{0,20}", 0..3),
        tail in proptest::collection::vec(any::<u8>(), 0..20),
        step in 1usize..30,
    ) {
        let mut bytes = Vec::new();
        for (data, extended) in &chunks {
            let extension = if *extended { ";a=\"b\"" } else { "" };
            bytes.extend(format!("{:x}{extension}\r\n", data.len()).bytes());
            bytes.extend(data);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n");
        for line in trailers.iter().filter(|line| {
            !["x-forwarded-", "x-real-ip", "x-original-url", "x-rewrite-url"]
                .iter()
                .any(|name| line.starts_with(name))
        }) {
            bytes.extend(line.bytes().chain(*b"\r\n"));
        }
        bytes.extend(b"\r\n");
        let end = bytes.len();
        bytes.extend(tail);
        let mut body = BodyGuard::new(Framing::Chunked, 1000);
        let mut consumed = 0;
        for piece in bytes.chunks(step) {
            let taken = body.feed(piece).map_err(|reject| TestCaseError::fail(reject.to_string()))?;
            consumed += taken;
            if taken < piece.len() {
                break;
            }
        }
        prop_assert!(body.is_done());
        prop_assert_eq!(consumed, end);
        let payload: usize = chunks.iter().map(|(data, _)| data.len()).sum();
        prop_assert_eq!(body.payload_bytes(), payload as u64);
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_cuts(
        bytes in "([0-3a;:X \r\n]|1\r\nx\r\n|0\r\n|\r\n){0,24}",
    ) {
        let mut whole = BodyGuard::new(Framing::Chunked, 20);
        let expected = whole.feed(bytes.as_bytes());
        let mut body = BodyGuard::new(Framing::Chunked, 20);
        let pieces = bytes.as_bytes().chunks(1).try_fold(0, |sum, piece| Ok(sum + body.feed(piece)?));
        prop_assert_eq!(pieces, expected);
        prop_assert_eq!(body.is_done(), whole.is_done());
        prop_assert_eq!(body.payload_bytes(), whole.payload_bytes());
    }
}
