use std::collections::HashMap;
use std::net::Ipv4Addr;

use parking_lot::Mutex;

use super::*;
use crate::upstream::discovery::LookupFuture;

type Script = Vec<Result<(Vec<IpAddr>, u64), &'static str>>;

/// Answers from a script per name; the last line repeats. Remembers when it was asked.
#[derive(Default)]
struct Scripted {
    scripts: Mutex<HashMap<String, Script>>,
    asked: Mutex<Vec<(String, Duration)>>,
    started: Mutex<Option<Instant>>,
    /// Every lookup takes this long.
    takes: Duration,
    running: Mutex<(usize, usize)>,
}

impl Scripted {
    fn new(takes: Duration) -> Self {
        Self {
            takes,
            started: Mutex::new(Some(Instant::now())),
            ..Self::default()
        }
    }

    fn script(&self, host: &str, script: Script) {
        self.scripts.lock().insert(host.into(), script);
    }

    fn times(&self, host: &str) -> Vec<f64> {
        let asked = self.asked.lock();
        let of_host = asked.iter().filter(|(name, _)| name == host);
        of_host.map(|(_, time)| time.as_secs_f64()).collect()
    }
}

impl Lookup for Scripted {
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let since = self
                .started
                .lock()
                .map_or(Duration::ZERO, |start| start.elapsed());
            self.asked.lock().push((host.into(), since));
            {
                let mut running = self.running.lock();
                running.0 += 1;
                running.1 = running.1.max(running.0);
            }
            tokio::time::sleep(self.takes).await;
            self.running.lock().0 -= 1;
            let mut scripts = self.scripts.lock();
            let script = scripts
                .get_mut(host)
                .ok_or(LookupError("NXDOMAIN".into()))?;
            let line = if script.len() > 1 {
                script.remove(0)
            } else {
                script[0].clone()
            };
            match line {
                Ok((addresses, ttl)) => Ok(Answer {
                    addresses,
                    ttl: Duration::from_secs(ttl),
                }),
                Err(text) => Err(LookupError(text.into())),
            }
        })
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))
}

fn names(hosts: &[&str]) -> BTreeSet<Arc<str>> {
    hosts.iter().map(|&host| host.into()).collect()
}

type Heard = Arc<Mutex<Vec<(String, Vec<IpAddr>)>>>;

