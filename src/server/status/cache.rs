//! The cache: whether it helps, and whether it is sick.

use serde_json::{Map, Value, json};

use crate::server::Server;
use crate::snapshot::{RouteCache, Snapshot};
use crate::telemetry::cache::{CacheAnswer, Refusal};
use crate::telemetry::metrics::CacheFigures;
use crate::telemetry::metrics::store::{EVICTIONS, TIERS};

/// Reasons of one route that are shown, the most frequent ones.
const REFUSALS: usize = 3;

/// Null where there is no `[cache]`.
pub(super) fn cache(server: &Server, snapshot: &Snapshot) -> Value {
    let settings = server.settings();
    let Some(settings) = &settings.cache else {
        return Value::Null;
    };
    let figures = server.node.metrics.cache_figures();
    let mut counts = Counts::default();
    let mut routes = Vec::new();
    for route in &snapshot.routes {
        let Some(cache) = &route.cache else { continue };
        let own = Counts::of(cache);
        counts.add(&own);
        let mut told = own.json();
        told["name"] = json!(*route.name);
        told["policy"] = json!(*cache.plan.name);
        told["not_stored"] = refusals(cache);
        routes.push(told);
    }
    let mut out = counts.json();
    out["problems"] = problems(server.state.cache.problem().as_deref(), figures.as_ref());
    out["folders"] = json!(settings.disks.len());
    out["store"] = figures.map_or(Value::Null, |figures| store(&figures));
    out["routes"] = json!(routes);
    out
}

/// What the routes counted.
#[derive(Default)]
struct Counts {
    /// By [`CacheAnswer::ALL`].
    answers: [u64; CacheAnswer::ALL.len()],
    bytes: u64,
    saved: u64,
}

impl Counts {
    fn of(cache: &RouteCache) -> Self {
        let (bytes, saved) = cache.metrics.body_bytes();
        let mut answers = [0; CacheAnswer::ALL.len()];
        for (count, how) in answers.iter_mut().zip(CacheAnswer::ALL) {
            *count = cache.metrics.answers(*how);
        }
        Self {
            answers,
            bytes,
            saved,
        }
    }

    fn add(&mut self, other: &Self) {
        for (sum, own) in self.answers.iter_mut().zip(other.answers) {
            *sum += own;
        }
        self.bytes += other.bytes;
        self.saved += other.saved;
    }

    fn json(&self) -> Value {
        let each = || CacheAnswer::ALL.iter().zip(self.answers);
        let requests: u64 = self.answers.iter().sum();
        let hits = each()
            .filter(|(how, _)| is_hit(**how))
            .map(|(_, count)| count)
            .sum();
        let answers: Map<String, Value> = each()
            .filter(|(_, count)| *count > 0)
            .map(|(how, count)| (how.as_str().to_owned(), json!(count)))
            .collect();
        json!({
            "requests": requests,
            "hits": hits,
            "hit_ratio": ratio(hits, requests),
            "answers": answers,
            "body_bytes": self.bytes,
            "saved_bytes": self.saved,
            "byte_hit_ratio": ratio(self.saved, self.bytes),
        })
    }
}

/// What the client wanted, without the body from the origin. An error that the cache answers itself is none.
fn is_hit(how: CacheAnswer) -> bool {
    match how {
        CacheAnswer::Hit
        | CacheAnswer::Collapsed
        | CacheAnswer::Stale
        | CacheAnswer::Revalidated => true,
        CacheAnswer::Miss | CacheAnswer::Bypass | CacheAnswer::Refused | CacheAnswer::Failed => {
            false
        }
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Why answers of a route were not stored, the most frequent reasons first.
fn refusals(cache: &RouteCache) -> Value {
    let all = Refusal::ALL.iter();
    let mut all: Vec<(&str, u64)> = all
        .map(|why| (why.as_str(), cache.metrics.refusals(*why)))
        .filter(|(_, count)| *count > 0)
        .collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let first = all.into_iter().take(REFUSALS);
    first
        .map(|(why, count)| json!({ "why": why, "count": count }))
        .collect()
}

fn store(figures: &CacheFigures) -> Value {
    let words = |words: &[&str], counts: &[u64]| -> Map<String, Value> {
        let both = words.iter().zip(counts);
        both.map(|(word, count)| ((*word).to_owned(), json!(count)))
            .collect()
    };
    json!({
        "memory_bytes": figures.memory_bytes,
        "memory_limit_bytes": figures.memory_limit_bytes,
        "index_bytes": figures.index_bytes,
        "disk_bytes": figures.disk_bytes,
        "disk_limit_bytes": figures.disk_limit_bytes,
        "objects": figures.objects,
        "disk_objects": figures.disk_objects,
        "hits": words(TIERS, &figures.hits),
        "evictions": words(EVICTIONS, &figures.evictions),
        "waiting": figures.waiting,
        "flights": figures.flights,
        "fills": figures.fills,
        "fills_now": figures.fills_now,
        "unstored_keys": figures.unstored_keys,
        "disk_queue": figures.disk_queue,
        "purges": figures.purges,
        "purges_in_force": figures.purges_now,
    })
}

/// What is wrong, each with what to do; the worst first.
fn problems(opening: Option<&str>, figures: Option<&CacheFigures>) -> Value {
    let mut out: Vec<String> = opening.map(str::to_owned).into_iter().collect();
    let Some(figures) = figures else {
        return json!(out);
    };
    let [queue_full, _] = figures.disk_refused;
    for (count, what) in [
        (
            figures.failed_disks,
            "disks were given up after errors: what was on them is fetched again; look at the device, then restart",
        ),
        (
            figures.purge_errors,
            "purges are in force but not written down: a restart would forget them; look at the first folder, then purge again",
        ),
        (
            figures.disk_errors,
            "reads and writes of the folders failed: is the device full, or failing?",
        ),
        (
            figures.corrupt_records,
            "records on disk did not verify, each is a miss: the device, or somebody who writes there",
        ),
        (
            figures.purges_folded,
            "times there were too many purges at once, and everything older was purged: purge by tag or prefix",
        ),
        (
            queue_full,
            "objects stayed off the disk, its queue was full: the device is slower than what is fetched",
        ),
    ] {
        if count > 0 {
            out.push(format!("{count} {what}"));
        }
    }
    json!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_worst_first_and_only_if_there_are_any() {
        assert_eq!(problems(None, Some(&CacheFigures::default())), json!([]));
        let sick = CacheFigures {
            failed_disks: 1,
            corrupt_records: 2,
            disk_refused: [3, 9],
            ..CacheFigures::default()
        };
        let told = problems(Some("the cache is in memory alone"), Some(&sick));
        let told: Vec<&str> = told
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let begins = [
            "the cache is in memory",
            "1 disks",
            "2 records",
            "3 objects",
        ];
        assert_eq!(told.len(), begins.len(), "{told:?}");
        for (text, begin) in told.iter().zip(begins) {
            assert!(text.starts_with(begin), "{text}");
        }
    }

    #[test]
    fn a_ratio_of_nothing_is_none() {
        let mut counts = Counts::default();
        assert_eq!(counts.json()["hit_ratio"], Value::Null);
        for how in CacheAnswer::ALL {
            counts.answers[how.index()] = 1;
        }
        (counts.bytes, counts.saved) = (200, 50);
        let told = counts.json();
        assert_eq!(told["hit_ratio"], json!(0.5));
        assert_eq!(told["byte_hit_ratio"], json!(0.25));
    }
}
