use std::collections::{BTreeMap, HashSet};

use super::cell::bucket_of;
use super::process::{number_after, parse_stat};
use super::*;
use crate::telemetry::cache::{CacheAnswer, Forward, Refusal};
use crate::telemetry::guard::*;
use crate::telemetry::handshake::HandshakeFailure;
use crate::telemetry::reason::Reason;

fn metrics(cap: usize) -> Arc<Metrics> {
    Metrics::new(cap, "1.2.3").unwrap()
}

fn text(metrics: &Metrics) -> String {
    String::from_utf8(metrics.render()).unwrap()
}

fn has(metrics: &Metrics, line: &str) -> bool {
    text(metrics).lines().any(|l| l == line)
}

#[track_caller]
fn assert_line(metrics: &Metrics, line: &str) {
    assert!(has(metrics, line), "no `{line}` in\n{}", text(metrics));
}

/// A store in which nothing happened.
struct Empty;

impl super::CacheSource for Empty {
    fn figures(&self) -> super::CacheFigures {
        super::CacheFigures::default()
    }
}

/// Touches every handle once.
fn use_everything(m: &Arc<Metrics>) {
    let l = m.listener("web");
    l.connections.inc();
    drop(l.connections_open.enter());
    l.connection_rejected(Reason::LimitConnections);
    l.request_rejected(Reason::BadRequest);
    l.h2_ended(crate::telemetry::H2End::RapidReset);
    l.keepalive_requests.inc();
    l.requests_in_flight.inc();
    l.tunnels_open.inc();
    m.body_memory().set(1);
    let overload = (m.overload_pressure("cpu"), m.overload_shed("bulk"));
    overload.0.set(400);
    overload.1.set(1000);
    m.drain().cut(crate::telemetry::DrainCut::WebSocket);
    l.h2_ended(crate::telemetry::H2End::Idle);
    let r = m.route("api");
    r.ended(Reason::ConnectTimeout, 3_000_000, 10, 20);
    let q = m.requests("web", "api", "app");
    q.ended(504);
    let u = m.upstream("app");
    for h in [&u.queue, &u.connect, &u.first_byte, &u.total] {
        h.observe_ns(1);
    }
    u.connections_open.set(2);
    u.connections_opened.add(3);
    u.attempt(true);
    u.retried(Reason::ConnectRefused);
    u.tls_refreshed(true);
    u.tls_stale_files.set(0);
    let e = m.endpoint("app", "127.0.0.1:1");
    e.failed(Reason::UpstreamReset);
    e.in_flight.inc();
    e.drained.set(1);
    let p = m.plugin("tag");
    p.error();
    p.panic();
    p.replies.inc();
    p.off.set(1);
    let s = m.plugin_phase("tag", "request_head");
    s.observe(std::time::Duration::from_micros(5));
    m.config().generation.set(7);
    m.config().generations_alive.set(1);
    m.config().reloaded(Some(8), 1_700_000_000);
    m.config().reloaded(None, 1_700_000_001);
    m.config().upgraded(true);
    m.config().draining_processes.set(1);
    let t = m.tls("edge");
    t.completed("TLSv1.3", true, "TLS_AES_128_GCM_SHA256", Some("X25519"));
    t.completed("TLSv1.2", false, "odd", None);
    t.failed(HandshakeFailure::Timeout);
    t.seconds.observe_ns(1_000_000);
    t.refreshed(true);
    t.misdirected.inc();
    t.stale_files.set(0);
    t.stale_lists.set(0);
    t.stapled.set(0);
    t.order_done(true);
    t.order_failed("order");
    t.order_next.set(1);
    drop(t.under_way.enter());
    let until = m.certificate_not_after("edge", "a.test", "p256");
    until.set(1_800_000_000);
    let c = m.route_cache("api");
    c.answered(CacheAnswer::Hit, 1);
    c.forwarded(Forward::Stale);
    c.refused(Refusal::NoStore);
    let store: Arc<dyn super::CacheSource> = Arc::new(Empty);
    m.set_cache(Some(Arc::downgrade(&store)), Some(0));
    let d = m.discovery("app", SourceKind::Dns);
    d.changed(Churn::Added, 2);
    let _ = [&d.age, &d.stale, &d.lag, &d.private].map(|gauge| gauge.set(1));
    let _ = [&d.failures, &d.refused, &d.unsaved].map(|counter| counter.inc());
    let g = &u.guard;
    g.first_try(Attempt::Good);
    g.last_try(Attempt::Failed);
    g.not_retried(NoRetry::Budget);
    g.shed(Reason::QueueFull);
    g.fell_back(FallbackKind::Stale);
    g.ejected(Ejection::Latency);
    g.breaker_changed(BreakerChange::Open);
    g.panics.inc();
    for gauge in [
        &g.waiting,
        &g.limit,
        &g.available,
        &g.endpoints,
        &g.unresolved,
        &g.imbalance,
    ] {
        gauge.set(1);
    }
    // Held until here: a handle's series ends with it.
    let rest = (store, overload, d);
    KEEP.with_borrow_mut(|k| k.push(Box::new((l, r, q, u, e, p, s, t, until, c, rest))));
}

