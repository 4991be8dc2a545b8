//! A plugin that uses every service, over the life of two configurations.

use std::any::Any;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use farmgate_plugin_api::Services;
use farmgate_plugin_api::services::{
    ClientRequest, Clock, Counter, Gauge, HttpClient, LogWriter, Random,
};
use parking_lot::Mutex;

use super::*;

/// Nothing is published yet.
struct NoUpstreams;

impl UpstreamSource for NoUpstreams {
    fn upstream(&self, _name: &str) -> Option<Arc<UpstreamPlan>> {
        None
    }

    fn names(&self) -> Vec<Arc<str>> {
        Vec::new()
    }
}

/// What a kind would keep in its filter.
struct Probe {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    count: Arc<dyn Counter>,
    level: Arc<dyn Gauge>,
    hits: Arc<AtomicU64>,
    list: Arc<Mutex<String>>,
    turns: Arc<AtomicU64>,
    http: Arc<dyn HttpClient>,
    app: Arc<dyn HttpClient>,
    log: Arc<dyn LogWriter>,
    folder: Option<PathBuf>,
    /// As the snapshot's instance holds it.
    services: Arc<dyn Services>,
}

impl Probe {
    /// As a kind's `build` does.
    fn build(services: Arc<dyn Services>, folder: &Path) -> Result<Self, String> {
        let list: Arc<Mutex<String>> = Arc::default();
        let read = Arc::clone(&list);
        let parse = move |content: &[u8]| {
            let text = std::str::from_utf8(content).map_err(|_| "is no text".to_owned())?;
            *read.lock() = text.to_owned();
            Ok(())
        };
        services.watch_file(&folder.join("list"), 100, Box::new(parse))?;
        let turns = Arc::new(AtomicU64::new(0));
        let turn = Arc::clone(&turns);
        services.periodic(
            Duration::from_secs(10),
            Box::new(move || {
                turn.fetch_add(1, Ordering::Relaxed);
                Box::pin(async {})
            }),
        );
        let mut make = || Arc::new(AtomicU64::new(0)) as Arc<dyn Any + Send + Sync>;
        let hits = services.shared("hits", &mut make).downcast();
        Ok(Self {
            clock: services.clock(),
            random: services.random(),
            count: services.counter("probed", "Calls of the probe."),
            level: services.gauge("level", "Level of the probe."),
            hits: hits.map_err(|_| "another type".to_owned())?,
            list,
            turns,
            http: services.http_client(),
            app: services.upstream_client("app")?,
            log: services.log_writer(&folder.join("probe.log"))?,
            folder: services.state_folder(),
            services,
        })
    }

    fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }
}

struct Node {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
    host: Arc<Host>,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("list"), "first").unwrap();
        let metrics = Metrics::new(1_000, "test").unwrap();
        let host = Host::new(HostOptions {
            runtime: Handle::current(),
            metrics: Arc::clone(&metrics),
            state: Arc::default(),
            folder: Some(folder.path().join("state")),
            upstreams: Arc::new(NoUpstreams),
            file_poll: FILE_POLL,
        });
        Self {
            folder,
            metrics,
            host,
        }
    }

    /// A plugin of a configuration with the upstream `app`.
    fn build(&self) -> Probe {
        let names: Arc<[Arc<str>]> = ["app".into()].into();
        let services = self.host.lend_for("probe", "one", &names);
        Probe::build(services, self.folder.path()).unwrap()
    }

    fn export(&self) -> String {
        String::from_utf8(self.metrics.render()).unwrap()
    }
}

