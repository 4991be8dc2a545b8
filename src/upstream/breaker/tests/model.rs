//! The breaker beside a plain one that keeps every call and does one thing at a time.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Time passes.
    Wait(u64),
    Admit,
    /// One of the calls under way ends: which one, how, after how long, and the random number.
    Record(usize, Outcome, u64, u64),
    Set(Manual),
}

/// A call that ended: phase, tenth of a window, failed, slow.
type Ended = (u64, u64, bool, bool);

/// The rules of the module's document, in the simplest form.
struct Plain {
    options: BreakerOptions,
    now_ms: u64,
    phase: Phase,
    epoch: u64,
    manual: Manual,
    since_ms: Option<u64>,
    open_until: Duration,
    doublings: u32,
    ended: Vec<Ended>,
    in_flight: u32,
    passed: u32,
    probed_ms: u64,
    opened_total: u64,
    random: u64,
}

impl Plain {
    fn new(options: BreakerOptions) -> Self {
        Self {
            options,
            now_ms: 0,
            phase: Phase::Closed,
            epoch: 0,
            manual: Manual::Auto,
            since_ms: None,
            open_until: Duration::ZERO,
            doublings: 0,
            ended: Vec::new(),
            in_flight: 0,
            passed: 0,
            probed_ms: 0,
            opened_total: 0,
            random: 0,
        }
    }

    fn tenth(&self) -> u64 {
        self.now_ms * 10 / self.options.window.as_millis() as u64
    }

    /// Calls, failed ones, slow ones.
    fn counts(&self) -> (u64, u64, u64) {
        let mut counts = (0, 0, 0);
        for &(epoch, tenth, failed, slow) in &self.ended {
            if epoch == self.epoch && self.phase == Phase::Closed && tenth + 10 > self.tenth() {
                counts.0 += 1;
                counts.1 += u64::from(failed);
                counts.2 += u64::from(slow);
            }
        }
        counts
    }

    fn go(&mut self, to: Phase, why: Why) -> Change {
        let from = self.phase;
        self.phase = to;
        self.epoch += 1;
        self.since_ms = Some(self.now_ms);
        (self.in_flight, self.passed) = (0, 0);
        self.opened_total += u64::from(to == Phase::Open);
        Change { from, to, why }
    }

    fn open(&mut self, why: Why, random: u64) -> Change {
        let window_ms = self.options.window.as_millis() as u64;
        let is_rested = self.since_ms.is_none_or(|at| self.now_ms - at >= window_ms);
        if self.phase == Phase::Closed && is_rested {
            self.doublings = 0;
        }
        self.open_until = ms(self.now_ms) + open_time(&self.options, self.doublings, random);
        self.doublings += 1;
        self.random = random;
        self.go(Phase::Open, why)
    }

    /// `None` if refused, else the phase's number and whether it is a probe; and a change.
    fn admit(&mut self) -> (Option<(u64, bool)>, Option<Change>) {
        let mut change = None;
        let is_up = self.manual == Manual::Auto && self.open_until <= ms(self.now_ms);
        match self.phase {
            Phase::Closed => {}
            Phase::Open if !is_up => return (None, None),
            Phase::Open => change = Some(self.go(Phase::HalfOpen, Why::TimeUp)),
            Phase::HalfOpen if self.in_flight + self.passed < self.options.probes => {}
            Phase::HalfOpen => {
                let patience_ms = self.options.max_open_for.as_millis().max(1000) as u64;
                if self.now_ms - self.probed_ms >= patience_ms {
                    let random = Wyrand::new(self.random).next_u64();
                    change = Some(self.open(Why::ProbeFailed, random));
                }
                return (None, change);
            }
        }
        if self.phase == Phase::HalfOpen {
            self.in_flight += 1;
            self.probed_ms = self.now_ms;
        }
        (Some((self.epoch, self.phase == Phase::HalfOpen)), change)
    }

    fn record(&mut self, epoch: u64, outcome: Outcome, took: u64, random: u64) -> Option<Change> {
        if epoch != self.epoch {
            return None;
        }
        let slow = self
            .options
            .slow_call
            .is_some_and(|limit| ms(took) >= limit);
        let failed = outcome == Outcome::Failure;
        if self.phase == Phase::HalfOpen {
            self.in_flight -= 1;
            if outcome == Outcome::Neither {
                return None;
            }
            if failed || slow {
                return Some(self.open(Why::ProbeFailed, random));
            }
            self.passed += 1;
            let is_enough = self.passed == self.options.probes;
            return is_enough.then(|| self.go(Phase::Closed, Why::ProbesPassed));
        }
        if outcome == Outcome::Neither {
            return None;
        }
        self.ended.push((epoch, self.tenth(), failed, slow));
        let (calls, failures, slows) = self.counts();
        if self.manual != Manual::Auto || calls < u64::from(self.options.min_requests) {
            return None;
        }
        let errors = failures as f32 / calls as f32;
        if failed && self.options.error_rate.is_some_and(|rate| errors >= rate) {
            return Some(self.open(Why::ErrorRate(errors), random));
        }
        let slows = slows as f32 / calls as f32;
        let is_breach = slow && self.options.slow_rate.is_some_and(|rate| slows >= rate);
        is_breach.then(|| self.open(Why::SlowRate(slows), random))
    }

