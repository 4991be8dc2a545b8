//! Members without a proxy: what is counted, who is ejected, for how long.

mod carried;
mod props;
mod rows;
mod shares;
mod simulation;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::*;

const GOOD: Seen = Seen::Answer {
    server_error: false,
};
const BAD: Seen = Seen::Answer { server_error: true };

/// An endpoint of which nothing is known but what this module asks.
#[derive(Debug, Default)]
struct Node {
    outlier: Outlier,
    standing: AtomicU8,
    mark: AtomicBool,
}

impl Node {
    fn stand(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    fn is_marked(&self) -> bool {
        self.mark.load(Ordering::Relaxed)
    }
}

impl Member for Node {
    fn outlier(&self) -> &Outlier {
        &self.outlier
    }

    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Usable,
            1 => Standing::Down,
            _ => Standing::Idle,
        }
    }

    fn hold(&self, out: bool) {
        self.mark.store(out, Ordering::Relaxed);
    }
}

fn nodes(count: usize) -> Vec<Arc<Node>> {
    (0..count).map(|_| Arc::default()).collect()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// An upstream with its clock.
struct Farm {
    options: OutlierOptions,
    nodes: Vec<Arc<Node>>,
    ejector: Ejector,
    now: Instant,
}

impl Farm {
    fn new(count: usize, options: OutlierOptions) -> Self {
        Self {
            options,
            nodes: nodes(count),
            ejector: Ejector::default(),
            now: Instant::now(),
        }
    }

    /// Ejects without jitter, as after five 5xx.
    fn eject(&self, which: usize) -> Verdict {
        let outlier = &self.nodes[which].outlier;
        let cause = Cause::Consecutive5xx(5);
        self.ejector
            .eject(&self.options, &self.nodes, outlier, cause, self.now, 0)
    }

    fn tick(&mut self, later: Duration) -> Vec<Change> {
        self.now += later;
        self.ejector.tick(&self.options, &self.nodes, self.now, 0)
    }

    fn tally(&self) -> Tally {
        self.ejector.tally(&self.options, &self.nodes)
    }

    fn out(&self) -> Vec<usize> {
        let is_out = |index: &usize| self.nodes[*index].outlier.is_out();
        let out: Vec<usize> = (0..self.nodes.len()).filter(is_out).collect();
        for (index, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.is_marked(), out.contains(&index), "{index}");
        }
        out
    }
}

fn returned(index: usize, why: Back, out_for: Duration) -> Change {
    let what = What::Returned { why, out_for };
    Change { index, what }
}

fn ejected(lasts: Duration, times: u32) -> Verdict {
    Verdict::Ejected { lasts, times }
}

#[test]
fn ejections_double_up_to_the_longest_and_end() {
    let mut farm = Farm::new(4, OutlierOptions::default());
    for (number, length) in [10, 20, 40, 80, 160, 300, 300, 300].into_iter().enumerate() {
        let times = (number as u32 + 1).min(6);
        assert_eq!(farm.eject(1), ejected(secs(length), times));
        assert_eq!(farm.eject(1), Verdict::Already);
        assert_eq!(farm.tick(secs(length) - ms(1)), []);
        assert_eq!(farm.out(), [1]);
        let back = [returned(1, Back::TimeUp, secs(length))];
        assert_eq!(farm.tick(ms(1)), back);
        assert!(farm.out().is_empty());
    }
    let status = farm.nodes[1].outlier.status(farm.now);
    assert_eq!((status.times, status.ejections_total), (6, 8));
    // The longest are five minutes apart: the last ten minutes saw two or three.
    assert!((2..=3).contains(&status.flaps), "{status:?}");
}

#[test]
fn jitter_adds_up_to_a_tenth() {
    let farm = Farm::new(4, OutlierOptions::default());
    let eject = |random| {
        let node = &farm.nodes[0];
        let (now, cause) = (farm.now, Cause::ConnectFailures(2));
        let ejector = Ejector::default();
        let verdict = ejector.eject(
            &farm.options,
            &farm.nodes,
            &node.outlier,
            cause,
            now,
            random,
        );
        ejector.release(&farm.nodes, now);
        verdict
    };
    assert_eq!(eject(0), ejected(secs(10), 1));
    assert_eq!(eject(u64::MAX), ejected(secs(11), 1));
    assert_eq!(eject(1 << 63), ejected(secs(10) + ms(500), 1));
}

#[test]
fn growth_is_forgotten_by_quiet_use_only() {
    let mut farm = Farm::new(4, OutlierOptions::default());
    for length in [10, 20, 40] {
        assert!(matches!(farm.eject(0), Verdict::Ejected { .. }));
        farm.tick(secs(length));
    }
    let times = |farm: &Farm| farm.nodes[0].outlier.status(farm.now).times;
    assert_eq!(times(&farm), 3);
    farm.tick(secs(39));
    assert_eq!(times(&farm), 3);
    farm.tick(secs(1));
    assert_eq!(times(&farm), 2);
    // Not used, not quiet.
    farm.nodes[0].stand(Standing::Down);
    farm.tick(secs(1000));
    assert_eq!(times(&farm), 2);
    farm.nodes[0].stand(Standing::Usable);
    farm.tick(secs(19));
    assert_eq!(times(&farm), 2);
    farm.tick(secs(1));
    assert_eq!(times(&farm), 1);
    // One long pause between ticks counts as many steps as it is long.
    assert_eq!(farm.eject(0), ejected(secs(20), 2));
    farm.tick(secs(20));
    farm.tick(secs(30));
    assert_eq!(times(&farm), 0);
    assert_eq!(farm.eject(0), ejected(secs(10), 1));
}

