//! The certificates that are ordered (`[tls.acme]`): one task for each, kept over reloads that do not change it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::proxy::connection::Node;
use crate::snapshot::Snapshot;
use crate::tls::acme::{AcmeError, AcmeEvent, Challenges, Orders, Settings};
use crate::tls::{Certificate, Edge};

/// All of a node.
pub struct OrderDesk {
    node: Weak<Node>,
    runtime: Handle,
    name: String,
    running: Mutex<BTreeMap<Arc<str>, Running>>,
    /// True once orders may be made: an old process that still serves makes its own.
    open: watch::Sender<bool>,
}

/// One that runs. Dropping it ends its task.
struct Running {
    settings: Settings,
    challenges: Arc<Challenges>,
    /// What is served now.
    certificate: Arc<ArcSwapOption<Certificate>>,
    /// What failed last, unless it is well again.
    failed: Arc<ArcSwapOption<AcmeError>>,
    _stop: oneshot::Sender<()>,
}

impl OrderDesk {
    /// None yet. `paths` tell nodes of one machine apart. With `held` nothing is ordered before
    /// [`OrderDesk::release`].
    pub fn new(node: &Arc<Node>, runtime: Handle, paths: &[PathBuf], held: bool) -> Self {
        Self {
            node: Arc::downgrade(node),
            runtime,
            name: node_name(paths),
            running: Mutex::default(),
            open: watch::Sender::new(!held),
        }
    }

    /// Ordering begins.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Another process orders from now on.
    pub fn stop(&self) {
        self.running.lock().clear();
    }

    /// Makes a picture ready that is about to be published: its `[[tls]]` get what is there already, and the tasks that
    /// are missing begin. Those that it does not have end with [`OrderDesk::published`].
    pub fn prepare(&self, snapshot: &Snapshot) {
        let mut running = self.running.lock();
        for (name, edge) in &snapshot.tls {
            let Some(settings) = edge.acme() else {
                continue;
            };
            if running
                .get(name)
                .is_none_or(|one| one.settings != *settings)
            {
                running.remove(name);
                running.insert(Arc::clone(name), self.start(name, settings.clone()));
            }
            if let Some(one) = running.get(name) {
                give(edge, one);
            }
        }
    }

    /// The picture is in force: what was ordered in between is given to it, and what it does not have ends.
    pub fn published(&self, snapshot: &Snapshot) {
        let mut running = self.running.lock();
        running.retain(|name, _| {
            let edge = snapshot.tls.get(name);
            edge.is_some_and(|edge| edge.acme().is_some())
        });
        for (name, one) in running.iter() {
            if let Some(edge) = snapshot.tls.get(name) {
                give(edge, one);
            }
        }
    }

    fn start(&self, name: &Arc<str>, settings: Settings) -> Running {
        let orders = Orders::new(settings.clone(), name, &self.name);
        let challenges = Arc::clone(orders.challenges());
        // Served before the first connection is taken, as after a restart.
        let certificate = Arc::new(ArcSwapOption::new(orders.stored()));
        let failed = Arc::new(ArcSwapOption::empty());
        let (stop, stopped) = oneshot::channel();
        let publish = {
            let (certificate, node, name) = (
                Arc::clone(&certificate),
                Weak::clone(&self.node),
                Arc::clone(name),
            );
            move |fresh: Arc<Certificate>| {
                certificate.store(Some(Arc::clone(&fresh)));
                with_edge(&node, &name, |edge| edge.ordered(&fresh));
            }
        };
        let events = {
            let (failed, node, name) = (
                Arc::clone(&failed),
                Weak::clone(&self.node),
                Arc::clone(name),
            );
            move |event: AcmeEvent| {
                match &event {
                    AcmeEvent::Failed { error, .. } => failed.store(Some(Arc::new(error.clone()))),
                    AcmeEvent::Ordered { .. } | AcmeEvent::Renewed { .. } | AcmeEvent::Fine => {
                        failed.store(None);
                    }
                    _ => {}
                }
                with_edge(&node, &name, |edge| tell(edge, &event));
            }
        };
        let mut open = self.open.subscribe();
        self.runtime.spawn(async move {
            if open.wait_for(|open| *open).await.is_err() {
                return;
            }
            let stopped = async move {
                // Told by dropping the sender.
                let _ = stopped.await;
            };
            orders.run(publish, events, stopped).await;
        });
        Running {
            settings,
            challenges,
            certificate,
            failed,
            _stop: stop,
        }
    }
}

fn give(edge: &Edge, one: &Running) {
    edge.set_challenges(&one.challenges);
    if let Some(certificate) = &*one.certificate.load() {
        edge.ordered(certificate);
    }
    if let Some(error) = &*one.failed.load() {
        edge.order_has_failed(error);
    }
}

fn with_edge(node: &Weak<Node>, name: &str, act: impl FnOnce(&Edge)) {
    if let Some(node) = node.upgrade()
        && let Some(edge) = node.current.load().tls.get(name)
    {
        act(edge);
    }
}

fn tell(edge: &Edge, event: &AcmeEvent) {
    let name = edge.name();
    match event {
        AcmeEvent::Loaded { .. } => log::info!("tls {name:?}: the ordered certificate was loaded"),
        AcmeEvent::Borrowed { .. } => {
            log::info!(
                "tls {name:?}: a certificate ordered for other names is served until the order"
            );
        }
        AcmeEvent::Ordered { .. } => {
            log::info!("tls {name:?}: a certificate was ordered");
            edge.order_done(false);
        }
        AcmeEvent::Renewed { .. } => {
            log::info!("tls {name:?}: the certificate was renewed");
            edge.order_done(true);
        }
        AcmeEvent::Failed { error, failures } => edge.order_failed(error, *failures),
        AcmeEvent::WaitingForOtherNode { holder } => {
            log::info!("tls {name:?}: {holder} orders the certificate");
        }
        AcmeEvent::Fine => edge.order_fine(),
        AcmeEvent::NextAttempt { at } => edge.order_next(*at),
    }
}

/// One of a kind among the nodes of a storage, and the same after a restart.
fn node_name(paths: &[PathBuf]) -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    for path in paths {
        let whole = std::fs::canonicalize(path);
        let path: &Path = whole.as_deref().unwrap_or(path);
        hasher.write(path.as_os_str().as_encoded_bytes());
    }
    format!("{host}-{:08x}", hasher.finish() as u32)
}
