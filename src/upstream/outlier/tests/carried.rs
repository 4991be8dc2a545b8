//! An upgrade: another process goes on.

use super::*;

#[test]
fn an_ejection_goes_on_in_another_process() {
    let mut old = Farm::new(4, OutlierOptions::default());
    assert_eq!(old.nodes[0].outlier.moved(old.now), None);
    let _ = old.eject(0);
    old.tick(secs(10));
    assert_eq!(old.eject(0), ejected(secs(20), 2));
    let text = serde_json::to_string(&old.nodes[0].outlier.moved(old.now + secs(5))).unwrap();
    let moved: MovedOutlier = serde_json::from_str(&text).unwrap();
    let mut new = Farm::new(4, OutlierOptions::default());
    let start = new.now;
    let outlier = &new.nodes[0].outlier;
    outlier.restore(&moved, start, secs(1));
    assert!(outlier.is_out() && !new.nodes[0].is_marked());
    assert_eq!(new.tick(ms(0)), []);
    assert_eq!(new.out(), [0], "the first tick marks it");
    let status = new.nodes[0].outlier.status(new.now);
    assert_eq!(status.cause, Some(Cause::Consecutive5xx(5)));
    assert_eq!((status.out_for, status.left), (secs(6), secs(14)));
    assert_eq!(
        (status.times, status.flaps, status.ejections_total),
        (2, 1, 2)
    );
    assert_eq!(new.tick(secs(14)), [returned(0, Back::TimeUp, secs(20))]);
    assert_eq!(new.eject(0), ejected(secs(40), 3));
}

#[test]
fn quiet_use_goes_on_too() {
    let mut old = Farm::new(4, OutlierOptions::default());
    let _ = old.eject(0);
    old.tick(secs(10));
    let moved = old.nodes[0].outlier.moved(old.now + secs(4)).unwrap();
    let mut new = Farm::new(4, OutlierOptions::default());
    new.nodes[0].outlier.restore(&moved, new.now, secs(1));
    new.tick(secs(4));
    assert_eq!(new.nodes[0].outlier.status(new.now).times, 1);
    new.tick(secs(1));
    assert_eq!(new.nodes[0].outlier.status(new.now).times, 0);
}

#[test]
fn every_cause_moves() {
    let causes = [
        Cause::Consecutive5xx(7),
        Cause::ConnectFailures(3),
        Cause::SuccessRate {
            own: 0.25,
            median: 0.75,
        },
        Cause::Latency {
            own: ms(312),
            others: ms(11),
        },
    ];
    for cause in causes {
        let old = Farm::new(4, OutlierOptions::default());
        let outlier = &old.nodes[3].outlier;
        let _ = old
            .ejector
            .eject(&old.options, &old.nodes, outlier, cause, old.now, 0);
        let moved = outlier.moved(old.now).unwrap();
        let new = Outlier::default();
        new.restore(&moved, old.now, ms(0));
        assert_eq!(new.status(old.now).cause, Some(cause));
    }
}

#[test]
fn what_was_learnt_here_stays() {
    let farm = Farm::new(4, OutlierOptions::default());
    let _ = farm.eject(0);
    let outlier = &farm.nodes[0].outlier;
    let moved = outlier.moved(farm.now).unwrap();
    let before = outlier.status(farm.now);
    outlier.restore(&moved, farm.now, secs(3));
    let after = outlier.status(farm.now);
    assert_eq!(after.ejections_total, 2);
    assert_eq!((after.left, after.times), (before.left, before.times));
}

#[test]
fn nonsense_ends() {
    let ejection = MovedEjection {
        cause: "latency".to_owned(),
        own: f64::NAN,
        others: -1e300,
        since_ms: u64::MAX,
        left_ms: u64::MAX,
    };
    let moved = MovedOutlier {
        out: Some(ejection),
        times: u32::MAX,
        quiet_ms: Some(u64::MAX),
        flaps: vec![u32::MAX; 1000],
        flaps_age_ms: u64::MAX,
        ejections_total: u64::MAX,
    };
    let options = OutlierOptions {
        latency: Some(SlowEndpoint::default()),
        ..OutlierOptions::default()
    };
    let mut farm = Farm::new(2, options);
    for age in [ms(0), Duration::MAX] {
        let node = Arc::new(Node::default());
        node.outlier.restore(&moved, farm.now, age);
        farm.nodes[0] = node;
        farm.tick(ms(0));
        farm.tick(secs(330));
        assert!(farm.out().is_empty());
        farm.tick(secs(40 * 300));
        assert_eq!(farm.nodes[0].outlier.status(farm.now).times, 0);
    }
    // A cause of a later version.
    let mut unknown = moved;
    if let Some(out) = &mut unknown.out {
        out.cause = "moon_phase".to_owned();
    }
    let outlier = Outlier::default();
    outlier.restore(&unknown, farm.now, ms(0));
    assert!(!outlier.is_out());
    // Of an earlier one.
    let empty: MovedOutlier = serde_json::from_str("{\"later\": 1}").unwrap();
    assert_eq!(empty, MovedOutlier::default());
}
