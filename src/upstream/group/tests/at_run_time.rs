//! Entries that change, limits, slow start of those that come.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;
use crate::upstream::address::EndpointAddress;

fn entries(endpoints: &[(&str, u32)]) -> Vec<EndpointSpec> {
    spec(endpoints).endpoints
}

fn with(store: &Arc<Keeper>, endpoints: &[(&str, u32)], options: SetOptions) -> Upstream {
    let spec = UpstreamSpec {
        options,
        ..spec(endpoints)
    };
    let upstream = Upstream::build(spec, store.clone(), &NoAddresses).unwrap();
    upstream.activate(&NoAddresses);
    upstream
}

#[test]
fn entries_come_and_go_with_their_state() {
    let upstream = published(&Arc::default(), &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]);
    let set = |list: &[(&str, u32)]| upstream.set_entries(entries(list), &NoAddresses);
    let first = upstream.set().endpoints()[0].state.clone();
    let gone = upstream.set().endpoints()[1].state.clone();
    let epoch = gone.lines.epoch();
    assert_eq!(set(&[("10.0.0.1:80", 3), ("10.0.0.3:80", 1)]), Ok(true));
    assert_eq!(
        shares(&upstream, 40),
        expected(&[("10.0.0.1:80", 30), ("10.0.0.3:80", 10)])
    );
    assert_eq!(upstream.set().endpoints()[0].state.id(), first.id());
    assert_ne!(gone.lines.epoch(), epoch, "its connections are closed");
    assert_eq!(first.lines.epoch(), 0);
    // The same again, nothing at all, and nonsense change nothing.
    assert_eq!(set(&[("10.0.0.1:80", 3), ("10.0.0.3:80", 1)]), Ok(false));
    assert_eq!(set(&[]), Ok(false));
    let twice = UpstreamError::Duplicate("10.0.0.1:80".into());
    assert_eq!(set(&[("10.0.0.1:80", 1), ("10.0.0.1:80", 2)]), Err(twice));
    let heavy = UpstreamError::WeightOutOfRange("10.0.0.1:80".into());
    assert_eq!(set(&[("10.0.0.1:80", MAX_WEIGHT + 1)]), Err(heavy));
    let many = (0..=MAX_ENDPOINTS).map(|number| EndpointSpec {
        address: EndpointAddress::Socket(SocketAddr::from(([10, 9, 0, 0], number as u16))),
        weight: 1,
        priority: 0,
        zone: None,
    });
    let refused = upstream.set_entries(many.collect(), &NoAddresses);
    assert_eq!(refused, Err(UpstreamError::TooManyEndpoints));
    assert_eq!(upstream.set().endpoints().len(), 2);
}

#[test]
fn names_among_the_entries_are_looked_up_and_forgotten() {
    let upstream = published(&Arc::default(), &[("10.0.0.1:80", 1)]);
    let book = OneName(ips(&["10.0.0.8"]));
    let named = entries(&[("app.internal:80", 1), ("10.0.0.1:80", 1)]);
    assert_eq!(upstream.set_entries(named, &book), Ok(true));
    assert_eq!(upstream.names(), ["app.internal".into()]);
    assert_eq!(
        shares(&upstream, 2),
        expected(&[("10.0.0.1:80", 1), ("10.0.0.8:80", 1)])
    );
    assert!(upstream.resolved("app.internal", &ips(&["10.0.0.9"])));
    assert_eq!(
        upstream.set_entries(entries(&[("10.0.0.1:80", 1)]), &book),
        Ok(true)
    );
    assert!(!upstream.resolved("app.internal", &ips(&["10.0.0.8"])));
    assert_eq!(shares(&upstream, 2), expected(&[("10.0.0.1:80", 2)]));
}

#[test]
fn a_drain_holds_whatever_discovery_says() {
    let upstream = published(&Arc::default(), &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]);
    upstream.control("10.0.0.1:80", Control::Drain).unwrap();
    let only_second = expected(&[("10.0.0.2:80", 4)]);
    for list in [
        [("10.0.0.1:80", 7), ("10.0.0.2:80", 1)],
        [("10.0.0.2:80", 1), ("10.0.0.3:80", 0)],
        [("10.0.0.2:80", 1), ("10.0.0.1:80", 2)],
    ] {
        assert_eq!(upstream.set_entries(entries(&list), &NoAddresses), Ok(true));
        assert_eq!(shares(&upstream, 4), only_second, "{list:?}");
    }
    assert_eq!(upstream.control("10.0.0.1:80", Control::Enable), Ok(1));
    assert_eq!(shares(&upstream, 3).len(), 2);
}

