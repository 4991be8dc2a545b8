//! On tokio's paused clock with `start_paused = true`, where bare connections are probes enough; the last file has
//! real servers and the real clock.

mod places;
mod real;

use parking_lot::Mutex;

use super::*;
use crate::upstream::health::dial::{DialFuture, Dialed, Spoken};
use crate::upstream::health::moved::MovedHealth;
use crate::upstream::health::options::Probe;
use crate::upstream::health::state::{Phase, Why};

#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Well,
    Refuses,
    Hangs,
    Panics,
}

/// Endpoints by key that behave as told; well unless told otherwise. Remembers when each was asked.
struct Farm {
    started: Instant,
    behaviour: Mutex<HashMap<u64, Behaviour>>,
    asked: Mutex<Vec<(u64, Duration)>>,
    /// Under way now, and the most there ever were, by upstream and in all.
    running: Mutex<HashMap<String, (usize, usize)>>,
}

/// One probe that is under way.
struct Running<'a>(&'a Farm, String);

impl<'a> Running<'a> {
    fn begin(farm: &'a Farm, upstream: &str) -> Self {
        let mut running = farm.running.lock();
        for name in [upstream, "all"] {
            let (now, most) = running.entry(name.to_owned()).or_default();
            *now += 1;
            *most = (*most).max(*now);
        }
        Self(farm, upstream.to_owned())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut running = self.0.running.lock();
        for name in [self.1.as_str(), "all"] {
            running.get_mut(name).unwrap().0 -= 1;
        }
    }
}

impl Farm {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            behaviour: Mutex::default(),
            asked: Mutex::default(),
            running: Mutex::default(),
        })
    }

    fn set(&self, key: u64, behaviour: Behaviour) {
        self.behaviour.lock().insert(key, behaviour);
    }

    /// When an endpoint was asked, in seconds since the start.
    fn times(&self, key: u64) -> Vec<f64> {
        let asked = self.asked.lock();
        let of_key = asked.iter().filter(|(asked, _)| *asked == key);
        of_key.map(|(_, time)| time.as_secs_f64()).collect()
    }

    fn most(&self, name: &str) -> usize {
        self.running.lock().get(name).map_or(0, |(_, most)| *most)
    }
}

impl Dialer for Farm {
    fn dial<'a>(
        &'a self,
        target: &'a Target,
        _: &'a EndpointAddress,
        spoken: Spoken,
    ) -> DialFuture<'a> {
        assert_eq!(spoken, Spoken::Nothing);
        Box::pin(async move {
            let _running = Running::begin(self, &target.upstream);
            self.asked.lock().push((target.key, self.started.elapsed()));
            let behaviour = self.behaviour.lock().get(&target.key).copied();
            match behaviour.unwrap_or(Behaviour::Well) {
                Behaviour::Well => Ok(Dialed {
                    io: Box::new(tokio::io::duplex(16).0),
                    tls: false,
                }),
                Behaviour::Refuses => Err(ProbeError::new(FailureKind::Connect, "refused")),
                Behaviour::Hangs => std::future::pending().await,
                Behaviour::Panics => panic!("as the test wants it"),
            }
        })
    }
}

fn tcp() -> HealthOptions {
    HealthOptions {
        probe: Probe::Tcp,
        interval: Duration::from_secs(4),
        timeout: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        jitter: 0.1,
        port: None,
    }
}

fn target(key: u64, upstream: &str, options: &HealthOptions) -> Target {
    Target {
        key,
        upstream: upstream.into(),
        address: EndpointAddress::Unix(format!("/run/{key}.sock").into()),
        configured: format!("unix:/run/{key}.sock").into(),
        options: Arc::new(options.clone()),
        health: Arc::default(),
    }
}

type Heard = Arc<Mutex<Vec<(u64, f64, Change)>>>;

fn start(farm: &Arc<Farm>) -> (Checker, Heard) {
    let heard = Heard::default();
    let (into, started) = (Arc::clone(&heard), farm.started);
    let sink: Sink = Arc::new(move |target, change| {
        let time = started.elapsed().as_secs_f64();
        into.lock().push((target.key, time, change));
    });
    (Checker::spawn(farm.clone(), sink), heard)
}

/// The changes as "key:from>to".
fn words(heard: &Heard) -> Vec<String> {
    let heard = heard.lock();
    let word = |(key, _, change): &(u64, f64, Change)| {
        format!("{key}:{}>{}", change.from.word(), change.to.word())
    };
    heard.iter().map(word).collect()
}

