use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use farmgate_plugin_api::decode::Diagnostics;
use proptest::prelude::*;

use super::records::{CHUNK_BYTES, MOST_BYTES, Text};
use super::*;
use crate::compile::{Slots, compile};
use crate::config::load::load_str;
use crate::server::services::{FILE_POLL, HostOptions};
use crate::server::upgrade::channel::Message;
use crate::server::world::{LiveUpstreams, LiveWorld};
use crate::telemetry::Reason;
use crate::upstream::Control;
use crate::upstream::discovery::{ResolverOptions, SystemLookup};
use crate::upstream::retry::RetryPolicy;

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:1"
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:2", "127.0.0.1:3"]
[[plugin]]
name = "limit"
kind = "rate_limit"
limits = [{ key = "header:x-user", rate = 3, per = "1h" }]
[[plugin]]
name = "teapot"
kind = "respond"
status = 418
[[route]]
name = "all"
plugins = ["limit", "teapot"]
upstream = "app"
"#;

/// A node that is compiled and serves nobody.
struct Idle {
    node: Arc<Node>,
    state: Arc<State>,
    resolver: Arc<Resolver>,
    history: Mutex<History>,
    host: Arc<Host>,
    /// Names and watched files would run on it.
    _runtime: tokio::runtime::Runtime,
}

impl Idle {
    fn new(config: &str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let entered = runtime.enter();
        let metrics = Metrics::new(10_000, "test").unwrap();
        let node = Arc::new(Node::new(&metrics));
        let state = Arc::new(State::default());
        let resolver = Arc::new(Resolver::spawn(
            BTreeSet::new(),
            Arc::new(SystemLookup::default()),
            ResolverOptions::default(),
            Arc::new(|_: &str, _: &_| {}),
        ));
        let host = Host::new(HostOptions {
            runtime: tokio::runtime::Handle::current(),
            metrics: Arc::clone(&metrics),
            state: Arc::clone(&state),
            folder: None,
            upstreams: Arc::new(LiveUpstreams(Arc::clone(&node))),
            file_poll: FILE_POLL,
        });
        let world = LiveWorld {
            state: Arc::clone(&state),
            resolver: Arc::clone(&resolver),
            metrics,
            host: Arc::clone(&host),
            slots: RefCell::new(Slots::new([], [])),
            generation: 1,
        };
        let (loaded, mut diagnostics) =
            (load_str("test.toml", config).unwrap(), Diagnostics::new());
        let compiled = compile(&loaded.config, &world, &mut diagnostics).unwrap();
        let snapshot = Arc::new(compiled.snapshot);
        for plan in snapshot.upstreams.values() {
            plan.upstream.activate(&*resolver);
        }
        node.current.publish(snapshot);
        drop(entered);
        Self {
            node,
            state,
            resolver,
            history: Mutex::default(),
            host,
            _runtime: runtime,
        }
    }

    fn world(&self) -> World<'_> {
        World {
            node: &self.node,
            state: &self.state,
            resolver: &self.resolver,
            history: &self.history,
            host: &self.host,
        }
    }

    fn app(&self) -> Arc<crate::upstream::Upstream> {
        let snapshot = self.node.current.load();
        Arc::clone(&snapshot.upstreams["app"].upstream)
    }

    /// Something happens: a number picks what.
    fn live(&self, what: u8) {
        let (app, snapshot) = (self.app(), self.node.current.load());
        let address = ["127.0.0.1:2", "127.0.0.1:3"][usize::from(what & 1)];
        let (n, now) = (u64::from(what), Instant::now());
        match what % 6 {
            0 => drop(app.control(address, Control::Drain)),
            1 => drop(app.control(address, Control::Weight(u32::from(what)))),
            2 => self
                .state
                .plugins
                .switch("teapot")
                .store(what & 8 == 0, std::sync::atomic::Ordering::Relaxed),
            3 => snapshot.unrouted.ended(Reason::Internal, n * 7_001, n, n),
            4 => snapshot.upstreams["app"].endpoint_failed(
                &app.set().endpoints()[usize::from(what & 1)],
                Reason::ConnectRefused,
            ),
            _ => {
                let set = app.set();
                let endpoint = Arc::clone(&set.endpoints()[usize::from(what & 1)]);
                let attempt = crate::upstream::InFlight::start(endpoint, None);
                attempt.answered(now, Duration::from_millis(n));
            }
        }
    }

    /// What operators see of it, without times.
    fn seen(&self) -> (Vec<String>, String, Vec<String>) {
        let set = self.app().set();
        let endpoints = set.endpoints().iter().map(|one| {
            let state = &one.state;
            let totals = (state.requests_total(), state.failures_total());
            format!(
                "{} {} {} {totals:?}",
                one.address,
                one.weight,
                state.is_drained()
            )
        });
        let text = String::from_utf8(self.node.metrics.render()).unwrap();
        let gauges = ["farmgate_metric_series ", "farmgate_config_"];
        let counted = text.lines().filter(|line| {
            line.starts_with("farmgate_") && !gauges.iter().any(|name| line.starts_with(name))
        });
        let off = self.state.plugins.switched_off();
        (
            endpoints.collect(),
            counted.collect::<Vec<_>>().join("\n"),
            off.iter().map(ToString::to_string).collect(),
        )
    }
}

