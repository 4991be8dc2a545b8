//! Twice what an origin can do, for a minute: who is served, how fast, and what it costs the node.

use std::net::SocketAddr;
use std::process::Child;
use std::time::{Duration, Instant};

use super::generator::{Answer, Stream, offer, quantile};
use crate::harness::{Node, Setup, cli, eventually, free_address};

/// The origin works on so many requests at a time, each for so long: 400 a second.
const WORKERS: u32 = 8;
const WORK_MS: u64 = 20;
const CAPACITY: f64 = 400.0;
/// A client has given up by then: what is answered later is no goodput.
const GOOD: Duration = Duration::from_millis(500);

/// One tenth of what is offered matters most, four tenths are as usual, the half is bulk.
const TWICE: [Stream; 3] = [
    Stream {
        target: "/delay/20?critical",
        rate: 0.2 * CAPACITY,
    },
    Stream {
        target: "/delay/20?default",
        rate: 0.8 * CAPACITY,
    },
    Stream {
        target: "/delay/20?bulk",
        rate: CAPACITY,
    },
];
/// The origin at its peak: as much as it can do, and nothing is turned away for long.
const ONCE: [Stream; 1] = [Stream {
    target: "/delay/20?default",
    rate: CAPACITY,
}];
/// Nobody waits for anybody.
const QUIET: [Stream; 1] = [Stream {
    target: "/delay/20?critical",
    rate: 20.0,
}];

/// The demo origin as a process of its own.
struct Workers {
    child: Child,
    address: SocketAddr,
}

impl Workers {
    async fn start() -> Self {
        let address = free_address();
        let child = cli::command()
            .args(["origin", "--address", &address.to_string()])
            .args(["--workers", &WORKERS.to_string()])
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("the origin");
        eventually("the origin listens", || async {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Self { child, address }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node on one thread, with a route for each class.
async fn node(origin: &Workers, limits: &str) -> Node {
    let routes = ["critical", "default", "bulk"].map(|class| {
        format!(
            "[[route]]\nname = \"{class}\"\nquery = {{ {class} = \"\" }}\nupstream = \"app\"\nclass = \"{class}\"\n"
        )
    });
    let config = format!(
        r#"
[[listener]]
name = "web"
address = "@web"
[[upstream]]
name = "app"
endpoints = ["{}"]
{limits}
{}
"#,
        origin.address,
        routes.concat()
    );
    Setup::new().start(&config).await
}

/// User and system time of a process so far, in seconds.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("stat");
    // The name may hold spaces; what follows its bracket does not.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let ticks = |at: usize| -> f64 {
        let ticks = rest.split_whitespace().nth(at).map(str::parse);
        ticks.expect("a field").expect("a number")
    };
    (ticks(11) + ticks(12)) / 100.0
}

/// Good answers a second, from `after` on.
fn goodput(answers: &[Answer], after: Duration, time: Duration) -> f64 {
    let good =
        |answer: &&Answer| answer.status == 200 && answer.took <= GOOD && answer.due >= after;
    answers.iter().filter(good).count() as f64 / (time - after).as_secs_f64()
}

fn p99_of(answers: &[Answer], target: &str) -> Duration {
    let of = answers
        .iter()
        .filter(|a| a.target.ends_with(target) && a.status == 200);
    quantile(of.map(|answer| answer.took), 0.99)
}

fn served(answers: &[Answer], target: &str) -> f64 {
    let of: Vec<&Answer> = answers
        .iter()
        .filter(|a| a.target.ends_with(target))
        .collect();
    of.iter().filter(|a| a.status == 200).count() as f64 / of.len() as f64
}

/// Where the limit is known.
const FIXED: &str = "limits = { in_flight = 8, queue = 32, queue_timeout = \"100ms\" }";
/// Where it is not.
const ADAPTIVE: &str =
    "limits = { in_flight = 500, queue = 32, queue_timeout = \"100ms\", adaptive = { min = 4 } }";

#[tokio::test]
async fn at_twice_its_capacity_an_origin_does_what_it_can() {
    assert_eq!(u64::from(WORKERS) * 1000 / WORK_MS, CAPACITY as u64);
    let origin = Workers::start().await;
    let node = node(&origin, FIXED).await;
    let web = node.at("web");
    let time = Duration::from_secs(5);
    let quiet = offer(web, &QUIET, Duration::from_secs(10), GOOD).await;
    let peak = offer(web, &ONCE, time, GOOD).await;
    let peak = goodput(&peak, Duration::ZERO, time);

    let memory = node.resident_bytes();
    let (began, mine) = (Instant::now(), std::process::id());
    let before = (cpu_seconds(node.process()), cpu_seconds(mine));
    let minute = Duration::from_secs(60);
    let answers = offer(web, &TWICE, minute, GOOD).await;
    let elapsed = began.elapsed().as_secs_f64();
    let share = |process, before| (cpu_seconds(process) - before) / elapsed;
    let (proxy, generator) = (share(node.process(), before.0), share(mine, before.1));
    let grown = node.resident_bytes().saturating_sub(memory);

    let good = goodput(&answers, Duration::ZERO, minute);
    let (idle, busy) = (p99_of(&quiet, "critical"), p99_of(&answers, "critical"));
    let [critical, default, bulk] = ["critical", "default", "bulk"].map(|c| served(&answers, c));
    println!(
        "goodput {good:.0}/s of {peak:.0} at the peak; critical p99 {busy:?}, idle {idle:?}; served: critical \
         {critical:.4}, default {default:.4}, bulk {bulk:.4}; CPU: proxy {proxy:.2}, generator {generator:.2} of a core; \
         memory +{} KiB",
        grown / 1024
    );
    assert!(
        proxy < 0.6 && generator < 0.6,
        "the machine is too slow to tell"
    );
    assert!(good >= 0.9 * peak, "goodput");
    assert!(busy < 2 * idle, "critical requests wait");
    assert!(critical >= 0.999, "critical requests are turned away");
    assert!(bulk < default, "bulk is shed first");
    assert!(grown < 32 << 20, "memory grows");
    // Nothing is left behind.
    eventually("nothing is in flight", || async {
        let told = node.run(&["status", "--json"]).await.expect(0).json();
        let upstream = &told["upstreams"][0];
        (upstream["endpoints"][0]["in_flight"] == 0).then_some(())
    })
    .await;
    node.metric_is("farmgate_upstream_waiting", &[], 0.0).await;
}

#[tokio::test]
async fn without_a_limit_the_same_load_ruins_it_and_an_adaptive_one_finds_it() {
    let time = Duration::from_secs(12);
    let settled = Duration::from_secs(6);
    let mut results = Vec::new();
    for limits in ["", ADAPTIVE] {
        let origin = Workers::start().await;
        let node = node(&origin, limits).await;
        // Some time as usual: the adaptive limit learns what that is.
        offer(
            node.at("web"),
            &[Stream {
                rate: 0.5 * CAPACITY,
                ..ONCE[0]
            }],
            settled,
            GOOD,
        )
        .await;
        let answers = offer(node.at("web"), &TWICE, time, GOOD).await;
        results.push(goodput(&answers, settled, time));
    }
    let [ruined, adaptive] = results[..] else {
        unreachable!("two runs")
    };
    println!("goodput without a limit {ruined:.0}/s, with an adaptive one {adaptive:.0}/s");
    assert!(ruined < 0.5 * CAPACITY, "the load is none");
    assert!(adaptive >= 0.9 * CAPACITY, "goodput");
}
