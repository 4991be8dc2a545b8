//! Any state from another process: what cannot be read is skipped, and the report is one bounded line.
//!
//! Input: blocks that are parted by an empty line; the first line of each is `PART VERSION`, the rest are records. A
//! block of the part `counted` is what a draining process tells later.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use farmgate::compile::{Slots, compile};
use farmgate::config::load_str;
use farmgate::proxy::connection::Node;
use farmgate::server::history::History;
use farmgate::server::services::{FILE_POLL, Host, HostOptions};
use farmgate::server::upgrade::moved::records::{Chunk, Incoming, Text};
use farmgate::server::upgrade::moved::{World, add_counted, give, take};
use farmgate::server::world::{LiveUpstreams, LiveWorld};
use farmgate::state::State;
use farmgate::telemetry::metrics::Metrics;
use farmgate::upstream::discovery::{Resolver, ResolverOptions, SystemLookup};
use farmgate_plugin_api::decode::Diagnostics;
use libfuzzer_sys::fuzz_target;

const CONFIG: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:1"
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:2", "localhost:3"]
[[plugin]]
name = "limit"
kind = "rate_limit"
limits = [{ key = "header:x-user", rate = 3, per = "1h" }]
[[route]]
name = "all"
plugins = ["limit"]
upstream = "app"
"#;

/// A node that serves nobody. One for all inputs: it has to bear whatever came before.
struct Idle {
    node: Arc<Node>,
    state: Arc<State>,
    resolver: Arc<Resolver>,
    history: parking_lot::Mutex<History>,
    host: Arc<Host>,
    _runtime: tokio::runtime::Runtime,
}

static IDLE: LazyLock<Idle> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let entered = runtime.enter();
    let metrics = Metrics::new(1_000, "fuzz").expect("metrics");
    let node = Arc::new(Node::new(&metrics));
    let state = Arc::new(State::default());
    let resolver = Arc::new(Resolver::spawn(
        BTreeSet::from(["localhost".into()]),
        Arc::new(SystemLookup::default()),
        ResolverOptions::default(),
        Arc::new(|_: &str, _: &_| {}),
    ));
    let host = Host::new(HostOptions {
        runtime: runtime.handle().clone(),
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
    let loaded = load_str("fuzz.toml", CONFIG).expect("a configuration");
    let compiled = compile(&loaded.config, &world, &mut Diagnostics::new());
    node.current
        .publish(Arc::new(compiled.expect("a snapshot").snapshot));
    drop(entered);
    Idle {
        node,
        state,
        resolver,
        history: Default::default(),
        host,
        _runtime: runtime,
    }
});

fuzz_target!(|text: &str| {
    let idle = &*IDLE;
    let world = World {
        node: &idle.node,
        state: &idle.state,
        resolver: &idle.resolver,
        history: &idle.history,
        host: &idle.host,
    };
    let mut incoming = Incoming::default();
    for block in text.split("\n\n") {
        let (head, records) = block.split_once('\n').unwrap_or((block, ""));
        let (part, version) = head.split_once(' ').unwrap_or((head, "1"));
        if part == "counted" {
            let counted = serde_json::from_str(records).unwrap_or_default();
            add_counted(&idle.node.metrics, counted);
            continue;
        }
        let chunk = Chunk {
            part: part.to_owned(),
            version: version.parse().unwrap_or(1),
            records: Text(records.to_owned()),
        };
        incoming.add(chunk, Instant::now());
    }
    let told = give(&world, incoming);
    assert!(!told.contains('\n') && told.len() < 16_384, "{told}");
    // What was taken over can be handed on.
    take(&world);
});