/// Over the wire and back.
fn sent(chunks: Vec<Chunk>) -> Incoming {
    let mut incoming = Incoming::default();
    for chunk in chunks {
        let message = serde_json::to_vec(&Message::State(chunk)).unwrap();
        assert!(message.len() < 256 * 1024, "{}", message.len());
        let Ok(Message::State(chunk)) = serde_json::from_slice(&message) else {
            panic!("another message");
        };
        incoming.add(chunk, Instant::now());
    }
    incoming
}

fn chunk(part: &str, version: u32, text: &str) -> Chunk {
    Chunk {
        part: part.to_owned(),
        version,
        records: Text(text.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_taken_is_what_is_given(what in prop::collection::vec(any::<u8>(), 0..80)) {
        let (old, new) = (Idle::new(CONFIG), Idle::new(CONFIG));
        // What both count before anything moves would be there twice.
        what.iter().for_each(|what| old.live(*what));
        let (chunks, mut tally) = take(&old.world());
        let told = give(&new.world(), sent(chunks));
        prop_assert!(told.ends_with("not taken over: nothing"), "{}", told);
        prop_assert_eq!(new.seen(), old.seen());
        prop_assert_eq!(tally.since(&old.node.metrics), vec![Value::Null]);
        // And on to a third.
        let third = Idle::new(CONFIG);
        give(&third.world(), sent(take(&new.world()).0));
        prop_assert_eq!(third.seen(), old.seen());
    }

    #[test]
    fn two_processes_that_drain_are_counted_both(
        what in prop::collection::vec((any::<bool>(), any::<u8>()), 0..80),
    ) {
        let old = [Idle::new(CONFIG), Idle::new(CONFIG)];
        let new = Idle::new(CONFIG);
        let mut tallies = [Tally::default(), Tally::default()];
        let (mut sum, mut seen) = (0, 0);
        for (which, what) in what {
            let which = usize::from(which);
            old[which].node.current.load().unrouted.ended(Reason::Internal, u64::from(what), 1, 1);
            sum += 1;
            if what % 3 == 0 {
                for counted in tallies[which].since(&old[which].node.metrics) {
                    add_counted(&new.node.metrics, counted);
                }
                let now = new.node.current.load().unrouted.request_bytes.get();
                prop_assert!(now >= seen, "{} after {}", now, seen);
                seen = now;
            }
        }
        for (tally, old) in tallies.iter_mut().zip(&old) {
            for counted in tally.since(&old.node.metrics) {
                add_counted(&new.node.metrics, counted);
            }
        }
        prop_assert_eq!(new.node.current.load().unrouted.request_bytes.get(), sum);
    }

    /// State in which anything was changed is skipped, and never ends the process.
    #[test]
    fn hostile_state_is_skipped(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<char>()), 0..40),
        cut in any::<prop::sample::Index>(),
        noise in ".{0,200}",
    ) {
        let (old, new) = (Idle::new(CONFIG), Idle::new(CONFIG));
        (0..60).for_each(|what| old.live(what));
        let mut incoming = Incoming::default();
        for one in take(&old.world()).0 {
            let mut text: Vec<char> = one.records.0.chars().collect();
            for (at, with) in &edits {
                let at = at.index(text.len());
                text[at] = *with;
            }
            text.truncate(cut.index(text.len() + 1));
            let text: String = text.into_iter().collect();
            incoming.add(chunk(&one.part, one.version, &text), Instant::now());
        }
        for part in PARTS {
            incoming.add(chunk(part.name(), 1, &noise), Instant::now());
        }
        let told = give(&new.world(), incoming);
        prop_assert!(!told.contains('\n'), "{}", told);
        prop_assert!(told.len() < 4_096, "{}", told);
        add_counted(&new.node.metrics, Value::String(noise));
        new.seen();
    }

    #[test]
    fn records_are_cut_and_joined(
        texts in prop::collection::vec(
            prop_oneof![any::<String>(), (0..400_000_usize).prop_map(|n| "\"é\\".repeat(n / 4))],
            0..8,
        ),
    ) {
        let mut records = Records::default();
        records.begin("x", 3);
        texts.iter().for_each(|text| records.put(text));
        let (chunks, left_out) = records.done();
        prop_assert!(left_out.is_empty());
        prop_assert!(chunks.iter().all(|one| one.records.0.len() <= CHUNK_BYTES));
        let stream = sent(chunks).take("x");
        let text = stream.map(|stream| stream.text.0).unwrap_or_default();
        let read: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        prop_assert_eq!(read, texts);
    }
}

