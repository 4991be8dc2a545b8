use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TEN: Duration = Duration::from_secs(10);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    let mut out = length.to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn limits(resets: u32, control_frames: u32) -> GuardLimits {
    GuardLimits {
        resets: (resets, TEN),
        control_frames: (control_frames, TEN),
    }
}

/// A guard that has seen the preface.
fn guard(limits: &GuardLimits) -> FrameGuard {
    let mut guard = FrameGuard::new(limits, Instant::now());
    assert_eq!(guard.received(PREFACE, Instant::now), Ok(0));
    guard
}

fn headers(stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, 0x5, stream, b"\x82\x84\x86")
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// Does `turn` until it is refused, at most `most` times; how often it was let through, and why it was not.
fn until(most: u32, mut turn: impl FnMut(u32) -> Result<u32, Breach>) -> (u32, Option<Breach>) {
    for n in 0..most {
        if let Err(breach) = turn(n) {
            return (n, Some(breach));
        }
    }
    (most, None)
}

proptest! {
    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut(
        frames in prop::collection::vec((any::<u8>(), any::<u8>(), 0u32..1 << 31, prop::collection::vec(any::<u8>(), 0..80)), 0..20),
        cuts in prop::collection::vec(1usize..40, 1..60),
    ) {
        let mut bytes = PREFACE.to_vec();
        for (kind, flags, stream, payload) in &frames {
            bytes.extend(frame(kind % 12, *flags, *stream, payload));
        }
        let mut reader = FrameReader::of_client();
        let mut found = Vec::new();
        let mut cuts = cuts.iter().cycle();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at((*cuts.next().expect("a cycle")).min(rest.len()));
            rest = after;
            while let Some(frame) = reader.next(&mut piece) {
                found.push(frame);
            }
            prop_assert!(piece.is_empty());
        }
        prop_assert_eq!(found.len(), frames.len());
        for (found, (kind, flags, stream, payload)) in found.iter().zip(&frames) {
            prop_assert_eq!((found.kind, found.flags, found.stream), (kind % 12, *flags, *stream));
            prop_assert_eq!(found.length as usize, payload.len());
            prop_assert!(payload.starts_with(found.payload()));
        }
    }

    #[test]
    fn any_bytes_are_counted_alike_in_one_piece_and_in_many(
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
        cut in 1usize..100,
    ) {
        let (mut whole, mut cuts) = (guard(&limits(5, 20)), guard(&limits(5, 20)));
        let at_once = whole.received(&bytes, Instant::now).map(|_| ());
        let mut in_pieces = Ok(());
        for piece in bytes.chunks(cut) {
            if let Err(breach) = cuts.received(piece, Instant::now) {
                in_pieces = Err(breach);
                break;
            }
        }
        prop_assert_eq!(at_once, in_pieces);
    }
}

#[test]
fn requests_that_are_taken_back_are_counted() {
    let mut guard = guard(&limits(100, 1000));
    let (through, why) = until(100_000, |n| {
        guard.received(&headers(2 * n + 1), Instant::now)?;
        guard.received(&reset(2 * n + 1, 8), Instant::now)
    });
    assert_eq!((through, why), (100, Some(Breach::RapidReset)));
}

#[test]
fn answered_requests_may_be_reset_and_allow_others_to_be() {
    let mut guard = guard(&limits(10, 1000));
    let answer = |stream| frame(kind::DATA, 1, stream, b"ok");
    // A client that resets what it was answered, as gRPC does.
    let (_, why) = until(900, |n| {
        guard.received(&headers(2 * n + 1), Instant::now)?;
        guard.sent(&answer(2 * n + 1), Instant::now)?;
        guard.received(&reset(2 * n + 1, 0), Instant::now)
    });
    assert_eq!(why, None);
    // One in twelve is taken back, for ever.
    let (_, why) = until(10_000, |n| {
        let stream = 2 * n + 10_001;
        guard.received(&headers(stream), Instant::now)?;
        match n % 12 {
            0 => guard.received(&reset(stream, 8), Instant::now),
            _ => guard.sent(&answer(stream), Instant::now).map(|()| 0),
        }
    });
    assert_eq!(why, None);
    // One in two is not.
    let (_, why) = until(10_000, |n| {
        let stream = 2 * n + 100_001;
        guard.received(&headers(stream), Instant::now)?;
        match n % 2 {
            0 => guard.received(&reset(stream, 8), Instant::now),
            _ => guard.sent(&answer(stream), Instant::now).map(|()| 0),
        }
    });
    assert_eq!(why, Some(Breach::RapidReset));
}

