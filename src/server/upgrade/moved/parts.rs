//! The parts of a node whose state goes along, and what each frees when it is not needed any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farmgate_plugin_api::services::MAX_SAVED_BYTES;
use serde::{Deserialize, Serialize};

use super::World;
use super::guards::{AdaptiveLimits, Breakers, Budgets};
use super::records::{Given, Records};
use crate::state::plugin::KeptId;
use crate::telemetry::metrics::Counts;
use crate::tls::MovedTickets;
use crate::upstream::{MovedChange, MovedEndpoint, MovedName};

/// A part of the node that has a say when another process takes over. Everything that keeps state beyond a snapshot
/// is one: it stands in [`PARTS`], and nothing else is to be done for it.
pub trait Part: Sync {
    /// Its name in messages and in the log. It is never given to another meaning.
    fn name(&self) -> &'static str;

    /// The version of its records: raised when an older reader would misunderstand them, not for a further field.
    fn version(&self) -> u32 {
        1
    }

    /// Old process, while it serves: what the other one is to know. What is written later is lost, unless it counts.
    fn take(&self, _world: &World<'_>, _out: &mut Records) {}

    /// New process, before its first client: takes over what fits the configuration here. What does not is counted
    /// and left alone; nothing here may fail.
    fn give(&self, _world: &World<'_>, given: &mut Given<'_>) {
        given.each(|_: serde::de::IgnoredAny| Err("nothing is taken over here".to_owned()));
    }

    /// Old process, when the other one serves: frees what the requests that are still under way do not need.
    fn let_go(&self, _world: &World<'_>) {}
}

/// All of them. Given in this order: names bring the endpoints, endpoints have the metrics that are counted in. Taken
/// in this order too, so that the longest comes last and is what has no room, if anything.
pub(super) const PARTS: [&dyn Part; 14] = [
    &Switches,
    &Tickets,
    &Names,
    &Changes,
    &Endpoints,
    &Breakers,
    &AdaptiveLimits,
    &Budgets,
    &Counters,
    &Limits,
    &Configurations,
    &Explain,
    &Connections,
    &Cache,
];

/// Plugins that an operator has switched off.
struct Switches;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct SwitchedOff {
    plugin: String,
}

impl Part for Switches {
    fn name(&self) -> &'static str {
        "switches"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        for plugin in world.state.plugins.switched_off() {
            out.put(&SwitchedOff {
                plugin: plugin.to_string(),
            });
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        given.each(|off: SwitchedOff| {
            let known = world.state.plugins.switch_off(&off.plugin);
            known
                .then_some(1)
                .ok_or_else(|| "no plugin has this name".to_owned())
        });
    }
}

/// Secrets of session tickets, where no file has them.
struct Tickets;

impl Part for Tickets {
    fn name(&self) -> &'static str {
        "tickets"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        for edge in world.node.current.load().tls.values() {
            if let Some(moved) = edge.moved_tickets() {
                out.put(&moved);
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let snapshot = world.node.current.load();
        given.each(|moved: MovedTickets| {
            let edge = snapshot.tls.get(moved.tls.as_str());
            let edge = edge.ok_or("no [[tls]] has this name")?;
            edge.take_tickets(&moved, &world.state.tls)?;
            Ok(1)
        });
    }
}

/// The last good addresses of names.
struct Names;

impl Part for Names {
    fn name(&self) -> &'static str {
        "names"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let names = world.resolver.status();
        names
            .iter()
            .filter_map(MovedName::of)
            .for_each(|name| out.put(&name));
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let age = given.age;
        given.each(|name: MovedName| {
            let age = Duration::from_millis(name.age_ms).saturating_add(age);
            // One that was answered here needs no older answer.
            Ok(usize::from(world.resolver.remember(
                &name.host,
                name.addresses,
                age,
            )))
        });
    }

    fn let_go(&self, world: &World<'_>) {
        // Upstreams keep the addresses that they have.
        world.resolver.update(BTreeSet::new());
    }
}

/// What operators changed of endpoints.
struct Changes;

impl Part for Changes {
    fn name(&self) -> &'static str {
        "changes"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        for (name, upstream) in world.state.upstreams.living() {
            upstream.changes(&name).iter().for_each(|one| out.put(one));
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let mut all = BTreeMap::<String, Vec<MovedChange>>::new();
        given.each(|change: MovedChange| {
            all.entry(change.upstream.clone()).or_default().push(change);
            Ok(0)
        });
        let snapshot = world.node.current.load();
        for (name, changes) in all {
            let plan = snapshot.upstreams.get(name.as_str());
            let taken = plan.map_or(0, |plan| plan.upstream.take_over(&changes));
            given.took(taken);
            given.skip(
                changes.len() - taken,
                "their entries are others here, or gone",
            );
        }
    }
}

/// What is known of endpoints.
struct Endpoints;

impl Part for Endpoints {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let now = Instant::now();
        for (id, state) in world.state.endpoints.living() {
            if let Some(moved) = MovedEndpoint::of(&id, &state, now) {
                out.put(&moved);
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let (now, age) = (Instant::now(), given.age);
        given.each(|moved: MovedEndpoint| {
            let state = world.state.endpoints.get(&moved.id());
            let state = state.ok_or("they are not configured, or not resolved, here")?;
            moved.apply(&state, now, age);
            Ok(1)
        });
    }
}

/// Counters and histograms. Taken with the tally that goes on counting (see [`super::take`]).
struct Counters;

impl Part for Counters {
    fn name(&self) -> &'static str {
        COUNTERS
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        // Series are counted in only if somebody holds them; those of endpoints are made when they are first used.
        for plan in world.node.current.load().upstreams.values() {
            for endpoint in plan.upstream.set().endpoints() {
                plan.endpoint_metrics(endpoint);
            }
        }
        let mut dropped = (0, Vec::new());
        given.each(|counts: Counts| {
            let added = world.node.metrics.add(&counts);
            dropped.0 += added.dropped;
            dropped.1.extend(added.notes);
            Ok(added.series)
        });
        let gone = "what they count is not configured here".to_owned();
        let notes = if dropped.1.is_empty() {
            vec![gone]
        } else {
            dropped.1
        };
        given.skip(dropped.0, &notes.join("; "));
    }
}

/// The name of [`Counters`].
pub(super) const COUNTERS: &str = "counters";

/// What plugins keep: the windows of limits.
struct Limits;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct KeptValue {
    #[serde(flatten)]
    id: KeptId,
    /// In base64.
    bytes: String,
}

impl Part for Limits {
    fn name(&self) -> &'static str {
        "plugins"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let mut used = BTreeMap::<(String, String), usize>::new();
        for (id, keep) in world.state.plugins.kept() {
            let used = used
                .entry((id.kind.clone(), id.plugin.clone()))
                .or_default();
            // Base64 takes four bytes for three, and the identity some.
            let room = out.room().saturating_sub(1024) / 4 * 3;
            let most = MAX_SAVED_BYTES.saturating_sub(*used).min(room);
            let Some(saved) = keep.save(most) else {
                out.left_out(1);
                continue;
            };
            out.left_out(saved.left_out);
            if saved.entries > 0 {
                *used += saved.bytes.len();
                let bytes = STANDARD.encode(&saved.bytes);
                out.put(&KeptValue { id, bytes });
            }
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        let age = given.age;
        let here: BTreeMap<_, _> = world.state.plugins.kept().into_iter().collect();
        given.each(|moved: KeptValue| {
            let keep = here.get(&moved.id);
            let keep = keep.ok_or("no plugin here keeps them")?;
            let bytes = STANDARD.decode(&moved.bytes);
            let bytes = bytes.map_err(|_| "not readable".to_owned())?;
            keep.restore(&bytes, age)
        });
    }
}

/// Earlier configurations, when no state folder keeps them.
struct Configurations;

impl Part for Configurations {
    fn name(&self) -> &'static str {
        "configurations"
    }

    fn take(&self, world: &World<'_>, out: &mut Records) {
        let history = world.history.lock().in_memory();
        if !history.is_null() {
            out.put(&history);
        }
    }

    fn give(&self, world: &World<'_>, given: &mut Given<'_>) {
        given.each(|history: serde_json::Value| {
            let count = history.as_array().map_or(0, Vec::len);
            world.history.lock().adopt(history);
            Ok(count)
        });
    }
}

/// The last requests, for `farmgate explain ID`: asked at the new process, which has its own.
struct Explain;

impl Part for Explain {
    fn name(&self) -> &'static str {
        "explain"
    }

    fn let_go(&self, world: &World<'_>) {
        world.node.explain.store(None);
    }
}

/// Connections to endpoints and to servers of plugins that nobody uses now.
struct Connections;

impl Part for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn let_go(&self, world: &World<'_>) {
        for (_, endpoint) in world.state.endpoints.living() {
            endpoint.lines.retire();
        }
        world.host.close_idle();
    }
}

/// The memory of the cache: the new process fills its own. The folders go by a step of their own, before it serves
/// (`server::cache`): nothing in the state depends on them, and they may take a while.
struct Cache;

impl Part for Cache {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn let_go(&self, world: &World<'_>) {
        if let Some(held) = world.state.cache.get() {
            held.shared.make_way();
        }
    }
}
