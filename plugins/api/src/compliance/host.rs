//! A host in memory for the tests of plugins: a clock moved by hand, files that are scripted,
//! counters that can be read.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::files::FakeFiles;
use super::sent::Sent;
use crate::services::{
    Background, Busy, ClientRequest, Clock, Counter, CounterBy, Events, Gauge, Histogram,
    HostFuture, HttpClient, Kept, Load, LogWriter, Offload, Parse, Random, Saved, Services, Switch,
    Work,
};

type Task = Box<dyn Fn() -> HostFuture<()> + Send + Sync>;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    wall: SystemTime,
    passed: Mutex<Duration>,
}

impl ManualClock {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            // 2026-01-01T00:00:00Z: a fixed wall clock, so that stamps in tests never change.
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600),
            passed: Mutex::default(),
        }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        *lock(&self.passed) += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + *lock(&self.passed)
    }

    fn wall(&self) -> SystemTime {
        self.wall + *lock(&self.passed)
    }

    fn sleep(&self, time: Duration) -> HostFuture<()> {
        self.advance(time);
        Box::pin(std::future::ready(()))
    }
}

/// Services in memory. Plugins built with the same value share state, as they would over a reload.
pub struct FakeServices {
    /// The clock that plugins see.
    pub clock: Arc<ManualClock>,
    files: Mutex<HashMap<PathBuf, Vec<u8>>>,
    watches: Mutex<Vec<(PathBuf, Parse)>>,
    loads: Mutex<Vec<(Vec<PathBuf>, Load)>>,
    shared: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    kept: Mutex<BTreeMap<String, Arc<dyn Kept>>>,
    counters: Mutex<HashMap<&'static str, Arc<Number>>>,
    values: Mutex<HashMap<&'static str, Sums>>,
    tasks: Mutex<Vec<Task>>,
    upstreams: Mutex<Vec<String>>,
    sent: Arc<Sent>,
    random: Arc<Steps>,
    lines: Arc<Lines>,
    folder: Option<PathBuf>,
    switch: Arc<On>,
}

impl Default for FakeServices {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeServices {
    /// A host without files, upstreams or answers.
    pub fn new() -> Self {
        Self {
            clock: Arc::new(ManualClock::new()),
            files: Mutex::default(),
            watches: Mutex::default(),
            loads: Mutex::default(),
            shared: Mutex::default(),
            kept: Mutex::default(),
            counters: Mutex::default(),
            values: Mutex::default(),
            tasks: Mutex::default(),
            upstreams: Mutex::default(),
            sent: Arc::default(),
            random: Arc::default(),
            lines: Arc::default(),
            folder: None,
            switch: Arc::default(),
        }
    }

    /// With this state folder, which is a real one.
    #[must_use]
    pub fn state_in(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Writes a file that plugins may read. When they read it already, they see the change now.
    ///
    /// # Errors
    /// What the plugin's parser says of the new content.
    pub fn write_file(&self, path: &str, content: impl AsRef<[u8]>) -> Result<(), String> {
        let path = PathBuf::from(path);
        lock(&self.files).insert(path.clone(), content.as_ref().to_vec());
        for (watched, parse) in lock(&self.watches).iter() {
            if *watched == path {
                parse(content.as_ref())?;
            }
        }
        let files = FakeFiles::of(&lock(&self.files));
        for (used, load) in lock(&self.loads).iter_mut() {
            if used.iter().any(|one| path.starts_with(one)) {
                load(&files)?;
                *used = files.take();
            }
        }
        Ok(())
    }

    /// Makes an upstream known.
    pub fn add_upstream(&self, name: &str) {
        lock(&self.upstreams).push(name.to_owned());
    }

    /// Scripts the next answer of any client.
    pub fn answer(&self, answer: Result<http::Response<Bytes>, String>) {
        self.sent.script(answer);
    }

    /// The requests that plugins sent by any client, in order.
    pub fn sent(&self) -> Vec<ClientRequest> {
        self.sent.all()
    }

    /// Runs what plugins began in the background, and what that begins; returns how many tasks.
    pub fn run_background(&self) -> usize {
        self.sent.run_tasks()
    }

    /// So many background tasks may stand waiting; more are refused. There is no bound before.
    pub fn bound_background(&self, most: usize) {
        self.sent.bound_tasks(most);
    }

    /// What `farmgate plugin NAME on|off` does.
    pub fn turn(&self, on: bool) {
        self.switch.0.store(i64::from(!on), Ordering::Relaxed);
    }

    /// The warnings that plugins wrote to the event log.
    pub fn warnings(&self) -> Vec<String> {
        self.sent.warnings()
    }

    /// The value of a counter or gauge; 0 if there is none of this name.
    pub fn metric(&self, name: &str) -> i64 {
        let counters = lock(&self.counters);
        counters
            .get(name)
            .map_or(0, |number| number.0.load(Ordering::Relaxed))
    }

    /// What a counter by values counted for `value`.
    pub fn metric_by(&self, name: &str, value: &str) -> u64 {
        let values = lock(&self.values);
        let sums = values.get(name).map(|sums| lock(sums));
        sums.and_then(|sums| sums.get(value).copied()).unwrap_or(0)
    }

    /// The names of all counters and gauges that were asked for.
    pub fn metrics(&self) -> Vec<&'static str> {
        lock(&self.counters).keys().copied().collect()
    }

