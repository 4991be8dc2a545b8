//! Bound addresses and their accept loops. A reload adds and removes them; what stays keeps its
//! socket, its slot and its counts. An upgrade hands the sockets to the next process.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farmgate_plugin_api::{Accept, ConnectionFacts};
use futures_util::FutureExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::bind::{BACKLOG, Bound, SocketFile};
use super::conn::{Accepted, serve};
use super::drain::Stage;
use super::gate::Gate;
use super::linger::NOTHING_LEFT;
use super::socket::Socket;
use super::systemd;
use crate::proxy::connection::Node;
use crate::proxy::pingora::Proxy;
use crate::snapshot::Listener;
use crate::snapshot::listener::BindAddress;
use crate::telemetry::Reason;

/// How long to wait when the process has no descriptors left.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// One address that is served.
struct Serving {
    slot: u16,
    tell: watch::Sender<Stage>,
    gate: Arc<Gate>,
    bound_to: Option<SocketAddr>,
    /// Another process takes what is queued on the socket.
    handed_over: Arc<AtomicBool>,
    /// The socket again, for the service manager and for the next process; none once it is not ours to keep.
    socket: Option<OwnedFd>,
}

/// What begins once accepting may begin.
struct Waiting {
    accepting: Accepting,
    acceptor: Acceptor,
    /// Removed again if this process never serves.
    file: Option<SocketFile>,
}

/// All addresses of the node.
pub struct Listeners {
    node: Arc<Node>,
    proxy: Arc<Proxy>,
    runtime: tokio::runtime::Handle,
    serving: BTreeMap<BindAddress, Serving>,
    /// Addresses that were removed and whose connections still end.
    leaving: Vec<Serving>,
    /// Some while nothing may be accepted yet: an old process still serves.
    held: Option<Vec<Waiting>>,
    /// Held by every loop that accepts.
    loops: Arc<()>,
}

impl Listeners {
    /// None yet. Accept loops run on `runtime`. With `held` nothing is accepted before [`Listeners::release`].
    pub fn new(
        node: Arc<Node>,
        proxy: Arc<Proxy>,
        runtime: tokio::runtime::Handle,
        held: bool,
    ) -> Self {
        Self {
            node,
            proxy,
            runtime,
            serving: BTreeMap::new(),
            leaving: Vec::new(),
            held: held.then(Vec::new),
            loops: Arc::default(),
        }
    }

    /// True while nothing may be accepted yet.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Accepting begins.
    pub fn release(&mut self) {
        for Waiting {
            accepting,
            acceptor,
            file,
        } in self.held.take().into_iter().flatten()
        {
            if let Some(file) = file {
                file.keep();
            }
            self.runtime.spawn(accepting.run(acceptor));
        }
    }

    /// What serves a connection, and where.
    pub fn engine(&self) -> (Arc<Proxy>, tokio::runtime::Handle) {
        (Arc::clone(&self.proxy), self.runtime.clone())
    }

    /// Has the service manager keep every socket, in case this process dies.
    pub fn store(&self) {
        for (address, one) in &self.serving {
            if let Some(socket) = &one.socket {
                systemd::store(&address.to_string(), socket.as_fd());
            }
        }
    }

    /// Every address and its socket, for the next process.
    pub fn sockets(&self) -> impl Iterator<Item = (&BindAddress, RawFd)> {
        self.serving.iter().filter_map(|(address, one)| {
            let socket = one.socket.as_ref()?;
            Some((address, socket.as_raw_fd()))
        })
    }

