//! What is exact whatever threads do.

use std::sync::atomic::AtomicU64;
use std::thread;

use super::*;

#[test]
fn each_row_is_told_once() {
    let (outlier, options) = (Outlier::default(), OutlierOptions::default());
    let told = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50_000 {
                    if outlier.record(&options, BAD, None).is_some() {
                        told.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(told.into_inner(), 4 * 50_000 / 5);
}

/// Four threads eject what they can, one ends ejections, one looks whether too many are out.
#[test]
fn nobody_sees_too_many_out() {
    /// Until so many came back, and no longer than so many attempts of a thread.
    const RETURNS: u64 = 200;
    const ROUNDS: u64 = 20_000_000;
    let options = OutlierOptions {
        base_ejection: ms(3),
        max_ejection: ms(20),
        ..OutlierOptions::default()
    };
    let (nodes, ejector, start) = (nodes(7), Ejector::default(), Instant::now());
    let (passed, ejections, returns) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let relaxed = Ordering::Relaxed;
    let (working, looks) = (AtomicU64::new(4), AtomicU64::new(0));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (nodes, options, ejector) = (&nodes, &options, &ejector);
            let (passed, ejections) = (&passed, &ejections);
            let (returns, working) = (&returns, &working);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    if returns.load(relaxed) >= RETURNS {
                        break;
                    }
                    let now = start + Duration::from_micros(passed.fetch_add(20, relaxed));
                    let node = &nodes[((round + thread) % 7) as usize];
                    let Some(cause) = node.outlier.record(options, BAD, None) else {
                        continue;
                    };
                    let verdict = ejector.eject(options, nodes, &node.outlier, cause, now, round);
                    if let Verdict::Ejected { .. } = verdict {
                        ejections.fetch_add(1, relaxed);
                    }
                }
                working.fetch_sub(1, Ordering::Release);
            });
        }
        scope.spawn(|| {
            while working.load(Ordering::Acquire) > 0 {
                let now = start + Duration::from_micros(passed.load(relaxed));
                let changes = ejector.tick(&options, &nodes, now, 1).len();
                returns.fetch_add(changes as u64, relaxed);
            }
        });
        scope.spawn(|| {
            while working.load(Ordering::Acquire) > 0 {
                let tally = ejector.tally(&options, &nodes);
                assert!(tally.out <= 3 && tally.available >= 4, "{tally:?}");
                looks.fetch_add(1, relaxed);
            }
        });
    });
    let end = start + Duration::from_micros(passed.load(relaxed)) + secs(1);
    let last = ejector.tick(&options, &nodes, end, 1).len() as u64;
    let (ejections, returns) = (ejections.into_inner(), returns.into_inner() + last);
    assert!(ejections >= RETURNS, "{ejections}");
    assert!(looks.into_inner() > 0);
    assert_eq!(ejections, returns);
    assert!(
        nodes
            .iter()
            .all(|node| !node.is_marked() && !node.outlier.is_out())
    );
}