#[test]
fn what_has_no_room_is_counted() {
    let mut records = Records::default();
    records.begin("long", 1);
    let text = "x".repeat(MOST_BYTES / 4 - 100);
    (0..7).for_each(|_| records.put(&text));
    records.begin("short", 1);
    records.put(&"y");
    let (chunks, left_out) = records.done();
    assert_eq!(left_out.into_iter().collect::<Vec<_>>(), [("long", 3)]);
    assert_eq!(chunks.last().unwrap().part, "short");
    // The other side has the same bound.
    let mut incoming = Incoming::default();
    let more = [chunk("more", 1, &text)];
    for one in chunks.into_iter().chain(more) {
        incoming.add(one, Instant::now());
    }
    assert_eq!(
        incoming.rest(),
        (vec!["long".to_owned(), "short".to_owned()], text.len())
    );
}

#[test]
fn another_version_is_read_as_far_as_it_is_known() {
    let new = Idle::new(CONFIG);
    let mut incoming = Incoming::default();
    for (part, version, text) in [
        (
            "switches",
            1,
            "{\"plugin\":\"teapot\",\"why\":[1]}\n{\"plugin\":\"gone\"}\nnonsense\n",
        ),
        ("endpoints", 2, "{}\n"),
        ("cache\nleases", 1, "{}\n"),
        (
            "plugins",
            1,
            "{\"kind\":\"rate_limit\",\"plugin\":\"limit\",\"key\":\"header:x-user\",\"bytes\":\"/w==\"}\n",
        ),
    ] {
        incoming.add(chunk(part, version, text), Instant::now());
    }
    assert_eq!(
        give(&new.world(), incoming),
        "taken over from the old process: switches 1; not taken over: \
         switches 2 (no plugin has this name; not readable), \
         endpoints: version 2, 1 is known here, \
         plugins 1 (version 255 is not known, 1 is), \
         cache?leases: unknown here"
    );
    assert_eq!(new.state.plugins.switched_off().len(), 1);
}

#[test]
fn nothing_of_the_state_is_shown() {
    let shown = format!("{:?}", Message::State(chunk("tickets", 1, "c2VjcmV0")));
    assert!(
        shown.contains("8 bytes") && !shown.contains("c2V"),
        "{shown}"
    );
}

#[test]
fn what_is_not_needed_is_freed() {
    use crate::telemetry::explain::ExplainRing;
    let old = Idle::new(CONFIG);
    old.node.explain.store(Some(Arc::new(ExplainRing::new(8))));
    let ring = Arc::downgrade(&old.node.explain.load_full().unwrap());
    old.resolver.update(BTreeSet::from(["app.internal".into()]));
    let_go(&old.world());
    assert!(ring.upgrade().is_none());
    assert!(old.resolver.status().is_empty());
}

#[test]
fn limits_and_budgets_go_on_where_they_were() {
    use crate::upstream::limits::MovedLimit;
    let guarded = CONFIG.replace(
        "[[plugin]]\nname = \"limit\"",
        "limits = { adaptive = { min = 5, max = 50 } }\n[[plugin]]\nname = \"limit\"",
    );
    let (old, new, plain) = (Idle::new(&guarded), Idle::new(&guarded), Idle::new(CONFIG));
    let learned = MovedLimit {
        limit: 23.5,
        base_seconds: 0.02,
    };
    let shared = Arc::clone(old.app().shared());
    shared.gate.adaptive().restore(learned);
    (0..40).for_each(|_| shared.budget.request(Instant::now()));
    let retry = RetryPolicy::default().budget.unwrap();
    let guard = shared.budget.try_retry(&retry, 1, Instant::now());
    assert!(guard.is_ok());
    let told = give(&new.world(), sent(take(&old.world()).0));
    assert!(
        told.contains("limits 1") && told.contains("budgets 1"),
        "{told}"
    );
    let there = Arc::clone(new.app().shared());
    assert_eq!(there.gate.adaptive().moved(), Some(learned));
    let snapshot = new.node.current.load();
    let gate = snapshot.upstreams["app"].gate.clone().unwrap();
    let limit = there.gate.status(&gate, Instant::now().into()).limit;
    assert_eq!(limit, Some(23), "it is in force");
    let status = there.budget.status(&retry, Instant::now());
    assert_eq!((status.first_attempts, status.retries), (40, 1));
    assert_eq!(status.in_flight, 0, "those end in the old process");
    // Without an adaptive limit here there is nothing to go on with.
    let told = give(&plain.world(), sent(take(&old.world()).0));
    assert!(
        told.contains("limits 1 (the upstream has no adaptive limit here)"),
        "{told}"
    );
    assert_eq!(plain.app().shared().gate.adaptive().moved(), None);
}