/// Lets paused time run until `done`, for at most a minute of it.
async fn until(done: impl Fn() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        // tidy: waits for a condition
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never came");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_uses_every_service() {
    let node = Node::start();
    let probe = node.build();
    let before = Instant::now();
    assert!(probe.clock.now() >= before && probe.clock.wall() > std::time::UNIX_EPOCH);
    assert_ne!(probe.random.next(), probe.random.next());
    probe.count.add(3);
    probe.level.set(-2);
    let text = node.export();
    assert!(
        text.contains("farmgate_plugin_probe_probed_total{plugin=\"one\"} 3"),
        "{text}"
    );
    assert!(
        text.contains("farmgate_plugin_probe_level{plugin=\"one\"} -2"),
        "{text}"
    );
    assert_eq!(*probe.list.lock(), "first");

    std::fs::write(node.folder.path().join("list"), "second").unwrap();
    until(|| *probe.list.lock() == "second").await;
    std::fs::write(node.folder.path().join("list"), [0xff]).unwrap();
    until(|| {
        node.export()
            .contains("farmgate_plugin_probe_file_errors_total{plugin=\"one\"} 1")
    })
    .await;
    assert_eq!(*probe.list.lock(), "second");

    let done = probe.services.offload(Box::new(|| Box::new(6 * 7))).await;
    assert_eq!(done.unwrap().downcast_ref(), Some(&42));
    assert!(probe.log.write(b"a line"));
    node.host.flush_logs(Duration::from_secs(20)).unwrap();
    node.host.reopen_logs(Duration::from_secs(20)).unwrap();
    let log = std::fs::read_to_string(node.folder.path().join("probe.log"));
    assert_eq!(log.unwrap(), "a line\n");
    let folder = probe.folder.clone().unwrap();
    assert!(folder.ends_with("state/plugins/one") && folder.is_dir());

    let request = |target: &str| ClientRequest {
        head: http::Request::get(target).body(()).unwrap(),
        body: Bytes::new(),
        timeout: Duration::from_secs(1),
        max_response_bytes: 1,
    };
    let error = probe.http.send(request("ftp://a.test/")).await.unwrap_err();
    assert!(error.contains("ftp is not http"), "{error}");
    let error = probe.app.send(request("/")).await.unwrap_err();
    assert!(error.contains("upstream app"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_state_and_moves_the_tasks() {
    let node = Node::start();
    let old = node.build();
    assert_eq!(old.turns(), 0);
    node.host.published();
    until(|| old.turns() == 1).await;
    old.hits.store(7, Ordering::Relaxed);
    node.host.switch("one").store(false, Ordering::Relaxed);
    assert!(!old.services.is_on());

    let new = node.build();
    assert_eq!(new.hits.load(Ordering::Relaxed), 7);
    assert!(!new.services.is_on());
    let path = node.folder.path().join("list");
    let (turns, list) = (Arc::clone(&old.turns), Arc::clone(&old.list));
    drop(old);
    node.host.published();
    std::fs::write(&path, "second").unwrap();
    let at_drop = turns.load(Ordering::Relaxed);
    until(|| new.turns() == 3 && *new.list.lock() == "second").await;
    assert_eq!(turns.load(Ordering::Relaxed), at_drop);
    assert_eq!(*list.lock(), "first");
    // What only the dropped instance's task and file held is free.
    until(|| Arc::strong_count(&turns) == 1 && Arc::strong_count(&list) == 1).await;

    // A plugin that is gone and comes back begins afresh, switch included.
    drop(new);
    let again = node.build();
    assert_eq!(again.hits.load(Ordering::Relaxed), 0);
    assert!(again.services.is_on());
}

#[tokio::test(start_paused = true)]
async fn a_refused_configuration_runs_nothing() {
    let node = Node::start();
    let turns = Arc::clone(&node.build().turns);
    node.host.published();
    until(|| Arc::strong_count(&turns) == 1).await;
    assert_eq!(turns.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn mistakes_are_told_when_a_plugin_is_built() {
    let node = Node::start();
    let services = node.host.lend("probe", "one");
    let error = Probe::build(Arc::clone(&services), node.folder.path()).err();
    assert!(error.unwrap().contains("no upstream is named \"app\""));
    let names: Arc<[Arc<str>]> = ["apps".into()].into();
    let near = node
        .host
        .lend_for("probe", "one", &names)
        .upstream_client("app");
    assert!(near.err().unwrap().contains("\"apps\""));
    assert!(
        services
            .watch_file(Path::new("/no/such"), 1, Box::new(|_| Ok(())))
            .is_err()
    );
    assert!(services.log_writer(Path::new("/no/such/log")).is_err());
    // Declared twice in different ways: the plugin works on without the number.
    let one = services.counter("twice", "One.");
    one.add(1);
    services.counter("twice", "Another.").add(1);
    services.counter("Wrong Name", "x").add(1);
    assert!(
        node.export()
            .contains("farmgate_plugin_probe_twice_total{plugin=\"one\"} 1")
    );
}
