//! Any bytes as the frames of a connection: the same however they are cut, and never more frames than heads fit in.
#![no_main]

use std::time::{Duration, Instant};

use farmgate::protocol::http2::{FrameGuard, FrameReader, GuardLimits};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, bytes)) = data.split_first() else {
        return;
    };
    let cut = usize::from(cut).max(1);
    let frames = |reader: &mut FrameReader, mut bytes: &[u8], found: &mut Vec<_>| {
        while let Some(frame) = reader.next(&mut bytes) {
            found.push(frame);
        }
        assert!(bytes.is_empty());
    };
    let (mut whole, mut pieces) = (Vec::new(), Vec::new());
    frames(&mut FrameReader::of_server(), bytes, &mut whole);
    let mut reader = FrameReader::of_server();
    for piece in bytes.chunks(cut) {
        frames(&mut reader, piece, &mut pieces);
    }
    assert_eq!(whole, pieces);
    assert!(whole.len() <= bytes.len() / 9);

    let limits = GuardLimits {
        resets: (20, Duration::from_secs(3600)),
        control_frames: (20, Duration::from_secs(3600)),
    };
    let mut guard = FrameGuard::new(&limits, Instant::now());
    // The bytes stand for both directions in turn.
    for (n, piece) in bytes.chunks(cut).enumerate() {
        let breach = match n % 2 {
            0 => guard.received(piece, Instant::now).map(|_| ()),
            _ => guard.sent(piece, Instant::now),
        };
        if breach.is_err() {
            break;
        }
    }
});
