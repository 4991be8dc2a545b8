//! What one choice of an endpoint costs, for every policy at 10, 100 and 1,000 endpoints.
//!
//! Each upstream has everything on that can be: weights of 1, 2 and 3, two priorities, a preferred
//! zone, a panic threshold, a slow start in which a tenth of the endpoints is, a limit in flight of
//! each endpoint, and a tenth of the endpoints is ejected. `pick` is the whole of
//! `Upstream::pick` and the end of the attempt that it counts; `plain` is the same with one
//! priority and nothing on. Run it with `cargo bench -p farmgate --bench pick`; the bound is 200 ns, and a choice above it ends the bench with 1.
//!
//! Then what it costs when most endpoints cannot be chosen, which has no bound but the reading of all.
//!
//! A number on the command line runs as many threads at once on one upstream, and prints the time
//! one thread needs.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farmgate::upstream::balance::consistent_hash::{HashOptions, HashTable};
use farmgate::upstream::{
    Control, EndpointAddress, EndpointSpec, InFlight, NoAddresses, Policy, SetOptions, TriedSet,
    Unavailable, UnsharedStore, Upstream, UpstreamSpec,
};

/// Choices in one round, and rounds of which the quickest counts.
const CHOICES: u32 = 400_000;
const ROUNDS: u32 = 5;

/// What a choice may cost at 1,000 endpoints.
const BOUND_NS: f64 = 200.0;

fn policies() -> Vec<(&'static str, Policy)> {
    let hash = |table, load_bound| {
        Policy::ConsistentHash(HashOptions {
            table,
            load_bound,
            ..HashOptions::default()
        })
    };
    vec![
        ("round_robin", Policy::RoundRobin),
        ("least_request", Policy::LeastRequest),
        ("peak_ewma", Policy::PeakEwma),
        ("hash ring", hash(HashTable::Ring, None)),
        ("hash ring, bounded", hash(HashTable::Ring, Some(1.25))),
        ("hash maglev", hash(HashTable::Maglev, None)),
        ("hash maglev, bounded", hash(HashTable::Maglev, Some(1.25))),
    ]
}

/// An upstream of which most endpoints cannot be chosen, or not at once.
fn troubled(policy: Policy, trouble: fn(&Upstream)) -> Upstream {
    let options = SetOptions {
        panic_threshold: 0.0,
        slow_start: Some(Duration::from_secs(3600)),
        per_endpoint: Some(1),
        ..SetOptions::default()
    };
    let upstream = built(policy, 1000, options, |_| (1, 0));
    trouble(&upstream);
    upstream
}

type Trouble = (&'static str, fn(&Upstream));

const TROUBLES: [Trouble; 4] = [
    ("nine of ten are ejected, no panic", |upstream| {
        for (number, endpoint) in upstream.set().endpoints().iter().enumerate() {
            let state = &endpoint.state;
            state.set_unavailable(Unavailable::Outlier, number % 10 != 0);
        }
    }),
    ("all but ten begin to warm up", |upstream| {
        for endpoint in upstream.set().endpoints().iter().skip(10) {
            endpoint.state.set_drained(true);
            endpoint.state.set_drained(false);
        }
    }),
    ("nine of ten are full", |upstream| {
        for (number, endpoint) in upstream.set().endpoints().iter().enumerate() {
            if number % 10 != 0 {
                std::mem::forget(InFlight::start(Arc::clone(endpoint), None));
            }
        }
    }),
    ("all are full", |upstream| {
        for endpoint in upstream.set().endpoints() {
            std::mem::forget(InFlight::start(Arc::clone(endpoint), None));
        }
    }),
];

fn built(
    policy: Policy,
    endpoints: usize,
    options: SetOptions,
    weight_and_priority: impl Fn(usize) -> (u32, u8),
) -> Upstream {
    let zones: [Arc<str>; 2] = ["a".into(), "b".into()];
    let one = |number: usize| {
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 80));
        let (weight, priority) = weight_and_priority(number);
        EndpointSpec {
            address: EndpointAddress::Socket(address),
            weight,
            priority,
            zone: zones.get(number % 2).cloned(),
        }
    };
    let spec = UpstreamSpec {
        name: "bench".into(),
        endpoints: (0..endpoints).map(one).collect(),
        policy,
        options,
    };
    let built = Upstream::build(spec, Arc::new(UnsharedStore), &NoAddresses);
    built.expect("the entries are sound")
}