fn start(hosts: &[&str], lookup: &Arc<Scripted>) -> (Resolver, Heard) {
    let heard = Heard::default();
    let into = heard.clone();
    let sink: Sink = Arc::new(move |host, ips| into.lock().push((host.into(), ips.to_vec())));
    let resolver = Resolver::spawn(
        names(hosts),
        lookup.clone(),
        ResolverOptions::default(),
        sink,
    );
    (resolver, heard)
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn first_answers_are_waited_for_within_the_bound() {
    let lookup = Arc::new(Scripted::new(Duration::from_millis(200)));
    lookup.script("a", vec![Ok((vec![ip(2), ip(1), ip(2)], 60))]);
    let (resolver, heard) = start(&["a", "missing"], &lookup);
    assert!(resolver.addresses("a").is_none());
    assert_eq!(
        resolver.wait_first(Duration::from_millis(50)).await.len(),
        2
    );
    let missing = resolver.wait_first(Duration::from_secs(5)).await;
    assert_eq!(missing, [Arc::from("missing")]);
    assert_eq!(*resolver.addresses("a").unwrap(), [ip(1), ip(2)]);
    assert_eq!(*heard.lock(), [("a".into(), vec![ip(1), ip(2)])]);
}

#[tokio::test(start_paused = true)]
async fn asks_again_when_the_time_to_live_ends_within_bounds() {
    let lookup = Arc::new(Scripted::new(Duration::ZERO));
    lookup.script("usual", vec![Ok((vec![ip(1)], 60))]);
    lookup.script("never", vec![Ok((vec![ip(1)], 0))]);
    lookup.script("always", vec![Ok((vec![ip(1)], 86_400))]);
    let (_resolver, heard) = start(&["usual", "never", "always"], &lookup);
    pass(600).await;
    for (host, low, high) in [
        ("usual", 53.99, 60.01),
        ("never", 0.99, 1.01),
        ("always", 269.99, 300.01),
    ] {
        let times = lookup.times(host);
        assert!(times.len() >= 3, "{host} {times:?}");
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!((low..high).contains(&gap), "{host} {gap}");
        }
    }
    // The same answer is told once.
    assert_eq!(heard.lock().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn failures_and_empty_answers_keep_the_last_good_and_back_off() {
    let lookup = Arc::new(Scripted::new(Duration::ZERO));
    let blocked = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    lookup.script(
        "a",
        vec![
            Ok((vec![ip(1)], 5)),
            Err("SERVFAIL"),
            Ok((vec![], 5)),
            Ok((vec![blocked], 5)),
            Err("SERVFAIL"),
            Err("SERVFAIL"),
            Err("SERVFAIL"),
            Err("SERVFAIL"),
            Ok((vec![ip(2)], 5)),
        ],
    );
    let (resolver, heard) = start(&["a"], &lookup);
    pass(60).await;
    let status = resolver.status().remove(0);
    assert_eq!(*status.addresses, [ip(1)]);
    assert!(status.failures >= 5 && status.error.is_some(), "{status:?}");
    assert!(status.age.unwrap() >= Duration::from_secs(59));
    let gaps: Vec<f64> = lookup
        .times("a")
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    for (gap, pause) in gaps.iter().skip(1).zip([1.0, 2.0, 4.0, 8.0, 16.0]) {
        assert!(
            *gap <= pause + 0.01 && *gap >= (pause * 0.9_f64).max(1.0) - 0.01,
            "{gaps:?}"
        );
    }
    pass(120).await;
    let status = resolver.status().remove(0);
    assert_eq!((status.failures, status.error), (0, None));
    assert_eq!(heard.lock().last().unwrap().1, [ip(2)]);
    assert_eq!(heard.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_a_failure_and_does_not_hold_up_others() {
    let lookup = Arc::new(Scripted::new(Duration::from_secs(3600)));
    let (resolver, _) = start(&["slow", "10.1.2.3"], &lookup);
    pass(1).await;
    // A literal address never goes to DNS.
    assert_eq!(
        *resolver.addresses("10.1.2.3").unwrap(),
        ["10.1.2.3".parse::<IpAddr>().unwrap()]
    );
    assert!(lookup.times("10.1.2.3").is_empty());
    pass(11).await;
    let status = resolver.status();
    assert_eq!(&*status[1].host, "slow");
    assert!(status[1].failures > 0);
}

#[tokio::test(start_paused = true)]
async fn names_come_and_go_and_those_that_stay_keep_their_state() {
    let lookup = Arc::new(Scripted::new(Duration::from_millis(10)));
    for (host, last) in [("a", 1), ("b", 2), ("c", 3)] {
        lookup.script(host, vec![Ok((vec![ip(last)], 100))]);
    }
    let (resolver, heard) = start(&["a", "b"], &lookup);
    assert!(resolver.wait_first(Duration::from_secs(1)).await.is_empty());
    resolver.update(names(&["b", "c"]));
    assert!(resolver.wait_first(Duration::from_secs(1)).await.is_empty());
    assert!(resolver.addresses("a").is_none() && resolver.addresses("c").is_some());
    assert_eq!(lookup.times("b").len(), 1);
    pass(400).await;
    assert_eq!(lookup.times("a").len(), 1);
    assert!(lookup.times("b").len() >= 4);
    assert_eq!(heard.lock().len(), 3);
    // A removed name whose lookup is under way is not told.
    resolver.update(names(&["a"]));
    tokio::time::sleep(Duration::from_millis(5)).await;
    resolver.update(names(&[]));
    pass(10).await;
    assert_eq!(heard.lock().len(), 3);
    let before = lookup.asked.lock().len();
    drop(resolver);
    pass(1000).await;
    assert_eq!(lookup.asked.lock().len(), before);
}

#[tokio::test(start_paused = true)]
async fn lookups_at_once_are_bounded() {
    let lookup = Arc::new(Scripted::new(Duration::from_secs(1)));
    let hosts: Vec<String> = (0..100).map(|number| format!("h{number}")).collect();
    for host in &hosts {
        lookup.script(host, vec![Ok((vec![ip(1)], 300))]);
    }
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let (resolver, heard) = start(&hosts, &lookup);
    assert!(
        resolver
            .wait_first(Duration::from_secs(30))
            .await
            .is_empty()
    );
    assert_eq!(heard.lock().len(), 100);
    assert_eq!(lookup.running.lock().1, MAX_RUNNING);
}
