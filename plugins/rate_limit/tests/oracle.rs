//! Every decision against a plain, exact model: leaky buckets in whole numbers, no stamps.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use farmgate_plugin_api::compliance::{FakeRequest, FakeServices};
use farmgate_plugin_api::{Services, Source};
use proptest::prelude::*;

use super::super::gcra::Pace;
use super::super::store::Store;
use super::super::tier::{Decision, Limit, Tier};

const KEYS: [&str; 3] = ["client_ip", "header:x-user", "global"];

#[derive(Clone, Copy, Debug)]
struct Settings {
    rate: u32,
    per_ns: u64,
    burst: u32,
}

/// A bucket that holds `burst * per_ns`; a request adds `per_ns`, a nanosecond takes `rate` away.
#[derive(Clone, Copy, Default)]
struct Bucket {
    level: u128,
    at_ns: u64,
}

#[derive(Default)]
struct Model {
    buckets: HashMap<(usize, String), Bucket>,
}

impl Model {
    fn allows(&mut self, settings: &[Settings], keys: &[Option<String>], now_ns: u64) -> bool {
        let mut all = true;
        for (index, (set, key)) in settings.iter().zip(keys).enumerate() {
            let Some(key) = key else { continue };
            let bucket = self.buckets.entry((index, key.clone())).or_default();
            let drained = u128::from(now_ns - bucket.at_ns) * u128::from(set.rate);
            bucket.level = bucket.level.saturating_sub(drained);
            bucket.at_ns = now_ns;
            let room = u128::from(set.burst) * u128::from(set.per_ns);
            all &= bucket.level + u128::from(set.per_ns) <= room;
        }
        if all {
            for (index, (set, key)) in settings.iter().zip(keys).enumerate() {
                let Some(key) = key else { continue };
                let bucket = self.buckets.entry((index, key.clone())).or_default();
                bucket.level += u128::from(set.per_ns);
            }
        }
        all
    }

    /// Requests that would still pass, as the response's fields tell.
    fn remaining(&self, index: usize, set: Settings, key: &str) -> u128 {
        let bucket = self.buckets.get(&(index, key.to_owned())).copied();
        let room = u128::from(set.burst) * u128::from(set.per_ns);
        (room - bucket.unwrap_or_default().level) / u128::from(set.per_ns)
    }
}

fn filter(settings: &[Settings], services: &FakeServices) -> Deciding {
    let limits = settings.iter().zip(KEYS).map(|(set, key)| Limit {
        source: Source::parse(key).unwrap(),
        name: key.into(),
        quoted: key.into(),
        reveal: false,
        pace: Pace::new(set.rate, set.per_ns, set.burst).unwrap(),
        store: Store::new(services.clock(), if key == "global" { 1 } else { 100_000 }).into(),
    });
    Deciding(Tier {
        limits: limits.collect(),
        gates: Box::default(),
        policy: None,
    })
}

/// Decisions alone, without what clients and metrics are told.
struct Deciding(Tier);

impl Deciding {
    fn decide(&self, request: &FakeRequest, now: Instant) -> Decision {
        self.0.decide(request, now, 100_000, true)
    }
}

fn settings() -> impl Strategy<Value = Settings> {
    // Rates that do not divide their time, and bursts from one up.
    let per = prop_oneof![1_u64..2000, Just(1_000_000_000), 1_u64..4_000_000_000];
    (1_u32..50, per, 1_u32..20).prop_map(|(rate, per_ns, burst)| Settings {
        rate,
        per_ns,
        burst,
    })
}

#[derive(Clone, Debug)]
struct Step {
    /// In parts of the first limit's own time for one request, so that decisions are close.
    wait_part: u64,
    nudge_ns: u64,
    ip: u8,
    user: Option<u8>,
}

fn step() -> impl Strategy<Value = Step> {
    (0_u64..12, 0_u64..3, 0_u8..3, prop::option::of(0_u8..3)).prop_map(
        |(wait_part, nudge_ns, ip, user)| Step {
            wait_part,
            nudge_ns,
            ip,
            user,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_decision_is_wrong(
        settings in prop::collection::vec(settings(), 3),
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let services = FakeServices::new();
        let filter = filter(&settings, &services);
        let began = services.clock().now();
        let mut model = Model::default();
        let mut now_ns = 0;
        for step in steps {
            let one = settings[0].per_ns / u64::from(settings[0].rate);
            now_ns += one * step.wait_part / 4 + step.nudge_ns;
            let mut request = FakeRequest::get("/").client_ip([10, 0, 0, step.ip]);
            let user = step.user.map(|user| format!("a-user-with-a-long-name-{user}"));
            if let Some(user) = &user {
                request = request.header("x-user", user);
            }
            let keys = [Some(step.ip.to_string()), user, Some(String::new())];
            let expected = model.allows(&settings, &keys, now_ns);
            let decision = filter.decide(&request, began + Duration::from_nanos(now_ns));
            prop_assert_eq!(decision.retry_ns.is_none(), expected);
            for (index, (set, key)) in settings.iter().zip(&keys).enumerate() {
                let state = decision.states[index];
                prop_assert_eq!(state.is_some(), key.is_some());
                if let (true, Some(state), Some(key)) = (expected, state, key) {
                    let left = model.remaining(index, *set, key);
                    prop_assert_eq!(u128::from(state.remaining), left);
                }
            }
            if let Some(retry_ns) = decision.retry_ns {
                // Neither a nanosecond too early nor too late, while nobody else asks.
                let early = began + Duration::from_nanos(now_ns + retry_ns - 1);
                prop_assert!(filter.decide(&request, early).retry_ns.is_some());
            }
        }
    }
}

#[test]
fn the_time_to_retry_is_exact() {
    let services = FakeServices::new();
    let set = Settings {
        rate: 7,
        per_ns: 1_000_000_000,
        burst: 1,
    };
    let filter = filter(&[set], &services);
    let request = FakeRequest::get("/");
    let mut now = services.clock().now();
    let began = now;
    for _ in 0..7 {
        assert_eq!(filter.decide(&request, now).retry_ns, None);
        let retry_ns = filter.decide(&request, now).retry_ns.unwrap();
        now += Duration::from_nanos(retry_ns);
    }
    // Each wait is rounded up to a whole nanosecond, so seven of them are a second and 7 ns at most.
    assert!((1_000_000_000..=1_000_000_007).contains(&(now - began).as_nanos()));
}

/// Prints what a decision with three keys costs; run it with `--release --nocapture`.
#[test]
fn what_a_decision_costs() {
    let services = FakeServices::new();
    let set = Settings {
        rate: 1000,
        per_ns: 1_000_000_000,
        burst: 1000,
    };
    let filter = filter(
        &[
            set,
            set,
            Settings {
                rate: 1_000_000_000,
                burst: 1_000_000_000,
                ..set
            },
        ],
        &services,
    );
    let requests: Vec<FakeRequest> = (0..1000_u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let user = format!("user-with-a-long-name-{n}");
            FakeRequest::get("/")
                .client_ip([10, 0, high, low])
                .header("x-user", user)
        })
        .collect();
    let rounds = 200_u32;
    let began = Instant::now();
    for round in 0..rounds {
        let now = services.clock().now() + Duration::from_millis(round.into());
        for request in &requests {
            std::hint::black_box(filter.decide(request, now).passes());
        }
    }
    println!("{:?} a decision", began.elapsed() / (rounds * 1000));
}
