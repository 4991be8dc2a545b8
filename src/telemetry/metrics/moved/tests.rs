use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::telemetry::reason::Reason;

const ALL: usize = usize::MAX;

fn metrics(cap: usize) -> Arc<Metrics> {
    Metrics::new(cap, "1.2.3").unwrap()
}

/// What a scrape shows of counters and histograms.
fn shown_by(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = String::from_utf8(metrics.render()).unwrap();
    let counts = |line: &&str| {
        let name = line.split(['{', ' ']).next().unwrap();
        let ends = ["_total", "_bucket", "_sum", "_count"];
        name.starts_with("farmgate_") && ends.iter().any(|end| name.ends_with(end))
    };
    let pair = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    text.lines().filter(counts).map(pair).collect()
}

/// The same by metric: which series are folded when the cap is reached depends on their order, their sum does not.
fn sums(metrics: &Metrics) -> Vec<(String, f64)> {
    let mut sums = BTreeMap::<String, f64>::new();
    for (series, value) in shown_by(metrics) {
        let name = series.split('{').next().unwrap().to_owned();
        *sums.entry(name).or_default() += value;
    }
    sums.remove("farmgate_metric_series_folded_total");
    let rounded = |(name, sum): (String, f64)| (name, (sum * 1e9).round());
    sums.into_iter().map(rounded).collect()
}

/// Over the wire and back.
fn sent(counts: &Counts) -> Counts {
    serde_json::from_slice(&serde_json::to_vec(counts).unwrap()).unwrap()
}

/// Handles of everything that the tests count in: what a snapshot holds.
struct Held {
    routes: Vec<crate::telemetry::metrics::RouteMetrics>,
    upstream: crate::telemetry::metrics::UpstreamMetrics,
    tls: crate::telemetry::metrics::TlsMetrics,
    plugin: crate::telemetry::metrics::Counter,
}

impl Held {
    fn of(metrics: &Arc<Metrics>) -> Self {
        let plugin = metrics.plugin_metrics("rate_limit", "edge");
        Self {
            routes: (0..3).map(|n| metrics.route(&format!("r{n}"))).collect(),
            upstream: metrics.upstream("app"),
            tls: metrics.tls("edge"),
            plugin: plugin.counter("denied", "Denied requests.").unwrap(),
        }
    }

    /// One thing that happens; `what` picks it.
    fn count(&self, what: u16) {
        let n = u64::from(what);
        match what % 5 {
            0 => self.routes[usize::from(what / 5 % 3)].ended(Reason::Internal, n * 99_991, n, 7),
            1 => self.upstream.attempt(what.is_multiple_of(2)),
            2 => {
                let cipher = "TLS_AES_128_GCM_SHA256";
                self.tls
                    .completed("TLSv1.3", what.is_multiple_of(2), cipher, None);
            }
            3 => self.plugin.add(n),
            _ => self.upstream.total.observe_ns(n << (what % 40)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// What the new process shows is at each step what the old one showed at that time, and in the end what both
    /// counted: nothing twice, nothing lost. With a small cap part of it is folded.
    #[test]
    fn take_give_and_deltas_sum_exactly(
        before in prop::collection::vec(any::<u16>(), 0..60),
        rounds in prop::collection::vec(
            (prop::collection::vec(any::<u16>(), 0..20), prop::collection::vec(any::<u16>(), 0..20)),
            0..5,
        ),
        cap in prop_oneof![Just(20_000_usize), 0..80_usize],
        most_bytes in prop_oneof![Just(ALL), 100..4_000_usize],
    ) {
        let (old, new, model) = (metrics(cap), metrics(cap), metrics(cap));
        let (in_old, in_new, in_model) = (Held::of(&old), Held::of(&new), Held::of(&model));
        let mut tally = Tally::default();
        let send = |tally: &mut Tally| {
            for piece in tally.since(&old, most_bytes) {
                let added = new.add(&sent(&piece));
                assert_eq!((added.dropped, added.notes), (0, vec![]));
            }
        };
        for what in before {
            in_old.count(what);
            in_model.count(what);
        }
        send(&mut tally);
        prop_assert_eq!(sums(&new), sums(&old));
        for (there, here) in rounds {
            for what in there {
                in_old.count(what);
                in_model.count(what);
            }
            for what in here {
                in_new.count(what);
                in_model.count(what);
            }
            send(&mut tally);
        }
        if cap == 20_000 {
            prop_assert_eq!(shown_by(&new), shown_by(&model));
        }
        prop_assert_eq!(sums(&new), sums(&model));
    }
}

#[test]
fn counting_goes_on_while_it_is_taken() {
    let (old, new) = (metrics(20_000), metrics(20_000));
    let (in_old, in_new) = (Held::of(&old), Held::of(&new));
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let held = &in_old;
                scope.spawn(move || {
                    for n in 0..20_000_u16 {
                        held.count(n.wrapping_mul(7) ^ worker);
                    }
                })
            })
            .collect();
        while !workers.iter().all(|worker| worker.is_finished()) {
            for piece in tally.since(&old, 4_096) {
                new.add(&piece);
            }
        }
    });
    for piece in tally.since(&old, ALL) {
        new.add(&piece);
    }
    assert_eq!(shown_by(&new), shown_by(&old));
    assert!(tally.since(&old, ALL).is_empty());
    drop(in_new);
}