    fn set(&mut self, manual: Manual) -> Option<Change> {
        if manual == self.manual {
            return None;
        }
        self.manual = manual;
        self.doublings = 0;
        let to = match manual {
            Manual::Open => Phase::Open,
            Manual::Close => Phase::Closed,
            Manual::Auto if self.phase == Phase::Open => Phase::HalfOpen,
            Manual::Auto => self.phase,
        };
        if to == Phase::HalfOpen {
            self.probed_ms = self.now_ms;
        }
        (to != self.phase).then(|| self.go(to, Why::Manual))
    }
}

fn any_options() -> impl Strategy<Value = BreakerOptions> {
    let rate = || proptest::option::weighted(0.8, (1_u32..=10).prop_map(|n| n as f32 / 10.0));
    (
        prop_oneof![Just(100_u64), Just(1000), Just(5000)],
        1_u32..8,
        rate(),
        proptest::option::of(1_u64..100),
        rate(),
        10_u64..2000,
        1_u64..4000,
        1_u32..4,
    )
        .prop_map(
            |(window, min_requests, error_rate, slow, slow_rate, open, most, probes)| {
                BreakerOptions {
                    window: ms(window),
                    min_requests,
                    error_rate,
                    slow_call: slow.map(ms),
                    slow_rate,
                    open_for: ms(open),
                    max_open_for: ms(most),
                    probes,
                }
            },
        )
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Success),
        3 => Just(Outcome::Failure),
        1 => Just(Outcome::Neither),
    ];
    let manual = prop_oneof![Just(Manual::Auto), Just(Manual::Open), Just(Manual::Close)];
    prop_oneof![
        10 => prop_oneof![4 => 0_u64..50, 2 => 0_u64..1000, 1 => 0_u64..6000].prop_map(Step::Wait),
        20 => Just(Step::Admit),
        18 => (any::<usize>(), outcome, 0_u64..100, any::<u64>())
            .prop_map(|(which, outcome, took, random)| Step::Record(which, outcome, took, random)),
        1 => manual.prop_map(Step::Set),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn does_what_the_plain_one_does(options in any_options(), steps in proptest::collection::vec(any_step(), 1..250)) {
        let mut bench = Bench::new(options.clone());
        let mut plain = Plain::new(options);
        let mut under_way: Vec<(Admitted, u64)> = Vec::new();
        let mut last = Phase::Closed;
        for step in steps {
            let change = match step {
                Step::Wait(wait_ms) => {
                    plain.now_ms += wait_ms;
                    bench.at(plain.now_ms);
                    None
                }
                Step::Admit => {
                    let (expected, change) = plain.admit();
                    let got = bench.admit();
                    match (got, expected) {
                        (Ok((admitted, got)), Some((epoch, is_probe))) => {
                            prop_assert_eq!(admitted.is_probe(), is_probe);
                            prop_assert_eq!(got, change);
                            under_way.push((admitted, epoch));
                        }
                        (Err(refused), None) => prop_assert_eq!(refused.change, change),
                        (got, expected) => prop_assert!(false, "{:?}, expected {:?}", got, expected),
                    }
                    change
                }
                Step::Record(which, outcome, took, random) => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let (admitted, epoch) = under_way.swap_remove(which % under_way.len());
                    let change = plain.record(epoch, outcome, took, random);
                    let got = bench.breaker.record(
                        &bench.options, admitted, outcome, ms(took), bench.now, random,
                    );
                    prop_assert_eq!(got, change);
                    change
                }
                Step::Set(manual) => {
                    let change = plain.set(manual);
                    prop_assert_eq!(bench.breaker.set(manual, bench.now), change);
                    change
                }
            };
            if let Some(change) = change {
                prop_assert_eq!(change.from, last);
                prop_assert!(change.from != change.to);
                last = change.to;
            }
            let status = bench.status();
            let (calls, failed, slow) = plain.counts();
            let share = |part: u64| if calls == 0 { 0.0 } else { part as f32 / calls as f32 };
            prop_assert_eq!(status.phase, plain.phase);
            prop_assert_eq!(status.phase, last);
            prop_assert_eq!(status.manual, plain.manual);
            prop_assert_eq!(status.requests, calls);
            prop_assert_eq!((status.error_share, status.slow_share), (share(failed), share(slow)));
            prop_assert_eq!(status.probes_in_flight, plain.in_flight);
            prop_assert!(status.probes_in_flight <= plain.options.probes);
            prop_assert_eq!(status.opened_total, plain.opened_total);
            if plain.phase == Phase::Open && plain.manual != Manual::Open {
                let left = plain.open_until.saturating_sub(ms(plain.now_ms));
                prop_assert_eq!(status.open_left, Some(left));
            }
        }
    }
}
