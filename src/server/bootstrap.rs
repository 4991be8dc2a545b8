//! The start and the end of the process.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use farmgate_plugin_api::decode::Diagnostics;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::history::History;
use super::listeners::Listeners;
use super::orders::OrderDesk;
use super::reload::{Refused, texts_of};
use super::services::{FILE_POLL, Host, HostOptions};
use super::signals::Signals;
use super::{Server, certificates, control, drain, watch};
use crate::compile::world::DryWorld;
use crate::compile::{Settings, compile};
use crate::config::load::{Text, load_texts, read};
use crate::proxy::connection::Node;
use crate::proxy::pingora;
use crate::snapshot::{Current, Snapshot};
use crate::state::State;
use crate::telemetry::metrics::Metrics;
use crate::upstream::discovery::{Resolver, ResolverOptions, SystemLookup};

/// Idle upstream connections of all upstreams, per thread: above any upstream's own bound.
const POOL_PER_THREAD: usize = 16 * 1024;
/// How long an answer on the control socket may take to leave.
const ANSWER: Duration = Duration::from_millis(100);
/// How long tasks that are cut may take to end.
const CUT: Duration = Duration::from_secs(1);
/// How long the start waits for the first answers about names.
const FIRST_NAMES: Duration = Duration::from_secs(2);

/// How the process ended.
#[derive(Debug)]
pub enum Ended {
    /// After a drain.
    Drained,
    /// The configuration is wrong: exit 78.
    BadConfig(Diagnostics),
    /// Something else is: exit 1.
    Failed(String),
}

/// Runs a node until it is told to stop.
pub fn run(paths: Vec<PathBuf>, last_good: bool) -> Ended {
    raise_open_files();
    let env = |name: &str| std::env::var(name).ok();
    let seen = watch::look(&paths);
    let loaded = read(&paths, &env);
    let first = dry_settings(&loaded).map(|settings| (texts_of(&loaded), settings));
    let (texts, settings) = match first {
        Ok(first) => first,
        Err(diagnostics) if last_good => match fall_back(&paths, &diagnostics) {
            Some(found) => found,
            None => return Ended::BadConfig(diagnostics),
        },
        Err(diagnostics) => return Ended::BadConfig(diagnostics),
    };
    match (data_runtime(&settings), control_runtime()) {
        (Ok(data), Ok(control)) => start(paths, seen, &texts, settings, data, &control),
        (Err(error), _) | (_, Err(error)) => Ended::Failed(format!("no runtime: {error}")),
    }
}

/// Compiles without effect, to know threads and folders before anything is made.
fn dry_settings(loaded: &crate::config::load::Loaded) -> Result<Settings, Diagnostics> {
    let mut diagnostics = loaded.diagnostics.clone();
    match compile(
        &loaded.config,
        &DryWorld::new(&loaded.config),
        &mut diagnostics,
    ) {
        Some(compiled) => Ok(compiled.settings),
        None => {
            let names: Vec<_> = loaded
                .sources
                .iter()
                .map(|s| Arc::clone(s.file()))
                .collect();
            diagnostics.sort_by_files(&names);
            loaded.hide_expanded(&mut diagnostics);
            Err(diagnostics)
        }
    }
}

/// The last configuration that was in force, when the one on disk is wrong and `--last-good` was
/// given. It is looked for in the state folder that the wrong one names, if it can be read that far,
/// else in `$STATE_DIRECTORY`.
fn fall_back(paths: &[PathBuf], diagnostics: &Diagnostics) -> Option<(Vec<Text>, Settings)> {
    let state = state_folder(paths)?;
    let texts = History::open(Some(&state)).last_good()?;
    let loaded = load_texts(&texts, &|name| std::env::var(name).ok()).ok()?;
    let settings = dry_settings(&loaded).ok()?;
    log::error!("the configuration is wrong, starting with the last good one:");
    for diagnostic in diagnostics.iter() {
        log::error!("{diagnostic}");
    }
    Some((texts, settings))
}