    /// Runs every periodic task once.
    pub fn run_periodic(&self) {
        let runs: Vec<_> = lock(&self.tasks).iter().map(|task| task()).collect();
        for run in runs {
            super::drive(run);
        }
    }

    /// The lines that log writers wrote.
    pub fn lines(&self) -> Vec<Vec<u8>> {
        lock(&self.lines.0).clone()
    }

    /// What every value of [`Services::kept`] saves, by its key: the old process of an upgrade.
    pub fn save(&self, most_bytes: usize) -> BTreeMap<String, Saved> {
        let kept = lock(&self.kept);
        let save = |(key, value): (&String, &Arc<dyn Kept>)| (key.clone(), value.save(most_bytes));
        kept.iter().map(save).collect()
    }

    /// Restores saved values by their keys: the new process of an upgrade. Returns how many entries
    /// were taken.
    ///
    /// # Errors
    /// What the value says of its bytes, or that there is no value of a key.
    pub fn restore(&self, saved: &BTreeMap<String, Saved>, age: Duration) -> Result<usize, String> {
        let kept = lock(&self.kept);
        let restore = |(key, saved): (&String, &Saved)| match kept.get(key) {
            Some(value) => value.restore(&saved.bytes, age),
            None => Err(format!("no value is kept under `{key}`")),
        };
        saved.iter().map(restore).sum()
    }

    pub(super) fn kept_values(&self) -> Vec<(String, Arc<dyn Kept>)> {
        let kept = lock(&self.kept);
        kept.iter()
            .map(|(key, value)| (key.clone(), Arc::clone(value)))
            .collect()
    }

    fn number(&self, name: &'static str) -> Arc<Number> {
        Arc::clone(lock(&self.counters).entry(name).or_default())
    }
}

impl Services for FakeServices {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    fn random(&self) -> Arc<dyn Random> {
        Arc::clone(&self.random) as Arc<dyn Random>
    }

    fn counter(&self, name: &'static str, _help: &'static str) -> Arc<dyn Counter> {
        self.number(name)
    }

    fn gauge(&self, name: &'static str, _help: &'static str) -> Arc<dyn Gauge> {
        self.number(name)
    }

    fn counter_by(
        &self,
        name: &'static str,
        _help: &'static str,
        _label: &'static str,
        most: usize,
    ) -> Arc<dyn CounterBy> {
        Arc::new(Values {
            sum: self.number(name),
            most,
            values: Arc::clone(lock(&self.values).entry(name).or_default()),
        })
    }

    fn histogram(&self, name: &'static str, _help: &'static str) -> Arc<dyn Histogram> {
        self.number(name)
    }

    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        let mut shared = lock(&self.shared);
        Arc::clone(shared.entry(key.to_owned()).or_insert_with(make))
    }

