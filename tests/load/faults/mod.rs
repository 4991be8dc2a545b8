//! What an endpoint that fails costs the clients of its upstream: each fault under each policy, and a storm of retries.
//!
//! `cargo nextest run --cargo-profile ci --no-capture -E 'test(load::faults)'` prints the table of docs/operate/upstreams.md.

mod endpoint;
mod expected;
mod load;
mod policy;
mod storm;

use std::time::{Duration, Instant};

use endpoint::{Endpoint, Fault};
use expected::{Cost, Most, TABLE};
use load::{Pace, Stream, Told};
use policy::Policy;

use crate::harness::{Node, Origin, Setup, eventually};

/// What the configurations of these tests begin with. A machine of tests may be busy: what its node turns away for that is another
/// matter.
const HEAD: &str =
    "[server.overload]\nloop_lag = \"0s\"\n[[listener]]\nname = \"web\"\naddress = \"@web\"\n";

/// Between two requests to an upstream.
const GAP_MS: u64 = 8;

/// 125 requests a second to each upstream, 750 to the node.
const PACE: Pace = Pace {
    every: Duration::from_millis(GAP_MS),
    // Longer than `per_try` and another attempt take on a busy machine, shorter than `first_byte` by default.
    patience: Duration::from_secs(3),
    // All that can wait for an endpoint that is silent: 42 a second for 3 s.
    clients: 128,
};

/// How long requests go on after the fault: longer than all that is bounded in time.
const LASTS: Duration = Duration::from_secs(4);

/// Good answers of each upstream before the fault: every endpoint is known to all, and has idle connections.
const WARM: usize = 40;

/// So often a fault is tried on a machine that is too busy to tell.
const TRIES: usize = 4;

/// How often the node is asked what it thinks of its endpoints.
const LOOK: Duration = Duration::from_millis(100);

/// An answer that takes longer is slow. A slow endpoint takes [`endpoint::SLOW`].
const SLOW: Duration = Duration::from_millis(250);

/// What one fault cost under one policy.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Requests that ended after the fault.
    requests: usize,
    /// Those without a good answer.
    failed: usize,
    /// Good answers that took long.
    slow: usize,
    /// Good answers that took half as long: of two such attempts a slow answer is made.
    late: usize,
    /// From the fault to the node's word that the endpoint is out of use.
    out: Option<Duration>,
    /// From the fault to the last request that the endpoint was given.
    last_hit: Option<Duration>,
}

/// What the node says about the endpoint that fails.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    hits: u64,
    last_hit: Option<Duration>,
    out: Option<Duration>,
}

impl Watched {
    fn look(&mut self, told: &serde_json::Value, since: Duration) {
        let endpoint = &told["endpoints"][0];
        let hits = endpoint["requests"].as_u64().expect("a count");
        if hits > self.hits {
            (self.hits, self.last_hit) = (hits, Some(since));
        }
        if endpoint["state"] != "available" {
            self.out = self.out.or(Some(since));
        }
    }
}

fn count(all: &[Told], failed: Instant, watched: Watched) -> Seen {
    let after = || all.iter().filter(|told| told.ended() >= failed);
    let took = |time| after().filter(move |told| told.is_good() && told.took >= time);
    Seen {
        requests: after().count(),
        failed: after().filter(|told| !told.is_good()).count(),
        slow: took(SLOW).count(),
        late: took(SLOW / 2).count(),
        out: watched.out,
        last_hit: watched.last_hit,
    }
}

/// What the node says about each upstream, in the order of the policies.
async fn upstreams(node: &Node) -> Vec<serde_json::Value> {
    let told = node.run(&["status", "--json"]).await.expect(0).json();
    let all = told["upstreams"].as_array().expect("upstreams").clone();
    let of = |policy: Policy| {
        let found = all.iter().find(|one| one["name"] == policy.name());
        found.cloned().expect("an upstream")
    };
    Policy::ALL.map(of).into()
}

