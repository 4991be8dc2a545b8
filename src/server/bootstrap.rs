//! The start and the end of the process.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use farmgate_plugin_api::decode::{Diagnostics, Severity};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::control::Operators;
use super::drain::Occasion;
use super::guards::{Guards, look_after};
use super::history::History;
use super::inherit::Heritage;
use super::last_good::fall_back;
use super::listeners::Listeners;
use super::orders::OrderDesk;
use super::reload::{Refused, texts_of};
use super::services::{FILE_POLL, Host, HostOptions};
use super::signals::Signals;
use super::upgrade::heir::Heir;
use super::upgrade::spawn::Program;
use super::upgrade::{Upgrades, leaving};
use super::{Server, certificates, drain, overload, status, systemd, watch};
use crate::compile::world::DryWorld;
use crate::compile::{Settings, compile};
use crate::config::load::{Text, read};
use crate::proxy::connection::Node;
use crate::proxy::pingora;
use crate::state::State;
use crate::telemetry::metrics::Metrics;
use crate::upstream::discovery::{Resolver, ResolverOptions, SystemLookup};

/// Idle upstream connections of all upstreams, per thread: above any upstream's own bound.
const POOL_PER_THREAD: usize = 16 * 1024;
/// How long answers on the control and admin sockets may take to leave.
const ANSWER: Duration = Duration::from_secs(2);
/// How long tasks that are cut may take to end.
const CUT: Duration = Duration::from_secs(1);
/// How long the start waits for the first answers about names.
const FIRST_NAMES: Duration = Duration::from_secs(2);
/// What is left at the deadline of a drain may take this long to be cut.
const LAST: Duration = Duration::from_secs(5);
/// What is to end at once may take this long to say so to its clients and to end, here and in old processes.
const AT_ONCE: Duration = Duration::from_secs(4);
/// For how long the service manager is asked to wait each time: from the last word to the end of everything.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the service manager hears that a drain goes on.
const LOOK: Duration = Duration::from_secs(1);

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

impl Ended {
    /// In words, for the process that was to be followed.
    fn why(&self) -> String {
        match self {
            Self::Drained => "stopped".to_owned(),
            Self::BadConfig(diagnostics) => errors_of(diagnostics),
            Self::Failed(why) => why.clone(),
        }
    }
}

/// Runs a node until it is told to stop, or until another process has taken over and what is under way has ended.
pub fn run(paths: Vec<PathBuf>, last_good: bool) -> Ended {
    raise_open_files();
    let program = Program::current();
    let control = match control_runtime() {
        Ok(control) => control,
        Err(error) => return Ended::Failed(format!("no runtime: {error}")),
    };
    // Before anything that takes time: a signal that nobody handles ends the process.
    let signals = match control.block_on(async { Signals::new() }) {
        Ok(signals) => signals,
        Err(error) => return Ended::Failed(format!("signals: {error}")),
    };
    let heir = match control.block_on(Heir::meet()) {
        Ok(heir) => heir,
        Err(error) => return Ended::Failed(error),
    };
    let prepared = prepare(&paths, last_good && heir.is_none());
    match prepared {
        Ok(prepared) => start(program, paths, prepared, heir, signals, &control),
        Err(ended) => {
            if let Some(heir) = heir {
                control.block_on(heir.fail(&ended.why()));
            }
            ended
        }
    }
}

/// What is known before anything is made.
struct Prepared {
    seen: watch::Seen,
    texts: Vec<Text>,
    settings: Settings,
    data: Runtime,
}

fn prepare(paths: &[PathBuf], last_good: bool) -> Result<Prepared, Ended> {
    let env = |name: &str| std::env::var(name).ok();
    let seen = watch::look(paths);
    let loaded = read(paths, &env);
    let first = dry_settings(&loaded).map(|settings| (texts_of(&loaded), settings));
    let (texts, settings) = match first {
        Ok(first) => first,
        Err(diagnostics) if last_good => match fall_back(paths, &diagnostics) {
            Some(found) => found,
            None => return Err(Ended::BadConfig(diagnostics)),
        },
        Err(diagnostics) => return Err(Ended::BadConfig(diagnostics)),
    };
    let data =
        data_runtime(&settings).map_err(|error| Ended::Failed(format!("no runtime: {error}")))?;
    Ok(Prepared {
        seen,
        texts,
        settings,
        data,
    })
}

