//! What `farmgate status` shows.

mod cache;
mod guards;
mod load;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime};

use farmgate_plugin_api::filter::MAX_REPORT_LINES;
use serde_json::{Value, json};

use super::{Server, drain};
use crate::snapshot::UpstreamPlan;
use crate::tls::Edge;
use crate::tls::files::seconds;
use crate::upstream::discovery::follow;

/// Certificates of one `[[tls]]` that are shown, and names of one certificate.
const MAX_CERTIFICATES: usize = 100;
const MAX_NAMES: usize = 10;

/// The node's state as JSON.
pub fn status(server: &Server) -> Value {
    let snapshot = server.node.current.load();
    let settings = server.settings();
    let listeners: Vec<Value> = server
        .listeners
        .lock()
        .slots()
        .map(|(address, slot, open)| {
            let name = snapshot
                .listener(slot)
                .map_or("", |listener| &*listener.name);
            let tls = snapshot.listener(slot).and_then(|one| one.tls.as_ref());
            json!({
                "name": name,
                "address": address.to_string(),
                "tls": tls.map(|tls| &**tls.edge.name()),
                "connections": open,
            })
        })
        .collect();
    let sources = server.guards.sources();
    let upstreams: Vec<Value> = snapshot
        .upstreams
        .values()
        .map(|plan| upstream(plan, &sources))
        .collect();
    let plugins: Vec<Value> = snapshot
        .plugins
        .values()
        .map(|instance| {
            let on = instance.on.load(std::sync::atomic::Ordering::Relaxed);
            let mut told = json!({ "name": *instance.name, "kind": instance.kind, "on": on });
            let report = catch_unwind(AssertUnwindSafe(|| instance.filter.report()));
            let mut report = report.unwrap_or_else(|_| vec!["the plugin panicked".to_owned()]);
            report.truncate(MAX_REPORT_LINES);
            if !report.is_empty() {
                told["report"] = json!(report);
            }
            told
        })
        .collect();
    let last_reload = server.last_reload.lock().clone();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": server.started.elapsed().as_secs(),
        "started_at": unix(server.started_at),
        "generation": snapshot.generation,
        "generations_alive": server.node.metrics.config().generations_alive.get(),
        "threads": settings.threads,
        "draining": server.node.is_draining(),
        "drain": drain::progress(server).map(|drain| json!({
            "occasion": drain.occasion.as_str(),
            "stage": drain.stage.as_str(),
            "connections": drain.left.connections,
            "requests": drain.left.requests,
            "tunnels": drain.left.tunnels,
            "seconds_left": drain.remaining().as_secs(),
        })),
        "last_reload": last_reload.map(|last| match last.result {
            Ok(generation) => json!({ "at": last.at, "result": "ok", "generation": generation }),
            Err(why) => json!({ "at": last.at, "result": "refused", "reason": why }),
        }),
        "upgrade": server.upgrades.status(),
        "load": load::load(&server.load.load()),
        "routes": snapshot.routes.len(),
        "cache": cache::cache(server, &snapshot),
        "listeners": listeners,
        "tls": snapshot.tls.values().map(|edge| tls(edge)).collect::<Vec<_>>(),
        "upstreams": upstreams,
        "plugins": plugins,
        "names": server.resolver.status().iter().map(|name| json!({
            "host": *name.host,
            "addresses": name.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "age_seconds": name.age.map(|age| age.as_secs()),
        })).collect::<Vec<_>>(),
    })
}

/// The certificates of a `[[tls]]`, those that end first before the others, and what is wrong with its files.
fn tls(edge: &Edge) -> Value {
    let mut all = edge.certificates();
    all.sort_by_key(|certificate| certificate.not_after());
    let now = seconds(SystemTime::now());
    let certificates = all.iter().take(MAX_CERTIFICATES).map(|certificate| {
        json!({
            "names": certificate.names().iter().take(MAX_NAMES).collect::<Vec<_>>(),
            "key": certificate.kind().as_str(),
            "file": certificate.file().display().to_string(),
            "not_after": certificate.not_after(),
            "days_left": (certificate.not_after() - now).div_euclid(86_400),
        })
    });
    let problems = edge.problems();
    json!({
        "name": **edge.name(),
        "count": all.len(),
        "certificates": certificates.collect::<Vec<_>>(),
        "problems": problems.iter().map(|(file, why)| json!({
            "file": file.display().to_string(),
            "problem": why,
        })).collect::<Vec<_>>(),
    })
}

fn upstream(plan: &UpstreamPlan, sources: &[follow::Status]) -> Value {
    let (set, now) = (plan.upstream.set(), Instant::now());
    let endpoints: Vec<Value> = set
        .endpoints()
        .iter()
        .map(|endpoint| {
            let state = &endpoint.state;
            let word = match (state.is_drained(), state.is_available()) {
                (true, _) => "drained",
                (false, true) => "available",
                (false, false) if state.outlier.is_out() => "ejected",
                (false, false) => "down",
            };
            json!({
                "endpoint": *endpoint.configured,
                "address": endpoint.address.to_string(),
                "weight": endpoint.weight,
                "priority": endpoint.priority,
                "zone": endpoint.zone.as_deref(),
                "state": word,
                "in_flight": state.in_flight(),
                "connections": state.open_connections(),
                "requests": state.requests_total(),
                "failures": state.failures_total(),
                "ejection": guards::ejection(state, now),
                "health": guards::health(state, plan, now),
            })
        })
        .collect();
    json!({
        "name": **plan.name(),
        "connections": plan.metrics.connections_open.get(),
        "tls": plan.tls.as_ref().map(|tls| json!({ "sni": tls.sni(), "problems": tls.problems() })),
        "reuse_ratio": plan.metrics.reuse_ratio(),
        "discovery": guards::discovery(plan, sources),
        "priorities": guards::priorities(&set, now),
        "breaker": guards::breaker(plan, now),
        "limits": guards::limits(plan, now),
        "retries": guards::retries(plan, now),
        "endpoints": endpoints,
    })
}

/// The node in one line, for the log and the service manager.
pub fn line(server: &Server) -> String {
    let generation = server.node.current.load().generation;
    let open = server.listeners.lock().slots().count();
    let pid = std::process::id();
    format!("generation {generation}, {open} listeners, pid {pid}")
}

/// Why the node is not ready; empty when it is.
pub fn unready(server: &Server) -> Vec<String> {
    let mut reasons = Vec::new();
    if server.node.is_draining() {
        reasons.push("draining".to_owned());
    }
    let snapshot = server.node.current.load();
    if snapshot.generation == 0 {
        reasons.push("starting".to_owned());
    }
    let listeners = server.listeners.lock();
    for listener in snapshot.listeners.iter().flatten() {
        if !listeners.holds(&listener.address) {
            reasons.push(format!("listener {} is not bound", listener.name));
        }
    }
    reasons
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
