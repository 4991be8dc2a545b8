//! The process: it wires the chapters together, binds, reloads, drains and answers operators.

pub mod allocator;
pub mod bind;
pub mod bootstrap;
pub mod cache;
pub mod certificates;
pub mod conn;
pub mod control;
pub mod drain;
pub mod explain;
pub mod gate;
pub mod guards;
pub mod history;
pub mod inherit;
pub mod last_good;
pub mod limits;
pub mod linger;
pub mod listeners;
pub mod orders;
pub mod overload;
pub mod reload;
pub mod services;
pub mod signals;
pub mod socket;
pub mod status;
pub mod stream;
pub mod systemd;
pub mod transport;
pub mod upgrade;
pub mod watch;
pub mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::compile::Settings;
use crate::proxy::connection::Node;
use crate::state::State;
use crate::upstream::discovery::Resolver;
use control::Operators;
use guards::Guards;
use history::History;
use inherit::Heritage;
use listeners::Listeners;
use orders::OrderDesk;
use overload::Load;
use services::Host;
use upgrade::Upgrades;

/// A running node. One per process.
pub struct Server {
    /// What requests use.
    pub node: Arc<Node>,
    /// State by identity.
    pub state: Arc<State>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// Checks and sources of endpoints.
    pub guards: Arc<Guards>,
    /// How the node stands, as its overload guard saw it last.
    pub load: ArcSwap<Load>,
    /// Plugin services.
    pub host: Arc<Host>,
    /// Certificates that are ordered.
    pub orders: OrderDesk,
    /// Bound addresses.
    pub listeners: Mutex<Listeners>,
    /// The control socket and the admin address.
    pub operators: Operators,
    /// Sockets that were open before this process.
    pub heritage: Heritage,
    /// How another process takes over.
    pub upgrades: Upgrades,
    /// Where the configuration comes from.
    pub paths: Vec<PathBuf>,
    /// Configurations so far.
    pub history: Mutex<History>,
    /// The configuration in force, for `/config`.
    pub config: ArcSwap<serde_json::Value>,
    /// One change of configuration at a time.
    pub changing: tokio::sync::Mutex<()>,
    /// What the last reload came to.
    pub last_reload: Mutex<Option<LastReload>>,
    /// Told to go down.
    pub stop: Notify,
    /// The drain, once there is one.
    pub drain: Mutex<Option<drain::Drain>>,
    /// When the process started.
    pub started: Instant,
    /// The same by the wall clock.
    pub started_at: SystemTime,
    settings: ArcSwap<Settings>,
}

/// What the last reload came to.
#[derive(Clone, Debug)]
pub struct LastReload {
    /// Seconds since 1970.
    pub at: u64,
    /// The generation now in force, or why it was refused.
    pub result: Result<u64, String>,
}

impl Server {
    /// Settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Takes clients and orders certificates. Operators are answered when [`Operators::release`] says so.
    ///
    /// # Errors
    /// An operators' socket cannot be registered with the runtime.
    pub fn serve(self: &Arc<Self>) -> std::io::Result<()> {
        self.operators.serve(self)?;
        self.orders.release();
        self.listeners.lock().release();
        Ok(())
    }
}