#[test]
fn a_series_is_read_to_its_end_and_then_forgotten() {
    let (old, new) = (metrics(20_000), metrics(20_000));
    let here = new.route("gone");
    let route = old.route("gone");
    route.request_bytes.add(5);
    let mut tally = Tally::default();
    let first = tally.since(&old, ALL);
    route.request_bytes.add(3);
    drop(route);
    // Another of the same name: a new cell, counted on its own.
    let route = old.route("gone");
    route.request_bytes.add(2);
    for piece in first.iter().chain(&tally.since(&old, ALL)) {
        new.add(piece);
    }
    assert_eq!(here.request_bytes.get(), 10);
    drop(route);
    assert!(tally.since(&old, ALL).is_empty());
    let known = |name: &str| tally.families[name].len();
    assert_eq!(known("farmgate_request_bytes_total"), 0);
}

#[test]
fn gauges_stay_and_what_nobody_holds_is_dropped() {
    let (old, new) = (metrics(20_000), metrics(20_000));
    let listener = old.listener("web");
    listener.connections.add(7);
    listener.connections_open.set(3);
    let (gone, kept) = (old.route("gone"), old.route("kept"));
    gone.request_bytes.add(1);
    kept.request_bytes.add(2);
    let (web, here) = (new.listener("web"), new.route("kept"));
    let piece = &Tally::default().since(&old, ALL)[0];
    let series = new.budget().used();
    let added = new.add(&sent(piece));
    assert_eq!((added.series, added.dropped, added.notes), (2, 1, vec![]));
    assert_eq!(here.request_bytes.get(), 2);
    assert_eq!((web.connections.get(), web.connections_open.get()), (7, 0));
    assert_eq!(new.budget().used(), series + 3, "the gauge was read here");
    assert!(!shown_by(&new).keys().any(|series| series.contains("gone")));
}

fn one(name: &str, labels: &[&str], places: &[&str], of: &[&str], counts: &[(u32, u64)]) -> Counts {
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    Counts {
        families: vec![FamilyCounts {
            name: name.to_owned(),
            labels: texts(labels),
            places: texts(places),
            series: vec![SeriesCounts {
                of: texts(of),
                folded: false,
                counts: counts.to_vec(),
            }],
        }],
    }
}