/// One fault under all policies at once: one node, one endpoint that fails, an upstream for each policy.
async fn run(fault: Fault) -> Vec<Seen> {
    let mut bad = Endpoint::start(fault).await;
    let (good, fine) = (
        Origin::answering("good").await,
        Origin::answering("fine").await,
    );
    let mut config = HEAD.to_owned();
    config.extend(Policy::ALL.map(Policy::config));
    let node = Setup::new()
        .with("bad", bad.address())
        .with("good", good.address())
        .with("fine", fine.address())
        .start(&config)
        .await;
    let web = node.at("web");
    let streams = Policy::ALL.map(|one| Stream::start(web, format!("/{}", one.name()), PACE));
    eventually("good answers from all", || async {
        let is_warm = streams.iter().all(|stream| stream.answered() >= WARM);
        is_warm.then_some(())
    })
    .await;
    eventually("good checks of all", || async {
        let told = upstreams(&node).await;
        let phases = told.iter().flat_map(|upstream| {
            let endpoints = upstream["endpoints"].as_array().expect("endpoints");
            endpoints
                .iter()
                .map(|endpoint| &endpoint["health"]["phase"])
        });
        let mut phases = phases.filter(|phase| !phase.is_null());
        phases.all(|phase| phase == "up").then_some(())
    })
    .await;

    let mut watched = [Watched::default(); Policy::ALL.len()];
    for (watched, told) in watched.iter_mut().zip(upstreams(&node).await) {
        watched.look(&told, Duration::ZERO);
    }
    let failed = Instant::now();
    bad.fail();
    let mut looks = tokio::time::interval(LOOK);
    while failed.elapsed() < LASTS {
        looks.tick().await;
        let told = upstreams(&node).await;
        let since = failed.elapsed();
        for (watched, told) in watched.iter_mut().zip(told) {
            watched.look(&told, since);
        }
    }
    let mut seen = Vec::new();
    streams.iter().for_each(Stream::end);
    for (stream, watched) in streams.into_iter().zip(watched) {
        seen.push(count(&stream.told().await, failed, watched));
    }
    seen
}

/// The cost under each policy, and under none of a fault: first.
async fn run_calmly(fault: Fault) -> Vec<Seen> {
    let mut all = run(fault).await;
    for _ in 1..TRIES {
        // Where requests that meet no fault take long, nothing can be told of those that do.
        let noise = all[0];
        if noise.failed == 0 && noise.late * 50 <= noise.requests {
            break;
        }
        println!("{fault:?} again: without any fault {noise:?}");
        all = run(fault).await;
    }
    all
}

impl Seen {
    /// What is wrong with it.
    fn judge(&self, cost: &Cost, noise: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut bounded = |what: &str, count: usize, most: Most, noise: usize| {
            let most = most.of(self.requests, GAP_MS) + 3 * noise;
            if count > most {
                wrong.push(format!("{count} {what}, at most {most}"));
            }
        };
        bounded("failed", self.failed, cost.failed, noise.failed);
        bounded("slow", self.slow, cost.slow, noise.late);
        let hurt = self.failed + self.slow;
        bounded(
            "failed or slow",
            hurt,
            Most::Third,
            noise.failed + noise.late,
        );
        if let Some(most) = cost.out_ms
            && self.out.is_none_or(|out| out > Duration::from_millis(most))
        {
            wrong.push(format!("out of use after {:?}, not {most} ms", self.out));
        }
        wrong
    }
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or("-".to_owned(), |time| time.as_millis().to_string())
}

/// Faults that the defaults cannot hide: unless they cost something here, they are none.
const HURTS: [Fault; 5] = [
    Fault::Stopped,
    Fault::Half500,
    Fault::Slow,
    Fault::Garbage,
    Fault::SlowBody,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_costs_no_more_than_it_must() {
    let mut table = "| fault | policy | requests | failed | slow | out of use after ms | last asked after ms |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut wrong = Vec::new();
    for (fault, costs) in TABLE {
        let all = run_calmly(fault).await;
        let (noise, seen) = all.split_first().expect("the one without a fault");
        for ((policy, cost), seen) in Policy::UNDER_FAULT.iter().zip(&costs).zip(seen) {
            let (out, last) = (milliseconds(seen.out), milliseconds(seen.last_hit));
            let line = format!(
                "| {fault:?} | {} | {} | {} | {} | {out} | {last} |\n",
                policy.name(),
                seen.requests,
                seen.failed,
                seen.slow,
            );
            table.push_str(&line);
            let found = seen.judge(cost, noise);
            wrong.extend(found.iter().map(|what| format!("{what}: {line}")));
            let hurt = seen.failed + seen.slow;
            if *policy == Policy::Defaults && HURTS.contains(&fault) && hurt * 12 < seen.requests {
                wrong.push(format!("no fault at all: {line}"));
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.concat());
}