/// Compiles without effect, to know threads and folders before anything is made.
pub(super) fn dry_settings(loaded: &crate::config::load::Loaded) -> Result<Settings, Diagnostics> {
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
    program: Program,
    paths: Vec<PathBuf>,
    prepared: Prepared,
    heir: Option<Heir>,
    mut signals: Signals,
    control: &Runtime,
) -> Ended {
    let Prepared {
        seen,
        texts,
        settings,
        data,
    } = prepared;
    let metrics = match Metrics::new(settings.max_series, env!("CARGO_PKG_VERSION")) {
        Ok(metrics) => metrics,
        Err(error) => return Ended::Failed(format!("metrics: {error}")),
    };
    let runtime = data.handle().clone();
    let (server, ended) = control.block_on(async {
        let assembled = assemble(program, paths, settings, &metrics, &runtime, heir.as_ref());
        let server = match assembled {
            Ok(server) => server,
            Err(why) => return (None, failed(heir, Ended::Failed(why)).await),
        };
        if let Err(ended) = come_up(&server, &texts, heir).await {
            return (Some(server), ended);
        }
        let watchdog = tokio::spawn(systemd::watchdog(runtime.clone()));
        tokio::spawn(certificates::run(Arc::clone(&server)));
        tokio::spawn(look_after(
            Arc::clone(&server.node),
            Arc::clone(&server.guards),
        ));
        tokio::spawn(overload::guard(Arc::clone(&server), &runtime));
        tokio::spawn(watch::run(Arc::clone(&server), seen));
        let mut occasion = signals.run(&server).await;
        if occasion == Occasion::Stop {
            occasion = server.upgrades.give_up().await;
            if occasion == Occasion::Upgraded {
                leaving::pass_on_stop(&server).await;
            }
        }
        if occasion == Occasion::Upgraded {
            // Another process is the service now.
            watchdog.abort();
        }
        go_down(&server, &mut signals, occasion).await;
        (Some(server), Ended::Drained)
    });
    // Requests that are cut leave their record when their tasks are dropped: only then the log ends.
    data.shutdown_timeout(CUT);
    if let Some(server) = server {
        end(&server, control);
    }
    ended
}

/// From nothing to serving, or from the old process's hands.
async fn come_up(server: &Arc<Server>, texts: &[Text], heir: Option<Heir>) -> Result<(), Ended> {
    if heir.is_none() {
        if let Err(error) = server.operators.serve(server) {
            return Err(Ended::Failed(format!("the operators' sockets: {error}")));
        }
        server.operators.release();
    }
    if let Err(refused) = server.apply(texts, "start").await {
        return Err(failed(heir, failed_start(refused)).await);
    }
    let missing = server.resolver.wait_first(FIRST_NAMES).await;
    if !missing.is_empty() {
        log::warn!("no address is known yet for {missing:?}; requests to them get 503");
    }
    if let Some(heir) = heir
        && let Err((heir, why)) = heir.take_over(server).await
    {
        return Err(failed(Some(heir), Ended::Failed(why)).await);
    }
    for (address, stored) in server.heritage.close_rest() {
        log::info!("nobody is configured to accept on {address}: its socket was closed");
        if let Some(name) = stored {
            systemd::forget_name(&name);
        }
    }
    let line = status::line(server);
    log::info!("ready: {line}");
    systemd::ready(&line);
    Ok(())
}

/// Tells the old process, if there is one, why nothing comes of this one.
async fn failed(heir: Option<Heir>, ended: Ended) -> Ended {
    if let Some(heir) = heir {
        heir.fail(&ended.why()).await;
    }
    ended
}

/// From serving to nothing under way.
async fn go_down(server: &Arc<Server>, signals: &mut Signals, occasion: Occasion) {
    let told = drain::start(server, occasion);
    let ended = drain::ended(told.clone());
    let drained = async {
        ended.await;
        if occasion == Occasion::Stop {
            server.upgrades.elders.gone().await;
        }
        // Whoever asked by the control socket is still to be answered.
        server.operators.stop();
        let _ = tokio::time::timeout(ANSWER, server.operators.idle()).await;
    };
    let mut drained = std::pin::pin!(leaving::tell(server, told.clone(), drained));
    tokio::select! {
        () = &mut drained => return,
        () = signals.again(server) => log::warn!("{}: stopping at once", match occasion {
            Occasion::Stop => "a second signal",
            Occasion::Upgraded => "a signal",
        }),
        () = say_stopping(server, occasion, told) => {}
    }
    drain::hurry(server);
    server.upgrades.elders.hurry();
    if tokio::time::timeout(AT_ONCE, drained).await.is_err() {
        log::warn!("not everything that drains has ended in time");
    }
}

/// Has the service manager wait while there is something to wait for. Ends only some time after the deadline.
async fn say_stopping(
    server: &Arc<Server>,
    occasion: Occasion,
    told: tokio::sync::watch::Receiver<drain::Progress>,
) {
    if occasion == Occasion::Upgraded {
        return std::future::pending().await;
    }
    loop {
        let progress = *told.borrow();
        if Instant::now() >= progress.deadline + LAST {
            return;
        }
        let elders = match server.upgrades.elders.count() {
            0 => String::new(),
            elders => format!(", {elders} old processes drain as well"),
        };
        systemd::stopping(&format!("stopping, {progress}{elders}"), PATIENCE);
        tokio::time::sleep(LOOK).await;
    }
}

