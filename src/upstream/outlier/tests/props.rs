//! Whatever happens in whatever order: never too many, never the last one, and every ejection ends.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many attempts of one endpoint end like this.
    Attempts(usize, Seen, u8),
    /// Answers that are good, but slow.
    Slow(usize, u64),
    Tick(u64),
    /// A cause from nowhere.
    Eject(usize, u64),
    GiveBack(usize),
    // The rest changes what the bounds hold for.
    Stand(usize, Standing),
    Reload(f32, u64, u64),
    Leave(usize),
    Join,
}

fn steady() -> impl Strategy<Value = Step> {
    let seen = prop_oneof![
        3 => Just(BAD),
        1 => Just(GOOD),
        1 => Just(Seen::Failure),
        1 => Just(Seen::ConnectFailure),
    ];
    prop_oneof![
        8 => (any::<usize>(), seen, 1_u8..20).prop_map(|(w, s, n)| Step::Attempts(w, s, n)),
        1 => (any::<usize>(), 1_u64..2000).prop_map(|(w, ms)| Step::Slow(w, ms)),
        6 => (0_u64..20_000).prop_map(Step::Tick),
        2 => (any::<usize>(), any::<u64>()).prop_map(|(w, r)| Step::Eject(w, r)),
        1 => any::<usize>().prop_map(Step::GiveBack),
    ]
}

fn changing() -> impl Strategy<Value = Step> {
    let standing = prop_oneof![
        Just(Standing::Usable),
        Just(Standing::Down),
        Just(Standing::Idle)
    ];
    prop_oneof![
        10 => steady(),
        2 => (any::<usize>(), standing).prop_map(|(w, s)| Step::Stand(w, s)),
        1 => (0.0_f32..1.0, 0_u64..20_000, 0_u64..60_000)
            .prop_map(|(share, base, max)| Step::Reload(share, base, max)),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => Just(Step::Join),
    ]
}

fn options() -> OutlierOptions {
    OutlierOptions {
        success_rate: Some(SuccessRate {
            min_endpoints: 3,
            min_requests: 10,
            deviations: 1.0,
        }),
        latency: Some(SlowEndpoint {
            min_requests: 10,
            ..SlowEndpoint::default()
        }),
        max_ejection: secs(60),
        ..OutlierOptions::default()
    }
}

/// A ceiling that is counted in another way than the code does.
fn most(members: usize, share: f32) -> usize {
    let is_within = |out: &usize| *out as f32 <= members as f32 * share + 0.01;
    (0..=members).rev().find(is_within).unwrap_or(0)
}

impl Farm {
    fn check_within(&self) {
        let tally = self.tally();
        assert!(tally.out <= most(tally.members, self.options.max_ejected));
        let usable = |node: &&Arc<Node>| node.standing() == Standing::Usable;
        let in_use = |node: &Arc<Node>| usable(&node) && !node.is_marked();
        let is_any_usable = self.nodes.iter().any(|node| usable(&node));
        assert!(!is_any_usable || self.nodes.iter().any(in_use));
        let _ = self.out();
    }

    /// Decides, and checks the decision.
    fn check_eject(&self, node: &Node, cause: Cause, random: u64) {
        let before = self.tally();
        let (options, nodes) = (&self.options, &self.nodes);
        let verdict = self
            .ejector
            .eject(options, nodes, &node.outlier, cause, self.now, random);
        let after = self.tally();
        if let Verdict::Ejected { lasts, .. } = verdict {
            let longest = options.max_ejection + options.max_ejection / 10;
            assert!(lasts <= longest);
            assert!(lasts >= options.base_ejection.min(options.max_ejection));
            assert_eq!(after.out, before.out + 1);
            assert!(after.available > 0 && after.out <= most(after.members, options.max_ejected));
        } else {
            assert_eq!(after, before);
        }
    }

    fn record(&self, which: usize, seen: Seen, took: Duration) {
        if self.nodes.is_empty() {
            return;
        }
        let node = &self.nodes[which % self.nodes.len()];
        if let Some(cause) = node.outlier.record(&self.options, seen, Some(took)) {
            self.check_eject(node, cause, took.as_millis() as u64);
        }
    }

    fn step(&mut self, step: Step) {
        let place = |which: usize| which.checked_rem(self.nodes.len());
        match step {
            Step::Attempts(which, seen, times) => {
                (0..times).for_each(|_| self.record(which, seen, ms(5)));
            }
            Step::Slow(which, took) => (0..20).for_each(|_| self.record(which, GOOD, ms(took))),
            Step::Tick(later) => {
                self.tick(ms(later));
                self.check_within();
            }
            Step::Eject(which, random) => {
                if let Some(place) = place(which) {
                    let node = self.nodes[place].clone();
                    self.check_eject(&node, Cause::ConnectFailures(2), random);
                }
            }
            Step::GiveBack(which) => {
                if let Some(place) = place(which) {
                    let node = &self.nodes[place];
                    let was_out = node.outlier.is_out();
                    let change = self.ejector.give_back(&self.nodes, &node.outlier, self.now);
                    assert_eq!(change.is_some(), was_out);
                }
            }
            Step::Stand(which, standing) => {
                if let Some(place) = place(which) {
                    self.nodes[place].stand(standing);
                }
            }
            Step::Reload(share, base, max) => {
                self.options.max_ejected = share;
                self.options.base_ejection = ms(base);
                self.options.max_ejection = ms(max);
            }
            Step::Leave(which) => {
                if let Some(place) = place(which) {
                    self.nodes.remove(place);
                }
            }
            Step::Join => self.nodes.push(Arc::default()),
        }
    }

    /// Nothing bad happens any more: soon all are back, and forgiven.
    fn check_end(&mut self) {
        let longest = self.options.max_ejection + self.options.max_ejection / 10;
        // What was counted is compared at the end of its interval, and may eject.
        self.tick(self.options.interval);
        self.tick(longest);
        assert!(self.out().is_empty());
        for node in &self.nodes {
            node.stand(Standing::Usable);
        }
        self.tick(ms(0));
        self.tick(secs(3600 * 24));
        for node in &self.nodes {
            let status = node.outlier.status(self.now);
            assert_eq!((status.times, status.cause, status.flaps), (0, None, 0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// With the same members and options the bounds hold at every moment.
    #[test]
    fn bounds_hold_always(
        count in 1_usize..12,
        share in 0.0_f32..1.0,
        steps in prop::collection::vec(steady(), 1..120),
    ) {
        let mut farm = Farm::new(count, OutlierOptions { max_ejected: share, ..options() });
        for step in steps {
            farm.step(step);
            farm.check_within();
        }
        farm.check_end();
    }

    /// When members, health and options change, they hold after each tick and each decision.
    #[test]
    fn bounds_hold_after_changes(
        count in 1_usize..12,
        steps in prop::collection::vec(changing(), 1..160),
    ) {
        let mut farm = Farm::new(count, options());
        for step in steps {
            farm.step(step);
        }
        farm.check_end();
    }
}