thread_local! {
    static KEEP: std::cell::RefCell<Vec<Box<dyn std::any::Any>>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[test]
fn declarations_keep_the_rules_of_names() {
    let mut names = HashSet::new();
    for metric in ALL {
        let name = &metric.name;
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(
            name.starts_with("farmgate_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(
            name.ends_with("_total"),
            metric.kind == Kind::Counter,
            "{name}"
        );
        let base = name.ends_with("_seconds") || name.ends_with("_bytes");
        match metric.kind {
            Kind::Histogram => assert!(base, "{name}"),
            Kind::Counter => assert!(!base, "{name}"),
            Kind::Gauge => {}
        }
        assert!(metric.help.ends_with('.'), "{name}");
        assert_eq!(
            metric.closed_label.is_empty(),
            metric.closed_words.is_empty()
        );
    }
}

/// The rules of `promtool check metrics` that apply: help and type before samples, `_total` on counters only,
/// no sample without a declaration, every declared metric present.
#[test]
fn a_scrape_is_well_formed_and_complete() {
    let m = metrics(20_000);
    use_everything(&m);
    let text = text(&m);
    let mut types = BTreeMap::new();
    let mut help = HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help.insert(rest.split(' ').next().unwrap().to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(help.contains(name), "{name} has no help");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none());
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|s| name.strip_suffix(s).filter(|n| types.contains_key(*n)))
                .unwrap_or(name);
            assert!(types.contains_key(base), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok_and(|v| v >= 0.0), "{line}");
        }
    }
    for metric in ALL {
        assert!(
            types.contains_key(&*metric.name),
            "{} is missing",
            metric.name
        );
    }
    assert_eq!(types.len(), ALL.len());
    for line in [
        "farmgate_requests_total{code=\"5xx\",listener=\"web\",route=\"api\",upstream=\"app\"} 1",
        "farmgate_request_errors_total{reason=\"upstream_connect_timeout\",route=\"api\"} 1",
        "farmgate_request_duration_seconds_bucket{route=\"api\",le=\"0.0025\"} 0",
        "farmgate_request_duration_seconds_bucket{route=\"api\",le=\"0.005\"} 1",
        "farmgate_request_duration_seconds_sum{route=\"api\"} 0.003",
        "farmgate_connections_open{listener=\"web\"} 0",
        "farmgate_upstream_requests_total{reused=\"true\",upstream=\"app\"} 1",
        "farmgate_plugin_errors_total{kind=\"panic\",plugin=\"tag\"} 1",
        "farmgate_config_generation 8",
        "farmgate_config_last_reload_success 0",
        "farmgate_config_last_reload_timestamp_seconds 1700000000",
        "farmgate_config_reloads_total{result=\"refused\"} 1",
        "farmgate_build_info{version=\"1.2.3\"} 1",
        "farmgate_access_log_dropped_total 0",
    ] {
        assert!(text.lines().any(|l| l == line), "no `{line}` in\n{text}");
    }
}

/// What is left at a drain is told from gauges: also beyond the bound on series.
#[test]
fn what_is_under_way_is_summed_folded_or_not() {
    for cap in [0, 1, 20_000] {
        let m = metrics(cap);
        let listeners = ["a", "b", "c"].map(|name| m.listener(name));
        let requests: Vec<_> = listeners
            .iter()
            .map(|l| l.requests_in_flight.enter())
            .collect();
        let tunnel = listeners.first().map(|l| l.tunnels_open.enter());
        assert_eq!(
            (m.under_way().requests, m.under_way().tunnels),
            (2, 1),
            "{cap}"
        );
        drop((requests, tunnel));
        assert_eq!(m.under_way(), UnderWay::default(), "{cap}");
    }
}