fn upstream(policy: Policy, endpoints: usize, everything: bool) -> Upstream {
    if !everything {
        return built(policy, endpoints, SetOptions::default(), |_| (1, 0));
    }
    let options = SetOptions {
        zone: Some("a".into()),
        prefer_zone: true,
        panic_threshold: 0.5,
        slow_start: Some(Duration::from_secs(3600)),
        per_endpoint: Some(100_000),
    };
    let upstream = built(policy, endpoints, options, |number| {
        (1 + number as u32 % 3, u8::from(number % 5 == 4))
    });
    for (number, endpoint) in upstream.set().endpoints().iter().enumerate() {
        match number % 10 {
            3 => drop(endpoint.state.set_unavailable(Unavailable::Outlier, true)),
            6 => {
                endpoint.state.set_drained(true);
                endpoint.state.set_drained(false);
            }
            _ => {}
        }
        // Averages to compare, so that no policy has it easier than in use.
        endpoint
            .state
            .restore_latency(Instant::now(), 0.01 + number as f32 * 1e-5, Duration::ZERO);
    }
    upstream
}

/// Nanoseconds per choice of one thread, while `threads` choose.
fn measure(upstream: &Upstream, threads: usize, choices: u32) -> f64 {
    let tried = TriedSet::new();
    let run = || {
        let began = Instant::now();
        for number in 0..choices {
            let hash = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // The pipeline has the time already; a new one each call would measure the clock.
            let picked = upstream.pick(Some(hash), &tried, began);
            drop(black_box(picked));
        }
        began.elapsed().as_nanos() as f64 / f64::from(choices)
    };
    let round = || {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
            let times = workers.into_iter().map(|one| one.join().expect("it ends"));
            times.fold(0.0, f64::max)
        })
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

fn main() -> std::process::ExitCode {
    let threads = std::env::args().find_map(|word| word.parse().ok());
    let threads: usize = threads.unwrap_or(1).clamp(1, 64);
    println!("ns per choice, {threads} thread(s), everything on (plain)");
    println!("{:22}{:>16}{:>16}{:>16}", "endpoints", 10, 100, 1000);
    let mut slow = Vec::new();
    for (name, policy) in policies() {
        print!("{name:22}");
        for endpoints in [10, 100, 1000] {
            let all = measure(&upstream(policy.clone(), endpoints, true), threads, CHOICES);
            let plain = measure(
                &upstream(policy.clone(), endpoints, false),
                threads,
                CHOICES,
            );
            print!("{:>16}", format!("{all:.0} ({plain:.0})"));
            if all > BOUND_NS && threads == 1 {
                slow.push(format!("{name} at {endpoints}"));
            }
        }
        println!();
    }
    if !slow.is_empty() {
        println!("over {BOUND_NS} ns: {}", slow.join(", "));
    }
    // A new table is the price of the precomputed tables, paid off the request path.
    for (trouble, make) in TROUBLES {
        println!("1,000 endpoints, {trouble}:");
        for (name, policy) in policies() {
            let ns = measure(&troubled(policy, make), threads, CHOICES / 100);
            println!("    {name:22}{ns:>8.0}");
        }
    }
    for (name, policy) in policies() {
        let upstream = upstream(policy, 1000, true);
        let began = Instant::now();
        for weight in 0..10 {
            let changed = upstream.control("10.0.0.1:80", Control::Weight(1 + weight));
            black_box(changed).expect("the endpoint exists");
        }
        let took = began.elapsed() / 10;
        println!("{name:22}a new table of 1,000 endpoints: {took:?}");
    }
    match slow.is_empty() || threads > 1 {
        true => std::process::ExitCode::SUCCESS,
        false => std::process::ExitCode::FAILURE,
    }
}
