//! A node: `farmgate run` in a folder of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::cli::{Ran, command_of, farmgate_async};
use super::client::{Client, Response};
use super::heir::{Heir, adopt_orphans};
use super::log::Log;
use super::metrics::Scrape;
use super::{eventually, free_address, soon};

/// What every configuration begins with, unless it says otherwise.
const PREAMBLE: &str = r#"
[server]
threads = 2
control = "run/control.sock"
state = "run/state"
drain = { idle_grace = "50ms", deadline = "2s" }

[admin]
address = "@admin"

[telemetry]
access_log = { path = "run/access.log", format = "json" }
"#;

/// The drain of that beginning, for [`Setup::drain`].
const USUAL_DRAIN: &str = r#"idle_grace = "50ms", deadline = "2s""#;

/// A configuration in the making. `@name` in its text stands for an address: one that was given, or
/// a free one.
pub(crate) struct Setup {
    folder: TempDir,
    places: BTreeMap<String, SocketAddr>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    preamble: &'static str,
    drain: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// In an empty temporary folder.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            places: BTreeMap::new(),
            environment: Vec::new(),
            arguments: Vec::new(),
            preamble: PREAMBLE,
            drain: USUAL_DRAIN,
        }
    }

    /// `@name` is this address.
    pub(crate) fn with(mut self, name: &str, address: SocketAddr) -> Self {
        self.places.insert(name.to_owned(), address);
        self
    }

    /// Another beginning than the usual one; it must have `[admin]` at `@admin` and a control socket
    /// at `run/control.sock`.
    pub(crate) fn preamble(mut self, text: &'static str) -> Self {
        self.preamble = text;
        self
    }

    /// The usual beginning with other words of `drain`.
    pub(crate) fn drain(mut self, words: &'static str) -> Self {
        self.drain = words;
        self
    }

    /// An environment variable of the node.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A further argument of `run`.
    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The node's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration and starts the node; it is ready when this returns.
    pub(crate) async fn start(self, config: &str) -> Node {
        let mut node = self.prepare(config);
        node.spawn();
        node.ready().await;
        node
    }

    /// Writes the configuration without starting the node.
    pub(crate) fn prepare(self, config: &str) -> Node {
        let run = self.folder.path().join("run");
        std::fs::create_dir_all(&run).expect("the run folder");
        let mut node = Node {
            config: self.folder.path().join("farmgate.toml"),
            control: run.join("control.sock"),
            log: Log::at(&run.join("access.log")),
            stderr: run.join("stderr.log"),
            binary: self.folder.path().join("farmgate"),
            child: None,
            heirs: Vec::new(),
            setup: self,
        };
        node.restore_binary();
        node.write(config);
        node
    }
}

/// A running node.
pub(crate) struct Node {
    setup: Setup,
    config: PathBuf,
    control: PathBuf,
    stderr: PathBuf,
    pub(super) binary: PathBuf,
    pub(super) child: Option<Child>,
    /// Processes that took over, oldest first.
    pub(super) heirs: Vec<Heir>,
    /// Its access log.
    pub(crate) log: Log,
}

impl Node {
    /// Starts a node with one listener `web` and these routes and upstreams; `@origin` is `origin`.
    pub(crate) async fn serving(origin: SocketAddr, config: &str) -> Self {
        Setup::new().with("origin", origin).start(config).await
    }

    /// Writes another configuration with the usual beginning, without telling the node.
    pub(crate) fn write(&mut self, config: &str) {
        let preamble = self.setup.preamble.replace(USUAL_DRAIN, self.setup.drain);
        let text = format!("{preamble}\n{config}");
        let text = self.fill(&text);
        // Written beside and renamed: a node that watches sees it whole.
        let fresh = self.config.with_extension("new");
        std::fs::write(&fresh, text).expect("write the configuration");
        std::fs::rename(&fresh, &self.config).expect("rename the configuration");
    }

    /// The text with its `@names` replaced.
    pub(crate) fn fill(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('@') {
            out.push_str(before);
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            let places = &mut self.setup.places;
            let address = places.entry(name.to_owned()).or_insert_with(free_address);
            out.push_str(&address.to_string());
            rest = after;
        }
        out + rest
    }

    /// A further argument of the next start.
    pub(crate) fn with_argument(&mut self, argument: &str) {
        self.setup.arguments.push(argument.to_owned());
    }

