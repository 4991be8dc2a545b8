//! The host's side of [`farmgate_plugin_api::Services`]: what plugins ask for, kept in one place.
//!
//! One [`Host`] a process. Every plugin instance gets a [`lease`] from it; when the last user of the
//! instance is gone the lease is dropped, and with it end its periodic tasks and file watches.
//! Everything runs on the control runtime, never on the threads that serve.

mod background;
mod client;
mod folder;
mod lease;
mod log;
mod made;
mod numbers;
mod offload;
mod periodic;
#[cfg(test)]
mod tests;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use farmgate_plugin_api::Services;
use tokio::runtime::Handle;

use crate::snapshot::UpstreamPlan;
use crate::state::State;
use crate::telemetry::metrics::Metrics;
use background::Tasks;
use client::Outgoing;
use lease::Lease;
use log::Logs;
use offload::Offload;
use watch::Watcher;

/// How often watched files are looked at, unless said otherwise.
pub const FILE_POLL: Duration = Duration::from_secs(1);

/// Finds the upstreams in force: asked at every send, so that a reload is followed.
pub trait UpstreamSource: Send + Sync {
    /// The upstream of this name, if the configuration in force has it.
    fn upstream(&self, name: &str) -> Option<Arc<UpstreamPlan>>;
    /// The names of all of them.
    fn names(&self) -> Vec<Arc<str>>;
}

/// What a host is made of.
pub struct HostOptions {
    /// The control runtime: timers, clients, and blocking threads.
    pub runtime: Handle,
    /// Where plugins' counters and gauges are exported.
    pub metrics: Arc<Metrics>,
    /// Where shared values and switches are kept over reloads.
    pub state: Arc<State>,
    /// The node's state folder, if it has one.
    pub folder: Option<PathBuf>,
    /// The upstreams in force.
    pub upstreams: Arc<dyn UpstreamSource>,
    /// How often watched files are looked at; usually [`FILE_POLL`].
    pub file_poll: Duration,
}

/// What all plugins of the process share.
pub struct Host {
    runtime: Handle,
    metrics: Arc<Metrics>,
    state: Arc<State>,
    folder: Option<PathBuf>,
    upstreams: Arc<dyn UpstreamSource>,
    /// Counts publications; tasks of a new configuration wait for the next one.
    published: tokio::sync::watch::Sender<u64>,
    files: Arc<Watcher>,
    offload: Arc<Offload>,
    background: Arc<Tasks>,
    outgoing: Arc<Outgoing>,
    logs: Logs,
}

impl Host {
    /// A client for `http` and `https` URLs, for the node's own questions.
    pub fn http_client(&self) -> Arc<dyn farmgate_plugin_api::services::HttpClient> {
        self.outgoing.url_client()
    }

    /// Spawns nothing yet.
    pub fn new(options: HostOptions) -> Arc<Self> {
        let HostOptions {
            runtime,
            metrics,
            state,
            folder,
            upstreams,
            file_poll,
        } = options;
        Arc::new(Self {
            files: Watcher::new(runtime.clone(), file_poll),
            offload: Arc::new(Offload::new(runtime.clone())),
            background: Tasks::new(runtime.clone()),
            outgoing: Outgoing::new(runtime.clone()),
            logs: Logs::default(),
            published: tokio::sync::watch::Sender::new(0),
            runtime,
            metrics,
            state,
            folder,
            upstreams,
        })
    }

    /// The services of one plugin instance. `upstreams` are the names of the configuration being
    /// compiled: it is not in force yet, so the source does not know them.
    pub fn lend_for(
        self: &Arc<Self>,
        kind: &'static str,
        plugin: &str,
        upstreams: &Arc<[Arc<str>]>,
    ) -> Arc<dyn Services> {
        Arc::new(Lease::new(self, kind, plugin, Arc::clone(upstreams)))
    }

    /// The services of one plugin instance, with the upstreams in force as the known ones.
    pub fn lend(self: &Arc<Self>, kind: &'static str, plugin: &str) -> Arc<dyn Services> {
        self.lend_for(kind, plugin, &self.upstreams.names().into())
    }

    /// The switch that `farmgate plugin NAME off|on` turns; kept over reloads.
    pub fn switch(&self, plugin: &str) -> Arc<AtomicBool> {
        self.state.plugins.switch(plugin)
    }

    /// Call after every publication of a snapshot: the periodic tasks of its new plugins begin.
    pub fn published(&self) {
        self.published.send_modify(|count| *count += 1);
    }

    /// Closes the idle connections of plugins' own requests.
    pub fn close_idle(&self) {
        self.outgoing.close_idle();
    }

    /// Writes what is queued and opens the plugins' log files again, after logrotate. Blocks the
    /// calling thread for at most `deadline`: for control threads only.
    ///
    /// # Errors
    /// A file cannot be opened (the old one stays in use), or it took too long.
    pub fn reopen_logs(&self, deadline: Duration) -> io::Result<()> {
        self.logs.reopen(deadline)
    }

    /// Writes what is queued for the plugins' log files; at the end of the process. Blocks the
    /// calling thread for at most `deadline`.
    ///
    /// # Errors
    /// It took too long.
    pub fn flush_logs(&self, deadline: Duration) -> io::Result<()> {
        self.logs.flush(deadline)
    }
}