    /// Another process accepts on the addresses that `taken` names: here nothing more is accepted anywhere.
    pub fn hand_over(&mut self, taken: &dyn Fn(&BindAddress) -> bool) {
        for (address, mut one) in std::mem::take(&mut self.serving) {
            let taken = taken(&address);
            one.handed_over.store(taken, Ordering::Relaxed);
            one.tell.send_replace(Stage::Leaving);
            one.socket = None;
            self.leaving.push(one);
            if let (false, BindAddress::Unix(path)) = (taken, &address) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// True if this address is bound by us.
    pub fn holds(&self, address: &BindAddress) -> bool {
        self.serving.contains_key(address)
    }

    /// The address a listener really got, for port 0.
    pub fn bound_to(&self, address: &BindAddress) -> Option<SocketAddr> {
        self.serving.get(address)?.bound_to
    }

    /// Connections open, over all addresses, those leaving included.
    pub fn open(&self) -> u32 {
        let now: u32 = self.serving.values().map(|one| one.gate.open()).sum();
        let leaving: u32 = self.leaving.iter().map(|one| one.gate.open()).sum();
        now + leaving
    }

    /// Starts accepting on a new address.
    ///
    /// # Errors
    /// The socket cannot be registered with the runtime.
    pub fn add(&mut self, address: BindAddress, bound: Bound, slot: u16) -> io::Result<()> {
        let (tell, told) = watch::channel(Stage::Open);
        let handed_over = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(Gate::default());
        let bound_to = match &bound {
            Bound::Tcp(socket) => socket.local_addr().ok(),
            Bound::Unix(..) => None,
        };
        let socket = match &bound {
            Bound::Tcp(socket) => socket.as_fd().try_clone_to_owned()?,
            Bound::Unix(socket, _) => socket.as_fd().try_clone_to_owned()?,
        };
        let _runtime = self.runtime.enter();
        let (acceptor, file) = match bound {
            Bound::Tcp(socket) => (Acceptor::Tcp(TcpListener::from_std(socket)?), None),
            Bound::Unix(socket, file) => {
                let socket = UnixListener::from_std(socket)?;
                (Acceptor::Unix(socket), Some(file))
            }
        };
        let accepting = Accepting {
            node: Arc::clone(&self.node),
            proxy: Arc::clone(&self.proxy),
            slot,
            gate: Arc::clone(&gate),
            told,
            handed_over: Arc::clone(&handed_over),
            _counted: Arc::clone(&self.loops),
        };
        match &mut self.held {
            Some(held) => held.push(Waiting {
                accepting,
                acceptor,
                file,
            }),
            None => {
                if let Some(file) = file {
                    file.keep();
                }
                systemd::store(&address.to_string(), socket.as_fd());
                self.runtime.spawn(accepting.run(acceptor));
            }
        }
        self.serving.insert(
            address,
            Serving {
                slot,
                tell,
                gate,
                bound_to,
                handed_over,
                socket: Some(socket),
            },
        );
        Ok(())
    }

    /// Stops accepting on addresses that `keep` does not name; their connections drain.
    pub fn retain(&mut self, keep: &dyn Fn(&BindAddress) -> bool) {
        let gone: Vec<_> = self.serving.keys().filter(|a| !keep(a)).cloned().collect();
        for address in gone {
            if let Some(mut one) = self.serving.remove(&address) {
                one.tell.send_replace(Stage::Leaving);
                one.socket = None;
                systemd::forget(&address.to_string());
                self.leaving.push(one);
                if let BindAddress::Unix(path) = &address {
                    let _ = std::fs::remove_file(path);
                }
            }
        }
        self.leaving.retain(|one| one.gate.open() > 0);
    }

    /// Stops accepting everywhere.
    pub fn stop(&mut self) {
        self.retain(&|_| false);
    }

    /// True while a loop accepts, or takes what had been queued when it was told to end.
    pub fn is_accepting(&self) -> bool {
        Arc::strong_count(&self.loops) > 1
    }

    /// Ends every connection now.
    pub fn cut(&mut self) {
        for one in self.serving.values().chain(&self.leaving) {
            one.tell.send_replace(Stage::Cut);
        }
    }

    /// Slots whose connections still end: nobody else may get them.
    pub fn leaving_slots(&self) -> impl Iterator<Item = u16> {
        let open = self.leaving.iter().filter(|one| one.gate.open() > 0);
        open.map(|one| one.slot)
    }

    /// Address and slot of everything served.
    pub fn slots(&self) -> impl Iterator<Item = (&BindAddress, u16, u32)> {
        self.serving
            .iter()
            .map(|(address, one)| (address, one.slot, one.gate.open()))
    }
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

struct Accepting {
    node: Arc<Node>,
    proxy: Arc<Proxy>,
    slot: u16,
    gate: Arc<Gate>,
    told: watch::Receiver<Stage>,
    handed_over: Arc<AtomicBool>,
    _counted: Arc<()>,
}

impl Accepting {
    async fn run(mut self, acceptor: Acceptor) {
        loop {
            let accepted = tokio::select! {
                biased;
                _ = self.told.wait_for(|stage| *stage >= Stage::Leaving) => break,
                accepted = accept(&acceptor) => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.take(socket, peer),
                Err(error) => self.failed(&error).await,
            }
        }
        if !self.handed_over.load(Ordering::Relaxed) {
            self.take_queued(&acceptor);
        }
        drop(self);
        // A drain may wait for this.
        NOTHING_LEFT.notify_one();
    }

    /// Takes what the kernel has accepted already: closing the socket would reset it.
    fn take_queued(&self, acceptor: &Acceptor) {
        for _ in 0..BACKLOG {
            let accepted = tokio::task::unconstrained(accept(acceptor));
            match accepted.now_or_never() {
                Some(Ok((socket, peer))) => self.take(socket, peer),
                Some(Err(_)) | None => return,
            }
        }
    }

    fn take(&self, socket: Socket, peer: Option<SocketAddr>) {
        let snapshot = self.node.current.load();
        let Some(listener) = snapshot.listener(self.slot) else {
            return;
        };
        listener.metrics.connections.inc();
        let now = Instant::now();
        let admitted = match self.gate.admit(listener, peer.map(|p| p.ip()), now) {
            Ok(admitted) => admitted,
            Err(reason) => return listener.metrics.connection_rejected(reason),
        };
        if !self.is_accepted(listener, peer) {
            return listener.metrics.connection_rejected(Reason::PluginReply);
        }
        tokio::spawn(serve(Accepted {
            node: Arc::clone(&self.node),
            proxy: Arc::clone(&self.proxy),
            listener: Arc::clone(listener),
            socket,
            peer,
            admitted,
            told: self.told.clone(),
        }));
    }

    /// The `accept` phase of the listener's plugins.
    fn is_accepted(&self, listener: &Arc<Listener>, peer: Option<SocketAddr>) -> bool {
        if listener.chain.accept.is_empty() {
            return true;
        }
        let facts = ConnectionFacts {
            listener: Arc::clone(&listener.name),
            peer,
        };
        crate::proxy::chains::accept(&listener.chain.accept, &facts) == Accept::Continue
    }

    async fn failed(&self, error: &io::Error) {
        match error.raw_os_error() {
            // The client left before we looked.
            Some(libc::ECONNABORTED | libc::EINTR) => {}
            _ => {
                log::error!("accepting failed: {error}");
                tokio::time::sleep(OUT_OF_FILES).await;
            }
        }
    }
}

async fn accept(acceptor: &Acceptor) -> io::Result<(Socket, Option<SocketAddr>)> {
    match acceptor {
        Acceptor::Tcp(listener) => {
            let (socket, peer) = listener.accept().await?;
            socket.set_nodelay(true)?;
            Ok((Socket::Tcp(socket), Some(peer)))
        }
        Acceptor::Unix(listener) => {
            let (socket, _) = listener.accept().await?;
            Ok((Socket::Unix(socket), None))
        }
    }
}
