//! Any bytes as requests on one connection: the verdict does not depend on how they were cut, and
//! head and body never reach beyond the bytes there are.
#![no_main]

use farmgate::protocol::http1::{BodyGuard, Head, HeadLimits, HeadStatus, parse_head};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer meets every limit.
const LIMITS: HeadLimits = HeadLimits {
    headers: 8,
    header_bytes: 1024,
    uri_bytes: 128,
};

/// Most payload bytes of a body.
const BODY_BYTES: u64 = 4096;

fuzz_target!(|data: &[u8]| {
    let Some((cut, mut rest)) = data.split_first() else {
        return;
    };
    // Each turn takes at least the bytes of a head, so the loop ends.
    while let Some(len) = request(rest, usize::from(*cut)) {
        rest = &rest[len..];
    }
});

/// Reads one request in one piece and in two; its length when another one may follow.
fn request(bytes: &[u8], cut: usize) -> Option<usize> {
    let mut head = Head::default();
    let whole = parse_head(bytes, &LIMITS, &mut head);
    let mut again = Head::default();
    let first = &bytes[..cut.min(bytes.len())];
    let pieces = match parse_head(first, &LIMITS, &mut again) {
        HeadStatus::Partial => parse_head(bytes, &LIMITS, &mut again),
        done => done,
    };
    assert_eq!(whole, pieces, "the cut at {cut} changes the verdict");
    let HeadStatus::Complete { len } = whole else {
        return None;
    };
    assert!(len > 0 && len <= bytes.len());
    assert!(!head.method.of(bytes).is_empty() && !head.target.of(bytes).is_empty());

    let body = &bytes[len..];
    let mut guard = BodyGuard::new(head.framing, BODY_BYTES);
    let whole = guard.feed(body);
    let mut slow = BodyGuard::new(head.framing, BODY_BYTES);
    let mut taken = 0;
    // One call without bytes, as the server makes it before the head is sent on.
    let mut pieces = slow.feed(&[]);
    for piece in body.chunks(cut.max(1)) {
        if pieces.is_err() || slow.is_done() {
            break;
        }
        pieces = slow.feed(piece);
        taken += pieces.unwrap_or(0);
    }
    assert_eq!(
        whole.is_ok(),
        pieces.is_ok(),
        "pieces of {cut} change the verdict"
    );
    let used = whole.ok()?;
    assert_eq!(used, taken);
    assert!(used <= body.len() && guard.payload_bytes() <= BODY_BYTES);
    assert_eq!(guard.is_done(), slow.is_done());
    (guard.is_done() && head.keep_alive && !head.upgrade).then_some(len + used)
}