    fn kept(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Kept>,
    ) -> Arc<dyn Any + Send + Sync> {
        let mut kept = lock(&self.kept);
        Arc::clone(kept.entry(key.to_owned()).or_insert_with(make)) as Arc<dyn Any + Send + Sync>
    }

    fn watch_file(&self, path: &Path, max_bytes: u64, parse: Parse) -> Result<(), String> {
        let files = lock(&self.files);
        let Some(content) = files.get(path) else {
            return Err("cannot be read: no such file".to_owned());
        };
        if u64::try_from(content.len()).is_ok_and(|len| len > max_bytes) {
            return Err(format!("is larger than {max_bytes} bytes"));
        }
        parse(content)?;
        lock(&self.watches).push((path.to_owned(), parse));
        Ok(())
    }

    fn watch_files(&self, load: Load) -> Result<(), String> {
        let files = FakeFiles::of(&lock(&self.files));
        load(&files)?;
        lock(&self.loads).push((files.take(), load));
        Ok(())
    }

    fn periodic(&self, _period: Duration, task: Task) {
        lock(&self.tasks).push(task);
    }

    fn http_client(&self) -> Arc<dyn HttpClient> {
        Arc::clone(&self.sent) as Arc<dyn HttpClient>
    }

    fn upstream_client(&self, upstream: &str) -> Result<Arc<dyn HttpClient>, String> {
        if lock(&self.upstreams).iter().any(|name| name == upstream) {
            Ok(self.http_client())
        } else {
            Err(format!("no upstream `{upstream}`"))
        }
    }

    fn offload(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        Here.run(work)
    }

    fn offloader(&self) -> Arc<dyn Offload> {
        Arc::new(Here)
    }

    fn log_writer(&self, _path: &Path) -> Result<Arc<dyn LogWriter>, String> {
        Ok(Arc::clone(&self.lines) as Arc<dyn LogWriter>)
    }

    fn state_folder(&self) -> Option<PathBuf> {
        self.folder.clone()
    }

    fn is_on(&self) -> bool {
        self.switch.is_on()
    }

    fn switch(&self) -> Arc<dyn Switch> {
        Arc::clone(&self.switch) as Arc<dyn Switch>
    }

    fn background(&self) -> Arc<dyn Background> {
        Arc::clone(&self.sent) as Arc<dyn Background>
    }

    fn events(&self) -> Arc<dyn Events> {
        Arc::clone(&self.sent) as Arc<dyn Events>
    }
}

/// 0 while the plugin is on.
#[derive(Default)]
struct On(AtomicI64);

impl Switch for On {
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[derive(Default)]
struct Steps(AtomicU64);

impl Random for Steps {
    fn next(&self) -> u64 {
        // SplitMix64 over a counter: spread well, and the same in every run.
        let step = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let mut z = step.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Work is done by whoever waits for it.
struct Here;

impl Offload for Here {
    fn run(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        Box::pin(async move { Ok(work()) })
    }
}

type Sums = Arc<Mutex<BTreeMap<String, u64>>>;

/// A counter by values.
struct Values {
    sum: Arc<Number>,
    most: usize,
    values: Sums,
}

impl CounterBy for Values {
    fn add(&self, value: &str, n: u64) {
        Counter::add(&*self.sum, n);
        let mut values = lock(&self.values);
        let known = values.contains_key(value) || values.len() < self.most;
        let value = if known { value } else { "other" };
        *values.entry(value.to_owned()).or_default() += n;
    }
}

#[derive(Default)]
struct Number(AtomicI64);

impl Histogram for Number {
    /// Counts how many values were observed.
    fn observe(&self, _value: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter for Number {
    fn add(&self, n: u64) {
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

impl Gauge for Number {
    fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Lines(Mutex<Vec<Vec<u8>>>);

impl LogWriter for Lines {
    fn write(&self, line: &[u8]) -> bool {
        lock(&self.0).push(line.to_vec());
        true
    }
}

/// A poisoned lock only means that another test thread failed; its data is still whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