#[test]
fn buckets_agree_with_a_linear_search() {
    let linear = |ns: u64| {
        BOUNDS_NS
            .iter()
            .position(|b| ns <= *b)
            .unwrap_or(BOUNDS_NS.len())
    };
    let mut samples = vec![0, 1, u64::MAX];
    for bound in BOUNDS_NS {
        samples.extend([bound - 1, bound, bound + 1]);
    }
    samples.extend((0..64).map(|bit| 1u64 << bit));
    let mut state = 1u64;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        samples.push(state >> (state % 60));
    }
    for ns in samples {
        assert_eq!(bucket_of(ns), linear(ns), "{ns}");
    }
}

#[test]
fn two_snapshots_share_a_series_and_the_last_drop_removes_it() {
    let m = metrics(20_000);
    let before = m.budget().used();
    let old = m.route("a");
    old.request_bytes.add(1);
    let new = m.route("a");
    drop(old);
    new.request_bytes.add(2);
    assert_line(&m, "farmgate_request_bytes_total{route=\"a\"} 3");
    assert_eq!(m.budget().used(), before + 1);
    drop(new);
    assert!(!text(&m).contains("route=\"a\""));
    assert_eq!(m.budget().used(), before);
    assert_eq!(m.request_bytes.living(), 0);
}

#[test]
fn reloads_with_ever_new_names_leave_nothing() {
    let m = metrics(20_000);
    let before = m.budget().used();
    for n in 0..5_000 {
        let route = m.route(&format!("route-{n}"));
        route.ended(Reason::NoRoute, 1, 1, 1);
    }
    assert_eq!(m.budget().used(), before);
    assert_eq!(m.request_duration.living(), 0);
    assert!(!text(&m).contains("route-"));
}

#[test]
fn unused_handles_cost_no_series() {
    let m = metrics(20_000);
    let before = m.budget().used();
    let routes: Vec<_> = (0..1_000).map(|n| m.route(&format!("r{n}"))).collect();
    assert_eq!(m.budget().used(), before);
    assert!(!text(&m).contains("route=\""));
    drop(routes);
}

#[test]
fn over_the_cap_labels_fold_and_nothing_is_lost() {
    let m = metrics(60);
    let routes: Vec<_> = (0..50).map(|n| m.route(&format!("r{n}"))).collect();
    for route in &routes {
        route.ended(Reason::Internal, 1_000, 1, 1);
    }
    assert!(m.budget().used() <= 60, "{}", m.budget().used());
    assert!(m.budget().folded() > 0);
    let text = text(&m);
    let sum = |name: &str| -> f64 {
        text.lines()
            .filter(|l| l.starts_with(name))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    for name in [
        "farmgate_request_errors_total{",
        "farmgate_request_bytes_total{",
        "farmgate_response_bytes_total{",
        "farmgate_request_duration_seconds_count{",
    ] {
        assert_eq!(sum(name), 50.0, "{name}");
    }
    assert!(text.contains("farmgate_request_errors_total{reason=\"internal\",route=\"other\"}"));
    // Closed labels survive the fold.
    let u = m.upstream("app");
    u.connect.observe_ns(1);
    assert_line(
        &m,
        "farmgate_request_phase_seconds_count{phase=\"connect\",upstream=\"other\"} 1",
    );
}

#[test]
fn a_gauge_comes_back_to_zero_even_when_folded() {
    let m = metrics(0);
    let listener = m.listener("web");
    let guard = listener.connections_open.enter();
    assert_line(&m, "farmgate_connections_open{listener=\"other\"} 1");
    m.budget().set_cap(1_000);
    drop(guard);
    assert_line(&m, "farmgate_connections_open{listener=\"other\"} 0");
}

#[test]
fn many_threads_count_exactly() {
    let m = metrics(20_000);
    let before = m.budget().used();
    let route = m.route("a");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    route.ended(Reason::Internal, 1_000, 1, 1);
                    // Resolve and drop beside it.
                    m.route("a").errors.inc(Reason::Draining.index());
                }
            });
        }
    });
    assert_eq!(route.errors.get(Reason::Internal.index()), 20_000);
    assert_eq!(route.errors.get(Reason::Draining.index()), 20_000);
    assert_eq!(route.duration.cell().count(), 20_000);
    assert_eq!(m.budget().used(), before + BOUNDS_NS.len() + 3 + 2 + 2);
}

