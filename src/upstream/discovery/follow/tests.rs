use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{advance, timeout};

use super::*;
use crate::upstream::discovery::allow::judge;
use crate::upstream::discovery::ask::{Next, Said};
use crate::upstream::discovery::file::FileOptions;
use crate::upstream::discovery::source::Discovered;

mod failing;
mod kept;
mod machine;
mod real;

const SECOND: Duration = Duration::from_secs(1);

/// What a scripted source does when it is asked.
enum Step {
    Say(Said),
    Panic,
}

/// A source that does what the test says, when the test says it.
struct Scripted {
    steps: Arc<tokio::sync::Mutex<UnboundedReceiver<Step>>>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Source for Scripted {
    fn next(&mut self) -> Next<'_> {
        Box::pin(async {
            match self.steps.lock().await.recv().await {
                Some(Step::Say(said)) => said,
                Some(Step::Panic) => panic!("as scripted"),
                None => std::future::pending().await,
            }
        })
    }
}

/// A follower with scripted sources. The name of an upstream is the name of its source's file.
struct Farm {
    follower: Follower,
    told: UnboundedReceiver<(Arc<str>, Arc<[Found]>)>,
    scripts: BTreeMap<&'static str, UnboundedSender<Step>>,
    /// How many sources were opened, and how many of them are there.
    opened: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

impl Farm {
    fn new(names: &[&'static str], kept: Option<Kept>) -> Self {
        let mut scripts = BTreeMap::new();
        let mut steps = BTreeMap::new();
        for name in names {
            let (sender, receiver) = unbounded_channel();
            scripts.insert(*name, sender);
            let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
            steps.insert(PathBuf::from(name), receiver);
        }
        let (opened, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (opens, lives) = (opened.clone(), alive.clone());
        let open: Open = Arc::new(move |options| {
            let SourceOptions::File(file) = options else {
                return Err(SourceError::new("no file"));
            };
            let Some(steps) = steps.get(&file.path) else {
                return Err(SourceError::new("no such source"));
            };
            opens.fetch_add(1, Ordering::SeqCst);
            lives.fetch_add(1, Ordering::SeqCst);
            let (steps, alive) = (steps.clone(), lives.clone());
            Ok(Box::new(Scripted { steps, alive }))
        });
        let (sender, told) = unbounded_channel();
        let follower = Follower::spawn(Deps {
            sink: Arc::new(move |upstream, set| {
                // The test may be over.
                let _ = sender.send((upstream.clone(), set));
            }),
            judge,
            open,
            kept,
        });
        let farm = Self {
            follower,
            told,
            scripts,
            opened,
            alive,
        };
        farm.follow(names);
        farm
    }

    fn follow(&self, names: &[&'static str]) {
        self.follower
            .update(names.iter().map(|name| wanted(name, |_| {})).collect());
    }

    fn say(&self, name: &str, addresses: &[&str]) {
        self.step(name, Step::Say(Ok((said(addresses), SECOND))));
    }

    fn fail(&self, name: &str) {
        self.step(name, Step::Say(Err(SourceError::new("down"))));
    }

    fn step(&self, name: &str, step: Step) {
        self.scripts[name].send(step).unwrap();
    }

    /// The next set that is told.
    async fn told(&mut self) -> (Arc<str>, Vec<String>) {
        let (upstream, set) = timeout(600 * SECOND, self.told.recv())
            .await
            .expect("nothing is told in ten minutes")
            .unwrap();
        (upstream, shown(&set))
    }

    /// Lets this much time pass; nothing may be told in it.
    async fn quiet(&mut self, time: Duration) {
        if let Ok(told) = timeout(time, self.told.recv()).await {
            panic!("{told:?}");
        }
    }

    fn status(&self, name: &str) -> Status {
        let all = self.follower.status();
        all.into_iter()
            .find(|status| &*status.upstream == name)
            .unwrap()
    }
}

fn shown(set: &[Found]) -> Vec<String> {
    set.iter().map(|found| found.address.to_string()).collect()
}

fn said(addresses: &[&str]) -> Discovered {
    let endpoints = addresses
        .iter()
        .map(|text| Found::at(text.parse().unwrap()));
    Discovered {
        endpoints: endpoints.collect(),
    }
}

fn wanted(name: &str, change: impl FnOnce(&mut DiscoveryOptions)) -> Wanted {
    let mut options = DiscoveryOptions {
        source: SourceOptions::File(FileOptions {
            path: name.into(),
            interval: SECOND,
        }),
        max_stale: 60 * SECOND,
        allow: None,
        max_endpoints: 100,
    };
    change(&mut options);
    Wanted {
        upstream: name.into(),
        options: Arc::new(options),
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_set_is_told_at_once_and_only_changes_after_it() {
    let mut farm = Farm::new(&["orders"], None);
    let start = Instant::now();
    farm.say("orders", &["10.0.0.2:80", "10.0.0.1:80", "10.0.0.2:80"]);
    let (upstream, set) = farm.told().await;
    assert_eq!(
        (&*upstream, set),
        (
            "orders",
            vec!["10.0.0.1:80".to_owned(), "10.0.0.2:80".to_owned()]
        )
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
    farm.say("orders", &["10.0.0.1:80", "10.0.0.2:80"]);
    farm.quiet(5 * SECOND).await;
    farm.say("orders", &["10.0.0.2:80", "10.0.0.3:80"]);
    assert_eq!(farm.told().await.1, ["10.0.0.2:80", "10.0.0.3:80"]);
    let status = farm.status("orders");
    assert_eq!(&*status.origin, "file orders");
    assert_eq!(status.provenance, Provenance::Source);
    assert_eq!(status.private, 2);
    let Counts {
        updates,
        added,
        removed,
        failures,
        ..
    } = status.counts;
    assert_eq!((updates, added, removed, failures), (2, 3, 1, 0));
    assert!(
        status.lag >= Duration::from_millis(50) && status.worst_lag <= Duration::from_millis(60),
        "{:?}",
        status.lag
    );
}

/// Some sources tell a burst in parts: 500 registrations in a hundred answers.
#[tokio::test(start_paused = true)]
async fn a_burst_is_one_set() {
    let mut farm = Farm::new(&["orders"], None);
    farm.say("orders", &["10.0.0.1:80"]);
    farm.told().await;
    farm.quiet(SECOND).await;
    let all: Vec<String> = (1..=100).map(|n| format!("10.0.0.{n}:80")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    // As fast as the follower asks: three in a burst's time.
    for count in [40, 80, 100] {
        farm.step(
            "orders",
            Step::Say(Ok((said(&all[..count]), Duration::ZERO))),
        );
    }
    let (_, set) = farm.told().await;
    assert_eq!(set.len(), 100);
    // A change that is taken back within a burst is none.
    for count in [99, 100] {
        farm.step(
            "orders",
            Step::Say(Ok((said(&all[..count]), Duration::ZERO))),
        );
    }
    farm.quiet(5 * SECOND).await;
    assert_eq!(farm.status("orders").counts.updates, 2);
}

#[tokio::test(start_paused = true)]
async fn an_update_touches_only_what_changed() {
    let mut farm = Farm::new(&["orders", "users"], None);
    farm.say("orders", &["10.0.0.1:80"]);
    farm.say("users", &["10.0.1.1:80"]);
    farm.told().await;
    farm.told().await;
    farm.follow(&["orders", "users"]);
    farm.quiet(5 * SECOND).await;
    assert_eq!(farm.opened.load(Ordering::SeqCst), 2);
    farm.follow(&["orders"]);
    farm.quiet(5 * SECOND).await;
    assert_eq!(
        farm.alive.load(Ordering::SeqCst),
        1,
        "the source of users lives on"
    );
    assert_eq!(farm.follower.status().len(), 1);
    // Back again it starts from nothing; the answer that waited for the old source is the new one's first.
    farm.follow(&["orders", "users"]);
    assert_eq!(farm.follower.wait_first(SECOND).await, [Arc::from("users")]);
    farm.say("users", &["10.0.1.1:80"]);
    assert_eq!(farm.told().await.1, ["10.0.1.1:80"]);
    assert_eq!(farm.opened.load(Ordering::SeqCst), 3);
    // Another source for the same upstream: what is known stays until it answers, and says whose it is.
    let other = |options: &mut DiscoveryOptions| {
        options.source = SourceOptions::File(FileOptions {
            path: "users".into(),
            interval: SECOND,
        });
    };
    farm.follower.update(vec![wanted("orders", other)]);
    farm.quiet(5 * SECOND).await;
    let status = farm.status("orders");
    assert_eq!(
        (&*status.origin, &*status.told_by),
        ("file users", "file orders")
    );
    farm.say("users", &["10.0.1.9:80"]);
    assert_eq!(farm.told().await.1, ["10.0.1.9:80"]);
    assert_eq!(&*farm.status("orders").told_by, "file users");
    // Without a handle there is no task, and no source.
    let Farm {
        follower,
        alive,
        mut told,
        ..
    } = farm;
    drop(follower);
    assert!(told.recv().await.is_none());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_narrower_allow_holds_at_once() {
    let mut farm = Farm::new(&["orders"], None);
    farm.say("orders", &["10.0.0.1:80", "192.168.0.1:80"]);
    farm.told().await;
    let allow = |net: &'static str| {
        move |options: &mut DiscoveryOptions| options.allow = Some(vec![net.parse().unwrap()])
    };
    farm.follower
        .update(vec![wanted("orders", allow("10.0.0.0/8"))]);
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    farm.follower
        .update(vec![wanted("orders", allow("172.16.0.0/12"))]);
    assert_eq!(farm.told().await.1, [""; 0]);
    assert_eq!(farm.status("orders").counts.refused, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_process_before_knew_is_taken_once() {
    let mut farm = Farm::new(&["orders"], None);
    let endpoints = |address: &str| said(&[address]).endpoints;
    assert!(
        !farm
            .follower
            .remember("unknown", endpoints("10.0.0.1:80"), SECOND)
    );
    assert!(
        !farm
            .follower
            .remember("orders", endpoints("169.254.169.254:80"), SECOND)
    );
    assert!(
        farm.follower
            .remember("orders", endpoints("10.0.0.1:80"), 40 * SECOND)
    );
    assert!(
        !farm
            .follower
            .remember("orders", endpoints("10.0.0.2:80"), SECOND)
    );
    assert_eq!(farm.told().await.1, ["10.0.0.1:80"]);
    let status = farm.status("orders");
    assert_eq!(
        (status.provenance.word(), status.age),
        ("moved", Some(40 * SECOND))
    );
    assert!(farm.follower.wait_first(SECOND).await.is_empty());
    advance(30 * SECOND).await;
    farm.quiet(SECOND).await;
    assert!(
        farm.status("orders").is_stale,
        "40 s and 30 s are more than a minute"
    );
}

#[tokio::test(start_paused = true)]
async fn too_many_upstreams_are_told_and_cut() {
    let farm = Farm::new(&[], None);
    let all = (0..=MAX_FOLLOWED).map(|n| wanted(&format!("u{n}"), |_| {}));
    farm.follower.update(all.collect());
    assert_eq!(farm.follower.status().len(), MAX_FOLLOWED);
}
