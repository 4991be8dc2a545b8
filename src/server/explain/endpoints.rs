//! Where the endpoints of a decision's upstreams come from.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::snapshot::{Snapshot, UpstreamPlan};
use crate::upstream::discovery::ask::origin;
use crate::upstream::discovery::follow::Status;
use crate::upstream::discovery::kept::Kept;
use crate::upstream::discovery::source::{DiscoveryOptions, Found};

/// Most addresses that are named of one upstream.
const SHOWN: usize = 8;

/// Without a node: of the configuration, or the source and what is kept of its last good answer in the state folder.
pub fn offline(snapshot: &Snapshot, decision: &Value, state: Option<&Path>) -> Value {
    each(snapshot, decision, |plan, options| {
        let mut out = json!({ "upstream": **plan.name(), "source": origin(&options.source) });
        let kept = match state {
            None => Ok(None),
            Some(state) => Kept::new(state).load(plan.name()),
        };
        match (kept, state) {
            (_, None) => out["note"] = json!("nothing is kept: there is no `[server] state`"),
            (Err(why), _) => out["note"] = json!(format!("what is kept cannot be used: {why}")),
            (Ok(None), _) => out["note"] = json!("nothing is kept yet"),
            (Ok(Some(kept)), _) if !kept.is_of(&options.source) => {
                let theirs = &kept.origin;
                out["note"] = json!(format!(
                    "what is kept is of another source and is not used: {theirs}"
                ));
            }
            (Ok(Some(kept)), _) => {
                let age = SystemTime::now().duration_since(kept.at);
                out["learned"] = json!("kept");
                put(&mut out, options, &kept.endpoints, age.unwrap_or_default());
            }
        }
        out
    })
}

/// At a node: what it uses now.
pub fn served(snapshot: &Snapshot, decision: &Value, sources: &[Status]) -> Value {
    each(snapshot, decision, |plan, options| {
        let mut out = json!({ "upstream": **plan.name(), "source": origin(&options.source) });
        let status = sources.iter().find(|one| one.upstream == *plan.name());
        match status.and_then(|status| Some((status, status.age?))) {
            Some((status, age)) => {
                out["source"] = json!(*status.told_by);
                out["learned"] = json!(status.provenance.word());
                put(&mut out, options, &status.endpoints, age);
            }
            None => out["note"] = json!("no answer yet"),
        }
        out
    })
}

fn each(
    snapshot: &Snapshot,
    decision: &Value,
    discovered: impl Fn(&UpstreamPlan, &DiscoveryOptions) -> Value,
) -> Value {
    let one = |name: &str| {
        let plan = snapshot.upstreams.get(name)?;
        Some(match &plan.discovery {
            Some(options) => discovered(plan, options),
            None => configured(plan),
        })
    };
    match &decision["upstream"] {
        Value::String(name) => one(name).into_iter().collect(),
        Value::Array(sides) => sides
            .iter()
            .filter_map(|side| one(side["name"].as_str()?))
            .collect(),
        target => target["name"].as_str().and_then(one).into_iter().collect(),
    }
}

fn configured(plan: &UpstreamPlan) -> Value {
    let set = plan.upstream.set();
    let mut names: Vec<String> = set
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.configured.to_string())
        .collect();
    names.extend(plan.upstream.names().iter().map(|name| name.to_string()));
    names.sort();
    names.dedup();
    json!({ "upstream": **plan.name(), "source": "configuration", "endpoints": cut(&names) })
}

fn put(out: &mut Value, options: &DiscoveryOptions, endpoints: &[Found], age: Duration) {
    let names: Vec<String> = endpoints
        .iter()
        .map(|found| found.address.to_string())
        .collect();
    out["endpoints"] = cut(&names);
    out["age_seconds"] = json!(age.as_secs());
    out["stale"] = json!(age > options.max_stale);
}

fn cut(names: &[String]) -> Value {
    let mut shown: Vec<String> = names.iter().take(SHOWN).cloned().collect();
    if names.len() > SHOWN {
        shown.push(format!("and {} more", names.len() - SHOWN));
    }
    json!(shown)
}

/// For people.
pub(super) fn render(told: &Value, out: &mut String) {
    let told = told.as_array().map(Vec::as_slice).unwrap_or_default();
    if !told.is_empty() {
        let _ = writeln!(out, "endpoints");
    }
    for one in told {
        let text = |key: &str| one[key].as_str().unwrap_or_default();
        let mut line = format!("{:<20} {}", text("upstream"), text("source"));
        if let Some(age) = one["age_seconds"].as_u64() {
            let learned = text("learned");
            let stale = if one["stale"] == true { ", stale" } else { "" };
            let _ = write!(line, " ({learned}, {age} s old{stale})");
        }
        if let Some(note) = one["note"].as_str() {
            let _ = write!(line, "; {note}");
        }
        let names = one["endpoints"].as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(Value::as_str).collect();
        if !names.is_empty() {
            let _ = write!(line, ": {}", names.join(", "));
        }
        let _ = writeln!(out, "  {line}");
    }
}
