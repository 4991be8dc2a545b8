//! The budget of probes, with `start_paused = true`.

use super::*;
use crate::upstream::health::schedule::{MAX_PER_UPSTREAM, MAX_RUNNING};

#[tokio::test(start_paused = true)]
async fn probes_at_once_are_bounded_and_a_dead_upstream_delays_no_other() {
    let farm = Farm::new();
    let (checker, heard) = start(&farm);
    let mut all: Vec<Target> = (0..500).map(|key| target(key, "dead", &tcp())).collect();
    for key in 0..500 {
        farm.set(key, Behaviour::Hangs);
    }
    all.extend((500..550).map(|key| target(key, "well", &tcp())));
    checker.update(all);
    pass(1.5).await;
    let status = checker.status();
    assert_eq!(status.running, MAX_PER_UPSTREAM);
    assert!(status.waiting > 400, "{status:?}");
    pass(98.5).await;
    assert_eq!(farm.most("dead"), MAX_PER_UPSTREAM);
    for key in 500..550 {
        let times = farm.times(key);
        assert!(times[0] <= 1.01, "{key} first at {}", times[0]);
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((3.59..4.02).contains(&gap), "{key} {gap}");
        }
    }
    // 16 places of 1 s each: all 500 are asked in turn, none twice before another once.
    let counts: Vec<usize> = (0..500).map(|key| farm.times(key).len()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least >= 2 && most - least <= 1, "{least}..{most}");
    assert!(checker.status().late_total > 1000);
    // Three rounds of all 500 on 16 places take 94 s, and then they are out.
    assert_eq!(words(&heard).len(), 550);
}

#[tokio::test(start_paused = true)]
async fn all_upstreams_together_are_bounded_too() {
    let farm = Farm::new();
    let (checker, _) = start(&farm);
    let mut all = Vec::new();
    for key in 0..800 {
        farm.set(key, Behaviour::Hangs);
        all.push(target(key, &format!("u{}", key % 8), &tcp()));
    }
    checker.update(all);
    pass(120.0).await;
    assert_eq!(farm.most("all"), MAX_RUNNING);
    let counts: Vec<usize> = (0..800).map(|key| farm.times(key).len()).collect();
    assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
    checker.update(Vec::new());
    pass(1.1).await;
    let status = checker.status();
    assert_eq!((status.targets, status.running, status.waiting), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn five_hundred_newcomers_are_no_burst() {
    let farm = Farm::new();
    let (checker, _) = start(&farm);
    checker.update(
        (0..500)
            .map(|key| target(key, &format!("u{}", key % 20), &tcp()))
            .collect(),
    );
    pass(1.1).await;
    let asked = farm.asked.lock().clone();
    assert_eq!(asked.len(), 500);
    // A quarter of 4 s in ten parts of 50 on average.
    for part in 0..10 {
        let from = Duration::from_millis(part * 100);
        let inside = asked
            .iter()
            .filter(|(_, time)| (from..from + Duration::from_millis(100)).contains(time));
        let count = inside.count();
        assert!((15..=95).contains(&count), "{part}: {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_beyond_the_bound_are_refused_and_counted() {
    let farm = Farm::new();
    let (checker, _) = start(&farm);
    let hourly = Arc::new(HealthOptions {
        interval: Duration::from_secs(3600),
        ..tcp()
    });
    let one = target(0, "a", &tcp());
    let many = (0..MAX_TARGETS as u64 + 7).map(|key| Target {
        key,
        options: Arc::clone(&hourly),
        health: Arc::default(),
        ..one.clone()
    });
    checker.update(many.collect());
    pass(0.001).await;
    let status = checker.status();
    assert_eq!((status.targets, status.refused), (MAX_TARGETS, 7));
}

#[test]
fn pauses_are_within_their_bounds_whatever_the_options_say() {
    for (jitter, least) in [
        (0.0, 4000),
        (0.1, 3600),
        (0.5, 2000),
        (9.0, 2000),
        (-1.0, 4000),
    ] {
        let options = HealthOptions { jitter, ..tcp() };
        let longest = pause(&options, false, 0);
        let shortest = pause(&options, false, u64::MAX);
        assert_eq!(longest, Duration::from_secs(4));
        assert_eq!(shortest, Duration::from_millis(least), "{jitter}");
        assert_eq!(pause(&options, true, 0), Duration::from_secs(1));
    }
    let odd = HealthOptions {
        jitter: f32::NAN,
        interval: Duration::ZERO,
        ..tcp()
    };
    assert_eq!(pause(&odd, false, u64::MAX), Duration::from_millis(100));
    assert!(first_pause(&odd, u64::MAX) < Duration::from_millis(25));
}