#[test]
fn resets_that_we_are_made_to_send_are_counted_and_our_own_are_not() {
    // PROTOCOL_ERROR, FLOW_CONTROL_ERROR: the client's doing.
    for code in [1, 3] {
        let mut guard = guard(&limits(100, 1000));
        let sent = until(1000, |n| {
            guard
                .sent(&reset(2 * n + 1, code), Instant::now)
                .map(|()| 0)
        });
        assert_eq!(sent, (100, Some(Breach::MadeYouReset)), "{code}");
    }
    // NO_ERROR, INTERNAL_ERROR, CANCEL: ours.
    for code in [0, 2, 8] {
        let mut guard = guard(&limits(100, 1000));
        let sent = until(5000, |n| {
            guard
                .sent(&reset(2 * n + 1, code), Instant::now)
                .map(|()| 0)
        });
        assert_eq!(sent, (5000, None), "{code}");
    }
    // REFUSED_STREAM: nothing was begun, it costs as a control frame.
    let mut guard = guard(&limits(100, 1000));
    let sent = until(5000, |n| {
        guard.sent(&reset(2 * n + 1, 7), Instant::now).map(|()| 0)
    });
    assert_eq!(sent, (1000, Some(Breach::ControlFlood)));
}

#[test]
fn frames_that_move_nothing_on_are_counted() {
    for (name, frame) in [
        ("PRIORITY", frame(2, 0, 1, &[0; 5])),
        ("SETTINGS", frame(4, 0, 0, &[])),
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("GOAWAY", frame(7, 0, 0, &[0; 8])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 4, 0])),
        ("CONTINUATION", frame(9, 0, 1, &[])),
        ("empty DATA", frame(0, 0, 1, &[])),
        ("PRIORITY_UPDATE", frame(16, 0, 0, &[0; 6])),
    ] {
        let mut guard = guard(&limits(100, 1000));
        let taken = until(5000, |_| guard.received(&frame, Instant::now));
        assert_eq!(taken, (1000, Some(Breach::ControlFlood)), "{name}");
    }
    let mut guard = guard(&limits(100, 1000));
    let dribble = frame(8, 0, 1, &[0, 0, 0, 1]);
    let taken = until(5000, |_| {
        guard.sent(&frame(0, 0, 1, b"x"), Instant::now)?;
        guard.received(&dribble, Instant::now)
    });
    assert_eq!(taken.1, Some(Breach::ControlFlood), "windows of one byte");
}

#[test]
fn what_is_served_allows_control_frames() {
    let mut guard = guard(&limits(100, 100));
    let (ping, update) = (frame(6, 0, 0, &[0; 8]), frame(8, 0, 1, &[0, 0, 1, 0]));
    // A message, and for each a PING to measure the way and a window.
    let (_, why) = until(100_000, |_| {
        guard.sent(&frame(0, 0, 1, &[7; 100]), Instant::now)?;
        guard.received(&ping, Instant::now)?;
        guard.received(&update, Instant::now)
    });
    assert_eq!(why, None);
    // A request with three frames around it.
    let (_, why) = until(100_000, |n| {
        guard.received(&headers(2 * n + 1), Instant::now)?;
        for _ in 0..3 {
            guard.received(&update, Instant::now)?;
        }
        guard.sent(&headers(2 * n + 1), Instant::now).map(|()| 0)
    });
    assert_eq!(why, None);
}

#[test]
fn a_budget_fills_again_with_time() {
    let begin = Instant::now();
    let mut budget = Budget::new(100, TEN, begin);
    assert!((0..100).all(|_| budget.charge(1, || begin)));
    assert!(!budget.charge(1, || begin));
    let later = begin + Duration::from_secs(1);
    let let_through = (0..100).filter(|_| budget.charge(1, || later)).count();
    assert_eq!(let_through, 9, "one is owed");
    // The clock is asked only when the budget seems spent.
    let mut budget = Budget::new(100, TEN, begin);
    assert!((0..100).all(|_| budget.charge(1, || panic!("the clock was asked"))));
}

#[test]
fn what_a_goaway_said_is_kept() {
    let mut guard = guard(&limits(100, 1000));
    let mut payload = vec![0, 0, 0, 0, 0, 0, 0, 11];
    payload.extend(b"too_many_continuations, and more that is cut");
    let bytes = frame(kind::GOAWAY, 0, 0, &payload);
    let (first, second) = bytes.split_at(20);
    assert_eq!(guard.sent(first, Instant::now), Ok(()));
    assert_eq!(guard.take_said(), None);
    assert_eq!(guard.sent(second, Instant::now), Ok(()));
    let said = guard.take_said().expect("a GOAWAY");
    assert_eq!(said.code(), 11);
    assert!(said.words().starts_with(b"too_many_continuations"));
    assert_eq!(guard.take_said(), None);
}
