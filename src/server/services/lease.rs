//! What one plugin instance holds of the host.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use farmgate_plugin_api::services::{
    self, Busy, Clock, Counter, CounterBy, Events, Gauge, Histogram, HostFuture, HttpClient, Kept,
    Load, LogWriter, Offload, Random, Services, Switch, Work,
};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::background::Background;
use super::made::Made;
use super::watch::Watched;
use super::{Host, folder, numbers, periodic};
use crate::compile::dry::{SystemClock, ThreadRandom, check_upstream};
use crate::state::plugin::{Keep, SavedValue};
use crate::telemetry::metrics::PluginMetrics;

/// Periodic tasks of one plugin instance at most.
const MAX_TASKS: usize = 256;

/// The services lent to one plugin instance. Dropping it ends what runs for the instance.
pub(super) struct Lease {
    host: Arc<Host>,
    kind: &'static str,
    plugin: Arc<str>,
    metrics: PluginMetrics,
    on: Arc<AtomicBool>,
    /// Upstreams of the configuration the instance belongs to.
    upstreams: Arc<[Arc<str>]>,
    /// File watches hold a weak reference to it: they end with the lease.
    alive: Arc<()>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Lease {
    pub(super) fn new(
        host: &Arc<Host>,
        kind: &'static str,
        plugin: &str,
        upstreams: Arc<[Arc<str>]>,
    ) -> Self {
        Self {
            host: Arc::clone(host),
            kind,
            plugin: plugin.into(),
            metrics: host.metrics.plugin_metrics(kind, plugin),
            on: host.switch(plugin),
            upstreams,
            alive: Arc::default(),
            tasks: Mutex::default(),
        }
    }
}

impl Lease {
    /// The plugin in messages.
    fn title(&self) -> String {
        format!("plugin {} ({})", self.plugin, self.kind)
    }

    fn file_errors(&self) -> Arc<dyn Counter> {
        self.counter(
            "file_errors",
            "Versions of a watched file that could not be used; the last good one stays.",
        )
    }

    fn task_panics(&self) -> Arc<dyn Counter> {
        self.counter("task_panics", "Panics of periodic and background tasks.")
    }
}

/// The switch, as a plugin keeps it.
struct Turned(Arc<AtomicBool>);

impl Switch for Turned {
    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The event log, as a plugin keeps it.
struct Told(String);

impl Events for Told {
    fn warn(&self, text: &str) {
        ::log::warn!("{}: {text}", self.0);
    }
}

/// A value of a plugin, as the state takes it along.
struct Lent(Weak<dyn Kept>);

/// Code of plugins: a panic in it costs this value, not the upgrade.
impl Keep for Lent {
    fn save(&self, most_bytes: usize) -> Option<SavedValue> {
        let value = self.0.upgrade()?;
        let saved = catch_unwind(AssertUnwindSafe(|| value.save(most_bytes))).ok()?;
        Some(SavedValue {
            bytes: saved.bytes,
            entries: saved.entries,
            left_out: saved.left_out,
        })
    }

    fn restore(&self, saved: &[u8], age: Duration) -> Result<usize, String> {
        let Some(value) = self.0.upgrade() else {
            return Err("nobody uses it".to_owned());
        };
        catch_unwind(AssertUnwindSafe(|| value.restore(saved, age)))
            .unwrap_or_else(|_| Err("reading it panicked".to_owned()))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        for task in self.tasks.get_mut() {
            task.abort();
        }
    }
}

impl Services for Lease {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(SystemClock)
    }

    fn random(&self) -> Arc<dyn Random> {
        Arc::new(ThreadRandom)
    }

    fn counter(&self, name: &'static str, help: &'static str) -> Arc<dyn Counter> {
        numbers::counter(&self.metrics, name, help)
    }

    fn gauge(&self, name: &'static str, help: &'static str) -> Arc<dyn Gauge> {
        numbers::gauge(&self.metrics, name, help)
    }

    fn counter_by(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        most: usize,
    ) -> Arc<dyn CounterBy> {
        numbers::counter_by(&self.metrics, name, help, label, most)
    }

    fn histogram(&self, name: &'static str, help: &'static str) -> Arc<dyn Histogram> {
        numbers::histogram(&self.metrics, name, help)
    }

    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        let plugins = &self.host.state.plugins;
        plugins.shared(self.kind, &self.plugin, key, &mut || (make(), None))
    }

    fn kept(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Kept>,
    ) -> Arc<dyn Any + Send + Sync> {
        let plugins = &self.host.state.plugins;
        plugins.shared(self.kind, &self.plugin, key, &mut || {
            let value = make();
            let keep: Arc<dyn Keep> = Arc::new(Lent(Arc::downgrade(&value)));
            (value, Some(keep))
        })
    }

    fn watch_file(
        &self,
        path: &Path,
        max_bytes: u64,
        parse: Box<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>,
    ) -> Result<(), String> {
        let file = Watched::open(self.title(), path, max_bytes, parse, self.file_errors())?;
        self.host.files.add(Arc::new(file), &self.alive)
    }

    fn watch_files(&self, load: Load) -> Result<(), String> {
        let made = Made::open(self.title(), load, self.file_errors())?;
        self.host.files.add(Arc::new(made), &self.alive)
    }

    fn periodic(&self, period: Duration, task: Box<dyn Fn() -> HostFuture<()> + Send + Sync>) {
        let mut tasks = self.tasks.lock();
        if tasks.len() >= MAX_TASKS {
            let name = &self.plugin;
            ::log::error!("plugin {name} asks for more than {MAX_TASKS} periodic tasks");
            return;
        }
        let panics = self.task_panics();
        let published = self.host.published.subscribe();
        let turns = periodic::run(Arc::clone(&self.plugin), period, task, published, panics);
        tasks.push(self.host.runtime.spawn(turns).abort_handle());
    }

    fn http_client(&self) -> Arc<dyn HttpClient> {
        self.host.outgoing.url_client()
    }

    fn upstream_client(&self, upstream: &str) -> Result<Arc<dyn HttpClient>, String> {
        check_upstream(upstream, &self.upstreams)?;
        let source = Arc::clone(&self.host.upstreams);
        Ok(self.host.outgoing.upstream_client(upstream, source))
    }

    fn offload(&self, work: Work) -> HostFuture<Result<Box<dyn Any + Send>, Busy>> {
        services::Offload::run(&*self.host.offload, work)
    }

    fn offloader(&self) -> Arc<dyn Offload> {
        Arc::clone(&self.host.offload) as Arc<dyn Offload>
    }

    fn log_writer(&self, path: &Path) -> Result<Arc<dyn LogWriter>, String> {
        let dropped = self.counter(
            "log_dropped",
            "Lines that were not written: the queue was full or the file failed.",
        );
        self.host.logs.open(path, dropped)
    }

    fn state_folder(&self) -> Option<PathBuf> {
        folder::open(self.host.folder.as_deref()?, &self.plugin)
    }

    fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    fn switch(&self) -> Arc<dyn Switch> {
        Arc::new(Turned(Arc::clone(&self.on)))
    }

    fn background(&self) -> Arc<dyn services::Background> {
        Arc::new(Background {
            tasks: Arc::clone(&self.host.background),
            plugin: Arc::clone(&self.plugin),
            panics: self.task_panics(),
        })
    }

    fn events(&self) -> Arc<dyn Events> {
        Arc::new(Told(self.title()))
    }
}