#[test]
fn plugins_declare_their_own() {
    let m = metrics(20_000);
    let a = m.plugin_metrics("rate_limit", "edge");
    let b = m.plugin_metrics("rate_limit", "inner");
    let (denied, other) = (
        a.counter("denied", "Denied requests.").unwrap(),
        b.counter("denied_total", "Denied requests.").unwrap(),
    );
    denied.add(2);
    other.inc();
    let entries = a.gauge("entries", "Keys held.").unwrap();
    entries.set(5);
    assert_line(
        &m,
        "farmgate_plugin_rate_limit_denied_total{plugin=\"edge\"} 2",
    );
    assert_line(
        &m,
        "farmgate_plugin_rate_limit_denied_total{plugin=\"inner\"} 1",
    );
    assert_line(&m, "farmgate_plugin_rate_limit_entries{plugin=\"edge\"} 5");
    assert!(matches!(
        a.counter("De nied", ""),
        Err(PluginMetricError::Name(_))
    ));
    assert!(matches!(
        a.gauge("x_total", ""),
        Err(PluginMetricError::Name(_))
    ));
    assert!(matches!(
        a.counter("denied", "Something else."),
        Err(PluginMetricError::Conflict(_))
    ));
    for n in 0..plugin::MAX_PLUGIN_METRICS {
        let _ = a.gauge(&format!("g{n}"), "G.");
    }
    assert_eq!(
        a.gauge("one_more", "G.").unwrap_err(),
        PluginMetricError::TooMany
    );
}

#[test]
fn plugins_count_by_values_of_a_bounded_label() {
    let m = metrics(20_000);
    let waf = m.plugin_metrics("waf", "shop");
    let matches = waf.counter_by("matches", "Matches.", "rule", 2).unwrap();
    for (rule, n) in [
        ("942100", 1),
        ("941100", 2),
        ("930100", 4),
        ("942100", 8),
        ("1", 16),
    ] {
        matches.add(rule, n);
    }
    for (rule, n) in [("942100", 9), ("941100", 2), ("other", 20)] {
        assert_line(
            &m,
            &format!("farmgate_plugin_waf_matches_total{{plugin=\"shop\",rule=\"{rule}\"}} {n}"),
        );
    }
    // Another label, or none, is another metric; and `plugin` is taken.
    assert!(waf.counter_by("matches", "Matches.", "id", 2).is_err());
    assert!(waf.counter("matches", "Matches.").is_err());
    assert!(waf.counter_by("x", "X.", "plugin", 2).is_err());
    let score = waf.histogram("score", "Scores.").unwrap();
    score.observe_ns(5_000_000_000);
    assert_line(
        &m,
        "farmgate_plugin_waf_score_bucket{plugin=\"shop\",le=\"5\"} 1",
    );
    assert_line(&m, "farmgate_plugin_waf_score_sum{plugin=\"shop\"} 5");
    assert!(waf.histogram("score_total", "X.").is_err());
}

#[test]
fn proc_files_are_read() {
    let mut stat = String::from("42 (a (b) c) S");
    for field in 4..=22 {
        stat.push_str(&format!(" {field}00"));
    }
    let read = parse_stat(&stat).unwrap();
    assert_eq!(read.cpu_seconds, 29.0);
    assert_eq!(read.start_after_boot_seconds, 22.0);
    assert_eq!(parse_stat("42 (a) S 1"), None);
    assert_eq!(
        number_after("A: 1\nVmRSS:\t  12 kB\n", "VmRSS:"),
        Some(12.0)
    );
    assert_eq!(number_after("", "VmRSS:"), None);
}

#[test]
fn statuses_have_a_class() {
    for (status, class) in [
        (101, "1xx"),
        (200, "2xx"),
        (499, "4xx"),
        (599, "5xx"),
        (0, "none"),
        (600, "none"),
    ] {
        assert_eq!(declare::CODES[code_class(status)], class);
    }
}

#[test]
fn the_reference_has_a_line_per_metric() {
    let text = metrics_markdown();
    assert_eq!(text.lines().count(), ALL.len() + 2);
    assert!(text.contains("| `farmgate_upstream_requests_total` | counter | requests | `upstream`, `reused` (false, true) |"));
}

#[test]
fn reuse_ratio_is_a_share() {
    let u = metrics(20_000).upstream("app");
    assert_eq!(u.reuse_ratio(), None);
    u.attempt(false);
    for _ in 0..3 {
        u.attempt(true);
    }
    assert_eq!(u.reuse_ratio(), Some(0.75));
}