#[test]
fn another_version_sends_what_does_not_fit() {
    let new = metrics(20_000);
    let (route, requests) = (new.route("a"), new.requests("web", "a", "app"));
    let told = |counts: &Counts| {
        let added = new.add(counts);
        (added.series, added.dropped, added.notes.join("; "))
    };
    let why = |text: &str| (0, 1, text.to_owned());
    for (counts, expected) in [
        (
            one("farmgate_x\n_total", &[], &["count"], &[], &[(0, 1)]),
            why("farmgate_x?_total: no counter here has this name"),
        ),
        (
            one(
                "farmgate_connections_open",
                &["listener"],
                &["count"],
                &["web"],
                &[(0, 1)],
            ),
            why("farmgate_connections_open: no counter here has this name"),
        ),
        (
            one(
                "farmgate_request_bytes_total",
                &["path"],
                &["count"],
                &["a"],
                &[(0, 1)],
            ),
            why("farmgate_request_bytes_total: its labels are others here"),
        ),
        (
            one(
                "farmgate_request_duration_seconds",
                &["route"],
                &["le 5 ns"],
                &["a"],
                &[(0, 1)],
            ),
            why("farmgate_request_duration_seconds: its buckets are others here"),
        ),
        (
            one(
                "farmgate_request_bytes_total",
                &["route"],
                &["count"],
                &["a", "b"],
                &[(0, 1)],
            ),
            why(""),
        ),
        (
            one(
                "farmgate_request_bytes_total",
                &["route"],
                &["count"],
                &["a"],
                &[(9, 1)],
            ),
            (
                1,
                0,
                "farmgate_request_bytes_total: some of its words are not known here".to_owned(),
            ),
        ),
    ] {
        assert_eq!(told(&counts), expected);
    }
    assert_eq!(route.request_bytes.get(), 0);
    // Words are found by their text, wherever they stand.
    let labels = ["listener", "route", "upstream"];
    let words = ["7xx", "2xx"];
    let counts = [(0, 4), (1, 5)];
    let group = one(
        "farmgate_requests_total",
        &labels,
        &words,
        &["web", "a", "app"],
        &counts,
    );
    assert_eq!(told(&group).0, 1);
    assert_eq!(requests.by_code.get(1), 5);
    // Unknown fields are passed over, missing ones are empty.
    let text = r#"{"families":[{"name":"x","new":1},{"series":[{}]}],"more":[]}"#;
    let counts: Counts = serde_json::from_str(text).unwrap();
    assert_eq!(told(&counts).1, 1);
}

#[test]
fn folded_labels_of_another_process_are_bounded() {
    let new = metrics(20_000);
    let labels = ["upstream", "phase"];
    let mut counts = one("farmgate_request_phase_seconds", &labels, &[], &[], &[]);
    let family = &mut counts.families[0];
    family.places = HistogramCell::places(&[])
        .iter()
        .map(ToString::to_string)
        .collect();
    family.series = (0..5_000)
        .map(|n| SeriesCounts {
            of: vec!["other".into(), format!("phase-{n}")],
            folded: true,
            counts: vec![(0, 1)],
        })
        .collect();
    let added = new.add(&counts);
    assert_eq!((added.series, added.dropped), (1_024, 3_976));
}

#[test]
fn pieces_stay_below_their_bound_and_lose_nothing() {
    let old = metrics(100_000);
    let routes: Vec<_> = (0..400)
        .map(|n| old.route(&format!("r\"\\\n\u{1}é{n}")))
        .collect();
    for (n, route) in routes.iter().enumerate() {
        route.ended(Reason::Internal, n as u64 * 1_000_003, n as u64, u64::MAX);
    }
    let whole = Tally::default().since(&old, ALL);
    assert_eq!(whole.len(), 1);
    let series = |pieces: &[Counts]| -> usize {
        let families = pieces.iter().flat_map(|piece| &piece.families);
        families.map(|family| family.series.len()).sum()
    };
    for most in [2_000, 16_384, 262_144] {
        let pieces = Tally::default().since(&old, most);
        let sizes: Vec<_> = pieces
            .iter()
            .map(|piece| serde_json::to_vec(piece).unwrap().len())
            .collect();
        assert!(sizes.iter().all(|size| *size <= most), "{most}: {sizes:?}");
        // A piece ends because the next series has no room.
        let full = &sizes[..sizes.len() - 1];
        assert!(
            full.iter().all(|size| *size > most / 2),
            "{most}: {sizes:?}"
        );
        assert_eq!(series(&pieces), series(&whole));
    }
    // One series alone that is longer than a piece still goes.
    assert_eq!(series(&Tally::default().since(&old, 10)), series(&whole));
}
