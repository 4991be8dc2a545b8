//! A storm of retries: an endpoint that drowns answers 503 after two seconds, and everybody tries again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::HEAD;
use super::endpoint::leaves_within;
use super::load::{End, Pace, Stream, Told};
use crate::harness::{Origin, Peer, Setup};

/// 200 requests a second to each upstream: 67 to each of its endpoints.
const PACE: Pace = Pace {
    every: Duration::from_millis(5),
    // Longer than all three attempts take: no client leaves.
    patience: Duration::from_secs(9),
    // What an endpoint that holds each of 67 requests a second for 2 s holds, three times over.
    clients: 400,
};

/// More requests than this in a second and an endpoint drowns: half of what it gets.
const SANE: usize = 33;

/// What it takes to say 503 then.
const HELD: Duration = Duration::from_secs(2);

/// How long the load lasts.
const LASTS: Duration = Duration::from_secs(8);

/// The words of the budget, but for its floor of 10 a second: over these ten seconds that is 100 retries, or 6 % of the requests, on top of
/// the fifth, and says nothing about the share.
const BUDGET: &str = "budget = { min_per_second = 0 }";

/// As good as none.
const NO_BUDGET: &str = "budget = { share = \"100%\", min_per_second = 100000 }";

/// An endpoint that drowns once it gets more than it can do, and does not come up again while the load stays: each answer takes it two
/// seconds (a metastable failure: Bronson and others, HotOS 2021).
async fn drowning() -> Origin {
    let recent = Arc::<Mutex<VecDeque<Instant>>>::default();
    let is_drowned = Arc::<AtomicBool>::default();
    Origin::start(move |mut peer: Peer| {
        let (recent, is_drowned) = (Arc::clone(&recent), Arc::clone(&is_drowned));
        async move {
            while peer.request().await.is_some() {
                if is_over(&mut recent.lock(), Instant::now()) {
                    is_drowned.store(true, Ordering::SeqCst);
                }
                if !is_drowned.load(Ordering::SeqCst) {
                    peer.answer(200, "", "sane").await;
                } else if leaves_within(&mut peer, HELD).await {
                    return;
                } else {
                    peer.answer(503, "", "drowned").await;
                }
            }
        }
    })
    .await
}

/// True if more than [`SANE`] came within a second.
fn is_over(recent: &mut VecDeque<Instant>, now: Instant) -> bool {
    recent.push_back(now);
    while recent.len() > SANE + 1 {
        recent.pop_front();
    }
    let first = recent.front().copied().unwrap_or(now);
    recent.len() > SANE && now.duration_since(first) <= Duration::from_secs(1)
}

/// What a load came to.
struct Storm {
    told: Vec<Told>,
    /// Attempts that the endpoint that drowned saw, and those that the two others saw.
    attempts: [usize; 2],
}

impl Storm {
    /// Attempts at all endpoints over requests of clients.
    fn ratio(&self) -> f64 {
        self.attempts.iter().sum::<usize>() as f64 / self.told.len() as f64
    }

    fn with(&self, end: End) -> usize {
        self.told.iter().filter(|told| told.end == end).count()
    }
}

fn config(name: &str, budget: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\npaths = [\"/{name}\"]\nupstream = \"{name}\"\n\
         [[upstream]]\nname = \"{name}\"\nendpoints = [\"@{name}1\", \"@{name}2\", \"@{name}3\"]\n\
         retry = {{ attempts = 3, on = [\"5xx\"], {budget} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_retries_cannot_happen() {
    let mut setup = Setup::new();
    let mut text = HEAD.to_owned();
    let mut origins = Vec::new();
    let sides = [("bounded", BUDGET), ("unbounded", NO_BUDGET)];
    for (name, budget) in sides {
        let three = [
            drowning().await,
            Origin::answering("well").await,
            Origin::answering("well").await,
        ];
        for (number, origin) in three.iter().enumerate() {
            setup = setup.with(&format!("{name}{}", number + 1), origin.address());
        }
        text.push_str(&config(name, budget));
        origins.push(three);
    }
    let node = setup.start(&text).await;
    let web = node.at("web");
    let streams = sides.map(|(name, _)| Stream::start(web, format!("/{name}"), PACE));
    // The load is what is tested, for as long as it lasts; both at once.
    let over = tokio::time::timeout(LASTS, std::future::pending::<()>());
    over.await.expect_err("it never ends by itself");
    streams.iter().for_each(Stream::end);
    let mut storms = Vec::new();
    for (stream, three) in streams.into_iter().zip(&origins) {
        let told = stream.told().await;
        let seen = three.each_ref().map(|origin| origin.seen().len());
        storms.push(Storm {
            told,
            attempts: [seen[0], seen[1] + seen[2]],
        });
    }
    for (storm, (name, _)) in storms.iter().zip(sides) {
        println!(
            "{name}: {} requests, {} attempts, {:.3} each; {} answers of 503",
            storm.told.len(),
            storm.attempts.iter().sum::<usize>(),
            storm.ratio(),
            storm.with(End::Answer(503)),
        );
    }
    let [bounded, unbounded] = &storms[..] else {
        panic!("two of them");
    };
    // The same load without the budget is a storm: what is asserted below can fail.
    assert!(unbounded.ratio() > 1.2, "{}", unbounded.ratio());
    let ratio = bounded.ratio();
    // Whole numbers: of five requests one may be tried again, and the budget is used to the last retry.
    let attempts: usize = bounded.attempts.iter().sum();
    assert!(attempts * 5 <= bounded.told.len() * 6, "{ratio}");
    assert!(ratio > 1.1, "{ratio}: the budget is used");
    // Whatever met the others is answered, and only what met the one that drowned has its 503.
    let (good, bad) = (
        bounded.with(End::Answer(200)),
        bounded.with(End::Answer(503)),
    );
    assert_eq!(good + bad, bounded.told.len());
    assert!(good >= bounded.attempts[1], "{good} {:?}", bounded.attempts);
    assert!(bad <= bounded.told.len() / 3 + 10, "{bad}");
    // And nobody who did not meet it waits for it; a tenth for a busy machine.
    let spared = bounded.told.len() - bounded.attempts[0];
    let at_once = bounded.told.iter().filter(|told| told.took < HELD / 2);
    let at_once = at_once.count();
    assert!(at_once >= spared * 9 / 10, "{at_once} of {spared}");
}