fn state_folder(paths: &[PathBuf]) -> Option<PathBuf> {
    paths
        .iter()
        .find_map(|path| written_state_folder(path))
        .or_else(|| std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
}

/// `server.state` of a file that may be wrong elsewhere.
fn written_state_folder(path: &Path) -> Option<PathBuf> {
    let files: Vec<PathBuf> = if path.is_dir() {
        let mut files: Vec<_> = std::fs::read_dir(path)
            .ok()?
            .filter_map(|file| Some(file.ok()?.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        files
    } else {
        vec![path.to_owned()]
    };
    files.iter().find_map(|file| {
        let state = state_word(&std::fs::read_to_string(file).ok()?)?;
        Some(file.parent().unwrap_or(Path::new(".")).join(state))
    })
}

/// The word `state` of the table `[server]`, read line by line: the text may not be TOML at all.
fn state_word(text: &str) -> Option<String> {
    let mut in_server = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_server = line.split('#').next().map(str::trim) == Some("[server]");
        } else if in_server
            && let Some((key, value)) = line.split_once('=')
            && key.trim() == "state"
        {
            let value = value.trim().strip_prefix('"')?;
            return value.split('"').next().map(str::to_owned);
        }
    }
    None
}

fn data_runtime(settings: &Settings) -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.threads)
        .thread_name("farmgate")
        .enable_all()
        .build()
}

fn control_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("farmgate-control")
        .enable_all()
        .build()
}

fn start(
    paths: Vec<PathBuf>,
    seen: watch::Seen,
    texts: &[Text],
    settings: Settings,
    data: Runtime,
    control_runtime: &Runtime,
) -> Ended {
    let metrics = match Metrics::new(settings.max_series, env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => metrics,
        Err(error) => return Ended::Failed(format!("metrics: {error}")),
    };
    let ended = control_runtime.block_on(async {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return (None, Ended::Failed(format!("signals: {error}"))),
        };
        let server = assemble(paths, settings, &metrics, data.handle());
        // First of all: a second node by mistake must not take clients or write history.
        if let Err(error) = operators(&server).await {
            return (None, Ended::Failed(error));
        }
        if let Err(refused) = server.apply(texts, "start").await {
            return (Some(server), failed_start(refused));
        }
        let missing = server.resolver.wait_first(FIRST_NAMES).await;
        if !missing.is_empty() {
            log::warn!("no address is known yet for {missing:?}; requests to them get 503");
        }
        tokio::spawn(certificates::run(Arc::clone(&server)));
        tokio::spawn(watch::run(Arc::clone(&server), seen));
        let open = server.listeners.lock().slots().count();
        log::info!("ready: {open} listeners, pid {}", std::process::id());
        signals.run(&server).await;
        let told = drain::start(&server);
        tokio::select! {
            drained = drain::ended(told) => {
                if drained.cut == 0 {
                    log::info!("drained");
                }
                // Whoever asked by the control socket is still to be answered.
                tokio::time::sleep(ANSWER).await;
            }
            () = signals.again() => log::warn!("a second signal: stopping at once"),
        }
        (Some(server), Ended::Drained)
    });
    // Requests that are cut leave their record when their tasks are dropped: only then the log ends.
    data.shutdown_timeout(CUT);
    let (server, ended) = ended;
    if let Some(server) = server {
        end(&server);
    }
    ended
}

/// A wrong configuration is 78, an address that cannot be bound is 1.
fn failed_start(Refused(diagnostics): Refused) -> Ended {
    let bind = [
        crate::compile::codes::BIND_FAILED,
        crate::compile::codes::LOG_OPEN,
    ];
    if diagnostics
        .iter()
        .filter(|d| d.severity == farmgate_plugin_api::decode::Severity::Error)
        .all(|d| bind.contains(&d.code))
    {
        let text: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
        return Ended::Failed(text.join("\n"));
    }
    Ended::BadConfig(diagnostics)
}

