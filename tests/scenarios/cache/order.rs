//! After a purge was acknowledged no client gets what was before it: requests, slow fills, purges, unsafe requests and
//! new versions at the origin in random order, against a running node.
//!
//! `FARMGATE_LONG` makes it 100,000 rounds. A failure names the seed; `FARMGATE_SEED` repeats its choices, though not
//! the order in which the node's threads take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::config;
use crate::harness::{Client, Node, Origin, Peer, Setup};

const PAGES: [&str; 5] = ["/a/one", "/a/two", "/a/two?q=1", "/b/vary", "/b/stale"];
const WORKERS: usize = 8;

/// Longest time an answer is held back. It ends earlier when enough rounds have passed meanwhile.
const HELD: Duration = Duration::from_millis(8);

/// xorshift64*: choices that can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// What the origin has, and what clients may see of it.
struct World {
    /// The version of each page at the origin.
    at_origin: [AtomicU64; PAGES.len()],
    /// The oldest version that a request begun now may be answered with.
    floor: [AtomicU64; PAGES.len()],
    /// What raised it last, for who reads a failure.
    cause: [Mutex<String>; PAGES.len()],
    /// Rounds that were played.
    rounds: watch::Sender<u64>,
}

fn page_of(target: &str) -> usize {
    let page = PAGES.iter().position(|page| *page == target);
    page.expect("a page")
}

impl World {
    /// Holds an answer back until some rounds have passed.
    async fn hold(&self, rounds: u64) {
        let mut seen = self.rounds.subscribe();
        let until = *seen.borrow() + rounds;
        // Over in time, or not: either is one of the orders that are looked for.
        let _ = tokio::time::timeout(HELD, seen.wait_for(|now| *now >= until)).await;
    }

    /// Answers one connection.
    async fn serve(&self, mut peer: Peer, seed: u64) {
        let mut dice = Dice(seed | 1);
        while let Some(seen) = peer.request().await {
            let page = page_of(seen.target());
            if !seen.line.starts_with("GET ") {
                self.at_origin[page].fetch_add(1, Ordering::SeqCst);
                self.hold(dice.roll(4)).await;
                peer.answer(200, "", "").await;
                continue;
            }
            let version = self.at_origin[page].load(Ordering::SeqCst);
            self.hold(dice.roll(6)).await;
            let shade = seen.header("x-shade").unwrap_or("none");
            let tag = format!("ETag: \"{version}-{shade}\"\r\n");
            let rule = match (PAGES[page], dice.roll(8)) {
                ("/b/stale", 0..4) => "max-age=10, stale-while-revalidate=600\r\nAge: 20",
                (_, 0) => "no-store",
                (_, 1) => "max-age=10\r\nAge: 20",
                _ => "max-age=600",
            };
            let vary = match PAGES[page] {
                "/b/vary" => "Vary: X-Shade\r\n",
                _ => "",
            };
            let fields = format!("Cache-Control: {rule}\r\nCache-Tag: p{page}, all\r\n{tag}{vary}");
            if seen.header("if-none-match") == Some(&format!("\"{version}-{shade}\"")) {
                peer.send(format!("HTTP/1.1 304 Same\r\n{fields}\r\n"))
                    .await;
                continue;
            }
            let body = format!(
                "{version} {} {shade} end",
                "x".repeat(dice.roll(3000) as usize)
            );
            if dice.roll(2) == 0 {
                peer.answer(200, &fields, &body).await;
                continue;
            }
            let (head, rest) = body.split_at(body.len() / 2);
            let size = head.len();
            peer.send(format!(
                "HTTP/1.1 200 Told\r\nTransfer-Encoding: chunked\r\n{fields}\r\n{size:x}\r\n{head}\r\n"
            ))
            .await;
            self.hold(dice.roll(10)).await;
            let size = rest.len();
            peer.send(format!("{size:x}\r\n{rest}\r\n0\r\n\r\n")).await;
        }
    }