#[test]
fn the_share_is_rounded_down_and_the_last_one_stays() {
    for (count, share, most) in [
        (5, 0.5, 2),
        (4, 0.5, 2),
        (3, 0.5, 1),
        (2, 0.5, 1),
        (1, 1.0, 0),
        (10, 0.7, 7),
        (10, 0.3, 3),
        (3, 1.0, 2),
        (9, 0.1, 0),
        (10, 0.1, 1),
        (4096, 0.7, 2867),
        (6, 0.0, 0),
        (6, f32::NAN, 0),
        (6, 7.0, 5),
    ] {
        let farm = Farm::new(
            count,
            OutlierOptions {
                max_ejected: share,
                ..OutlierOptions::default()
            },
        );
        let verdicts: Vec<Verdict> = (0..count).map(|which| farm.eject(which)).collect();
        let out = verdicts.iter().filter(|v| v.word() == "ejected").count();
        assert_eq!(out, most, "{count} {share}: {verdicts:?}");
        assert_eq!(farm.out().len(), most);
    }
}

#[test]
fn who_is_down_or_idle_is_no_one_to_stay() {
    let farm = Farm::new(4, OutlierOptions::default());
    farm.nodes[0].stand(Standing::Down);
    farm.nodes[1].stand(Standing::Idle);
    farm.nodes[2].stand(Standing::Down);
    assert_eq!(farm.eject(3), Verdict::Last);
    assert_eq!(farm.eject(1), Verdict::NotInUse);
    farm.nodes[2].stand(Standing::Usable);
    // Three count, so one may be out.
    assert_eq!(farm.eject(3), ejected(secs(10), 1));
    assert_eq!(farm.eject(2), Verdict::Last);
    assert_eq!(farm.eject(0), Verdict::TooMany);
    let tally = farm.tally();
    let (members, out, available, most) = (3, 1, 1, 1);
    assert_eq!(
        tally,
        Tally {
            members,
            out,
            available,
            most
        }
    );
    let stranger = Outlier::default();
    let cause = Cause::ConnectFailures(2);
    let verdict = farm
        .ejector
        .eject(&farm.options, &farm.nodes, &stranger, cause, farm.now, 0);
    assert_eq!(verdict, Verdict::NotInUse);
}

#[test]
fn room_is_made_when_the_others_go() {
    let mut farm = Farm::new(6, OutlierOptions::default());
    for which in [4, 2, 0] {
        assert!(matches!(farm.eject(which), Verdict::Ejected { .. }));
        farm.now += secs(1);
    }
    // A reload allows fewer: who is due first comes back first.
    farm.options.max_ejected = 0.34;
    assert_eq!(farm.tick(ms(0)), [returned(4, Back::Room, secs(3))]);
    // Discovery takes two away.
    farm.nodes.remove(5);
    farm.nodes.remove(3);
    assert_eq!(farm.tick(ms(0)), [returned(2, Back::Room, secs(2))]);
    // Health takes the rest; one that is down already does not help.
    farm.options.max_ejected = 1.0;
    assert!(matches!(farm.eject(2), Verdict::Ejected { .. }));
    farm.nodes[1].stand(Standing::Down);
    farm.nodes[3].stand(Standing::Down);
    farm.nodes[0].stand(Standing::Down);
    assert_eq!(farm.tick(ms(0)), [returned(2, Back::Room, ms(0))]);
    assert_eq!(farm.out(), [0]);
    assert_eq!(farm.eject(2), Verdict::Last);
}

#[test]
fn shorter_options_hold_for_who_is_out() {
    let mut farm = Farm::new(4, OutlierOptions::default());
    farm.options.base_ejection = secs(200);
    assert_eq!(farm.eject(0), ejected(secs(200), 1));
    farm.options.max_ejection = secs(30);
    assert_eq!(farm.tick(secs(32)), []);
    assert_eq!(
        farm.tick(secs(1)),
        [returned(0, Back::TimeUp, secs(33))],
        "the longest and a tenth"
    );
}

#[test]
fn options_that_vanish_give_back() {
    let mut farm = Farm::new(6, OutlierOptions::default());
    let connect = Cause::ConnectFailures(2);
    assert_eq!(farm.eject(0), ejected(secs(10), 1));
    let outlier = &farm.nodes[1].outlier;
    let _ = farm
        .ejector
        .eject(&farm.options, &farm.nodes, outlier, connect, farm.now, 0);
    farm.options.consecutive_5xx = None;
    assert_eq!(farm.tick(secs(1)), [returned(0, Back::Off, secs(1))]);
    assert_eq!(farm.out(), [1]);
    let changes = farm.ejector.release(&farm.nodes, farm.now);
    assert_eq!(changes, [returned(1, Back::Off, secs(1))]);
    assert!(farm.out().is_empty());
    assert_eq!(farm.eject(1), ejected(secs(10), 1), "growth begins anew");
}

#[test]
fn one_is_given_back_when_asked() {
    let farm = Farm::new(4, OutlierOptions::default());
    let give = || {
        let outlier = &farm.nodes[2].outlier;
        farm.ejector
            .give_back(&farm.nodes, outlier, farm.now + secs(2))
    };
    assert_eq!(give(), None);
    assert_eq!(farm.eject(2), ejected(secs(10), 1));
    assert_eq!(give(), Some(returned(2, Back::Asked, secs(2))));
    assert!(farm.out().is_empty());
    assert_eq!(farm.eject(2), ejected(secs(20), 2), "growth stays");
}