fn assemble(
    paths: Vec<PathBuf>,
    settings: Settings,
    metrics: &Arc<Metrics>,
    data: &tokio::runtime::Handle,
) -> Arc<Server> {
    let node = Arc::new(Node {
        current: Current::new(Arc::new(Snapshot::empty(metrics))),
        metrics: Arc::clone(metrics),
        access_log: ArcSwapOption::empty(),
        explain: ArcSwapOption::empty(),
        log_headers: ArcSwap::default(),
        idle_grace_ms: AtomicU64::new(0),
        draining: AtomicBool::new(false),
    });
    let state = Arc::new(State::default());
    let (min_ttl, max_ttl) = settings.dns_ttl;
    let options = ResolverOptions {
        min_ttl,
        max_ttl,
        ..ResolverOptions::default()
    };
    let for_sink = Arc::clone(&node);
    let resolver = Arc::new(Resolver::spawn(
        BTreeSet::new(),
        Arc::new(SystemLookup::default()),
        options,
        Arc::new(move |host: &str, addresses: &Arc<[IpAddr]>| {
            for plan in for_sink.current.load().upstreams.values() {
                plan.upstream.resolved(host, addresses);
            }
        }),
    ));
    let host = Host::new(HostOptions {
        runtime: tokio::runtime::Handle::current(),
        metrics: Arc::clone(metrics),
        state: Arc::clone(&state),
        folder: settings.state.clone(),
        upstreams: Arc::new(super::world::LiveUpstreams(Arc::clone(&node))),
        file_poll: FILE_POLL,
    });
    let orders = OrderDesk::new(&node, tokio::runtime::Handle::current(), &paths);
    let proxy = pingora::build(settings.threads, POOL_PER_THREAD);
    let listeners = Listeners::new(Arc::clone(&node), proxy, data.clone());
    Arc::new(Server {
        node,
        state,
        resolver,
        host,
        orders,
        listeners: Mutex::new(listeners),
        paths,
        history: Mutex::new(History::open(settings.state.as_deref())),
        config: ArcSwap::from_pointee(serde_json::Value::Null),
        changing: tokio::sync::Mutex::new(()),
        last_reload: Mutex::new(None),
        stop: Notify::new(),
        drain: Mutex::new(None),
        started: Instant::now(),
        started_at: SystemTime::now(),
        settings: ArcSwap::from_pointee(settings),
    })
}

async fn operators(server: &Arc<Server>) -> Result<(), String> {
    let settings = server.settings();
    if let Some(path) = &settings.control {
        control::control(Arc::clone(server), path)
            .map_err(|error| format!("control socket {}: {error}", path.display()))?;
    }
    if let Some((address, _)) = &settings.admin {
        control::admin(Arc::clone(server), address.clone())
            .await
            .map_err(|error| format!("admin address {address:?}: {error}"))?;
    }
    Ok(())
}

fn end(server: &Arc<Server>) {
    if let Some(path) = &server.settings().control {
        remove_socket(path);
    }
    if let Some((crate::compile::AdminAddress::Unix(path), _)) = &server.settings().admin {
        remove_socket(path);
    }
    if server.host.flush_logs(Duration::from_secs(2)).is_err() {
        log::error!("a plugin's log could not be written to its end");
    }
    if let Some(log) = server.node.access_log.swap(None)
        && log.close(Duration::from_secs(5)).is_err()
    {
        log::error!("the access log could not be written to its end");
    }
}

/// A socket file left behind is replaced at the next start; anything else is not ours.
fn remove_socket(path: &Path) {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        let _ = std::fs::remove_file(path);
    }
}

/// Descriptors: as many as the process may have.
fn raise_open_files() {
    if let Err(error) = crate::server::limits::raise_open_files() {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}