/// A wrong configuration is 78, an address that cannot be bound is 1.
fn failed_start(Refused(diagnostics): Refused) -> Ended {
    let bind = [
        crate::compile::codes::BIND_FAILED,
        crate::compile::codes::LOG_OPEN,
    ];
    if diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .all(|d| bind.contains(&d.code))
    {
        return Ended::Failed(errors_of(&diagnostics));
    }
    Ended::BadConfig(diagnostics)
}

/// The reason alone: warnings before it would hide it in a line of status.
fn errors_of(diagnostics: &Diagnostics) -> String {
    let errors = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Error)
        .map(ToString::to_string);
    errors.collect::<Vec<_>>().join("\n")
}

fn assemble(
    program: Program,
    paths: Vec<PathBuf>,
    settings: Settings,
    metrics: &Arc<Metrics>,
    data: &tokio::runtime::Handle,
    heir: Option<&Heir>,
) -> Result<Arc<Server>, String> {
    let heritage = match heir {
        Some(heir) => Heritage::of_old_process(&heir.hello.sockets),
        None => Heritage::of_service_manager(),
    };
    // First of all: a second node by mistake must not take clients or write history.
    let operators = Operators::bind(&settings, &heritage)?;
    let held = heir.is_some();
    let mut history = History::open(settings.state.as_deref(), held);
    if let Some(heir) = heir {
        history.after(heir.hello.generation);
    }
    let node = Arc::new(Node::new(metrics));
    let state = Arc::new(State::default());
    let resolver = resolver(&node, &settings);
    let guards = Arc::new(Guards::start(&node, settings.state.as_deref()));
    let host = Host::new(HostOptions {
        runtime: tokio::runtime::Handle::current(),
        metrics: Arc::clone(metrics),
        state: Arc::clone(&state),
        folder: settings.state.clone(),
        upstreams: Arc::new(super::world::LiveUpstreams(Arc::clone(&node))),
        file_poll: FILE_POLL,
    });
    let orders = OrderDesk::new(&node, tokio::runtime::Handle::current(), &paths, held);
    let proxy = pingora::build(settings.threads, POOL_PER_THREAD);
    let listeners = Listeners::new(Arc::clone(&node), proxy, data.clone(), held);
    Ok(Arc::new(Server {
        node,
        state,
        resolver,
        guards,
        load: ArcSwap::default(),
        host,
        orders,
        listeners: Mutex::new(listeners),
        operators,
        heritage,
        upgrades: Upgrades::new(program, metrics, held),
        paths,
        history: Mutex::new(history),
        config: ArcSwap::from_pointee(serde_json::Value::Null),
        changing: tokio::sync::Mutex::new(()),
        last_reload: Mutex::new(None),
        stop: Notify::new(),
        drain: Mutex::new(None),
        started: Instant::now(),
        started_at: SystemTime::now(),
        settings: ArcSwap::from_pointee(settings),
    }))
}

fn resolver(node: &Arc<Node>, settings: &Settings) -> Arc<Resolver> {
    let (min_ttl, max_ttl) = settings.dns_ttl;
    let options = ResolverOptions {
        min_ttl,
        max_ttl,
        ..ResolverOptions::default()
    };
    let node = Arc::clone(node);
    Arc::new(Resolver::spawn(
        BTreeSet::new(),
        Arc::new(SystemLookup::default()),
        options,
        Arc::new(move |host: &str, addresses: &Arc<[IpAddr]>| {
            for plan in node.current.load().upstreams.values() {
                plan.upstream.resolved(host, addresses);
            }
        }),
    ))
}

fn end(server: &Arc<Server>, control: &Runtime) {
    // Those of an old process that serves on because this one failed stand where they are.
    let never_served = server.listeners.lock().is_held();
    server
        .operators
        .close(&|_, _, inherited| never_served && inherited);
    server.release_cache();
    if server.host.flush_logs(Duration::from_secs(2)).is_err() {
        log::error!("a plugin's log could not be written to its end");
    }
    if let Some(log) = server.node.access_log.swap(None)
        && log.close(Duration::from_secs(5)).is_err()
    {
        log::error!("the access log could not be written to its end");
    }
    control.block_on(leaving::last_word(server));
}

/// Descriptors: as many as the process may have.
fn raise_open_files() {
    if let Err(error) = crate::server::limits::raise_open_files() {
        log::warn!("the limit of open files stays as it is: {error}");
    }
}
