//! Chapter 2, decisions: words become a snapshot, or every mistake is named at once.
//!
//! Nothing here binds, spawns or changes what runs. What a snapshot needs of the running node (state
//! by identity, metrics, plugin services, slots) it gets through [`World`]; `check` and `explain`
//! lend one that keeps nothing.

mod bulkhead;
pub mod cache;
pub mod codes;
pub mod dry;
pub mod overload;
#[cfg(debug_assertions)]
pub mod probe;
pub mod world;

mod checks;
mod consumers;
mod listeners;
mod plugins;
mod routes;
mod tls;
mod upstream_tls;
mod upstreams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use farmgate_plugin_api::Services;
use farmgate_plugin_api::decode::{Diagnostics, Place};
use farmgate_plugin_api::units::Cidr;

use self::overload::OverloadLimits;
use crate::cache::shared::CacheSettings;
use crate::config::words::{Config, LogTarget};
use crate::snapshot::Snapshot;
use crate::snapshot::listener::BindAddress;
use crate::telemetry::access_log::Output;
use crate::telemetry::metrics::Metrics;
use crate::tls::Material;
use crate::upstream::{AddressBook, EndpointStore};

/// What a snapshot needs of the node it is compiled for.
pub trait World {
    /// Endpoint and upstream state by identity.
    fn store(&self) -> Arc<dyn EndpointStore>;
    /// What is known of names.
    fn book(&self) -> &dyn AddressBook;
    /// Certificates and ticket secrets that outlive a reload.
    fn tls(&self) -> &Material;
    /// Where metrics are resolved.
    fn metrics(&self) -> &Arc<Metrics>;
    /// Services of one plugin instance.
    ///
    /// `upstreams` are the names of the configuration that is being compiled.
    fn lend(
        &self,
        kind: &'static str,
        plugin: &str,
        upstreams: &Arc<[Arc<str>]>,
    ) -> Arc<dyn Services>;
    /// The operator's switch of a plugin.
    fn switch(&self, plugin: &str) -> Arc<AtomicBool>;
    /// The slot of a bound address; the same one for as long as it stays configured.
    fn slot(&self, address: &BindAddress) -> u16;
    /// The number of the snapshot to be made.
    fn generation(&self) -> u64;
}

/// A listener to be bound.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Where.
    pub address: BindAddress,
    /// Its slot.
    pub slot: u16,
    /// Its name.
    pub name: Arc<str>,
    /// Where it is written.
    pub place: Place,
}

/// Times of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long idle connections are kept for their next request.
    pub idle_grace: Duration,
    /// When everything is cut.
    pub deadline: Duration,
    /// How long to fail health checks before accepting ends.
    pub lb_grace: Duration,
}

/// Bounds of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpgradeLimits {
    /// How long the check, and then the start of the new process, may take.
    pub ready: Duration,
    /// How many old processes may drain at once.
    pub draining: usize,
}

/// What is decided of the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Worker threads; never 0.
    pub threads: usize,
    /// The control socket, if any.
    pub control: Option<PathBuf>,
    /// The state folder, if any.
    pub state: Option<PathBuf>,
    /// The bounds of the cache and its folders; none without `[cache]`.
    pub cache: Option<CacheSettings>,
    /// Where this node runs.
    pub zone: Option<Arc<str>>,
    /// Drain.
    pub drain: Drain,
    /// Most bytes of bodies held back, all together.
    pub body_memory_bytes: u64,
    /// From where on the node turns requests away.
    pub overload: OverloadLimits,
    /// Upgrades.
    pub upgrade: UpgradeLimits,
    /// Watching the configuration's files, with this debounce.
    pub watch: Option<Duration>,
    /// The admin address and who may ask there besides loopback.
    pub admin: Option<(AdminAddress, Vec<Cidr>)>,
    /// Where the access log goes.
    pub access_log: Option<Output>,
    /// Request fields it carries besides its own.
    pub log_headers: Vec<http::HeaderName>,
    /// Most series.
    pub max_series: usize,
    /// Requests kept for `explain`.
    pub explain_keep: usize,
    /// Bounds of the time to live of names.
    pub dns_ttl: (Duration, Duration),
}

/// Where the admin API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// TCP.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// A compiled configuration.
pub struct Compiled {
    /// The picture.
    pub snapshot: Snapshot,
    /// What it needs bound.
    pub bindings: Vec<Binding>,
    /// Of the process.
    pub settings: Settings,
    /// Names to be resolved.
    pub names: BTreeSet<String>,
}