    fn new_version(&self, page: usize) -> u64 {
        self.at_origin[page].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// From now on nothing older may be sent.
    fn raise(&self, page: usize, version: u64, cause: &str) {
        *self.cause[page].lock() = format!("{version} by {cause}");
        self.floor[page].fetch_max(version, Ordering::SeqCst);
    }
}

async fn get(world: &World, client: &mut Client, page: usize, shade: &str) {
    let floor = world.floor[page].load(Ordering::SeqCst);
    let response = client
        .get_with(PAGES[page], &format!("X-Shade: {shade}\r\n"))
        .await;
    assert_eq!(response.status, 200, "{response:?}");
    let text = response.text();
    let mut words = text.split(' ');
    let version: u64 = words
        .next()
        .and_then(|v| v.parse().ok())
        .expect("a version");
    assert!(
        version >= floor,
        "{} has version {version} after {floor} was purged ({}): {:?}",
        PAGES[page],
        world.cause[page].lock(),
        response.headers
    );
    assert!(text.ends_with(" end"), "a body that was cut");
    if PAGES[page] == "/b/vary" {
        assert_eq!(words.nth(1), Some(shade), "another variant");
    }
}

/// What a purge takes.
async fn purge(world: &World, client: &mut Client, page: usize, how: u64) {
    let all = || (0..PAGES.len()).collect::<Vec<_>>();
    let (target, fields, pages) = match how {
        0 => (PAGES[page], String::new(), vec![page]),
        1 => ("/a/", "Purge-Scope: prefix\r\n".to_owned(), vec![0, 1, 2]),
        2 => ("/b", "Purge-Scope: prefix\r\n".to_owned(), vec![3, 4]),
        3 => (PAGES[page], format!("Purge-Tag: p{page}\r\n"), vec![page]),
        4 => ("/", "Purge-Tag: all\r\n".to_owned(), all()),
        5 => ("/", "Purge-Scope: host\r\n".to_owned(), all()),
        6 => ("/", "Purge-Scope: all\r\n".to_owned(), all()),
        // A soft one forbids nothing: it is only in the way.
        _ => (PAGES[page], "Purge-Soft: 1\r\n".to_owned(), vec![]),
    };
    let now: Vec<_> = pages
        .iter()
        .map(|page| (*page, world.new_version(*page)))
        .collect();
    let request = format!("PURGE {target} HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let response = client.ask(&request).await;
    assert_eq!(response.status, 200, "{response:?}");
    for (page, version) in now {
        world.raise(page, version, &request);
    }
}

async fn change(world: &World, client: &mut Client, page: usize) {
    let before = world.at_origin[page].load(Ordering::SeqCst);
    let target = PAGES[page];
    let request = format!("POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n");
    let response = client.ask(&request).await;
    assert_eq!(response.status, 200, "{response:?}");
    world.raise(page, before + 1, "POST");
}

async fn play(node: Arc<Node>, world: Arc<World>, rounds: u64, seed: u64) {
    let mut dice = Dice(seed | 1);
    let mut client = node.client().await;
    for _ in 0..rounds {
        let page = dice.roll(PAGES.len() as u64) as usize;
        let shade = ["red", "blue"][dice.roll(2) as usize];
        match dice.roll(10) {
            0 | 1 => purge(&world, &mut client, page, dice.roll(8)).await,
            2 => change(&world, &mut client, page).await,
            3 => {
                // One that leaves in the middle.
                let mut gone = node.client().await;
                gone.send(format!(
                    "GET {} HTTP/1.1\r\nHost: a.test\r\n\r\n",
                    PAGES[page]
                ))
                .await;
            }
            _ => get(&world, &mut client, page, shade).await,
        }
        world.rounds.send_modify(|rounds| *rounds += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_what_was_purged() {
    let rounds = match std::env::var_os("FARMGATE_LONG") {
        Some(_) => 100_000,
        None => 3_000,
    };
    let seed = match std::env::var("FARMGATE_SEED") {
        Ok(seed) => seed.parse().expect("FARMGATE_SEED is a number"),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            u64::from(now.expect("a clock").subsec_nanos()) << 20 | u64::from(std::process::id())
        }
    };
    println!("FARMGATE_SEED={seed}");
    let world = Arc::new(World {
        at_origin: Default::default(),
        floor: Default::default(),
        cause: Default::default(),
        rounds: watch::Sender::new(0),
    });
    let serving = Arc::clone(&world);
    let origin = Origin::start(move |peer: Peer| {
        let world = Arc::clone(&serving);
        let seed = seed ^ (peer.number as u64) << 32;
        async move { world.serve(peer, seed).await }
    })
    .await;
    let setup = Setup::new().with("origin", origin.address());
    let config = config("tags = [\"cache-tag\"]\nlock = { wait = \"2s\" }", "");
    let node = Arc::new(setup.start(&config).await);
    let workers: Vec<_> = (0..WORKERS as u64)
        .map(|worker| {
            let (node, world) = (Arc::clone(&node), Arc::clone(&world));
            let rounds = rounds / WORKERS as u64;
            let seed = seed.wrapping_add(worker.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            tokio::spawn(play(node, world, rounds, seed))
        })
        .collect();
    for worker in workers {
        // Bounded by what each answer is waited for.
        worker.await.expect("a worker");
    }
    // It was a test of a cache: some of the answers came from it.
    let hits = node.metric("farmgate_cache_answers_total", &[("answer", "hit")]);
    assert!(hits.await >= rounds as f64 / 20.0);
}