/// The share of the endpoint at `index` among choices at `now`.
fn share(upstream: &Upstream, index: usize, now: Instant) -> f64 {
    let hit = |_: &i32| {
        let picked = upstream.pick(None, &TriedSet::new(), now).unwrap();
        picked.index == index
    };
    (0..20_000).filter(hit).count() as f64 / 20_000.0
}

#[test]
fn who_comes_to_others_warms_up_and_who_starts_with_them_does_not() {
    let options = SetOptions {
        slow_start: Some(Duration::from_secs(20)),
        ..SetOptions::default()
    };
    let cold = |got: f64| (0.02..0.07).contains(&got);
    let store = Arc::new(Keeper::default());
    let start = Instant::now() + Duration::from_secs(1);
    let upstream = with(
        &store,
        &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)],
        options.clone(),
    );
    assert!(
        (share(&upstream, 1, start) - 0.5).abs() < 0.02,
        "the process starts"
    );

    // One that discovery adds to two: 0.1 of 2.1 parts.
    let three = [("10.0.0.1:80", 1), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)];
    upstream.set_entries(entries(&three), &NoAddresses).unwrap();
    assert!(cold(share(&upstream, 2, start)));
    let later = start + Duration::from_secs(21);
    assert!((share(&upstream, 2, later) - 0.333).abs() < 0.02);

    // One that a reload adds. It goes on as it was at the next reload.
    let four = [three[0], three[1], three[2], ("10.0.0.4:80", 1)];
    let upstream = with(&store, &four, options.clone());
    assert!(cold(share(&upstream, 3, later)));
    let upstream = with(&store, &four, options.clone());
    let half = share(&upstream, 3, later + Duration::from_secs(10));
    assert!((half - 0.155).abs() < 0.02, "0.55 of 3.55 parts: {half}");
    let later = later + Duration::from_secs(21);

    // A weight that was 0, and an entry that comes back.
    upstream.control("10.0.0.1:80", Control::Weight(0)).unwrap();
    assert_eq!(share(&upstream, 0, later), 0.0);
    upstream.control("10.0.0.1:80", Control::Weight(1)).unwrap();
    assert!(cold(share(&upstream, 0, later)));
    let later = later + Duration::from_secs(21);
    upstream.set_entries(entries(&three), &NoAddresses).unwrap();
    upstream.set_entries(entries(&four), &NoAddresses).unwrap();
    assert!(cold(share(&upstream, 3, later)));

    // All are new: nobody is warm whom they could wait for.
    let other = [("10.0.1.1:80", 1), ("10.0.1.2:80", 1)];
    upstream.set_entries(entries(&other), &NoAddresses).unwrap();
    assert!((share(&upstream, 1, later) - 0.5).abs() < 0.02);
}

#[test]
fn the_limit_of_each_endpoint_is_exact_over_threads() {
    let options = SetOptions {
        per_endpoint: Some(2),
        ..SetOptions::default()
    };
    let list = [("10.0.0.1:80", 3), ("10.0.0.2:80", 1), ("10.0.0.3:80", 1)];
    for policy in [Policy::RoundRobin, Policy::LeastRequest] {
        let spec = UpstreamSpec {
            options: options.clone(),
            policy,
            ..spec(&list)
        };
        let store = Arc::new(Keeper::default());
        let upstream = Upstream::build(spec, store, &NoAddresses).unwrap();
        let pick = || upstream.pick(None, &TriedSet::new(), Instant::now());
        let places: [AtomicU32; 3] = Default::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut held: Vec<Picked> = Vec::new();
                    for turn in 0..20_000 {
                        match pick() {
                            Ok(picked) => {
                                // Counted only while the place is surely held.
                                let count = &places[picked.index];
                                assert!(count.fetch_add(1, Ordering::SeqCst) < 2);
                                held.push(picked);
                            }
                            Err(why) => assert_eq!(why, NoPick::Full),
                        }
                        if turn % 2 == 0
                            && let Some(picked) = held.pop()
                        {
                            places[picked.index].fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                    for picked in held {
                        places[picked.index].fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let all: Vec<Picked> = (0..9).map_while(|_| pick().ok()).collect();
        assert_eq!(all.len(), 6, "every place can be taken");
        assert_eq!(pick().err(), Some(NoPick::Full));
    }
}