/// Compiles `config`. Every mistake and every warning goes to `diagnostics`; `None` if there was an
/// error.
pub fn compile(
    config: &Config,
    world: &dyn World,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    // What is missing because it could not be read is no further mistake.
    let whole = !diagnostics.has_errors();
    let settings = settings(config, diagnostics);
    let upstreams = upstreams::compile(config, world, diagnostics);
    let mut plugins = plugins::Plugins::build(config, world, diagnostics);
    let edges = tls::compile(config, world, diagnostics);
    let (listeners, bindings) =
        listeners::compile(config, world, &edges, &mut plugins, diagnostics);
    let plans = cache::plans(config);
    let routes = routes::compile(
        config,
        world,
        (&bindings, &consumers::authenticating(&listeners)),
        (&upstreams, &plans),
        &mut plugins,
        diagnostics,
    );
    checks::logged_credentials(config, plugins.credentials(), diagnostics);
    if whole {
        checks::run(config, &settings, &plugins, diagnostics);
    }
    if diagnostics.has_errors() {
        return None;
    }
    let names = upstreams
        .values()
        .flat_map(|plan| plan.upstream.names())
        .map(|name| name.to_string())
        .collect();
    let snapshot = Snapshot {
        generation: world.generation(),
        listeners,
        router: routes.router,
        routes: routes.routes,
        upstreams,
        validated: self::tls::validated(&edges),
        tls: edges,
        cache: None,
        identity_headers: {
            let mut headers = plugins.identity_headers();
            headers.extend(self::tls::identity_headers(config));
            headers
        },
        credentials: Arc::new(plugins.credentials().clone()),
        plugins: plugins.into_named(),
        unrouted: world.metrics().route("none"),
        alive: None,
    };
    Some(Compiled {
        snapshot,
        bindings,
        settings,
        names,
    })
}

fn settings(config: &Config, diagnostics: &mut Diagnostics) -> Settings {
    let server = &config.server;
    let threads = match server.threads.value {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => usize::from(n),
    };
    let drain = &server.drain.value;
    let telemetry = &config.telemetry;
    let access_log = telemetry.access_log.as_ref().map(|log| &log.value);
    let log_headers = access_log
        .map(|log| checks::log_headers(log, diagnostics))
        .unwrap_or_default();
    let runtime = || std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    Settings {
        threads,
        control: match &server.control {
            Some(path) => Some(path.value.path().to_owned()),
            None => runtime().map(|folder| folder.join("control.sock")),
        },
        state: server
            .state
            .as_ref()
            .map(|path| path.value.path().to_owned()),
        cache: config.cache.as_ref().map(cache::settings),
        zone: server.zone.as_deref().map(Arc::from),
        drain: Drain {
            idle_grace: drain.idle_grace.value.get(),
            deadline: drain.deadline.value.get(),
            lb_grace: drain.lb_grace.value.get(),
        },
        body_memory_bytes: checks::body_memory(server, diagnostics),
        overload: overload::compile(&server.overload, diagnostics),
        upgrade: UpgradeLimits {
            ready: server.upgrade.ready.value.get(),
            draining: usize::from(server.upgrade.draining.value),
        },
        watch: server
            .watch
            .enabled
            .then(|| server.watch.debounce.value.get()),
        admin: config
            .admin
            .as_ref()
            .map(|admin| listeners::admin(admin, diagnostics)),
        access_log: access_log.map(|log| match &log.path.value {
            LogTarget::Stdout => Output::Stdout,
            LogTarget::Journald => Output::Journald,
            LogTarget::File(path) => Output::File(path.path().to_owned()),
        }),
        log_headers,
        max_series: telemetry.metrics.max_series.value as usize,
        explain_keep: telemetry.explain.keep.value as usize,
        dns_ttl: checks::dns_ttl(config),
    }
}

/// Which slots are taken, and by which address.
#[derive(Default)]
pub struct Slots {
    by_address: BTreeMap<BindAddress, u16>,
    taken: BTreeSet<u16>,
    /// No slot below this one is free.
    from: u16,
}

impl Slots {
    /// Slots of addresses that are served, and of ones that still end.
    pub fn new(
        serving: impl IntoIterator<Item = (BindAddress, u16)>,
        leaving: impl IntoIterator<Item = u16>,
    ) -> Self {
        let by_address: BTreeMap<_, _> = serving.into_iter().collect();
        let taken = by_address.values().copied().chain(leaving).collect();
        Self {
            by_address,
            taken,
            from: 0,
        }
    }

    /// The slot of an address, or the lowest free one, which is then taken.
    pub fn of(&mut self, address: &BindAddress) -> u16 {
        if let Some(known) = self.by_address.get(address) {
            return *known;
        }
        while self.taken.contains(&self.from) && self.from < u16::MAX {
            self.from += 1;
        }
        self.taken.insert(self.from);
        self.by_address.insert(address.clone(), self.from);
        self.from
    }
}

/// Names that may be referred to, for the nearest one in a message.
fn unknown(kind: &str, name: &str, known: &BTreeMap<Arc<str>, impl Sized>) -> (String, String) {
    let words: Vec<&str> = known.keys().map(|word| &**word).collect();
    (
        format!("no {kind} is named {name:?}"),
        farmgate_plugin_api::decode::did_you_mean(name, &words),
    )
}