async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_newcomer_is_out_after_quarters_and_a_well_one_is_asked_at_its_interval() {
    let farm = Farm::new();
    farm.set(1, Behaviour::Refuses);
    farm.set(3, Behaviour::Hangs);
    let (checker, heard) = start(&farm);
    checker.update((1..=3).map(|key| target(key, "a", &tcp())).collect());
    pass(60.0).await;
    let mut found = words(&heard);
    found.sort();
    assert_eq!(found, ["1:unknown>down", "2:unknown>up", "3:unknown>down"]);
    for (key, time, change) in heard.lock().iter() {
        // First asked within a quarter (1 s), then each quarter; one that hangs ends its timeout (1 s) later.
        let by = [3.0, 1.0, 4.02][*key as usize - 1];
        assert!(*time <= by, "{key} {time} {change:?}");
    }
    for key in 1..=3 {
        let times = farm.times(key);
        let quick = if key == 2 { 0 } else { 2 };
        for (at, pair) in times.windows(2).enumerate() {
            let gap = pair[1] - pair[0];
            let (least, most) = if at < quick {
                (0.9, 1.01)
            } else {
                (3.59, 4.01)
            };
            assert!((least..most).contains(&gap), "{key} {at} {gap}");
        }
        assert!(times.len() >= 14);
    }
    let gaps: std::collections::BTreeSet<u64> = farm
        .times(2)
        .windows(2)
        .map(|pair| ((pair[1] - pair[0]) * 1000.0) as u64)
        .collect();
    assert!(gaps.len() > 5, "no jitter: {gaps:?}");
    assert_eq!(checker.status().targets, 3);
    // The last ones end.
    checker.update(Vec::new());
    pass(1.1).await;
    let status = checker.status();
    assert_eq!((status.targets, status.running, status.waiting), (0, 0, 0));
    let failed = |wanted: FailureKind| {
        let of = status
            .failures_total
            .iter()
            .find(|(kind, _)| *kind == wanted);
        of.unwrap().1
    };
    assert_eq!(failed(FailureKind::Connect) as usize, farm.times(1).len());
    assert_eq!(failed(FailureKind::Timeout) as usize, farm.times(3).len());
    assert_eq!(status.probes_total as usize, farm.asked.lock().len());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_leaves_after_fall_intervals_and_returns_after_rise() {
    let farm = Farm::new();
    let (checker, heard) = start(&farm);
    checker.update(vec![target(1, "a", &tcp())]);
    pass(10.0).await;
    farm.set(1, Behaviour::Hangs);
    pass(13.1).await;
    assert_eq!(words(&heard), ["1:unknown>up", "1:up>down"]);
    farm.set(1, Behaviour::Well);
    pass(8.1).await;
    assert_eq!(words(&heard)[2..], ["1:down>up"]);
}

#[tokio::test(start_paused = true)]
async fn updates_keep_what_is_known_and_never_put_a_probe_off() {
    let farm = Farm::new();
    farm.set(1, Behaviour::Refuses);
    let (checker, heard) = start(&farm);
    let (dead, well) = (target(1, "a", &tcp()), target(2, "a", &tcp()));
    checker.update(vec![dead.clone(), well.clone()]);
    // A set that changes ten times a second: another member comes and goes.
    for turn in 0..600 {
        pass(0.1).await;
        let mut all = vec![dead.clone(), well.clone()];
        if turn % 2 == 0 {
            all.push(target(100 + turn, "a", &tcp()));
        }
        checker.update(all);
    }
    let known = |line: &String| line.starts_with("1:") || line.starts_with("2:");
    let mut found = words(&heard);
    found.retain(known);
    found.sort();
    assert_eq!(found, ["1:unknown>down", "2:unknown>up"]);
    for key in [1, 2] {
        let times = farm.times(key);
        assert!((14..=19).contains(&times.len()), "{key}: {times:?}");
    }
    // Another rhythm is no other question; a shorter interval holds at once.
    let faster = HealthOptions {
        interval: Duration::from_secs(1),
        ..tcp()
    };
    let before = farm.times(1).len();
    let same = Target {
        options: Arc::new(faster),
        ..dead
    };
    checker.update(vec![same, well]);
    pass(10.0).await;
    assert_eq!(words(&heard).iter().filter(|line| known(line)).count(), 2);
    let more = farm.times(1).len() - before;
    assert!((9..=12).contains(&more), "{more}");
}

#[tokio::test(start_paused = true)]
async fn another_question_or_none_takes_the_mark_away() {
    let farm = Farm::new();
    let (checker, heard) = start(&farm);
    for key in [1, 2, 3] {
        farm.set(key, Behaviour::Refuses);
    }
    let all: Vec<Target> = (1..=3).map(|key| target(key, "a", &tcp())).collect();
    checker.update(all.clone());
    pass(5.0).await;
    assert_eq!(words(&heard).len(), 3);
    heard.lock().clear();
    // 1 is asked at another port, 2 is no longer checked, 3 stays.
    let elsewhere = HealthOptions {
        port: Some(9),
        ..tcp()
    };
    let other = Target {
        options: Arc::new(elsewhere),
        ..all[0].clone()
    };
    checker.update(vec![other, all[2].clone()]);
    pass(0.001).await;
    let mut found = words(&heard);
    found.sort();
    assert_eq!(found, ["1:down>unknown", "2:down>unknown"]);
    assert!(
        heard
            .lock()
            .iter()
            .all(|(_, _, change)| change.why == Why::Forgotten)
    );
    let of_2 = farm.times(2).len();
    pass(3.1).await;
    assert_eq!(words(&heard)[2..], ["1:unknown>down"]);
    pass(60.0).await;
    assert_eq!(farm.times(2).len(), of_2);
    assert_eq!(checker.status().targets, 2);
    // Named twice: the first counts.
    heard.lock().clear();
    checker.update(vec![all[2].clone(), target(3, "b", &tcp())]);
    pass(60.0).await;
    assert_eq!(words(&heard), ["1:down>unknown"]);
    assert_eq!(checker.status().targets, 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_of_an_earlier_life_says_nothing() {
    let farm = Farm::new();
    farm.set(1, Behaviour::Hangs);
    let (checker, heard) = start(&farm);
    let once = HealthOptions {
        fall: 1,
        timeout: Duration::from_secs(3),
        ..tcp()
    };
    let first = target(1, "a", &once);
    checker.update(vec![first.clone()]);
    pass(1.01).await;
    assert_eq!((farm.times(1).len(), checker.status().running), (1, 1));
    // While it hangs, another question; this one is answered well.
    farm.set(1, Behaviour::Well);
    let elsewhere = HealthOptions {
        port: Some(9),
        ..once
    };
    checker.update(vec![Target {
        options: Arc::new(elsewhere),
        ..first
    }]);
    pass(30.0).await;
    assert_eq!(words(&heard), ["1:unknown>up"]);
    let timeouts = checker.status().failures_total[FailureKind::Timeout as usize];
    assert_eq!(timeouts, (FailureKind::Timeout, 1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_probe_and_a_dropped_checker_asks_no_more() {
    let farm = Farm::new();
    farm.set(1, Behaviour::Panics);
    let (checker, heard) = start(&farm);
    let patient = HealthOptions {
        timeout: tcp().interval,
        ..tcp()
    };
    checker.update(vec![target(1, "a", &tcp()), target(2, "a", &patient)]);
    pass(10.0).await;
    let mut found = words(&heard);
    found.sort();
    assert_eq!(found, ["1:unknown>down", "2:unknown>up"]);
    let last = heard.lock().last().unwrap().2.clone();
    let Why::Failed(error) = last.why else {
        panic!("{last:?}");
    };
    assert_eq!(error.kind, FailureKind::Internal);
    farm.set(2, Behaviour::Hangs);
    pass(4.2).await;
    assert_eq!(checker.status().running, 1);
    drop(checker);
    pass(0.001).await;
    let asked = farm.asked.lock().len();
    pass(100.0).await;
    assert_eq!(farm.asked.lock().len(), asked);
    assert_eq!(
        farm.running.lock()["all"].0,
        0,
        "a probe outlived its checker"
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_process_held_back_is_held_back_while_it_is_checked() {
    let farm = Farm::new();
    let (checker, heard) = start(&farm);
    let moved = MovedHealth {
        down: true,
        ..MovedHealth::default()
    };
    let known = target(1, "a", &tcp());
    let now = Instant::now().into_std();
    known.health.restore(&moved, Duration::ZERO, now);
    let unchecked = target(2, "a", &tcp());
    unchecked.health.restore(&moved, Duration::ZERO, now);
    checker.update(vec![known]);
    pass(0.0001).await;
    assert_eq!(words(&heard), ["1:unknown>down"]);
    assert_eq!(heard.lock()[0].2.why, Why::Restored);
    // It is well now: back within `rise` quarters.
    pass(2.1).await;
    assert_eq!(words(&heard)[1..], ["1:down>up"]);
    assert_eq!(unchecked.health.phase(), Phase::Down);
}