    /// Starts the process. It may be started again after it has ended.
    pub(crate) fn spawn(&mut self) {
        adopt_orphans();
        let stderr = std::fs::File::create(&self.stderr).expect("the error log");
        let stdout = std::fs::File::create(self.stderr.with_file_name("stdout.log"));
        let child = command_of(&self.binary)
            .arg("run")
            .arg("--config")
            .arg(&self.config)
            .args(&self.setup.arguments)
            .envs(self.setup.environment.iter().map(|(k, v)| (k, v)))
            .stdout(stdout.expect("the output log"))
            .stderr(Stdio::from(stderr))
            .spawn();
        self.child = Some(child.expect("start the node"));
    }

    /// Waits until `/readyz` answers 200.
    pub(crate) async fn ready(&mut self) {
        let end = Instant::now() + super::SOON;
        let admin = self.at("admin");
        loop {
            if let Some(code) = self.ended() {
                panic!("the node ended with {code}:\n{}", self.errors());
            }
            if tokio::net::TcpStream::connect(admin).await.is_ok() {
                let mut client = Client::connect(admin).await;
                client
                    .send("GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    .await;
                if client.response().await.is_some_and(|r| r.status == 200) {
                    return;
                }
            }
            assert!(Instant::now() < end, "never ready:\n{}", self.errors());
            // tidy: waits for a condition
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The exit code, once the process has ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        if let Some(heir) = self.heirs.last_mut() {
            return heir.ended();
        }
        let child = self.child.as_mut().expect("a process");
        let status = child.try_wait().expect("the process's state")?;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for the exit code.
    pub(crate) async fn exit(&mut self) -> i32 {
        let end = Instant::now() + super::SOON;
        loop {
            if let Some(code) = self.ended() {
                return code;
            }
            assert!(Instant::now() < end, "never ended:\n{}", self.errors());
            // tidy: waits for a condition
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a signal by its name, as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(sent.expect("kill").success());
    }

    /// The process id.
    pub(crate) fn process(&self) -> u32 {
        match self.heirs.last() {
            Some(heir) => heir.process,
            None => self.child.as_ref().expect("a process").id(),
        }
    }

    /// SIGTERM, a drain, exit code 0.
    pub(crate) async fn stop(&mut self) {
        self.signal("TERM");
        let code = self.exit().await;
        assert_eq!(code, 0, "{}", self.errors());
        assert!(!self.errors().contains("panicked"), "{}", self.errors());
    }

    /// The address that `@name` stands for.
    #[track_caller]
    pub(crate) fn at(&self, name: &str) -> SocketAddr {
        let found = self.setup.places.get(name);
        *found.unwrap_or_else(|| panic!("no @{name} in the configuration"))
    }

    /// A connection to the listener at `@web`.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.at("web")).await
    }

    /// One `GET` on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Response {
        self.client().await.get(target).await
    }

    /// `GET` of the admin address.
    pub(crate) async fn admin(&self, path: &str) -> Response {
        Client::connect(self.at("admin")).await.get(path).await
    }

    /// The metrics now.
    pub(crate) async fn metrics(&self) -> Scrape {
        Scrape::new(self.admin("/metrics").await.text())
    }

    /// A metric now: the sum of the series with these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().await.sum(name, labels)
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_is(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let what = format!("{name}{labels:?} = {value}");
        eventually(&what, || async {
            (self.metric(name, labels).await == value).then_some(())
        })
        .await;
    }

    /// Runs a command that talks to this node.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let control = self.control.to_str().expect("a UTF-8 path");
        farmgate_async(&[arguments, &["--control", control]].concat()).await
    }

    /// Writes another configuration and has it taken over; panics if it is refused.
    pub(crate) async fn reload(&mut self, config: &str) {
        self.write(config);
        self.run(&["reload"]).await.expect(0);
    }

    /// The control socket.
    pub(crate) fn control(&self) -> &Path {
        &self.control
    }

    /// The configuration's file.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// The node's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.setup.folder.path()
    }

    /// What it wrote to standard error.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/statm", self.process());
        let text = std::fs::read_to_string(path).expect("statm");
        let pages: u64 = text
            .split(' ')
            .nth(1)
            .and_then(|n| n.parse().ok())
            .expect("pages");
        pages * 4096
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for heir in &mut self.heirs {
            heir.kill();
        }
        if let Some(child) = &mut self.child {
            let running = matches!(child.try_wait(), Ok(None));
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                let errors = std::fs::read_to_string(&self.stderr).unwrap_or_default();
                eprintln!(
                    "--- the node ({}) said:\n{errors}",
                    if running { "running" } else { "ended" }
                );
                let log = std::fs::read_to_string(self.stderr.with_file_name("access.log"));
                let log = log.unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(10).collect();
                eprintln!("--- and logged last, latest first:\n{}", lines.join("\n"));
            }
        }
    }
}

/// Waits for the end of a task that a test started.
pub(crate) async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    soon("a task", task)
        .await
        .expect("a task that does not panic")
}
